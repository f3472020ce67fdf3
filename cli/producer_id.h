#ifndef CLI_PRODUCER_ID_H
#define CLI_PRODUCER_ID_H

#include "client.h"

struct producer_id {
    int64_t id;
    int16_t epoch;
};

/* POST /v1/producers. Anything but OK was printed. */
enum exit_code producer_id_take(struct client *client, struct producer_id *ret_id);

#endif
