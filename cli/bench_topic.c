#include "bench_topic.h"

#include <stdio.h>

#include "message.h"

enum exit_code bench_topic_prepare(struct client *client, const char *topic, uint64_t partitions,
                                   struct topic_info *ret_info)
{
    if (!topic_name_check("topic", topic)) return EXIT_CODE_USAGE;
    enum exit_code code = topic_info_get(client, topic, ret_info);
    if (code == EXIT_CODE_OK && !ret_info->exists) {
        struct reply reply;
        char path[256];
        snprintf(path, sizeof(path), "/v1/topics/%s", topic);
        json_t *body = json_pack("{s:I}", "partitions", (json_int_t)partitions);
        code = client_request(client, "PUT", path, body, /* repeatable= */ true, &reply);
        if (code != EXIT_CODE_OK) client_explain(client, &reply, topic);
        json_decref(body);
        reply_close(&reply);
        if (code == EXIT_CODE_OK) code = topic_info_get(client, topic, ret_info);
    }
    if (code != EXIT_CODE_OK) return code;
    if (!ret_info->exists) {
        message_error("%s was deleted while the benchmark started", topic);
        return EXIT_CODE_NOT_FOUND;
    }
    topic_info_prefer_leader(client, ret_info);
    return EXIT_CODE_OK;
}
