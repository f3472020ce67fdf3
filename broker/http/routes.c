/* The table of endpoints. */
#include "routes.h"

#include "text.h"

#include <assert.h>
#include <stdio.h>

static void index_route(struct http_exchange *exchange)
{
    http__routes_index(exchange);
}

static const struct http_route routes[] = {
    {"GET", "/", HTTP_OP_STATUS, .handle = index_route},
    {"GET", "/livez", HTTP_OP_STATUS, .handle = http__status_livez},
    {"GET", "/readyz", HTTP_OP_STATUS, .handle = http__status_readyz, .parameters = "verbose"},
    {"GET", "/metrics", HTTP_OP_STATUS, .handle = http__status_metrics},
    {"GET", "/version", HTTP_OP_STATUS, .handle = http__status_version},
    {"GET", "/v1/cluster", HTTP_OP_STATUS, .handle = http__status_cluster, .parameters = "groups"},
    {"POST", "/v1/cluster/members", HTTP_OP_MEMBERSHIP, HTTP_BODY_JSON,
     .handle = http__membership_add},
    {"DELETE", "/v1/cluster/members/{n}", HTTP_OP_MEMBERSHIP, .handle = http__membership_remove,
     .parameters = "shrink"},
    {"POST", "/v1/cluster/members/{n}/replace", HTTP_OP_MEMBERSHIP, HTTP_BODY_JSON,
     .handle = http__membership_replace},
    {"GET", "/v1/cluster/changes", HTTP_OP_MEMBERSHIP, .handle = http__membership_changes},
    {"POST", "/v1/cluster/transfer", HTTP_OP_MEMBERSHIP, HTTP_BODY_JSON,
     .handle = http__membership_transfer},
    {"GET", "/v1/scrub", HTTP_OP_STATUS, .handle = http__scrub_get, .parameters = "topic"},
    {"POST", "/v1/scrub", HTTP_OP_STATUS, .handle = http__scrub_begin, .parameters = "topic"},
    {"GET", "/v1/topics", HTTP_OP_TOPICS, .handle = http__topics_list},
    {"GET", "/v1/topics/{t}", HTTP_OP_TOPICS, .handle = http__topics_get},
    {"PUT", "/v1/topics/{t}", HTTP_OP_TOPICS, HTTP_BODY_JSON, .handle = http__topics_create},
    {"DELETE", "/v1/topics/{t}", HTTP_OP_TOPICS, .handle = http__topics_delete},
    {"PUT", "/v1/topics/{t}/settings", HTTP_OP_TOPICS, HTTP_BODY_JSON, .handle = http__topics_set},
    {"GET", "/v1/topics/{t}/partitions/{n}", HTTP_OP_TOPICS, .handle = http__topics_partition},
    {"PUT", "/v1/topics/{t}/partitions/{n}/replicas", HTTP_OP_MEMBERSHIP, HTTP_BODY_JSON,
     .handle = http__membership_place},
    {"POST", "/v1/topics/{t}/messages", HTTP_OP_PRODUCE, HTTP_BODY_MESSAGES, .parallel = true,
     .handle = http__produce, .parameters = "partition auto_create"},
    {"GET", "/v1/topics/{t}/messages", HTTP_OP_FETCH, .bulk = true, .handle = http__fetch,
     .parameters = "partition offset limit max_bytes wait"},
    {"GET", "/v1/topics/{t}/messages/{n}/{n}", HTTP_OP_MESSAGE, .bulk = true,
     .handle = http__fetch_message},
    {"POST", "/v1/producers", HTTP_OP_PRODUCERS, HTTP_BODY_JSON, .handle = http__producers_create},
    {"GET", "/v1/groups", HTTP_OP_OFFSETS, .handle = http__groups_list,
     .parameters = "topic partition after"},
    {"GET", "/v1/groups/{g}/offsets", HTTP_OP_OFFSETS, .handle = http__groups_offsets,
     .parameters = "topic"},
    {"GET", "/v1/groups/{g}/offsets/{t}/{n}", HTTP_OP_OFFSETS, .handle = http__groups_get},
    {"PUT", "/v1/groups/{g}/offsets/{t}/{n}", HTTP_OP_OFFSETS, HTTP_BODY_JSON,
     .handle = http__groups_put},
};
#define ROUTES_COUNT (sizeof routes / sizeof routes[0])

static const char *method_name(enum http_method method)
{
    switch (method) {
    case HTTP_METHOD_OTHER:
        return "";
    case HTTP_METHOD_GET:
    case HTTP_METHOD_HEAD:
        return "GET"; /* HEAD is GET without the body */
    case HTTP_METHOD_POST:
        return "POST";
    case HTTP_METHOD_PUT:
        return "PUT";
    case HTTP_METHOD_DELETE:
        return "DELETE";
    }
    return "";
}

/* Does the pattern have the same literal segments and as many of them? */
static bool path_matches(const struct http_head *head, const char *pattern)
{
    uint32_t index = 0;
    const char *at = pattern + 1;
    while (*at) {
        size_t bytes = strcspn(at, "/");
        if (index == head->segments_count) return false;
        bool variable = *at == '{';
        if (!variable && (head->segments_bytes[index] != bytes ||
                          memcmp(head->segments[index], at, bytes) != 0)) {
            return false;
        }
        index++;
        at += bytes;
        if (*at == '/') at++;
    }
    return index == head->segments_count;
}

/* The variable segments, checked after their one decoding. */
static bool take_arguments(struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    uint32_t index = 0, arguments = 0;
    for (const char *at = exchange->route->path + 1; *at; index++) {
        size_t bytes = strcspn(at, "/");
        if (*at == '{') {
            const char *value = head->segments[index];
            size_t value_bytes = head->segments_bytes[index];
            uint64_t number;
            assert(arguments < HTTP_ARGUMENTS_MAX);
            if (at[1] == 'n' && !http__text_u64(value, value_bytes, &number)) {
                http__reply_problem(
                    exchange, HTTP_INVALID_ARGUMENT,
                    "partitions, offsets and nodes in the path are decimal numbers");
                return false;
            }
            if (at[1] != 'n' && !http__text_is_name(value, value_bytes)) {
                http__reply_problem(exchange, HTTP_INVALID_NAME,
                                    "%s names have 1 to 128 of the characters A-Z a-z 0-9 . _ - "
                                    "and are not \".\" or \"..\"",
                                    at[1] == 't' ? "topic" : "group");
                return false;
            }
            exchange->arguments[arguments++] = value;
        }
        at += bytes;
        if (*at == '/') at++;
    }
    return true;
}

/* A misspelt parameter must not be ignored: the reply would silently be another one. */
static bool check_parameters(struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    for (uint32_t i = 0; i < head->query_count; i++) {
        const char *name = head->query[i].name;
        size_t bytes = strlen(name);
        const char *known = exchange->route->parameters;
        bool found = false;
        while (known && *known && !found) {
            size_t known_bytes = strcspn(known, " ");
            found = known_bytes == bytes && memcmp(known, name, bytes) == 0;
            known += known_bytes;
            if (*known == ' ') known++;
        }
        if (!found) {
            http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "known query parameters here: %s",
                                exchange->route->parameters ? exchange->route->parameters : "none");
            return false;
        }
    }
    return true;
}

/* No route has both this path and this method. */
static void refuse_route(struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    char allow[64] = "";
    for (size_t i = 0; i < ROUTES_COUNT; i++) {
        const struct http_route *route = &routes[i];
        if (!path_matches(head, route->path)) continue;
        size_t used = strlen(allow);
        snprintf(allow + used, sizeof allow - used, "%s%s%s", used ? ", " : "", route->method,
                 strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    if (allow[0] == '\0') {
        http__reply_problem(exchange, HTTP_NO_SUCH_ENDPOINT, "GET / lists the endpoints");
        return;
    }
    struct http_json json = http__reply_problem_begin(
        exchange, http__status_of_problem(HTTP_METHOD_NOT_ALLOWED), "see the Allow header");
    http__reply_header(exchange, "Allow", "%s", allow);
    http__reply_problem_end(exchange, &json);
}

bool http__routes_match(struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    const char *method = method_name(head->method);
    for (size_t i = 0; i < ROUTES_COUNT; i++) {
        const struct http_route *route = &routes[i];
        if (strcmp(route->method, method) != 0 || !path_matches(head, route->path)) continue;
        exchange->route = route;
        return take_arguments(exchange) && check_parameters(exchange);
    }
    refuse_route(exchange);
    return false;
}

void http__routes_index(struct http_exchange *exchange)
{
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_member_string(&json, "name", "raftmq");
    http__json_key(&json, "links");
    http__json_array_begin(&json);
    for (size_t i = 0; i < ROUTES_COUNT; i++) {
        http__json_object_begin(&json);
        http__json_member_string(&json, "method", routes[i].method);
        http__json_member_string(&json, "path", routes[i].path);
        if (routes[i].parameters) {
            http__json_member_string(&json, "parameters", routes[i].parameters);
        }
        http__json_object_end(&json);
    }
    http__json_array_end(&json);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}
