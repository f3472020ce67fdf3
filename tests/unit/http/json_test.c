/* Goal: what the emitter writes is JSON for every input, and the gate bounds what the reader may be given. */
#include "document.h"
#include "json.h"
#include "text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct http_buffer buffer;
static struct http_json json;

static void begin(void)
{
    buffer = (struct http_buffer){0};
    http__json_init(&json, &buffer);
}

static void expect(const char *text)
{
    http__buffer_append(&buffer, "", 1);
    cr_assert_str_eq((char *)buffer.data, text);
    http__buffer_close(&buffer);
}

Test(http_json, commas_stand_between_and_nowhere_else)
{
    begin();
    http__json_object_begin(&json);
    http__json_key(&json, "a");
    http__json_array_begin(&json);
    http__json_array_end(&json);
    http__json_key(&json, "b");
    http__json_array_begin(&json);
    http__json_u64(&json, UINT64_MAX);
    http__json_i64(&json, INT64_MIN);
    http__json_object_begin(&json);
    http__json_object_end(&json);
    http__json_null(&json);
    http__json_bool(&json, true);
    http__json_array_end(&json);
    http__json_key(&json, "c");
    http__json_id(&json, 0);
    http__json_object_end(&json);
    expect("{\"a\":[],\"b\":[18446744073709551615,-9223372036854775808,{},null,true],\"c\":null}");
}

Test(http_json, every_control_character_is_escaped)
{
    begin();
    http__json_text(&json, "\"\\/\n\r\t\b\f\x01\x1f\x7f\0z", 13);
    expect("\"\\\"\\\\/\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\\u007f\\u0000z\"");
}

Test(http_json, every_text_is_read_back_as_it_was)
{
    /* All single bytes and pairs that are UTF-8, through the reader of another library. */
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second += 5) {
            uint8_t text[4] = {'x', (uint8_t)first, (uint8_t)second, 'y'};
            begin();
            http__json_array_begin(&json);
            if (http__text_is_utf8(text, 4)) {
                http__json_text(&json, text, 4);
                http__json_array_end(&json);
                char problem[64];
                json_t *root =
                    http__document_load(buffer.data, buffer.bytes, problem, sizeof problem);
                cr_assert(root, "%02x %02x: %s", first, second, problem);
                json_t *back = json_array_get(root, 0);
                cr_assert_eq(json_string_length(back), 4);
                cr_assert_eq(memcmp(json_string_value(back), text, 4), 0);
                json_decref(root);
            }
            http__buffer_close(&buffer);
        }
    }
}

Test(http_json, bytes_that_are_no_text_are_base64)
{
    begin();
    http__json_object_begin(&json);
    http__json_member_bytes(&json, "value", "value_b64", (const uint8_t *)"\xff\x00", 2);
    http__json_member_bytes(&json, "key", "key_b64", NULL, 0);
    http__json_member_bytes(&json, "meta", "meta_b64", (const uint8_t *)"", 0);
    http__json_object_end(&json);
    expect("{\"value_b64\":\"/wA=\",\"key\":null,\"meta\":\"\"}");
}

static const char *gate(const char *text)
{
    return http__json_gate((const uint8_t *)text, strlen(text));
}

Test(http_json, the_gate_bounds_depth_and_count)
{
    cr_assert_null(gate("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"));
    cr_assert_not_null(gate("[[[[[[[[[[[[[[[[["));
    cr_assert_null(gate("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[\""));
    cr_assert_null(gate("[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[\"]"));
    char *many = malloc(400000);
    memset(many, ',', 400000);
    cr_assert_not_null(http__json_gate((uint8_t *)many, 400000));
    memset(many, '[', 400000);
    cr_assert_not_null(http__json_gate((uint8_t *)many, 400000));
    free(many);
    cr_assert_null(gate("\"\\"));
}

Test(http_json, the_reader_refuses_what_has_two_meanings)
{
    static const char *const refused[] = {"{\"a\":1,\"a\":2}",
                                          "{\"a\":NaN}",
                                          "{\"a\":Infinity}",
                                          "{\"a\":1}x",
                                          "{\"a\":01}",
                                          "{\"a\":\"\xff\"}",
                                          "{\"a\":\"\\ud800\"}",
                                          "{'a':1}",
                                          "{\"a\":1,}",
                                          "",
                                          "   ",
                                          "{\"a\\u0000b\":1}",
                                          "{\"a\":99999999999999999999}"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char problem[128] = "";
        json_t *root = http__document_load((const uint8_t *)refused[i], strlen(refused[i]), problem,
                                           sizeof problem);
        cr_assert_null(root, "%s", refused[i]);
        cr_assert_neq(problem[0], '\0');
    }
}
