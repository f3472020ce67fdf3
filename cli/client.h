/* One request, one answer: the side of the command line that manages topics, groups and the cluster (libcurl).
 *
 * The data path (produce, consume, bench) has a pipelining client of its own in connection.h. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "exit_code.h"
#include "options.h"
#include "servers.h"

#define CLIENT_BODY_BYTES_MAX (64u * 1024u * 1024u)

struct client {
    struct servers servers;
    void *curl; /* CURL: the connection is kept between requests */
    uint64_t timeout_us;
    const char *timeout_flag; /* where that comes from, for whoever waits */
    bool quiet;
    bool told_waiting; /* on a terminal, that it goes on trying */
};

struct reply {
    enum exit_code code;
    int status;   /* HTTP, of the newest answer; 0 when no node answered */
    bool reached; /* some node took at least a part of the request */
    json_t *json; /* owned; NULL when the body is no JSON */
    char *body;   /* owned, NUL-terminated; never NULL after a request */
    size_t body_bytes;
    char server[SERVER_ADDRESS_BYTES]; /* whose answer it is, or who did not answer */
    char slug[64];    /* of problem+json, without its URN prefix: "topic-not-found" */
    char detail[512]; /* a sentence for the user when code is not OK; why, when it is UNKNOWN */
    char newest[512]; /* when code is UNKNOWN: what was answered after that, "" when nothing was */
};

/* From the common flags. False: a usage error was printed. */
bool client_init(struct client *client, const struct options *options);
/* For a known address; timeout in microseconds. */
void client_init_for(struct client *client, const char *address, uint64_t timeout_us);
void client_close(struct client *client);

/* Send `method path` with an optional JSON body (borrowed). Goes through the servers in turn and, when none can serve
 * now (429, 502, 503, 504 of a read, no connection), again until the timeout has passed. Of several servers each is asked
 * first whether it works: one that hangs costs a second, and gets nothing to carry out. A request that writes is not
 * sent again once a node may have acted on it, unless `repeatable` says that sending it twice changes nothing.
 *
 * When time is over, the newest answer of a node is what *ret_reply tells, and only where none answered that nobody did.
 * EXIT_CODE_UNAVAILABLE of a request that writes means that every attempt was refused, or never left; when one may have
 * been carried out it is EXIT_CODE_UNKNOWN. */
enum exit_code client_request(struct client *client, const char *method, const char *path,
                              json_t *body, bool repeatable, struct reply *ret_reply);
enum exit_code client_get(struct client *client, const char *path, struct reply *ret_reply);
/* One attempt on the current server. */
enum exit_code client_get_once(struct client *client, const char *path, struct reply *ret_reply);
void reply_close(struct reply *reply);

/* Ask GET /v1/cluster for the other nodes' addresses, and make the node called `preferred` ("n2"; NULL: none) the current
 * server. Nothing happens when nobody answers: the servers that are known stay. */
void client_learn_servers(struct client *client, const char *preferred);

/* Percent-encode one path segment into `buffer`; false when it does not fit. */
bool client_encode_segment(const char *text, char *buffer, size_t buffer_bytes);

/* Print why a request failed, and what to do next. `subject` is what it was about, such as a topic's name. */
void client_explain(const struct client *client, const struct reply *reply, const char *subject);

/* Fields of an answer, with a default for what is missing or of another type. */
const char *reply_text(const json_t *object, const char *name, const char *fallback);
uint64_t reply_number(const json_t *object, const char *name, uint64_t fallback);
/* A node id as "n2", from 2 or "n2"; "" when it is missing, null or 0. */
#define REPLY_NODE_BYTES 24u
const char *reply_node(const json_t *object, const char *name, char *buffer);
/* The partitions of a topic's description. */
const json_t *reply_partitions(const json_t *topic);
/* The answer itself on stdout, indented or (`compact`) on one line. */
void reply_print(const struct reply *reply, bool compact);

#endif
