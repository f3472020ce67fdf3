/* A front end over the fake world and the fake node, and clients that speak bytes. */
#ifndef TEST_HTTP_FIXTURE_H
#define TEST_HTTP_FIXTURE_H

#include "fake_io.h"
#include "fake_node.h"

#include <broker/http.h>
#include <broker/record_batch.h>

struct fixture {
    struct fake_io io;
    struct node node;
    struct http_server *server;
    bool destroyed;
};

struct reply {
    int status;
    const char *head; /* NUL-terminated copies, owned */
    char *body;
    size_t body_bytes;
    char *storage;
};

void fixture_open(struct fixture *fixture, const struct http_limits *limits);
void fixture_open_with(struct fixture *fixture, struct http_server_options options);
/* Destroys the server, lets closed callbacks run, checks that nothing was left behind. */
void fixture_close(struct fixture *fixture);

struct fake_stream *fixture_connect(struct fixture *fixture);
/* Send a text and let the server work. */
void fixture_send(struct fixture *fixture, struct fake_stream *stream, const char *text);
void fixture_send_bytes(struct fixture *fixture, struct fake_stream *stream, const void *data,
                        size_t bytes);
/* Take the next whole reply from what the stream received. false: there is none. */
bool fixture_reply(struct fake_stream *stream, struct reply *ret_reply);
/* The reply must be there, with this status. */
void fixture_expect(struct fake_stream *stream, int status, struct reply *ret_reply);
void reply_close(struct reply *reply);
/* The value of a header line, or NULL; a static buffer. */
const char *reply_header(const struct reply *reply, const char *name);

/* One request on a fresh connection, answered with what the node was told to answer (or by HTTP alone). */
void fixture_ask(struct fixture *fixture, const char *request, struct reply *ret_reply);

/* Everything that a connection is answered when these bytes come in reads of at most read_bytes_max, on a fresh server
 * whose node says OK to everything at once; "100 Continue" left out, since it depends on the reads. NUL-terminated,
 * malloc'ed. Uses assert alone, so that the fuzzer can link it. */
char *fixture_converse(const void *data, size_t bytes, size_t read_bytes_max);

#endif
