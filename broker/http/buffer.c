#include "buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY 512u

void http__buffer_close(struct http_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct http_buffer){0};
}

void http__buffer_clear(struct http_buffer *buffer, size_t keep_bytes)
{
    if (buffer->capacity > keep_bytes) {
        http__buffer_close(buffer);
        return;
    }
    buffer->bytes = 0;
    buffer->failed = false;
}

bool http__buffer_reserve(struct http_buffer *buffer, size_t more)
{
    assert(buffer->bytes <= buffer->capacity);
    if (more <= buffer->capacity - buffer->bytes) return true;
    if (more > SIZE_MAX / 4 || buffer->bytes > SIZE_MAX / 4) return false;
    size_t wanted = buffer->bytes + more;
    size_t capacity = buffer->capacity ? buffer->capacity * 2 : FIRST_CAPACITY;
    if (capacity < wanted) capacity = wanted;
    uint8_t *data = realloc(buffer->data, capacity);
    if (!data) return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void http__buffer_append_slow(struct http_buffer *buffer, const void *data, size_t bytes)
{
    if (bytes == 0) return;
    if (buffer->failed || !http__buffer_reserve(buffer, bytes)) {
        buffer->failed = true;
        return;
    }
    memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
}

void http__buffer_u64(struct http_buffer *buffer, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    http__buffer_append(buffer, digits + at, sizeof digits - at);
}

void http__buffer_format(struct http_buffer *buffer, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    if ((size_t)length < sizeof text) {
        http__buffer_append(buffer, text, (size_t)length);
        return;
    }
    if (!http__buffer_reserve(buffer, (size_t)length + 1)) {
        buffer->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf((char *)buffer->data + buffer->bytes, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->bytes += (size_t)length;
}
