#include "problem.h"

#include <stdio.h>
#include <string.h>

#define URN_PREFIX "urn:raftmq:problem:"

static const char *string_field(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text && *text ? text : NULL;
}

/* A setting of a topic is named as the body has it; the user wrote a flag. */
static const char *flag_of(const char *detail)
{
    static const struct {
        const char *field, *flag;
    } flags[] = {
        {"\"partitions\" ", "--partitions "},
        {"\"replicas\" ", "--replicas "},
        {"\"retention\" ", "--retention "},
        {"\"retention_bytes\" ", "--retention-bytes "},
        {"\"retain_until_consumed\" ", "--retain-until-consumed "},
        {"\"max_message_bytes\" ", "--max-message-bytes "},
        {"\"consistency\" ", "--consistency "},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strncmp(detail, flags[i].field, strlen(flags[i].field)) == 0) return flags[i].flag;
    }
    return NULL;
}

void problem_read(const json_t *json, int http_status, char *ret_slug, size_t slug_bytes,
                  char *ret_detail, size_t detail_bytes)
{
    const char *type = string_field(json, "type");
    const char *title = string_field(json, "title");
    const char *detail = string_field(json, "detail");
    if (type && strncmp(type, URN_PREFIX, strlen(URN_PREFIX)) == 0) type += strlen(URN_PREFIX);
    snprintf(ret_slug, slug_bytes, "%s", type ? type : "");
    /* The detail repeats the name and names no other place; the title speaks of a body that the user never wrote, or says less
     * than the detail. */
    if (title && strcmp(ret_slug, "topic-not-found") == 0) detail = NULL;
    if (detail && strcmp(ret_slug, "invalid-json") == 0) title = NULL;
    if (detail && strcmp(ret_slug, "node-exists") == 0) title = NULL;
    if (detail && strcmp(ret_slug, "unknown-node") == 0) title = NULL;
    const char *flag = detail && !title ? flag_of(detail) : NULL;
    if (flag) {
        snprintf(ret_detail, detail_bytes, "%s%s", flag, strchr(detail, ' ') + 1);
    } else if (title && detail && strcmp(title, detail) != 0) {
        snprintf(ret_detail, detail_bytes, "%s: %s", title, detail);
    } else if (title || detail) {
        snprintf(ret_detail, detail_bytes, "%s", detail ? detail : title);
    } else {
        snprintf(ret_detail, detail_bytes, "the server answered HTTP %d", http_status);
    }
}

const char *problem_hint(const char *slug, int http_status)
{
    static const struct {
        const char *slug;
        const char *hint;
    } hints[] = {
        {"topic-not-found",
         "raftmq topic list   shows all topics;  raftmq topic create %s   makes it"},
        {"topic-exists-differs", "raftmq topic describe %s   shows the settings it has"},
        {"topic-exists", "raftmq topic describe %s   shows the settings it has"},
        {"invalid-topic", "allowed are 1 to 128 of letters, digits, '.', '_' and '-'"},
        {"invalid-name", "allowed are 1 to 128 of letters, digits, '.', '_' and '-'"},
        {"group-not-found", "raftmq group list   shows all groups"},
        {"partition-not-found", "raftmq topic describe TOPIC   shows the partitions"},
        {"offset-out-of-range", "--from earliest   starts at the oldest message that is kept"},
        {"disk-full", "free some disk space on the node; it takes writes again by itself"},
    };
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (strcmp(hints[i].slug, slug) == 0) return hints[i].hint;
    }
    switch (http_status) {
    case 429:
        return "try again in a moment";
    case 502:
    case 503:
    case 504:
        return "raftmq cluster status   shows what the cluster is waiting for";
    default:
        return NULL;
    }
}
