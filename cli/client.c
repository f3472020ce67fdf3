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

/* Forget the last attempt's answer. */
static void reply_reset(struct reply *reply)
{
    reply_close(reply);
    reply->body = calloc(1, 1);
    assert(reply->body);
}

static long timeout_ms(uint64_t us)
{
    return us < 1000 ? 1 : us > 3600000000ull ? 3600000 : (long)(us / 1000);
}

/* One attempt on the current server. Returns curl's code; an HTTP answer of any status is CURLE_OK. */
static CURLcode attempt(struct client *client, const char *method, const char *path,
                        const char *body, uint64_t left_us, struct reply *reply)
{
    CURL *curl = client->curl;
    char url[4096];
    reply_reset(reply);
    snprintf(reply->server, sizeof(reply->server), "%s", servers_current(&client->servers));
    snprintf(url, sizeof(url), "http://%s%s", reply->server, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_NOPROXY,
                     "*"); /* the cluster is reached directly, whatever http_proxy says */
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms(left_us));
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    } else if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0l);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    reply->status = code == CURLE_OK ? (int)status : 0;
    return code;
}

/* True when not a byte of the request can have reached a node. */
static bool never_left(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
}

static void read_answer(struct reply *reply, bool writes)
{
    reply->json = json_loadb(reply->body, reply->body_bytes, JSON_REJECT_DUPLICATES, NULL);
    reply->code = exit_code_of_http(reply->status, writes);
    if (reply->code != EXIT_CODE_OK) {
        problem_read(reply->json, reply->status, reply->slug, sizeof(reply->slug), reply->detail,
                     sizeof(reply->detail));
    }
}

enum exit_code client_request(struct client *client, const char *method, const char *path,
                              json_t *body, bool repeatable, struct reply *ret_reply)
{
    bool writes = strcmp(method, "GET") != 0;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    uint64_t deadline_us = clock_monotonic_us() + client->timeout_us;
    bool fate_unknown = false; /* an earlier attempt may have been acted on */
    memset(ret_reply, 0, sizeof(*ret_reply));

    for (uint32_t tries = 1;; tries++) {
        uint64_t now_us = clock_monotonic_us();
        uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 1;
        CURLcode curl_code = attempt(client, method, path, text, left_us, ret_reply);
        bool again;
        if (curl_code == CURLE_OK) {
            read_answer(ret_reply, writes);
            again = exit_code_http_is_retryable(ret_reply->status);
            if (writes && ret_reply->status == 504) fate_unknown = true;
        } else {
            again = true;
            if (writes && !never_left(curl_code)) fate_unknown = true;
            ret_reply->code = fate_unknown ? EXIT_CODE_UNKNOWN : EXIT_CODE_UNAVAILABLE;
            snprintf(ret_reply->detail, sizeof(ret_reply->detail), "no answer from %s: %s",
                     ret_reply->server, curl_easy_strerror(curl_code));
        }
        if (fate_unknown && ret_reply->code == EXIT_CODE_UNAVAILABLE) {
            ret_reply->code = EXIT_CODE_UNKNOWN;
        }
        if (!again || (fate_unknown && !repeatable)) break;
        servers_next(&client->servers);
        if (clock_monotonic_us() >= deadline_us) break;
        if (tries % client->servers.count == 0) clock_sleep_us(RETRY_PAUSE_US);
    }
    free(text);
    return ret_reply->code;
}

enum exit_code client_get(struct client *client, const char *path, struct reply *ret_reply)
{
    return client_request(client, "GET", path, NULL, true, ret_reply);
}

enum exit_code client_get_once(struct client *client, const char *path, struct reply *ret_reply)
{
    memset(ret_reply, 0, sizeof(*ret_reply));
    CURLcode code = attempt(client, "GET", path, NULL, client->timeout_us, ret_reply);
    if (code == CURLE_OK) {
        read_answer(ret_reply, /* writes= */ false);
    } else {
        ret_reply->code = EXIT_CODE_UNAVAILABLE;
        snprintf(ret_reply->detail, sizeof(ret_reply->detail), "no answer from %s: %s",
                 ret_reply->server, curl_easy_strerror(code));
    }
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

void client_explain(const struct client *client, const struct reply *reply, const char *subject)
{
    if (reply->status == 0) {
        message_error("%s", reply->detail);
        if (reply->code == EXIT_CODE_UNKNOWN) {
            message_hint(
                "it is unknown whether the request was carried out; look before you repeat it");
            return;
        }
        message_hint("tried %u server%s; is a node running?  raftmq dev   starts a local cluster,",
                     client->servers.count, client->servers.count == 1 ? "" : "s");
        message_hint("--server http://host:port  or  RAFTMQ_SERVER  names another one");
        return;
    }
    message_error("%s%s%s", subject ? subject : "", subject ? ": " : "", reply->detail);
    const char *hint = problem_hint(reply->slug, reply->status);
    /* The node's own sentence may name the command already. */
    if (hint && !strstr(reply->detail, "raftmq ")) message_hint(hint, subject ? subject : "NAME");
}
