/* Goal: entries that came over the network reach the core only when every one of them is whole, in its place, and of the
 * history that the message names (PROTOCOL L2). Method: entries encoded as a leader does, then spoiled one way at a time. */
#include "received.h"

#include <segment_log/checksum.h>
#include <segment_log/entry.h>

#include <criterion/criterion.h>
#include <string.h>

#define ENTRIES  4u
#define FIRST    11u
#define PREVIOUS 0x5eed5eedu /* chain behind which they stand */

static const struct cluster_id cluster = {.bytes = {1, 2, 3}};

struct batch {
    uint8_t bytes[ENTRIES * (ENTRY_HEADER_BYTES + 8u)];
    size_t starts[ENTRIES + 1u];
    struct raft_message message;
};

static uint64_t seed(void)
{
    return checksum64_group(&cluster, 7);
}

/* An entry of 8 bytes of payload; returns its chain. */
static uint64_t put(struct batch *batch, uint32_t at, uint64_t index, uint64_t term,
                    uint64_t previous_chain)
{
    uint8_t *bytes = batch->bytes + batch->starts[at];
    uint8_t *payload = bytes + ENTRY_HEADER_BYTES;
    memset(payload, (int)index, 8);
    struct entry_header header = {
        .type = ENTRY_META, .payload_bytes = 8, .index = index, .term = term};
    header.payload_hash = entry_payload_hash(header.type, payload, 8);
    entry_encode_header(&header, seed(), previous_chain, bytes);
    return header.chain;
}

/* Terms 2, 2, 3, 3 behind entry 10, sent in term 3. */
static struct batch make_batch(void)
{
    struct batch batch = {.message = {.type = RAFT_MESSAGE_APPEND, .term = 3}};
    batch.message.append.first = FIRST;
    batch.message.append.last = FIRST + ENTRIES - 1u;
    batch.message.append.previous_chain = PREVIOUS;
    uint64_t chain = PREVIOUS;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        chain = put(&batch, i, FIRST + i, 2u + i / 2u, chain);
        batch.starts[i + 1u] = batch.starts[i] + entry_bytes(8);
    }
    return batch;
}

static enum received check(struct batch *batch)
{
    return received_check(&batch->message, seed(), batch->bytes, batch->starts[ENTRIES]);
}

Test(node_received, whole_entries_of_one_history_pass_and_tell_their_terms)
{
    struct batch batch = make_batch();
    cr_assert_eq(check(&batch), RECEIVED_OK);
    cr_assert_eq(batch.message.append.runs_count, 2);
    cr_assert_eq(batch.message.append.runs[0].first, FIRST);
    cr_assert_eq(batch.message.append.runs[0].count, 2);
    cr_assert_eq(batch.message.append.runs[1].first, FIRST + 2);
    cr_assert_eq(batch.message.append.runs[1].term, 3);
}

Test(node_received, no_flipped_bit_passes)
{
    for (size_t bit = 0; bit < sizeof(((struct batch *)0)->bytes) * 8u; bit++) {
        struct batch batch = make_batch();
        batch.bytes[bit / 8u] ^= (uint8_t)(1u << (bit % 8u));
        cr_assert_neq(check(&batch), RECEIVED_OK, "bit %zu", bit);
    }
}

Test(node_received, a_whole_entry_of_another_history_breaks_the_chain)
{
    struct batch batch = make_batch();
    batch.message.append.previous_chain = PREVIOUS + 1u;
    cr_assert_eq(check(&batch), RECEIVED_BROKEN_CHAIN);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        batch = make_batch();
        (void)put(&batch, i, FIRST + i, 2u + i / 2u, 0xbadu);
        cr_assert_eq(check(&batch), RECEIVED_BROKEN_CHAIN, "entry %u", i);
    }
}

Test(node_received, the_first_chain_is_not_compared_when_the_sender_does_not_know_it)
{
    struct batch batch = make_batch();
    batch.message.append.previous_chain = 0;
    cr_assert_eq(check(&batch), RECEIVED_OK);
    (void)put(&batch, 1, FIRST + 1u, 2, 0xbadu);
    cr_assert_eq(check(&batch), RECEIVED_BROKEN_CHAIN);
}

Test(node_received, entries_of_another_group_cluster_place_or_later_term_are_refused)
{
    struct batch batch = make_batch();
    cr_assert_eq(received_check(&batch.message, checksum64_group(&cluster, 8), batch.bytes,
                                batch.starts[ENTRIES]),
                 RECEIVED_MALFORMED);
    batch.message.append.first =
        FIRST + 1u; /* as many, but they are not the ones that stand here */
    batch.message.append.last++;
    cr_assert_eq(check(&batch), RECEIVED_MALFORMED);
    batch = make_batch();
    batch.message.append.last = FIRST + ENTRIES;
    cr_assert_eq(check(&batch), RECEIVED_MALFORMED);
    batch = make_batch();
    batch.message.append.last = FIRST + ENTRIES - 2u;
    cr_assert_eq(check(&batch), RECEIVED_MALFORMED);
    batch = make_batch();
    batch.message.term = 2;
    cr_assert_eq(check(&batch), RECEIVED_MALFORMED);
}

Test(node_received, no_cut_message_passes)
{
    struct batch batch = make_batch();
    for (size_t bytes = 0; bytes < batch.starts[ENTRIES]; bytes++) {
        cr_assert_eq(received_check(&batch.message, seed(), batch.bytes, bytes), RECEIVED_MALFORMED,
                     "%zu bytes", bytes);
    }
}
