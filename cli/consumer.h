/* Reads one partition in order through failovers: no message twice, none left out.
 *
 * One request is in flight; it names the offset to continue from, so an answer that is lost is simply asked for again,
 * of the next node (reads are linearizable on every node). Every batch's CRC is checked before a record is shown. */
#ifndef CLI_CONSUMER_H
#define CLI_CONSUMER_H

#include <broker/io.h>
#include <broker/record_batch.h>

#include "connection.h"
#include "exit_code.h"
#include "servers.h"

#define CONSUMER_FROM_BYTES 64u

struct consumer_options {
    struct io *io;
    const struct servers *servers; /* copied */
    const char *topic;             /* borrowed */
    uint32_t partition;
    const char *from; /* as in the API: a number, earliest, latest, -N, @time. Copied */
    uint32_t wait_ms; /* long poll */
    /* Without a byte for so long beyond the long poll a node counts as hanging, and the next one is asked. Behind as many
     * silences as there are servers it is twice as long, and so on, up to what a node takes for a refusal. 0: that long.
     * Time in which the loop stood still (a slow reader of the output, a stopped process) is nobody's silence. */
    uint64_t answer_timeout_us;
    uint64_t bytes_max;
    uint64_t retry_for_us;
    bool checks_crc;
    bool stays; /* never moves to another server: what this node serves is what is looked at */
    /* One record; borrowed until return. False: enough, no more records are delivered. */
    bool (*record)(void *data, const struct record_batch_header *batch,
                   const struct record_view *record);
    /* An answer is worked off. next_offset: where the next fetch starts. The owner calls consumer_fetch to go on. */
    void (*fetched)(void *data, uint64_t next_offset, uint64_t high_watermark);
    void (*failed)(void *data, enum exit_code code, const char *slug, const char *reason);
    /* What was to be read next was trimmed. True: go on at `first_offset`, the earliest there is; false: fail. May be
     * NULL: fail. */
    bool (*trimmed)(void *data, uint64_t position, uint64_t first_offset);
    void *data;
};

struct consumer {
    struct consumer_options options;
    struct servers servers;
    struct connection *connection;
    bool connected;
    bool asked; /* a fetch is wanted: sent, or to be sent once connected */
    bool failed, closed, stopped;
    char topic[3 * 128 + 1]; /* encoded */
    char from[CONSUMER_FROM_BYTES];
    bool position_known;
    uint64_t position; /* of the next record to deliver */
    uint32_t attempts;
    uint32_t silences; /* nodes that were left for their silence, since the last records */
    uint64_t failing_since_us;
    char refusal[512]; /* what a node said last; "": nothing since the last records */
    bool
        meets_damage; /* that was: what is to be read next is damaged on all replicas that it could ask */
    uint64_t behind_damage; /* where reading goes on; 0: unknown */
    uint64_t sent_us;       /* what is waited for; later by the time that the loop stood still */
    uint64_t watched_us;    /* when the watch ran last */
    uint64_t answers_count, bytes_count;
    struct io_timer retry_timer, watch_timer;
};

void consumer_init(struct consumer *consumer, const struct consumer_options *options);
void consumer_close(struct consumer *consumer);
/* Ask for what follows; `fetched` or `failed` comes later, once. Not while a fetch is out. */
void consumer_fetch(struct consumer *consumer);

#endif
