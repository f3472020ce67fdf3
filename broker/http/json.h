/* A streaming JSON writer into a buffer, and the gate in front of the JSON reader.
 *
 *     json_object_begin; json_key("a"); json_u64(1); json_object_end        ->  {"a":1}
 *
 * Commas are placed by the writer. What is passed as text must be valid UTF-8 (checked by the caller with
 * http__text_is_utf8 where it comes from outside). */
#ifndef BROKER_HTTP_JSON_H
#define BROKER_HTTP_JSON_H

#include "buffer.h"

struct http_json {
    struct http_buffer *out;
    bool comma; /* the next value or key is not the first of its container */
};

void http__json_init(struct http_json *json, struct http_buffer *out);
void http__json_object_begin(struct http_json *json);
void http__json_object_end(struct http_json *json);
void http__json_array_begin(struct http_json *json);
void http__json_array_end(struct http_json *json);
void http__json_key(struct http_json *json,
                    const char *name); /* name: plain ASCII, written as it is */
void http__json_text(struct http_json *json, const void *text, size_t bytes);
void http__json_string(struct http_json *json, const char *text);
void http__json_u64(struct http_json *json, uint64_t value);
void http__json_i64(struct http_json *json, int64_t value);
void http__json_bool(struct http_json *json, bool value);
void http__json_null(struct http_json *json);
/* A number above 0, or null: node ids, where 0 means unknown. */
void http__json_id(struct http_json *json, uint64_t id);
void http__json_time(struct http_json *json, int64_t unix_ms);

/* A member of an object: its key, then its value. */
void http__json_member_string(struct http_json *json, const char *name, const char *text);
/* "" is null: what is not known, or does not apply. */
void http__json_member_text(struct http_json *json, const char *name, const char *text);
void http__json_member_u64(struct http_json *json, const char *name, uint64_t value);
void http__json_member_i64(struct http_json *json, const char *name, int64_t value);
void http__json_member_bool(struct http_json *json, const char *name, bool value);

/* "name": text, or "name_b64": base64 when the bytes are not valid UTF-8; null when data is NULL. */
void http__json_member_bytes(struct http_json *json, const char *name, const char *name_b64,
                             const uint8_t *data, size_t bytes);

#define HTTP_JSON_DEPTH_MAX  16u
#define HTTP_JSON_VALUES_MAX 65536u

/* Before a text is given to the JSON library: depth at most 16 and at most 65,536 values, so that neither its stack nor
 * its memory (about 250 bytes for "{}") is the sender's to choose. NULL when fine, else what is wrong. */
const char *http__json_gate(const uint8_t *text, size_t bytes);

#endif
