/* Bytes of a connection -> events of requests. Pure: no I/O, no clock, no allocation beside the head's buffer.
 *
 * The gate (gate.h) finds the end of every head and of every chunk; llhttp reads the same bytes behind it, and what the
 * two say must agree, else the request is refused. A parser that refused once is dead: it takes no further byte.
 * http_parser.c is the only file that includes <llhttp.h>. */
#ifndef BROKER_HTTP_PARSER_H
#define BROKER_HTTP_PARSER_H

#include "gate.h"
#include "head.h"

enum http_event_type {
    HTTP_EVENT_MORE,     /* all bytes were consumed, nothing new to tell */
    HTTP_EVENT_HEAD,     /* head is complete and judged */
    HTTP_EVENT_BODY,     /* data, bytes: a piece of the decoded body, borrowed from the input */
    HTTP_EVENT_COMPLETE, /* the request is complete; the next byte is another request's */
    HTTP_EVENT_BAD,      /* problem, detail: answer it and close */
};

struct http_event {
    enum http_event_type type;
    const uint8_t *data;
    size_t bytes;
    enum http_problem problem;
    const char *detail;
};

enum http_parser_phase {
    HTTP_PARSER_IDLE, /* between requests */
    HTTP_PARSER_HEAD,
    HTTP_PARSER_LENGTH, /* body of Content-Length */
    HTTP_PARSER_CHUNKS,
    HTTP_PARSER_END, /* the body is consumed: COMPLETE is the next event */
    HTTP_PARSER_DEAD,
};

struct http_parser {
    enum http_parser_phase phase;
    struct http_gate gate;
    struct http_head *head; /* of the request being read; the caller's */
    uint64_t body_left;     /* of a Content-Length body */
    bool header_open;       /* llhttp is inside of a header: the last of head->headers */
    bool tokens_bad;        /* llhttp told something that the head cannot hold */
    bool headers_told, complete_told;
    const uint8_t *body_at; /* what llhttp told as body in this call */
    size_t body_bytes;
    uint64_t llhttp[16]; /* llhttp_t */
};

void http__parser_init(struct http_parser *parser);
/* Begin a request; its head goes to `head` (cleared). Only when idle. */
void http__parser_begin(struct http_parser *parser, struct http_head *head,
                        const struct http_limits *limits);
/* Consume bytes up to the next event and return how many; may be called with 0 bytes to get an event that is due. */
size_t http__parser_feed(struct http_parser *parser, const uint8_t *data, size_t bytes,
                         struct http_event *ret_event);

#endif
