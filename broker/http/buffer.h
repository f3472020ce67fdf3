/* A byte buffer that grows. Running out of memory is remembered instead of returned by every append: whoever hands the
 * bytes on checks `failed` once. */
#ifndef BROKER_HTTP_BUFFER_H
#define BROKER_HTTP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct http_buffer {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
    bool failed; /* an append was lost: the content must not be used */
};

void http__buffer_close(struct http_buffer *buffer);
/* Empty it; keep at most `keep_bytes` of capacity for the next use. */
void http__buffer_clear(struct http_buffer *buffer, size_t keep_bytes);
/* Room for `more` bytes behind the content. */
bool http__buffer_reserve(struct http_buffer *buffer, size_t more);
void http__buffer_append_slow(struct http_buffer *buffer, const void *data, size_t bytes);
void http__buffer_u64(struct http_buffer *buffer, uint64_t value); /* decimal */
void http__buffer_format(struct http_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void http__buffer_append(struct http_buffer *buffer, const void *data, size_t bytes)
{
    if (bytes <= buffer->capacity - buffer->bytes && bytes > 0) {
        memcpy(buffer->data + buffer->bytes, data, bytes);
        buffer->bytes += bytes;
        return;
    }
    http__buffer_append_slow(buffer, data, bytes);
}

static inline void http__buffer_text(struct http_buffer *buffer, const char *text)
{
    http__buffer_append(buffer, text, strlen(text));
}

#endif
