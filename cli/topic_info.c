#include "topic_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

#define MESSAGE_BYTES_MAX_DEFAULT 1048576u

/* NULL, or why this cannot be a name of a topic or group; checked before it stands in a path. */
static const char *name_problem(const char *name)
{
    size_t bytes = strlen(name);
    if (bytes == 0) return "is empty";
    if (bytes > 128) return "is longer than 128 characters";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return "is not allowed";
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (strspn(name, allowed) != bytes) return "has characters other than letters, digits, . _ -";
    return NULL;
}

bool topic_name_check(const char *kind, const char *name)
{
    const char *problem = name_problem(name);
    if (!problem) return true;
    message_error("the %s name '%.140s' %s", kind, name, problem);
    message_hint("allowed are 1 to 128 of letters, digits, '.', '_' and '-'");
    return false;
}

static void read_info(const json_t *json, struct topic_info *info)
{
    const json_t *partitions = reply_partitions(json);
    info->partitions_count = (uint32_t)json_array_size(partitions);
    if (info->partitions_count == 0) info->partitions_count = 1;
    if (info->partitions_count > TOPIC_INFO_PARTITIONS_MAX) {
        info->partitions_count = TOPIC_INFO_PARTITIONS_MAX;
    }
    reply_node(json_array_get(partitions, 0), "leader", info->leader);
    info->message_bytes_max = reply_number(json, "max_message_bytes", MESSAGE_BYTES_MAX_DEFAULT);
}

enum exit_code topic_info_get(struct client *client, const char *topic, struct topic_info *ret_info)
{
    struct reply reply;
    char path[256];
    snprintf(path, sizeof(path), "/v1/topics/%s", topic);
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->partitions_count = 1;
    ret_info->message_bytes_max = MESSAGE_BYTES_MAX_DEFAULT;
    enum exit_code code = client_get(client, path, &reply);
    if (code == EXIT_CODE_OK) {
        ret_info->exists = true;
        read_info(reply.json, ret_info);
    } else if (code == EXIT_CODE_NOT_FOUND && strcmp(reply.slug, "topic-not-found") == 0) {
        code = EXIT_CODE_OK;
    } else {
        client_explain(client, &reply, topic);
    }
    reply_close(&reply);
    return code;
}

enum exit_code topic_partition_offsets(struct client *client, const char *topic,
                                       const json_t *partition, uint64_t *ret_first,
                                       uint64_t *ret_next)
{
    *ret_first = reply_number(partition, "first_offset", UINT64_MAX);
    *ret_next = reply_number(partition, "next_offset", UINT64_MAX);
    if (*ret_first != UINT64_MAX && *ret_next != UINT64_MAX) return EXIT_CODE_OK;
    char path[256];
    struct reply reply;
    snprintf(path, sizeof(path), "/v1/topics/%s/partitions/%" PRIu64, topic,
             reply_number(partition, "partition", 0));
    enum exit_code code = client_get(client, path, &reply);
    if (code == EXIT_CODE_OK) {
        *ret_first = reply_number(reply.json, "first_offset", 0);
        *ret_next = reply_number(reply.json, "next_offset", 0);
    } else {
        client_explain(client, &reply, topic);
    }
    reply_close(&reply);
    return code;
}

void topic_info_prefer_leader(struct client *client, const struct topic_info *info)
{
    client_learn_servers(client, info->leader[0] ? info->leader : NULL);
}
