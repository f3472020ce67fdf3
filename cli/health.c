/* `raftmq health`: for container health checks and scripts that wait for a node. */
#include <stdio.h>

#include "client.h"
#include "message.h"
#include "verbs.h"

int health_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    /* One look, no retries: whoever asks will ask again. */
    client.timeout_us = client.timeout_us < 2000000u ? client.timeout_us : 2000000u;
    enum exit_code code = client_get_once(&client, "/readyz?verbose=1", &reply);
    if (code == EXIT_CODE_OK) {
        printf("ready\n");
    } else if (reply.status > 0) {
        message_error("%s is not ready", reply.server);
        fputs(reply.body, stderr);
    } else {
        client_explain(&client, &reply, NULL);
    }
    reply_close(&reply);
    client_close(&client);
    return code == EXIT_CODE_OK ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
