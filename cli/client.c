#include "client.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "message.h"
#include "problem.h"

#define CONNECT_TIMEOUT_MS 1000l
#define RETRY_PAUSE_US     50000u
#define TELL_AFTER_US      1000000u /* who looks at a terminal is told what is waited for */
#define WRITE_US_MIN       250000u /* a node that refuses in no time may need longer the next time */
/* A node that works says within a fraction of it that it does: it asks nobody else for that. */
#define ALIVE_US 1000000u

bool client_init(struct client *client, const struct options *options)
{
    memset(client, 0, sizeof(*client));
    char error[OPTIONS_ERROR_BYTES];
    if (!servers_parse(&client->servers, options_text(options, "server"), error, sizeof(error))) {
        message_error("%s", error);
        message_hint("for example:  raftmq --server http://127.0.0.1:7070  or  RAFTMQ_SERVER=...");
        return false;
    }
    client->timeout_us = options_number(options, "timeout");
    if (client->timeout_us == 0) client->timeout_us = 1;
    client->timeout_flag = "--timeout";
    client->quiet = options_on(options, "quiet");
    message_set_quiet(client->quiet);
    client->curl = curl_easy_init();
    assert(client->curl);
    return true;
}

void client_init_for(struct client *client, const char *address, uint64_t timeout_us)
{
    memset(client, 0, sizeof(*client));
    servers_add(&client->servers, address);
    assert(client->servers.count == 1);
    client->timeout_us = timeout_us;
    client->timeout_flag = "--timeout";
    client->curl = curl_easy_init();
    assert(client->curl);
}

void client_close(struct client *client)
{
    if (client->curl) curl_easy_cleanup(client->curl);
    client->curl = NULL;
}

void reply_close(struct reply *reply)
{
    json_decref(reply->json);
    free(reply->body);
    memset(reply, 0, sizeof(*reply));
}

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    struct reply *reply = user;
    size_t bytes = size * count;
    if (reply->body_bytes + bytes > CLIENT_BODY_BYTES_MAX)
        return 0; /* curl then fails the transfer */
    char *grown = realloc(reply->body, reply->body_bytes + bytes + 1);
    if (!grown) return 0;
    memcpy(grown + reply->body_bytes, data, bytes);
    reply->body = grown;
    reply->body_bytes += bytes;
    reply->body[reply->body_bytes] = '\0';
    return bytes;
}

static long timeout_ms(uint64_t us)
{
    return us < 1000 ? 1 : us > 3600000000ull ? 3600000 : (long)(us / 1000);
}

/* How one attempt ended. */
enum attempt_end {
    ATTEMPT_ANSWERED, /* with any HTTP status */
    ATTEMPT_NOT_SENT, /* no node can have got a byte of it */
    ATTEMPT_LOST,     /* sent, at least in part, and not answered: a node may have acted on it */
};

static void set_transfer(struct client *client, struct reply *reply, uint64_t left_us)
{
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_NOPROXY,
                     "*"); /* the cluster is reached directly, whatever http_proxy says */
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms(left_us));
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
}

static void set_request(CURL *curl, const char *method, const char *body)
{
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (strcmp(method, "GET") == 0) return;
    /* On a kept connection that turns out to be dead curl sends again by itself, and would call that "could not connect"
     * when the node is gone: on a new one it never does. */
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1l);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    } else if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0l);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
}

/* Why there is no answer, as the operating system says it where it does. */
static enum attempt_end read_failure(CURL *curl, CURLcode code, struct reply *reply)
{
    long sent_bytes = 0, error = 0;
    curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent_bytes);
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
    const bool says_why = code == CURLE_COULDNT_CONNECT && error > 0;
    snprintf(reply->detail, sizeof(reply->detail), "no answer from %s: %s", reply->server,
             says_why ? strerror((int)error) : curl_easy_strerror(code));
    reply->code = EXIT_CODE_UNAVAILABLE;
    reply->reached = sent_bytes > 0;
    return sent_bytes > 0 ? ATTEMPT_LOST : ATTEMPT_NOT_SENT;
}

static void read_answer(struct reply *reply, bool writes)
{
    reply->json = json_loadb(reply->body, reply->body_bytes, JSON_REJECT_DUPLICATES, NULL);
    reply->code = exit_code_of_http(reply->status, writes);
    reply->reached = true;
    if (reply->code != EXIT_CODE_OK) {
        problem_read(reply->json, reply->status, reply->slug, sizeof(reply->slug), reply->detail,
                     sizeof(reply->detail));
    }
}

/* One attempt on the current server. */
static enum attempt_end attempt(struct client *client, const char *method, const char *path,
                                const char *body, uint64_t left_us, struct reply *ret_reply)
{
    CURL *curl = client->curl;
    char url[4096];
    long status = 0;
    memset(ret_reply, 0, sizeof(*ret_reply));
    ret_reply->body = calloc(1, 1);
    assert(ret_reply->body);
    snprintf(ret_reply->server, sizeof(ret_reply->server), "%s", servers_current(&client->servers));
    snprintf(url, sizeof(url), "http://%s%s", ret_reply->server, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    set_transfer(client, ret_reply, left_us);
    set_request(curl, method, body);
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) return read_failure(curl, code, ret_reply);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    ret_reply->status = (int)status;
    read_answer(ret_reply, /* writes= */ strcmp(method, "GET") != 0);
    return ATTEMPT_ANSWERED;
}

/* One request, over all its attempts. */
struct request {
    bool writes, repeatable;
    uint64_t began_us, deadline_us;
    uint64_t slowest_us; /* answer */
    uint32_t tries;
    uint32_t silences; /* of servers that were asked whether they work */
    /* Why nobody knows whether an attempt was carried out; "": none was. Once set it stays: a node that refuses a later
     * attempt says nothing of an earlier one. */
    char doubt[sizeof(((struct reply *)0)->detail)];
};

/* 503 `timeout` is a transfer that was begun and not seen to end; what is no problem document of a node is of something
 * between it and us, which may have passed the request on. */
static bool leaves_doubt(const struct request *request, enum attempt_end end,
                         const struct reply *reply)
{
    if (!request->writes || end == ATTEMPT_NOT_SENT) return false;
    if (end == ATTEMPT_LOST || reply->code == EXIT_CODE_UNKNOWN) return true;
    if (reply->code != EXIT_CODE_UNAVAILABLE) return false;
    return reply->slug[0] == '\0' || strcmp(reply->slug, "timeout") == 0;
}

static uint64_t left_us(const struct request *request)
{
    const uint64_t now_us = clock_monotonic_us();
    return request->deadline_us > now_us ? request->deadline_us - now_us : 1;
}

/* For how long a node may take to say that it works: twice as long behind as many silences as there are servers, should all of
 * them be slow, and never all the time there is. */
static uint64_t alive_us(const struct client *client, const struct request *request)
{
    const uint32_t rounds = request->silences / client->servers.count;
    const uint64_t us = (uint64_t)ALIVE_US << (rounds < 3 ? rounds : 3);
    const uint64_t half_us = left_us(request) / 2;
    return us < half_us ? us : half_us;
}

/* Where there is a choice, whether the node works is asked first, of it alone: one that hangs, or does behind a path that is
 * dead without a word, would take all the time that another one serves in. And a write that it gets it carries out when it
 * wakes, behind whatever was done meanwhile. One that works gets all the time, for it may need it. */
static enum attempt_end ask(struct client *client, struct request *request, const char *method,
                            const char *path, const char *body, struct reply *ret_reply)
{
    if (client->servers.count > 1) {
        const enum attempt_end end =
            attempt(client, "GET", "/livez", NULL, alive_us(client, request), ret_reply);
        if (end == ATTEMPT_LOST) request->silences++;
        if (end != ATTEMPT_ANSWERED) return ATTEMPT_NOT_SENT;
        reply_close(ret_reply);
    }
    return attempt(client, method, path, body, left_us(request), ret_reply);
}

/* The newest answer of a node counts; why there was none, only where no node has given one. */
static void take_attempt(struct request *request, enum attempt_end end, struct reply *reply,
                         uint64_t took_us, struct reply *newest)
{
    const bool was_reached = newest->reached;
    if (end == ATTEMPT_ANSWERED && took_us > request->slowest_us) request->slowest_us = took_us;
    if (leaves_doubt(request, end, reply)) {
        snprintf(request->doubt, sizeof(request->doubt), "%s", reply->detail);
    }
    if (end == ATTEMPT_ANSWERED || newest->status == 0) {
        reply_close(newest);
        *newest = *reply;
    } else {
        reply_close(reply);
    }
    newest->reached = newest->reached || was_reached;
}

/* A write that is cut off in the middle is one of which nobody knows what became. So it is not sent again when its answer would
 * hardly come in time. A server that was not asked yet may be the one that serves, and then does so sooner. */
static bool has_time(const struct request *request, uint32_t servers_count)
{
    const uint64_t now_us = clock_monotonic_us();
    if (now_us >= request->deadline_us) return false;
    if (!request->writes || request->doubt[0]) return true;
    if (request->tries < servers_count) {
        return request->deadline_us - now_us >= request->slowest_us / 4u;
    }
    const uint64_t needed_us = 2u * request->slowest_us;
    return request->deadline_us - now_us >= (needed_us > WRITE_US_MIN ? needed_us : WRITE_US_MIN);
}

/* Once for each command. */
static void tell_waiting(struct client *client, const struct request *request, const char *reason)
{
    if (client->told_waiting || !message_progress_is_shown()) return;
    if (clock_monotonic_us() - request->began_us < TELL_AFTER_US) return;
    client->told_waiting = true;
    message_note("%s; retrying until %.3g s are over (%s)", reason,
                 (double)client->timeout_us / 1e6, client->timeout_flag);
}

/* What is unknown is told as such, whatever the nodes said last. */
static void settle(const struct request *request, struct reply *reply)
{
    if (!request->doubt[0]) return;
    if (reply->code != EXIT_CODE_UNAVAILABLE && reply->code != EXIT_CODE_UNKNOWN) return;
    reply->code = EXIT_CODE_UNKNOWN;
    if (strcmp(reply->detail, request->doubt) == 0) return;
    snprintf(reply->newest, sizeof(reply->newest), "%s", reply->detail);
    snprintf(reply->detail, sizeof(reply->detail), "%s", request->doubt);
}

enum exit_code client_request(struct client *client, const char *method, const char *path,
                              json_t *body, bool repeatable, struct reply *ret_reply)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const uint64_t began_us = clock_monotonic_us();
    struct request request = {.writes = strcmp(method, "GET") != 0,
                              .repeatable = repeatable,
                              .began_us = began_us,
                              .deadline_us = began_us + client->timeout_us};
    memset(ret_reply, 0, sizeof(*ret_reply));
    do {
        struct reply reply;
        const uint64_t now_us = clock_monotonic_us();
        const enum attempt_end end = ask(client, &request, method, path, text, &reply);
        request.tries++;
        const bool again = end != ATTEMPT_ANSWERED || exit_code_http_is_retryable(reply.status);
        take_attempt(&request, end, &reply, clock_monotonic_us() - now_us, ret_reply);
        if (!again || (request.doubt[0] && !repeatable)) break;
        servers_next(&client->servers);
        tell_waiting(client, &request, ret_reply->detail);
        if (request.tries % client->servers.count == 0) clock_sleep_us(RETRY_PAUSE_US);
    } while (has_time(&request, client->servers.count));
    settle(&request, ret_reply);
    free(text);
    return ret_reply->code;
}

enum exit_code client_get(struct client *client, const char *path, struct reply *ret_reply)
{
    return client_request(client, "GET", path, NULL, true, ret_reply);
}

enum exit_code client_get_once(struct client *client, const char *path, struct reply *ret_reply)
{
    (void)attempt(client, "GET", path, NULL, client->timeout_us, ret_reply);
    return ret_reply->code;
}

void client_learn_servers(struct client *client, const char *preferred)
{
    struct reply reply;
    uint64_t timeout_us = client->timeout_us;
    if (client->timeout_us > 2000000u) client->timeout_us = 2000000u;
    if (client_get(client, "/v1/cluster", &reply) == EXIT_CODE_OK) {
        size_t i;
        json_t *node;
        json_array_foreach(json_object_get(reply.json, "nodes"), i, node)
        {
            const char *address = reply_text(node, "http", "");
            if (strncmp(address, "http://", 7) == 0) address += 7;
            servers_add(&client->servers, address);
            char id[REPLY_NODE_BYTES];
            if (preferred && strcmp(reply_node(node, "id", id), preferred) == 0) {
                servers_prefer(&client->servers, address);
            }
        }
    }
    client->timeout_us = timeout_us;
    reply_close(&reply);
}

bool client_encode_segment(const char *text, char *buffer, size_t buffer_bytes)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    size_t used = 0;
    for (const char *c = text; *c; c++) {
        bool is_plain = strchr(plain, *c) != NULL;
        if (used + (is_plain ? 1 : 3) >= buffer_bytes) return false;
        if (is_plain) {
            buffer[used++] = *c;
        } else {
            snprintf(buffer + used, 4, "%%%02X", (unsigned char)*c);
            used += 3;
        }
    }
    buffer[used] = '\0';
    return true;
}

const char *reply_text(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : fallback;
}

uint64_t reply_number(const json_t *object, const char *name, uint64_t fallback)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0) return fallback;
    return (uint64_t)json_integer_value(value);
}

const char *reply_node(const json_t *object, const char *name, char *buffer)
{
    uint64_t id = reply_number(object, name, 0);
    snprintf(buffer, REPLY_NODE_BYTES, "%s", reply_text(object, name, ""));
    if (id > 0) snprintf(buffer, REPLY_NODE_BYTES, "n%" PRIu64, id);
    return buffer;
}

const json_t *reply_partitions(const json_t *topic)
{
    return json_object_get(topic, "partition_list");
}

void reply_print(const struct reply *reply, bool compact)
{
    json_dumpf(reply->json, stdout, compact ? JSON_COMPACT : JSON_INDENT(2));
    putchar('\n');
}

/* No node has answered. */
static void explain_silence(const struct client *client, const struct reply *reply)
{
    message_error("%s", reply->detail);
    if (reply->reached) {
        message_hint("a node takes connections there, and did not answer in time; is it overloaded "
                     "or stopped?");
        return;
    }
    message_hint("tried %u server%s; is a node running?  raftmq dev   starts a local cluster,",
                 client->servers.count, client->servers.count == 1 ? "" : "s");
    message_hint("--server http://host:port  or  RAFTMQ_SERVER  names another one");
}

static void explain_unknown(const struct reply *reply, const char *subject)
{
    message_error("%s%s%s", subject ? subject : "", subject ? ": " : "", reply->detail);
    message_hint("it is unknown whether the request was carried out; look before you repeat it");
    if (reply->newest[0]) message_hint("the newest answer: %s", reply->newest);
}

void client_explain(const struct client *client, const struct reply *reply, const char *subject)
{
    if (reply->code == EXIT_CODE_UNKNOWN) {
        explain_unknown(reply, subject);
        return;
    }
    if (reply->status == 0) {
        explain_silence(client, reply);
        return;
    }
    message_error("%s%s%s", subject ? subject : "", subject ? ": " : "", reply->detail);
    if (reply->code == EXIT_CODE_UNAVAILABLE && !strstr(reply->detail, "nothing was stored")) {
        message_hint("nothing was stored");
    }
    const char *hint = problem_hint(reply->slug, reply->status);
    /* The node's own sentence may name the command already. */
    if (hint && !strstr(reply->detail, "raftmq ")) message_hint(hint, subject ? subject : "NAME");
}
