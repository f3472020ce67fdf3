/* HELLO, little endian:
 *
 *   pos bytes field
 *     0     2 protocol version    stays here in every version, so that each can refuse the other in words
 *     2     1 connection kind     3  1 count of configured peers     4  1 marks (1: cannot found, 2: joining)     5  3 zero
 *     8     8 node id            16  8 incarnation     24  8 process number
 *    32     8 nonce              40 16 cluster id
 *    56     8 incarnation index
 *    64     - peer address, HTTP address, Kafka address, version: u16 length and bytes each
 *           - per configured peer, by ascending id: u64 id, address as above
 *
 * HELLO_ACK is the other's nonce, 8 bytes. GOODBYE is the reason: u16 length and bytes. */
#include "hello.h"

#include <broker/wire_cursor.h>

#define MARK_CANNOT_FOUND 1u
#define MARK_JOINING      2u

size_t hello__encode(const struct hello_message *message, uint8_t *buffer, size_t bytes)
{
    const struct peer_hello *hello = &message->hello;
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u16(&writer, message->protocol);
    wire_put_u8(&writer, (uint8_t)message->connection);
    wire_put_u8(&writer, (uint8_t)hello->peers_count);
    wire_put_u8(&writer, (uint8_t)((hello->cannot_found ? MARK_CANNOT_FOUND : 0u) |
                                   (hello->is_joining ? MARK_JOINING : 0u)));
    wire_put_zeros(&writer, 3);
    wire_put_u64(&writer, hello->node_id);
    wire_put_u64(&writer, hello->incarnation);
    wire_put_u64(&writer, hello->process);
    wire_put_u64(&writer, message->nonce);
    wire_put(&writer, hello->cluster.bytes, sizeof(hello->cluster.bytes));
    wire_put_u64(&writer, hello->incarnation_index);
    wire_put_string(&writer, hello->peer_address);
    wire_put_string(&writer, hello->http_address);
    wire_put_string(&writer, hello->kafka_address);
    wire_put_string(&writer, hello->version);
    for (uint32_t i = 0; i < hello->peers_count; i++) {
        wire_put_u64(&writer, hello->peers[i].node_id);
        wire_put_string(&writer, hello->peers[i].address);
    }
    return writer.bytes;
}

static void get_peers(struct wire_reader *reader, struct peer_hello *hello)
{
    uint64_t previous_id = 0;
    for (uint32_t i = 0; i < hello->peers_count && !reader->failed; i++) {
        struct peer_config *peer = &hello->peers[i];
        peer->node_id = wire_get_u64(reader);
        wire_get_string(reader, peer->address, sizeof(peer->address));
        if (peer->node_id <= previous_id) reader->failed = true;
        previous_id = peer->node_id;
    }
}

enum hello_decode_status hello__decode(const uint8_t *body, size_t bytes,
                                       struct hello_message *ret_message)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    memset(ret_message, 0, sizeof(*ret_message));
    struct peer_hello *hello = &ret_message->hello;
    ret_message->protocol = wire_get_u16(&reader);
    if (reader.failed) return HELLO_MALFORMED;
    if (ret_message->protocol != PEER_PROTOCOL_VERSION) return HELLO_OTHER_VERSION;

    uint8_t connection = wire_get_u8(&reader);
    hello->peers_count = wire_get_u8(&reader);
    uint8_t marks = wire_get_u8(&reader);
    wire_get_zeros(&reader, 3);
    if (marks & ~(MARK_CANNOT_FOUND | MARK_JOINING)) return HELLO_MALFORMED;
    hello->cannot_found = (marks & MARK_CANNOT_FOUND) != 0;
    hello->is_joining = (marks & MARK_JOINING) != 0;
    if (connection > PEER_BULK || hello->peers_count > PEER_NODES_MAX) return HELLO_MALFORMED;
    ret_message->connection = (enum peer_connection)connection;
    hello->node_id = wire_get_u64(&reader);
    hello->incarnation = wire_get_u64(&reader);
    hello->process = wire_get_u64(&reader);
    ret_message->nonce = wire_get_u64(&reader);
    const uint8_t *cluster = wire_get(&reader, sizeof(hello->cluster.bytes));
    if (cluster) memcpy(hello->cluster.bytes, cluster, sizeof(hello->cluster.bytes));
    hello->incarnation_index = wire_get_u64(&reader);
    wire_get_string(&reader, hello->peer_address, sizeof(hello->peer_address));
    wire_get_string(&reader, hello->http_address, sizeof(hello->http_address));
    wire_get_string(&reader, hello->kafka_address, sizeof(hello->kafka_address));
    wire_get_string(&reader, hello->version, sizeof(hello->version));
    get_peers(&reader, hello);
    if (!wire_is_complete(&reader) || hello->node_id == 0) return HELLO_MALFORMED;
    return HELLO_DECODED;
}

void hello__encode_ack(uint64_t nonce, uint8_t *buffer)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = HELLO_ACK_BYTES};
    wire_put_u64(&writer, nonce);
}

bool hello__decode_ack(const uint8_t *body, size_t bytes, uint64_t *ret_nonce)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    *ret_nonce = wire_get_u64(&reader);
    return wire_is_complete(&reader);
}

size_t hello__encode_goodbye(const char *reason, uint8_t *buffer, size_t bytes)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_string(&writer, reason);
    return writer.bytes;
}

bool hello__decode_goodbye(const uint8_t *body, size_t bytes, char *ret_reason)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    wire_get_string(&reader, ret_reason, HELLO_REASON_BYTES_MAX);
    return wire_is_complete(&reader);
}
