/* Proxied client requests and their answers as bytes: bodies of REQUEST and RESPONSE frames (docs/FORMATS.md).
 *
 * A node that cannot serve a request sends it to one that can and waits for the answer, which names the request by a
 * number that the asking node drew. Pure; little endian; versioned; every decoder takes hostile bytes and returns false.
 *
 * The large bytes (the batch of a PRODUCE, the entries of a FETCH) come last and are never copied here: the encoder
 * writes all but them, the sender adds them as the next part of the frame, the decoder points to them in the body. */
#ifndef BROKER_REQUEST_CODEC_H
#define BROKER_REQUEST_CODEC_H

#include <broker/node_request.h>

/* Encoded size of a request without its batch, at most. */
#define REQUEST_CODEC_BYTES_MAX 3072u

/* Bounds of a response, so that no frame makes the receiver allocate more than about 64 MiB. */
#define RESPONSE_CODEC_PARTITIONS_MAX 65536u /* of all topics together */
#define RESPONSE_CODEC_OFFSETS_MAX    16384u
#define RESPONSE_CODEC_CHANGES_MAX    NODE_CHANGES_MAX

/* ---- requests -------------------------------------------------------------------------------------------------- */

/* Encode the input fields of `request` but produce.batch, which follows as a part of its own. Returns the size (a
 * multiple of 8) and writes it when it fits; 0: it cannot be sent, because a name or the metadata is longer than any node
 * accepts, or a name holds control characters. Then answer NODE_INVALID_NAME. */
size_t request_codec_encode(uint64_t number, const struct node_request *request, uint8_t *buffer,
                            size_t bytes);

/* A decoded request with the room that its names need. The request's pointers lead into this struct, so decode it where
 * it will stay. */
struct request_codec_decoded {
    uint64_t number;
    struct node_request
        request; /* input fields set, from_peer = true; done, data and produce are the caller's to set */
    const uint8_t
        *batch; /* borrowed from the body: copy it into produce.batch, which gets patched */
    size_t batch_bytes;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    char group[PARTITION_GROUP_NAME_BYTES_MAX + 1];
    char peer_address[META_ADDRESS_BYTES_MAX];
    uint8_t metadata[PARTITION_METADATA_BYTES_MAX];
};
/* False also for a request that lacks what its type needs: a topic, or the name of a group. */
bool request_codec_decode(const uint8_t *body, size_t bytes,
                          struct request_codec_decoded *ret_decoded);

/* ---- responses ------------------------------------------------------------------------------------------------- */

/* Encode the output fields of `request` but the bytes of ret_view, whose parts follow in order. Returns the size (a
 * multiple of 8) and writes it when it fits; 0: too many topics, offsets or changes for one answer. */
size_t response_codec_encode(uint64_t number, const struct node_request *request, uint8_t *buffer,
                             size_t bytes);

/* The number alone, to find the request that waits for this answer. */
bool response_codec_decode_number(const uint8_t *body, size_t bytes, uint64_t *ret_number);

/* Whole encoded entries first_index..last_index, 8-byte aligned when the body is; borrowed from the body. */
struct response_codec_view {
    const uint8_t *bytes; /* NULL: none */
    size_t bytes_count;
    uint64_t first_index;
    uint64_t last_index;
};

/* Set the output fields of `request`, which must be clear (ret_topics, ret_offsets and ret_changes NULL); they are malloc'ed as if
 * this node had answered. ret_view of the request stays clear: *ret_view has the bytes. False: malformed, nothing set. */
bool response_codec_decode(const uint8_t *body, size_t bytes, struct node_request *request,
                           struct response_codec_view *ret_view);

/* ---- reports of changes ------------------------------------------------------------------------------------------ */

/* Body of a CHANGE frame: how the leader of a group sees its change. `change` in state RECORDING says that its members are
 * the committed configuration of configuration_index, and exactly the wish of wish_index. */
struct change_report {
    uint64_t configuration_index;
    uint64_t wish_index;
    struct node_change change;
};
#define CHANGE_REPORT_BYTES_MAX 2048u
size_t change_report_encode(const struct change_report *report, uint8_t *buffer, size_t bytes);
bool change_report_decode(const uint8_t *body, size_t bytes, struct change_report *ret_report);

#endif
