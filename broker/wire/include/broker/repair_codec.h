/* What two replicas of a group say when one of them lacks entries that its disk has lost (PROTOCOL D4): bodies of REPAIR
 * frames. Pure; little endian; versioned; the decoder takes hostile bytes and returns 0 (docs/FORMATS.md, "Repair").
 *
 *     damaged    REQUEST ────────> any peer      the entries behind (index, chain), please
 *                <──────── ANSWER                some of them, or why none
 *
 * Each is about one stretch and answers carry the number of their request, so either may be lost, late or doubled. Neither
 * needs a leader; one that leads says so, for what it cannot give and a majority can do without need not be waited for. */
#ifndef BROKER_REPAIR_CODEC_H
#define BROKER_REPAIR_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPAIR_CODEC_BYTES 80u /* of a message, without the entries of an answer */
/* What a request asks for at most. One entry is sent whole, whatever its size. */
#define REPAIR_ENTRIES_BYTES_MAX (256u * 1024u)

enum repair_message_type {
    REPAIR_REQUEST = 1,
    REPAIR_ANSWER,
};

#define REPAIR_ANSWERS(X)                                                       \
    X(REPAIR_ENTRIES, "here they are")                                          \
    X(REPAIR_NEVER_HELD, "my log ends in front of them")                        \
    X(REPAIR_DAMAGED, "they are damaged here, too")                             \
    X(REPAIR_BELOW_START, "my log starts behind them")                          \
    X(REPAIR_DIFFERS, "other entries stand there in my log: the chain differs") \
    X(REPAIR_BUSY, "too much at once; try again")                               \
    X(REPAIR_UNKNOWN, "there is no such replica")

enum repair_answer {
#define X(name, text) name,
    REPAIR_ANSWERS(X)
#undef X
};
const char *repair_answer_text(enum repair_answer answer);

struct repair_message {
    enum repair_message_type type;
    enum repair_answer answer; /* ANSWER */
    uint64_t number;           /* of the request, the asking replica's */
    uint64_t from_epoch;       /* replica epoch of the sender; ANSWER, UNKNOWN: 0 */
    /* REQUEST: entries behind this one, which has this chain. ANSWER: as in the request. */
    uint64_t index;
    uint64_t chain;
    /* REQUEST: wanted through here. ENTRIES: index + 1 .. this one follow. DAMAGED: through here at least. */
    uint64_t last_index;
    /* ANSWER, but not BUSY and UNKNOWN: the log of who answers, and its term, durable */
    uint64_t log_start; /* the log holds what lies behind this entry */
    uint64_t log_last_index;
    uint64_t term;
    /* REQUEST: should the leader do without it, who asks would be made again */
    bool would_go;
    /* ANSWER to one that would go: it leads in this term, has committed an entry of it, its log is whole, a majority besides who asks is caught up, and nobody
     * else was told so lately. */
    bool leads_without_you;
};

/* Encode into buffer[REPAIR_CODEC_BYTES]. */
void repair_codec_encode(const struct repair_message *message, uint8_t *buffer);
/* `bytes` of the body: in an ANSWER with ENTRIES whole encoded entries follow, which the log checks. Returns the bytes
 * consumed, REPAIR_CODEC_BYTES; 0 = malformed. */
size_t repair_codec_decode(const uint8_t *body, size_t bytes, struct repair_message *ret_message);

#endif
