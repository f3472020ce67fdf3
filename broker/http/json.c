#include "json.h"

#include "text.h"

void http__json_init(struct http_json *json, struct http_buffer *out)
{
    *json = (struct http_json){.out = out};
}

static void separate(struct http_json *json)
{
    if (json->comma) http__buffer_append(json->out, ",", 1);
    json->comma = true;
}

static void open_container(struct http_json *json, const char *bracket)
{
    separate(json);
    http__buffer_append(json->out, bracket, 1);
    json->comma = false;
}

static void close_container(struct http_json *json, const char *bracket)
{
    http__buffer_append(json->out, bracket, 1);
    json->comma = true;
}

void http__json_object_begin(struct http_json *json)
{
    open_container(json, "{");
}

void http__json_object_end(struct http_json *json)
{
    close_container(json, "}");
}

void http__json_array_begin(struct http_json *json)
{
    open_container(json, "[");
}

void http__json_array_end(struct http_json *json)
{
    close_container(json, "]");
}

void http__json_key(struct http_json *json, const char *name)
{
    separate(json);
    http__buffer_append(json->out, "\"", 1);
    http__buffer_text(json->out, name);
    http__buffer_append(json->out, "\":", 2);
    json->comma = false;
}

static void escape(struct http_buffer *out, uint8_t c)
{
    switch (c) {
    case '"':
        http__buffer_append(out, "\\\"", 2);
        return;
    case '\\':
        http__buffer_append(out, "\\\\", 2);
        return;
    case '\n':
        http__buffer_append(out, "\\n", 2);
        return;
    case '\r':
        http__buffer_append(out, "\\r", 2);
        return;
    case '\t':
        http__buffer_append(out, "\\t", 2);
        return;
    default:
        http__buffer_format(out, "\\u%04x", c);
        return;
    }
}

void http__json_text(struct http_json *json, const void *text, size_t bytes)
{
    const uint8_t *from = text;
    separate(json);
    http__buffer_append(json->out, "\"", 1);
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = from[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        http__buffer_append(json->out, from + plain, i - plain);
        escape(json->out, c);
        plain = i + 1;
    }
    http__buffer_append(json->out, from + plain, bytes - plain);
    http__buffer_append(json->out, "\"", 1);
}

void http__json_string(struct http_json *json, const char *text)
{
    http__json_text(json, text, strlen(text));
}

static void write_base64(struct http_json *json, const void *data, size_t bytes)
{
    separate(json);
    http__buffer_append(json->out, "\"", 1);
    http__text_base64_encode(json->out, data, bytes);
    http__buffer_append(json->out, "\"", 1);
}

void http__json_u64(struct http_json *json, uint64_t value)
{
    separate(json);
    http__buffer_u64(json->out, value);
}

void http__json_i64(struct http_json *json, int64_t value)
{
    separate(json);
    if (value < 0) http__buffer_append(json->out, "-", 1);
    http__buffer_u64(json->out, value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value);
}

void http__json_bool(struct http_json *json, bool value)
{
    separate(json);
    http__buffer_text(json->out, value ? "true" : "false");
}

void http__json_null(struct http_json *json)
{
    separate(json);
    http__buffer_append(json->out, "null", 4);
}

void http__json_id(struct http_json *json, uint64_t id)
{
    if (id == 0) {
        http__json_null(json);
    } else {
        http__json_u64(json, id);
    }
}

void http__json_time(struct http_json *json, int64_t unix_ms)
{
    char text[HTTP_TIME_BYTES];
    size_t bytes = http__text_format_time(unix_ms, text);
    http__json_text(json, text, bytes);
}

void http__json_member_string(struct http_json *json, const char *name, const char *text)
{
    http__json_key(json, name);
    http__json_string(json, text);
}

void http__json_member_text(struct http_json *json, const char *name, const char *text)
{
    http__json_key(json, name);
    if (*text) {
        http__json_string(json, text);
    } else {
        http__json_null(json);
    }
}

void http__json_member_u64(struct http_json *json, const char *name, uint64_t value)
{
    http__json_key(json, name);
    http__json_u64(json, value);
}

void http__json_member_i64(struct http_json *json, const char *name, int64_t value)
{
    http__json_key(json, name);
    http__json_i64(json, value);
}

void http__json_member_bool(struct http_json *json, const char *name, bool value)
{
    http__json_key(json, name);
    http__json_bool(json, value);
}

void http__json_member_bytes(struct http_json *json, const char *name, const char *name_b64,
                             const uint8_t *data, size_t bytes)
{
    if (!data) {
        http__json_key(json, name);
        http__json_null(json);
    } else if (http__text_is_utf8(data, bytes)) {
        http__json_key(json, name);
        http__json_text(json, data, bytes);
    } else {
        http__json_key(json, name_b64);
        write_base64(json, data, bytes);
    }
}

const char *http__json_gate(const uint8_t *text, size_t bytes)
{
    unsigned depth = 0;
    uint32_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            if (c == '"') in_string = false;
            continue;
        }
        switch (c) {
        case '"':
            in_string = true;
            break;
        case '{':
        case '[':
            if (++depth > HTTP_JSON_DEPTH_MAX) return "it is nested more than 16 levels deep";
            values++;
            break;
        case '}':
        case ']':
            if (depth > 0) depth--;
            break;
        case ',':
        case ':':
            values++;
            break;
        default:
            break;
        }
        if (values > HTTP_JSON_VALUES_MAX) return "it holds more than 65,536 values";
    }
    return NULL;
}
