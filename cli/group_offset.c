#include "group_offset.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

static void make_path(char *path, size_t path_bytes, const char *group, const char *topic,
                      uint32_t partition)
{
    snprintf(path, path_bytes, "/v1/groups/%s/offsets/%s/%" PRIu32, group, topic, partition);
}

enum exit_code group_offset_read(struct client *client, const char *group, const char *topic,
                                 uint32_t partition, bool *ret_found,
                                 struct group_offset *ret_offset)
{
    char path[512];
    struct reply reply;
    make_path(path, sizeof(path), group, topic, partition);
    enum exit_code code = client_get(client, path, &reply);
    *ret_found = false;
    if (code == EXIT_CODE_OK) {
        uint64_t offset = reply_number(reply.json, "offset", UINT64_MAX);
        *ret_found = offset != UINT64_MAX;
        *ret_offset = (struct group_offset){
            .partition = partition,
            .offset = offset,
            .durable = json_is_true(json_object_get(reply.json, "durable")),
            .expired = reply_number(reply.json, "expired", 0),
        };
    } else if (code == EXIT_CODE_NOT_FOUND && (strcmp(reply.slug, "no-offset") == 0 ||
                                               strcmp(reply.slug, "group-not-found") == 0)) {
        code = EXIT_CODE_OK;
    } else {
        client_explain(client, &reply, group);
    }
    reply_close(&reply);
    return code;
}

enum exit_code group_offset_get(struct client *client, const char *group, const char *topic,
                                uint32_t partition, bool *ret_found, uint64_t *ret_offset)
{
    struct group_offset offset;
    enum exit_code code = group_offset_read(client, group, topic, partition, ret_found, &offset);
    if (code == EXIT_CODE_OK && *ret_found) *ret_offset = offset.offset;
    return code;
}

enum exit_code group_offset_commit(struct client *client, const char *group, const char *topic,
                                   const struct group_offset *offset, char *ret_problem,
                                   size_t problem_bytes)
{
    char path[512];
    struct reply reply;
    make_path(path, sizeof(path), group, topic, offset->partition);
    json_t *body = json_pack("{s:I}", "offset", (json_int_t)offset->offset);
    if (offset->tells_durable) {
        json_object_set_new(body, "durable", json_boolean(offset->durable));
    }
    enum exit_code code = client_request(client, "PUT", path, body, /* repeatable= */ true, &reply);
    if (code != EXIT_CODE_OK) snprintf(ret_problem, problem_bytes, "%s", reply.detail);
    json_decref(body);
    reply_close(&reply);
    return code;
}
