/* What two nodes say about a base that one sends to the other (PROTOCOL S3): bodies of BASE frames. Pure; little endian;
 * versioned; the decoder takes hostile bytes and returns 0 (docs/FORMATS.md, "Bases").
 *
 *     sender    OFFER ────────────> receiver     which base this is; asks how far the receiver is
 *               <──────────── ANSWER             the position wanted next, or why none
 *               CHUNK, CHUNK ─────>              a few ahead of the answers
 *               <──────────── ANSWER             ... until it is installed */
#ifndef BROKER_BASE_CODEC_H
#define BROKER_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE_CODEC_BYTES     112u /* of a message, without the bytes of a chunk */
#define BASE_CHUNK_BYTES_MAX (256u * 1024u)

enum base_message_type {
    BASE_OFFER = 1,
    BASE_CHUNK,
    BASE_ANSWER,
};

#define BASE_ANSWERS(X)                                                           \
    X(BASE_WANTED, "the bytes from `position` on are wanted")                     \
    X(BASE_INSTALLED, "the base is durable, or the log has all that is in it")    \
    X(BASE_BUSY, "too many transfers at once; try again")                         \
    X(BASE_NO_SPACE, "no space is left on the disk; try again")                   \
    X(BASE_DAMAGED, "what arrived is not what was announced; from the beginning") \
    X(BASE_UNKNOWN, "there is no such replica")

enum base_answer {
#define X(name, text) name,
    BASE_ANSWERS(X)
#undef X
};
const char *base_answer_text(enum base_answer answer);

struct base_message {
    enum base_message_type type;
    uint64_t from_epoch, to_epoch; /* replica epochs; the nodes are those of the connection */
    uint64_t term;                 /* of the sender of this message */
    struct {
        uint64_t index, term, chain, next_offset;
        int64_t timestamp_ms;
        uint64_t bytes; /* of the file */
        uint64_t hash;  /* of the whole file */
    } base;
    uint64_t position;       /* CHUNK: of its bytes; ANSWER: wanted next; <= base.bytes */
    uint64_t commit_index;   /* OFFER, CHUNK: of the group as the sender knows it; >= base.index */
    uint64_t checksum;       /* CHUNK: XXH3-64 of its bytes */
    enum base_answer answer; /* ANSWER */
};

/* Encode into buffer[BASE_CODEC_BYTES]. */
void base_codec_encode(const struct base_message *message, uint8_t *buffer);
/* `bytes` of the body: in a CHUNK the bytes of the file follow, 1 to BASE_CHUNK_BYTES_MAX, inside of it. Returns the bytes
 * consumed, BASE_CODEC_BYTES; 0 = malformed. */
size_t base_codec_decode(const uint8_t *body, size_t bytes, struct base_message *ret_message);

#endif
