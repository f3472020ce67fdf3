/* How a consumed message is printed. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

static struct record_batch_header batch = {
    .base_offset = 100, .producer_id = 7, .base_sequence = INT32_MAX - 1};
static struct record_view record;
static struct format_message message = {
    .topic = "orders", .partition = 3, .batch = &batch, .record = &record};

static void fill(void)
{
    memset(&record, 0, sizeof(record));
    record.offset = 103;
    record.timestamp_ms = 1700000000123;
    record.key = (const uint8_t *)"k";
    record.key_bytes = 1;
    record.value = (const uint8_t *)"v\0w";
    record.value_bytes = 3;
    record.headers[0] = (struct record_header){
        .name = "a", .name_bytes = 1, .value = (const uint8_t *)"1", .value_bytes = 1};
    record.headers[1] = (struct record_header){.name = "b", .name_bytes = 1};
    record.headers_count = 2;
}

static char *print(const char *format, size_t *ret_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_bytes);
    cr_assert_null(format_problem(format), "%s", format);
    format_print(format, &message, out);
    fclose(out);
    return text;
}

Test(cli_format, every_field_is_printed, .init = fill)
{
    size_t bytes;
    char *text = print("%t/%p/%o/%k/%T/%h/%L/%K/%I%%\\t\\x41\\\\", &bytes);
    cr_assert_str_eq(text, "orders/3/103/k/1700000000123/a=1,b=/3/1/7%\tA\\");
    free(text);
}

Test(cli_format, values_are_written_byte_for_byte, .init = fill)
{
    size_t bytes;
    char *text = print("%v\\0", &bytes);
    cr_assert_eq(bytes, 4);
    cr_assert_arr_eq(text, "v\0w\0", 4);
    free(text);
}

Test(cli_format, sequences_wrap_at_2_to_the_31_as_the_producers_do, .init = fill)
{
    cr_assert_eq(format_sequence(&message), 1); /* max-1, max, 0, 1 */
    batch.producer_id = -1;
    cr_assert_eq(format_sequence(&message), -1);
}

Test(cli_format, unknown_fields_and_escapes_are_refused_before_anything_is_printed)
{
    static const char *const wrong[] = {"%", "%q", "a%", "\\", "\\q", "\\x4", "\\xzz", "%v\\"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not_null(format_problem(wrong[i]), "%s", wrong[i]);
    }
    cr_assert_null(format_problem("%v\\n"));
    cr_assert_null(format_problem(""));
}

Test(cli_format, json_shows_text_as_text_and_other_bytes_as_base64, .init = fill)
{
    char *text = NULL;
    size_t bytes = 0;
    static const uint8_t raw[] = {0xff, 0xfe, 0x00, 0x01};
    record.value = raw;
    record.value_bytes = 4;
    FILE *out = open_memstream(&text, &bytes);
    format_print_json(&message, out);
    fclose(out);
    json_t *json = json_loads(text, 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(json, "key")), "k");
    cr_assert_str_eq(json_string_value(json_object_get(json, "value_b64")), "//4AAQ==");
    cr_assert_null(json_object_get(json, "value"));
    cr_assert_eq(json_integer_value(json_object_get(json, "offset")), 103);
    cr_assert_str_eq(json_string_value(json_object_get(json, "timestamp")),
                     "2023-11-14T22:13:20.123Z");
    cr_assert(json_is_null(json_object_get(json_object_get(json, "headers"), "b")));
    json_decref(json);
    free(text);
}
