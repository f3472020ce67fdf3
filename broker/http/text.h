/* Strict readers and writers of the small texts of the API: numbers, durations, sizes, instants, names, UTF-8, base64.
 * Every reader takes exactly the whole text or nothing: no sign, space, exponent or leading zero slips through. */
#ifndef BROKER_HTTP_TEXT_H
#define BROKER_HTTP_TEXT_H

#include "buffer.h"

/* "0" or a digit 1-9 followed by digits, within 64 bits. */
bool http__text_u64(const char *text, size_t bytes, uint64_t *ret_value);
/* As above with an optional '-', from INT64_MIN to INT64_MAX; "-0" is refused. */
bool http__text_i64(const char *text, size_t bytes, int64_t *ret_value);
/* A number with a unit: ms, s, m, h, d or w; "0" alone is zero. In milliseconds. */
bool http__text_duration(const char *text, size_t bytes, int64_t *ret_ms);
/* Bytes, with an optional K, M or G (powers of 1024). */
bool http__text_size(const char *text, size_t bytes, uint64_t *ret_bytes);
/* Unix milliseconds, or RFC 3339 as in 2026-01-31T23:59:59.123Z (years 0000 to 9999, offsets allowed). */
bool http__text_time(const char *text, size_t bytes, int64_t *ret_ms);
/* RFC 3339 in UTC with milliseconds; a time outside of the years 0000 to 9999 as its number. Returns the length. */
#define HTTP_TIME_BYTES 32u
size_t http__text_format_time(int64_t unix_ms, char *ret_text);
/* The date of an HTTP header: "Sun, 06 Nov 1994 08:49:37 GMT". */
size_t http__text_format_date(int64_t unix_ms, char *ret_text);

/* A topic or group name: [A-Za-z0-9._-]{1,128}, not "." or "..". */
bool http__text_is_name(const char *text, size_t bytes);

/* Well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. */
bool http__text_is_utf8(const uint8_t *text, size_t bytes);

/* Standard alphabet with padding (RFC 4648 §4). Decoding is strict: padding present, unused bits zero. */
void http__text_base64_encode(struct http_buffer *out, const uint8_t *data, size_t bytes);
#define HTTP_BASE64_DECODED_MAX(bytes) ((bytes) / 4u * 3u)
bool http__text_base64_decode(const char *text, size_t bytes, uint8_t *ret_data, size_t *ret_bytes);

/* Percent-decode in place, once. false: a '%' without two hex digits, or a decoded NUL. */
bool http__text_percent_decode(char *text, size_t bytes, size_t *ret_bytes);

#endif
