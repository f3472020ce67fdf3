#include "producer_id.h"

#include "message.h"

enum exit_code producer_id_take(struct client *client, struct producer_id *ret_id)
{
    struct reply reply;
    /* Repeatable: an id that nobody uses does no harm. */
    enum exit_code code =
        client_request(client, "POST", "/v1/producers", NULL, /* repeatable= */ true, &reply);
    if (code == EXIT_CODE_UNKNOWN) code = EXIT_CODE_UNAVAILABLE; /* no message has left yet */
    if (code != EXIT_CODE_OK) {
        reply.code = code;
        client_explain(client, &reply, "producer id");
    } else {
        uint64_t id = reply_number(reply.json, "producer_id", UINT64_MAX);
        uint64_t epoch = reply_number(reply.json, "epoch", UINT64_MAX);
        if (id > INT64_MAX || epoch > INT16_MAX) {
            message_error("%s did not answer with a producer id; is it a raftmq node?",
                          reply.server);
            code = EXIT_CODE_FAILED;
        } else {
            *ret_id = (struct producer_id){.id = (int64_t)id, .epoch = (int16_t)epoch};
        }
    }
    reply_close(&reply);
    return code;
}
