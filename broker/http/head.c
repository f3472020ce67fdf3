#include "head.h"

#include "text.h"

#include <strings.h>

#define HEAD_KEPT_BYTES 4096u

void http__head_clear(struct http_head *head)
{
    struct http_buffer raw = head->raw;
    http__buffer_clear(&raw, HEAD_KEPT_BYTES);
    /* The slices are valid up to their counts only; zeroing 64 headers per request would be the dearest part of it. */
    head->raw = raw;
    head->target = NULL;
    head->target_bytes = 0;
    head->method = HTTP_METHOD_OTHER;
    head->minor = 0;
    head->headers_count = 0;
    head->has_body = head->chunked = head->has_content_length = false;
    head->content_length = 0;
    head->close = head->expects_continue = false;
    head->segments_count = 0;
    head->query_count = 0;
}

void http__head_close(struct http_head *head)
{
    http__buffer_close(&head->raw);
}

const char *http__head_find(const struct http_head *head, const char *name)
{
    size_t bytes = strlen(name);
    for (uint32_t i = 0; i < head->headers_count; i++) {
        const struct http_header *header = &head->headers[i];
        if (header->name_bytes == bytes && strcasecmp(header->name, name) == 0)
            return header->value;
    }
    return NULL;
}

uint32_t http__head_count(const struct http_head *head, const char *name)
{
    size_t bytes = strlen(name);
    uint32_t count = 0;
    for (uint32_t i = 0; i < head->headers_count; i++) {
        const struct http_header *header = &head->headers[i];
        count += header->name_bytes == bytes && strcasecmp(header->name, name) == 0;
    }
    return count;
}

/* ---- meaning of the headers ------------------------------------------------------------------------------- */

static bool judge_length(struct http_head *head, const char **ret_detail)
{
    uint32_t lengths = http__head_count(head, "content-length");
    uint32_t encodings = http__head_count(head, "transfer-encoding");
    if (lengths > 1) {
        *ret_detail = "Content-Length stands there more than once";
        return false;
    }
    if (encodings > 1) {
        *ret_detail = "Transfer-Encoding stands there more than once";
        return false;
    }
    if (lengths && encodings) {
        *ret_detail = "Content-Length and Transfer-Encoding exclude each other";
        return false;
    }
    if (encodings) {
        if (head->minor == 0) {
            *ret_detail = "HTTP/1.0 has no Transfer-Encoding";
            return false;
        }
        if (strcasecmp(http__head_find(head, "transfer-encoding"), "chunked") != 0) {
            *ret_detail = "the only Transfer-Encoding is chunked";
            return false;
        }
        head->chunked = head->has_body = true;
    }
    if (lengths) {
        const char *text = http__head_find(head, "content-length");
        if (!http__text_u64(text, strlen(text), &head->content_length) ||
            head->content_length > (uint64_t)INT64_MAX) {
            *ret_detail = "Content-Length is not a decimal number";
            return false;
        }
        head->has_content_length = true;
        head->has_body = head->content_length > 0;
    }
    return true;
}

/* host[:port]: what may stand in an authority, so that it can be compared and put into a Location. */
static bool is_authority(const char *text)
{
    for (const char *c = text; *c; c++) {
        bool allowed = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                       (*c >= '0' && *c <= '9') || strchr(".-_:[]%~", *c);
        if (!allowed) return false;
    }
    return true;
}

static bool judge_host(const struct http_head *head, const char **ret_detail)
{
    uint32_t hosts = http__head_count(head, "host");
    if (hosts > 1) {
        *ret_detail = "Host stands there more than once";
        return false;
    }
    if (hosts == 0) {
        if (head->minor == 0) return true;
        *ret_detail = "the Host header is missing";
        return false;
    }
    if (!is_authority(http__head_find(head, "host"))) {
        *ret_detail = "the Host header is malformed";
        return false;
    }
    return true;
}

/* Does a comma-separated list contain the token? */
static bool list_contains(const char *list, const char *token)
{
    size_t token_bytes = strlen(token);
    while (*list) {
        while (*list == ' ' || *list == '\t' || *list == ',')
            list++;
        size_t bytes = strcspn(list, ", \t");
        if (bytes == token_bytes && strncasecmp(list, token, bytes) == 0) return true;
        list += bytes;
    }
    return false;
}

static void judge_connection(struct http_head *head)
{
    /* An HTTP/1.0 client gets one answer per connection: keep-alive was never specified for it. */
    head->close = head->minor == 0;
    for (uint32_t i = 0; i < head->headers_count; i++) {
        if (strcasecmp(head->headers[i].name, "connection") != 0) continue;
        if (list_contains(head->headers[i].value, "close")) head->close = true;
    }
}

bool http__head_judge(struct http_head *head, enum http_problem *ret_problem,
                      const char **ret_detail)
{
    *ret_problem = HTTP_BAD_REQUEST;
    if (!judge_length(head, ret_detail) || !judge_host(head, ret_detail)) return false;
    if (head->target[0] != '/') {
        *ret_detail = "the target of the request must be a path that begins with '/'";
        return false;
    }
    if (http__head_count(head, "upgrade")) {
        *ret_detail = "this connection cannot be upgraded; speak HTTP/1.1 without Upgrade";
        return false;
    }
    if (http__head_count(head, "trailer")) {
        *ret_detail = "trailers are not accepted";
        return false;
    }
    judge_connection(head);
    const char *expect = http__head_find(head, "expect");
    if (expect && head->minor >= 1) {
        if (strcasecmp(expect, "100-continue") != 0) {
            *ret_problem = HTTP_EXPECTATION_FAILED;
            *ret_detail = "leave the Expect header out";
            return false;
        }
        head->expects_continue = head->has_body;
    }
    return true;
}

/* ---- target ----------------------------------------------------------------------------------------------- */

static bool split_path(struct http_head *head, char *path, const char **ret_detail)
{
    char *at = path + 1;
    while (true) {
        char *end = at + strcspn(at, "/");
        bool last = *end == '\0';
        size_t bytes;
        if (!http__text_percent_decode(at, (size_t)(end - at), &bytes)) {
            *ret_detail = "the path contains a malformed percent-escape";
            return false;
        }
        if (!(last && bytes == 0)) { /* a single slash at the end means nothing */
            if (head->segments_count == HTTP_SEGMENTS_MAX) {
                *ret_detail = "the path has too many segments";
                return false;
            }
            head->segments[head->segments_count] = at;
            head->segments_bytes[head->segments_count] = bytes;
            head->segments_count++;
        }
        at[bytes] = '\0';
        if (last) return true;
        at = end + 1;
    }
}

static bool add_parameter(struct http_head *head, char *name, const char **ret_detail)
{
    char *value = strchr(name, '=');
    size_t name_bytes, value_bytes = 0;
    if (value) *value++ = '\0';
    if (!http__text_percent_decode(name, strlen(name), &name_bytes) ||
        (value && !http__text_percent_decode(value, strlen(value), &value_bytes))) {
        *ret_detail = "the query contains a malformed percent-escape";
        return false;
    }
    name[name_bytes] = '\0';
    if (value) value[value_bytes] = '\0';
    if (http__head_parameter(head, name)) {
        *ret_detail = "a query parameter stands there twice";
        return false;
    }
    if (head->query_count == HTTP_QUERY_MAX) {
        *ret_detail = "the query has too many parameters";
        return false;
    }
    head->query[head->query_count++] = (struct http_parameter){
        .name = name, .value = value ? value : "", .value_bytes = value_bytes};
    return true;
}

bool http__head_split(struct http_head *head, const char **ret_detail)
{
    char *query = strchr(head->target, '?');
    if (strchr(head->target, '#')) {
        *ret_detail = "the target contains a fragment";
        return false;
    }
    if (query) *query++ = '\0';
    if (!split_path(head, head->target, ret_detail)) return false;
    head->target = NULL;
    while (query && *query) {
        char *next = strchr(query, '&');
        if (next) *next++ = '\0';
        if (*query && !add_parameter(head, query, ret_detail)) return false;
        query = next;
    }
    return true;
}

const struct http_parameter *http__head_parameter(const struct http_head *head, const char *name)
{
    for (uint32_t i = 0; i < head->query_count; i++) {
        if (strcmp(head->query[i].name, name) == 0) return &head->query[i];
    }
    return NULL;
}

bool http__head_is_foreign(const struct http_head *head)
{
    for (uint32_t i = 0; i < head->headers_count; i++) {
        if (strcasecmp(head->headers[i].name, "origin") != 0) continue;
        const char *origin = head->headers[i].value;
        const char *host = http__head_find(head, "host");
        const char *scheme_end = strstr(origin, "://");
        if (!host || !scheme_end || strcasecmp(scheme_end + 3, host) != 0) return true;
    }
    return false;
}
