#include "http_parser.h"

#include <broker/http.h>

#include <assert.h>
#include <llhttp.h>

static_assert(sizeof(llhttp_t) <= sizeof(((struct http_parser *)0)->llhttp),
              "struct http_parser keeps an llhttp_t without naming its type");

/* ---- what llhttp tells ------------------------------------------------------------------------------------ */

static struct http_parser *parser_of(llhttp_t *llhttp)
{
    return llhttp->data;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    struct http_head *head = parser->head;
    /* A head is fed in one piece, so a span is whole. */
    if (head->target) parser->tokens_bad = true;
    head->target = (char *)head->raw.data + ((const uint8_t *)at - head->raw.data);
    head->target_bytes = bytes;
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    struct http_head *head = parser->head;
    /* A header after the head is a trailer; the gate refused it already. */
    if (parser->headers_told || parser->header_open || head->headers_count == HTTP_HEADERS_MAX) {
        parser->tokens_bad = true;
        return -1;
    }
    head->headers[head->headers_count++] =
        (struct http_header){.name = at, .name_bytes = (uint32_t)bytes, .value = NULL};
    parser->header_open = true;
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    struct http_head *head = parser->head;
    if (!parser->header_open || head->headers[head->headers_count - 1].value) {
        parser->tokens_bad = true;
        return -1;
    }
    /* The place of an empty value is the next line's first byte, which must not be cut by a NUL. */
    head->headers[head->headers_count - 1].value = bytes > 0 ? at : "";
    head->headers[head->headers_count - 1].value_bytes = (uint32_t)bytes;
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    parser_of(llhttp)->header_open = false;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    parser_of(llhttp)->headers_told = true;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    if (parser->body_at) parser->tokens_bad = true;
    parser->body_at = (const uint8_t *)at;
    parser->body_bytes = bytes;
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    parser_of(llhttp)->complete_told = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- heads ------------------------------------------------------------------------------------------------ */

static size_t die(struct http_parser *parser, enum http_problem problem, const char *detail,
                  size_t consumed, struct http_event *ret_event)
{
    parser->phase = HTTP_PARSER_DEAD;
    *ret_event = (struct http_event){.type = HTTP_EVENT_BAD, .problem = problem, .detail = detail};
    return consumed;
}

/* METHOD SP target SP HTTP/1.x, single spaces: before llhttp, which is told only of what it can read. */
static bool check_request_line(struct http_head *head, enum http_problem *ret_problem,
                               const char **ret_detail)
{
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {
        {"GET", HTTP_METHOD_GET},     {"POST", HTTP_METHOD_POST},
        {"PUT", HTTP_METHOD_PUT},     {"DELETE", HTTP_METHOD_DELETE},
        {"HEAD", HTTP_METHOD_HEAD},   {"OPTIONS", HTTP_METHOD_OTHER},
        {"PATCH", HTTP_METHOD_OTHER}, {"TRACE", HTTP_METHOD_OTHER},
    };
    const char *line = (const char *)head->raw.data;
    const char *end = memchr(line, '\r', head->raw.bytes);
    const char *space = memchr(line, ' ', (size_t)(end - line));
    *ret_problem = HTTP_BAD_REQUEST;
    *ret_detail = "the request line is not: METHOD path HTTP/1.1";
    if (!space) return false;
    const char *target = space + 1;
    const char *target_end = memchr(target, ' ', (size_t)(end - target));
    if (!target_end || target_end == target) return false;
    const char *version = target_end + 1;
    if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0) return false;
    if (memcmp(version, "HTTP/1.1", 8) != 0 && memcmp(version, "HTTP/1.0", 8) != 0) {
        *ret_problem = HTTP_VERSION_UNSUPPORTED;
        *ret_detail = "speak HTTP/1.1";
        return false;
    }
    head->minor = version[7] - '0';
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        size_t bytes = strlen(methods[i].name);
        if ((size_t)(space - line) == bytes && memcmp(line, methods[i].name, bytes) == 0) {
            head->method = methods[i].method;
            return true;
        }
    }
    *ret_problem = HTTP_NOT_IMPLEMENTED;
    *ret_detail = "use GET, HEAD, POST, PUT or DELETE";
    return false;
}

/* A token of RFC 9110 §5.6.2. llhttp 8.1 takes a header without a name. */
static bool is_token(const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        char c = text[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
        if (!allowed) return false;
    }
    return bytes > 0;
}

/* Cut the raw bytes into NUL-terminated slices: each is followed by a byte that is nobody's. */
static bool terminate_slices(struct http_head *head)
{
    head->target[head->target_bytes] = '\0';
    for (uint32_t i = 0; i < head->headers_count; i++) {
        struct http_header *header = &head->headers[i];
        if (!header->value || !is_token(header->name, header->name_bytes)) return false;
        char *name = (char *)head->raw.data + ((const uint8_t *)header->name - head->raw.data);
        name[header->name_bytes] = '\0';
        if (header->value_bytes == 0) continue;
        char *value = (char *)head->raw.data + ((const uint8_t *)header->value - head->raw.data);
        while (header->value_bytes > 0 &&
               (value[header->value_bytes - 1] == ' ' || value[header->value_bytes - 1] == '\t')) {
            header->value_bytes--;
        }
        value[header->value_bytes] = '\0';
    }
    return true;
}

/* llhttp and our own reading of the headers must agree about where the message ends. */
static bool framing_agrees(const struct http_parser *parser, const llhttp_t *llhttp)
{
    const struct http_head *head = parser->head;
    bool chunked = (llhttp->flags & F_CHUNKED) != 0;
    if (chunked != head->chunked) return false;
    if (!chunked && llhttp->content_length != head->content_length) return false;
    return parser->complete_told == !head->has_body;
}

static size_t finish_head(struct http_parser *parser, size_t consumed, struct http_event *ret_event)
{
    struct http_head *head = parser->head;
    enum http_problem problem;
    const char *detail;
    /* The tolerated empty line in front is not a part of the head. */
    assert(head->raw.bytes == parser->gate.head_bytes);
    if (!check_request_line(head, &problem, &detail)) {
        return die(parser, problem, detail, consumed, ret_event);
    }
    llhttp_t *llhttp = (llhttp_t *)parser->llhttp;
    llhttp_init(llhttp, HTTP_REQUEST, &settings);
    llhttp->data = parser;
    llhttp_errno_t error = llhttp_execute(llhttp, (const char *)head->raw.data, head->raw.bytes);
    bool upgrade = error == HPE_PAUSED_UPGRADE; /* never resumed: the judge refuses it by name */
    if ((error != HPE_OK && !upgrade) || parser->tokens_bad || !parser->headers_told ||
        !head->target || !terminate_slices(head)) {
        return die(parser, HTTP_BAD_REQUEST, "the head is malformed", consumed, ret_event);
    }
    if (!http__head_judge(head, &problem, &detail)) {
        return die(parser, problem, detail, consumed, ret_event);
    }
    if (upgrade || !framing_agrees(parser, llhttp)) {
        return die(parser, HTTP_BAD_REQUEST, "the length of the body is ambiguous", consumed,
                   ret_event);
    }
    parser->body_left = head->content_length;
    if (head->chunked) {
        http__gate_chunks_begin(&parser->gate);
        parser->phase = HTTP_PARSER_CHUNKS;
    } else {
        parser->phase = head->has_body ? HTTP_PARSER_LENGTH : HTTP_PARSER_END;
    }
    *ret_event = (struct http_event){.type = HTTP_EVENT_HEAD};
    return consumed;
}

static size_t feed_head(struct http_parser *parser, const uint8_t *data, size_t bytes,
                        struct http_event *ret_event)
{
    struct http_head *head = parser->head;
    enum http_gate_verdict verdict;
    size_t consumed = http__gate_head(&parser->gate, data, bytes, &verdict);
    if (verdict == HTTP_GATE_BAD) {
        return die(parser, parser->gate.problem, parser->gate.detail, consumed, ret_event);
    }
    http__buffer_append(&head->raw, data, consumed);
    if (head->raw.failed) {
        return die(parser, HTTP_SERVER_BUSY, "the node is out of memory", consumed, ret_event);
    }
    if (parser->gate.skipped_empty_line && head->raw.bytes > parser->gate.head_bytes) {
        size_t surplus = head->raw.bytes - parser->gate.head_bytes;
        memmove(head->raw.data, head->raw.data + surplus, parser->gate.head_bytes);
        head->raw.bytes = parser->gate.head_bytes;
    }
    if (verdict == HTTP_GATE_DONE) return finish_head(parser, consumed, ret_event);
    *ret_event = (struct http_event){.type = HTTP_EVENT_MORE};
    return consumed;
}

/* ---- bodies ----------------------------------------------------------------------------------------------- */

static bool feed_llhttp(struct http_parser *parser, const uint8_t *data, size_t bytes)
{
    llhttp_t *llhttp = (llhttp_t *)parser->llhttp;
    parser->body_at = NULL;
    parser->body_bytes = 0;
    if (parser->complete_told) return false;
    return llhttp_execute(llhttp, (const char *)data, bytes) == HPE_OK && !parser->tokens_bad;
}

static size_t feed_body(struct http_parser *parser, const uint8_t *data, size_t bytes,
                        struct http_event *ret_event)
{
    bool is_data = true;
    bool ends;
    size_t consumed;
    if (parser->phase == HTTP_PARSER_LENGTH) {
        consumed = bytes < parser->body_left ? bytes : (size_t)parser->body_left;
        parser->body_left -= consumed;
        ends = parser->body_left == 0;
    } else {
        enum http_gate_verdict verdict;
        consumed = http__gate_chunks(&parser->gate, data, bytes, &is_data, &verdict);
        if (verdict == HTTP_GATE_BAD) {
            return die(parser, parser->gate.problem, parser->gate.detail, consumed, ret_event);
        }
        ends = verdict == HTTP_GATE_DONE;
    }
    bool agreed = feed_llhttp(parser, data, consumed) && parser->complete_told == ends &&
                  parser->body_bytes == (is_data ? consumed : 0);
    if (!agreed) {
        return die(parser, HTTP_BAD_REQUEST, "the body is malformed", consumed, ret_event);
    }
    if (ends) parser->phase = HTTP_PARSER_END;
    ret_event->type = is_data ? HTTP_EVENT_BODY : HTTP_EVENT_MORE;
    ret_event->data = data;
    ret_event->bytes = is_data ? consumed : 0;
    return consumed;
}

/* ---- the parser ------------------------------------------------------------------------------------------- */

void http__parser_init(struct http_parser *parser)
{
    *parser = (struct http_parser){.phase = HTTP_PARSER_IDLE};
}

void http__parser_begin(struct http_parser *parser, struct http_head *head,
                        const struct http_limits *limits)
{
    assert(parser->phase == HTTP_PARSER_IDLE);
    assert(limits->headers_max <= HTTP_HEADERS_MAX);
    parser->phase = HTTP_PARSER_HEAD;
    parser->head = head;
    parser->header_open = parser->tokens_bad = false;
    parser->headers_told = parser->complete_told = false;
    http__head_clear(head);
    http__gate_head_begin(&parser->gate, limits);
}

size_t http__parser_feed(struct http_parser *parser, const uint8_t *data, size_t bytes,
                         struct http_event *ret_event)
{
    size_t consumed = 0;
    *ret_event = (struct http_event){.type = HTTP_EVENT_MORE};
    while (ret_event->type == HTTP_EVENT_MORE) {
        if (parser->phase == HTTP_PARSER_END) {
            parser->phase = HTTP_PARSER_IDLE;
            ret_event->type = HTTP_EVENT_COMPLETE;
            break;
        }
        if (consumed == bytes) break;
        assert(parser->phase != HTTP_PARSER_IDLE);
        assert(parser->phase != HTTP_PARSER_DEAD);
        if (parser->phase == HTTP_PARSER_HEAD) {
            consumed += feed_head(parser, data + consumed, bytes - consumed, ret_event);
        } else {
            consumed += feed_body(parser, data + consumed, bytes - consumed, ret_event);
        }
    }
    assert(consumed <= bytes);
    return consumed;
}
