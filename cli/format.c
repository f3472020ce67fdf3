#include "format.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <segment_log/checksum.h>
#include <stdlib.h>
#include <string.h>

#include "producer.h"
#include "quantity.h"

#define ESCAPES "ntr0\\"

const char *format_problem(const char *format)
{
    for (const char *c = format; *c; c++) {
        if (*c == '%') {
            c++;
            if (*c == '\0') return "it ends with a single %; write %% for a percent sign";
            if (!strchr("vkopthTLKISH%", *c)) return "an unknown % stands in it";
        } else if (*c == '\\') {
            c++;
            if (*c == 'x') {
                if (!isxdigit((unsigned char)c[1]) || !isxdigit((unsigned char)c[2])) {
                    return "\\x needs two hex digits";
                }
                c += 2;
            } else if (*c == '\0' || !strchr(ESCAPES, *c)) {
                return "an unknown \\ stands in it";
            }
        }
    }
    return NULL;
}

int64_t format_sequence(const struct format_message *message)
{
    const struct record_batch_header *batch = message->batch;
    if (batch->producer_id < 0 || batch->base_sequence < 0) return -1;
    uint64_t delta = message->record->offset - (uint64_t)batch->base_offset;
    return producer_sequence_add(batch->base_sequence, (uint32_t)delta);
}

static void print_headers(const struct record_view *record, FILE *out)
{
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        if (i > 0) fputc(',', out);
        fwrite(header->name, 1, header->name_bytes, out);
        fputc('=', out);
        if (header->value) fwrite(header->value, 1, header->value_bytes, out);
    }
}

static void print_field(char field, const struct format_message *message, FILE *out)
{
    const struct record_view *record = message->record;
    switch (field) {
    case 'v':
        if (record->value) fwrite(record->value, 1, record->value_bytes, out);
        return;
    case 'k':
        if (record->key) fwrite(record->key, 1, record->key_bytes, out);
        return;
    case 'o':
        fprintf(out, "%" PRIu64, record->offset);
        return;
    case 'p':
        fprintf(out, "%" PRIu32, message->partition);
        return;
    case 't':
        fputs(message->topic, out);
        return;
    case 'T':
        fprintf(out, "%" PRId64, record->timestamp_ms);
        return;
    case 'h':
        print_headers(record, out);
        return;
    case 'L':
        fprintf(out, "%" PRIu32, record->value_bytes);
        return;
    case 'K':
        fprintf(out, "%" PRIu32, record->key_bytes);
        return;
    case 'I':
        fprintf(out, "%" PRId64, message->batch->producer_id);
        return;
    case 'S':
        fprintf(out, "%" PRId64, format_sequence(message));
        return;
    case 'H':
        fprintf(out, "%016" PRIx64, checksum64(record->value, record->value_bytes));
        return;
    default:
        assert(field == '%');
        fputc('%', out);
    }
}

void format_print(const char *format, const struct format_message *message, FILE *out)
{
    for (const char *c = format; *c; c++) {
        if (*c == '%') {
            print_field(*++c, message, out);
        } else if (*c == '\\') {
            c++;
            if (*c == 'x') {
                char hex[3] = {c[1], c[2], '\0'};
                fputc((int)strtol(hex, NULL, 16), out);
                c += 2;
            } else {
                fputc("\n\t\r\0\\"[strchr(ESCAPES, *c) - ESCAPES], out);
            }
        } else {
            fputc(*c, out);
        }
    }
}

static char *base64(const uint8_t *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc(bytes / 3 * 4 + 5);
    assert(text);
    char *out = text;
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t group = (uint32_t)data[i] << 16;
        if (i + 1 < bytes) group |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < bytes) group |= data[i + 2];
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = i + 1 < bytes ? digits[group >> 6 & 63] : '=';
        *out++ = i + 2 < bytes ? digits[group & 63] : '=';
    }
    *out = '\0';
    return text;
}

/* "name": text, or "name_b64": base64 when the bytes are not UTF-8 (jansson refuses those). */
static void set_bytes(json_t *object, const char *name, const uint8_t *data, size_t bytes)
{
    json_t *text = data ? json_stringn((const char *)data, bytes) : json_null();
    if (text) {
        json_object_set_new(object, name, text);
        return;
    }
    char name_b64[300];
    snprintf(name_b64, sizeof(name_b64), "%.280s_b64", name);
    char *encoded = base64(data, bytes);
    json_object_set_new(object, name_b64, json_string(encoded));
    free(encoded);
}

void format_print_json(const struct format_message *message, FILE *out)
{
    const struct record_view *record = message->record;
    char time[QUANTITY_TEXT_BYTES];
    json_t *object = json_object();
    if (message->topic) {
        json_object_set_new(object, "topic", json_string(message->topic));
        json_object_set_new(object, "partition", json_integer(message->partition));
    } else {
        json_object_set_new(object, "group", json_integer((json_int_t)message->group));
        json_object_set_new(object, "index", json_integer((json_int_t)message->index));
    }
    json_object_set_new(object, "offset", json_integer((json_int_t)record->offset));
    json_object_set_new(object, "timestamp",
                        json_string(quantity_time(time, record->timestamp_ms)));
    set_bytes(object, "key", record->key, record->key_bytes);
    json_t *headers = json_object();
    for (uint32_t i = 0; i < record->headers_count; i++) {
        char name[257];
        const struct record_header *header = &record->headers[i];
        size_t bytes = header->name_bytes < 256 ? header->name_bytes : 256;
        memcpy(name, header->name, bytes);
        name[bytes] = '\0';
        set_bytes(headers, name, header->value, header->value_bytes);
    }
    json_object_set_new(object, "headers", headers);
    set_bytes(object, "value", record->value, record->value_bytes);
    json_dumpf(object, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(object);
}
