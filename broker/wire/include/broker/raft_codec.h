/* Raft messages and configurations as bytes: bodies of peer frames, payloads of CONFIG entries, snapshot headers, and
 * the founding. Pure; little endian; versioned; every decoder takes hostile bytes and returns false (docs/FORMATS.md). */
#ifndef BROKER_RAFT_CODEC_H
#define BROKER_RAFT_CODEC_H

#include <raft/message.h>
#include <stddef.h>

#define RAFT_CODEC_MESSAGE_BYTES_MAX 256u

/* Encode all but group (the frame names it), append.runs and entries. Returns the size, at most RAFT_CODEC_MESSAGE_BYTES_MAX;
 * the message is whole in `buffer` only when that is at most `bytes`. */
size_t raft_codec_encode_message(const struct raft_message *message, uint8_t *buffer, size_t bytes);
/* Returns the bytes consumed, 0 = malformed. What follows in an APPEND frame are the encoded entries. */
size_t raft_codec_decode_message(const uint8_t *body, size_t bytes,
                                 struct raft_message *ret_message);

size_t raft_codec_encode_configuration(const struct raft_configuration *configuration,
                                       uint8_t *buffer, size_t bytes);
bool raft_codec_decode_configuration(const uint8_t *body, size_t bytes,
                                     struct raft_configuration *ret_configuration);

/* The founding (PROTOCOL M6): base of group 0 at index 0. */
#define FOUNDING_NODES_MAX RAFT_MEMBERS_MAX
struct founding {
    uint8_t cluster[16];
    uint64_t founder; /* node id; campaigns at once in group 0 */
    struct {
        uint64_t node_id;
        uint64_t incarnation;
    } nodes[FOUNDING_NODES_MAX]; /* by ascending node id */
    uint32_t nodes_count;
};
size_t founding_encode(const struct founding *founding, uint8_t *buffer, size_t bytes);
bool founding_decode(const uint8_t *body, size_t bytes, struct founding *ret_founding);

#endif
