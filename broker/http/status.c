#include "status.h"

#include <assert.h>

struct http_status http__status_of_problem(enum http_problem problem)
{
    struct http_status status = {0};
    switch (problem) {
    case HTTP_NO_PROBLEM:
        break;
#define X(name, code_, slug_, title_)                                                 \
    case name:                                                                        \
        status = (struct http_status){.code = code_, .slug = slug_, .title = title_}; \
        break;
        HTTP_PROBLEMS(X)
#undef X
    }
    assert(status.code >= 400);
    status.retry = status.code == 429 || status.code == 503;
    return status;
}

struct http_status http__status_of_node(enum node_status status)
{
    struct http_status of = {.title = node_status_text(status)};
    switch (status) {
    case NODE_OK:
        of.code = 200;
        break;
    case NODE_TOPIC_NOT_FOUND:
        of.code = 404, of.slug = "topic-not-found";
        break;
    case NODE_PARTITION_NOT_FOUND:
        of.code = 404, of.slug = "partition-not-found";
        break;
    case NODE_TOPIC_EXISTS:
        of.code = 409, of.slug = "topic-exists-differs";
        break;
    case NODE_INVALID_NAME:
        of.code = 422, of.slug = "invalid-name";
        break;
    case NODE_INVALID_ARGUMENT:
        of.code = 400, of.slug = "invalid-argument";
        break;
    case NODE_TOO_MANY_TOPICS:
        of.code = 409, of.slug = "too-many-topics";
        break;
    case NODE_NOT_ENOUGH_NODES:
        of.code = 422, of.slug = "not-enough-nodes";
        break;
    case NODE_CORRUPT_BATCH:
        of.code = 400, of.slug = "corrupt-batch";
        break;
    case NODE_TOO_LARGE:
        of.code = 413, of.slug = "too-large";
        break;
    case NODE_OUT_OF_ORDER_SEQUENCE:
        of.code = 409, of.slug = "out-of-order-sequence";
        break;
    /* A success whose offset is forgotten; produce.c answers 200 with "offset": null (PROTOCOL P2). */
    case NODE_DUPLICATE_OFFSET_UNKNOWN:
        of.code = 200, of.slug = "duplicate-offset-unknown";
        break;
    case NODE_PRODUCER_FENCED:
        of.code = 409, of.slug = "producer-fenced";
        break;
    case NODE_UNKNOWN_PRODUCER:
        of.code = 409, of.slug = "unknown-producer";
        break;
    case NODE_STALE_GENERATION:
        of.code = 409, of.slug = "stale-generation";
        break;
    case NODE_OFFSET_OUT_OF_RANGE:
        of.code = 416, of.slug = "offset-out-of-range";
        break;
    case NODE_NO_OFFSET:
        of.code = 404, of.slug = "no-offset";
        break;
    case NODE_NO_LEADER:
        of.code = 503, of.slug = "no-leader";
        break;
    case NODE_NOT_READY:
        of.code = 503, of.slug = "not-ready";
        break;
    case NODE_OUTCOME_UNKNOWN:
        of.code = 504, of.slug = "outcome-unknown";
        break;
    case NODE_OVERLOADED:
        of.code = 429, of.slug = "overloaded";
        break;
    case NODE_DISK_FULL:
        of.code = 507, of.slug = "disk-full";
        break;
    case NODE_DAMAGED:
        of.code = 503, of.slug = "damaged";
        break;
    case NODE_SHUTTING_DOWN:
        of.code = 503, of.slug = "shutting-down";
        break;
    case NODE_TIMEOUT:
        of.code = 503, of.slug = "timeout";
        break;
    case NODE_UNKNOWN_NODE:
        of.code = 404, of.slug = "unknown-node";
        break;
    case NODE_NODE_EXISTS:
        of.code = 409, of.slug = "node-exists";
        break;
    case NODE_TOO_MANY_NODES:
        of.code = 409, of.slug = "too-many-nodes";
        break;
    case NODE_QUORUM_AT_RISK:
        of.code = 409, of.slug = "quorum-at-risk";
        break;
    case NODE_CHANGE_RUNNING:
        of.code = 409, of.slug = "change-running";
        break;
    case NODE_NOT_TRANSFERRED:
        of.code = 409, of.slug = "not-transferred";
        break;
    }
    assert(of.code != 0);
    of.retry = of.code == 429 || of.code == 503;
    return of;
}

const char *http__status_reason(int code)
{
    switch (code) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 307:
        return "Temporary Redirect";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}
