/* Every decoder of what nodes send each other and of what entries hold, held against its encoder: what was decoded is encoded, and decoded again it
 * must give the same bytes. */
#ifndef FUZZ_CODEC_H
#define FUZZ_CODEC_H

#include "input.h"

enum codec_kind {
    CODEC_RAFT,
    CODEC_CONFIGURATION,
    CODEC_FOUNDING,
    CODEC_BASE,
    CODEC_JOIN,
    CODEC_JOIN_ANSWER,
    CODEC_CHANGE,
    CODEC_REQUEST,
    CODEC_RESPONSE,
    CODEC_HELLO,
    CODEC_GOODBYE,
    CODEC_HEARTBEATS,
    CODEC_ENTRIES,   /* those that follow an APPEND */
    CODEC_META,      /* payload of a META entry */
    CODEC_PARTITION, /* payloads of the entries of a partition */
    CODEC_REPAIR,
    CODEC_KINDS,
};

void codec_try(enum codec_kind kind, const uint8_t *body, size_t bytes);
/* The body of a frame of this type. */
void codec_try_frame(uint16_t type, const uint8_t *body, size_t bytes);

#endif
