/* Bodies of a produce -> one record batch: a raw message, NDJSON, a JSON document. */
#ifndef BROKER_HTTP_RECORDS_H
#define BROKER_HTTP_RECORDS_H

#include "exchange.h"

/* To which partition the keys of the messages lead, for a request that names none. */
struct http_keys {
    uint32_t partitions_count; /* in; 1: keys do not matter */
    bool keyed, unkeyed;       /* there was a message with, without a key */
    bool mixed;                /* two keys lead to two partitions */
    uint32_t partition;        /* where the keys lead; valid when keyed and not mixed */
};

/* Build exchange->builder from the body; answers a malformed body itself and returns false. */
bool http__records_raw(struct http_exchange *exchange, struct http_keys *keys);
bool http__records_ndjson(struct http_exchange *exchange, struct http_keys *keys);
bool http__records_json(struct http_exchange *exchange, struct http_keys *keys);

#endif
