/* Bodies of the hub's own frames: HELLO, HELLO_ACK, GOODBYE (docs/FORMATS.md, "Peer frames"). */
#ifndef PEER_HELLO_H
#define PEER_HELLO_H

#include <broker/peer.h>

#define HELLO_REASON_BYTES_MAX 400u

struct hello_message {
    uint16_t protocol;
    enum peer_connection connection;
    uint64_t nonce; /* must come back in HELLO_ACK */
    struct peer_hello hello;
};

/* Returns the size; writes it when it fits. */
size_t hello__encode(const struct hello_message *message, uint8_t *buffer, size_t bytes);

enum hello_decode_status {
    HELLO_DECODED,
    HELLO_MALFORMED,
    HELLO_OTHER_VERSION, /* only ret_message->protocol is set */
};
enum hello_decode_status hello__decode(const uint8_t *body, size_t bytes,
                                       struct hello_message *ret_message);

#define HELLO_ACK_BYTES 8u
void hello__encode_ack(uint64_t nonce, uint8_t *buffer);
bool hello__decode_ack(const uint8_t *body, size_t bytes, uint64_t *ret_nonce);

size_t hello__encode_goodbye(const char *reason, uint8_t *buffer, size_t bytes);
/* ret_reason[HELLO_REASON_BYTES_MAX] */
bool hello__decode_goodbye(const uint8_t *body, size_t bytes, char *ret_reason);

#endif
