/* Heartbeats of many groups in one frame per node pair (PROTOCOL C6): what changed is named, the rest goes as a digest
 * of current state, and a differing digest asks for the list.
 *
 * Each direction of a node pair has two *books*, one of heartbeats and one of their replies. A book holds, for every
 * group, the message as it was last named. The sender leaves out a message that is equal to its line; when all lines
 * that a frame does not name would be repeated, one digest over them stands for all. The receiver reads the same lines
 * from its own book and acts as if they had arrived. Books are forgotten when the connection closes; should they ever
 * differ, the digest tells, the receiver clears its book and asks for the list, and the next heartbeat names everything.
 *
 * Each frame begins with the sender's wall clock (PROTOCOL C8); a frame of nothing else greets a peer that came up.
 *
 * Pure: bytes in, bytes out. Body of a HEARTBEATS frame: i64 wall clock in ms, then for each book in turn (heartbeats,
 * then replies):
 *
 *   u32 flags (1: list wanted; in the first, 2: no space)  u32 lines covered by the digest (0: no digest)  u64 digest  u32 named count
 *   named: u64 group  u32 bytes  message                                                                little endian */
#ifndef BROKER_NODE_HEARTBEAT_H
#define BROKER_NODE_HEARTBEAT_H

#include <broker/raft_codec.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEARTBEAT_LINES_MAX 4096u
#define HEARTBEAT_IDLE_FRAMES \
    8u /* a line that was not repeated in so many frames with others is dropped */

struct heartbeat_line {
    uint64_t group;
    uint16_t bytes;
    bool named;    /* sender: changed since the last frame */
    bool repeated; /* sender: offered again, unchanged. Receiver: named in the frame being read */
    uint8_t idle;
    uint8_t message[RAFT_CODEC_MESSAGE_BYTES_MAX];
};

struct heartbeat_book {
    struct heartbeat_line *lines; /* by ascending group */
    uint32_t count, capacity;
    bool want_list; /* receiver: say so in the next frame of the other direction */
    bool touched;   /* sender: something was offered since the last frame */
};

enum heartbeat_kind {
    HEARTBEAT_BEATS,
    HEARTBEAT_REPLIES,
    HEARTBEAT_KINDS,
};

/* One node's books towards and from one peer. Zero is empty. */
struct heartbeat_books {
    struct heartbeat_book out[HEARTBEAT_KINDS];
    struct heartbeat_book in[HEARTBEAT_KINDS];
    bool greets; /* the next frame leaves even if it says nothing but the time */
};

void heartbeat_books_clear(struct heartbeat_books *books);
void heartbeat_books_close(struct heartbeat_books *books);

/* This message goes to the peer with the next frame. O(log n). */
void heartbeat_offer(struct heartbeat_books *books, enum heartbeat_kind kind, uint64_t group,
                     const uint8_t *message, size_t bytes);

/* Of the sender, in every frame. */
struct heartbeat_head {
    int64_t wall_ms; /* its clock; as it says: any number */
    bool is_full;    /* it takes no messages, for lack of space */
};

/* Build the body of the next frame into a malloc'ed buffer that the caller frees; NULL: there is nothing to send. */
uint8_t *heartbeat_build(struct heartbeat_books *books, const struct heartbeat_head *head,
                         size_t *ret_bytes);

/* False: malformed. */
bool heartbeat_read_head(const uint8_t *body, size_t bytes, struct heartbeat_head *ret_head);

/* Read a frame: cb is called for every message that it names or stands for. False: malformed; what was read before
 * the fault was delivered. */
typedef void (*heartbeat_cb)(void *data, uint64_t group, const uint8_t *message, size_t bytes);
bool heartbeat_read(struct heartbeat_books *books, const uint8_t *body, size_t bytes,
                    heartbeat_cb cb, void *data);

/* Is there anything to tell the peer? Also when nothing was offered: a list is wanted, or it is greeted. */
bool heartbeat_wants_frame(const struct heartbeat_books *books);

#endif
