/* Goal: entries that came over the network reach the core only when every one of them is whole, in its place, and of the
 * history that the message names (PROTOCOL L2). Method: entries encoded as a leader does, then spoiled one way at a time. */
#include "received.h"

#include <broker/raft_codec.h>
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

static struct raft_indexed_configuration configurations[RAFT_MESSAGE_CONFIGURATIONS_MAX];

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
    return received_check(&batch->message, configurations, seed(), batch->bytes,
                          batch->starts[ENTRIES]);
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
    cr_assert_eq(received_check(&batch.message, configurations, checksum64_group(&cluster, 8),
                                batch.bytes, batch.starts[ENTRIES]),
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
        cr_assert_eq(received_check(&batch.message, configurations, seed(), batch.bytes, bytes),
                     RECEIVED_MALFORMED, "%zu bytes", bytes);
    }
}

/* ---- CONFIG entries ------------------------------------------------------------------------------------------------ */

#define CONFIGURATION_BYTES_MAX 256u

struct changes {
    uint8_t bytes[(RAFT_MESSAGE_CONFIGURATIONS_MAX + 3u) *
                  (ENTRY_HEADER_BYTES + CONFIGURATION_BYTES_MAX)];
    size_t used;
    uint64_t chain;
    struct raft_message message;
};

static struct raft_configuration configuration_of(uint64_t node)
{
    struct raft_configuration configuration = {.members_count = 2};
    configuration.members[0] = (struct raft_member){.id = {.node = 1}, .voter = true};
    configuration.members[1] = (struct raft_member){.id = {.node = node, .epoch = 5}};
    return configuration;
}

static void add_entry(struct changes *changes, enum entry_type type, uint64_t term,
                      const uint8_t *payload, size_t payload_bytes)
{
    uint8_t *bytes = changes->bytes + changes->used;
    memcpy(bytes + ENTRY_HEADER_BYTES, payload, payload_bytes);
    struct entry_header header = {.type = type,
                                  .payload_bytes = (uint32_t)payload_bytes,
                                  .index = ++changes->message.append.last,
                                  .term = term};
    header.payload_hash = entry_payload_hash(type, payload, header.payload_bytes);
    entry_encode_header(&header, seed(), changes->chain, bytes);
    changes->chain = header.chain;
    changes->used += entry_bytes(header.payload_bytes);
}

static void add_change(struct changes *changes, uint64_t node)
{
    const struct raft_configuration configuration = configuration_of(node);
    uint8_t payload[CONFIGURATION_BYTES_MAX];
    const size_t bytes = raft_codec_encode_configuration(&configuration, payload, sizeof(payload));
    cr_assert_gt(bytes, 0);
    add_entry(changes, ENTRY_CONFIG, node, payload, bytes);
}

static void begin(struct changes *changes)
{
    memset(changes, 0, sizeof(*changes));
    changes->chain = PREVIOUS;
    changes->message = (struct raft_message){.type = RAFT_MESSAGE_APPEND, .term = 100};
    changes->message.append.first = FIRST;
    changes->message.append.last = FIRST - 1u;
    changes->message.append.previous_chain = PREVIOUS;
}

static enum received check_changes(struct changes *changes)
{
    return received_check(&changes->message, configurations, seed(), changes->bytes, changes->used);
}

Test(node_received, configurations_among_the_entries_are_told_with_their_places)
{
    static struct changes changes;
    begin(&changes);
    add_entry(&changes, ENTRY_META, 2, (const uint8_t *)"12345678", 8);
    add_change(&changes, 3);
    add_entry(&changes, ENTRY_META, 3, (const uint8_t *)"12345678", 8);
    add_change(&changes, 4);
    cr_assert_eq(check_changes(&changes), RECEIVED_OK);
    const struct raft_message *message = &changes.message;
    cr_assert_eq(message->append.configurations_count, 2);
    cr_assert_eq(message->append.configurations[0].index, FIRST + 1u);
    cr_assert_eq(message->append.configurations[0].configuration.members[1].id.node, 3);
    cr_assert_eq(message->append.configurations[1].index, FIRST + 3u);
    cr_assert_eq(message->append.configurations[1].configuration.members[1].id.node, 4);
    cr_assert_eq(message->append.last, FIRST + 3u);
}

Test(node_received, more_configurations_than_a_message_may_have_shorten_it)
{
    static struct changes changes;
    begin(&changes);
    for (uint32_t i = 0; i < RAFT_MESSAGE_CONFIGURATIONS_MAX + 2u; i++) {
        add_change(&changes, 3u + i);
    }
    cr_assert_eq(check_changes(&changes), RECEIVED_OK);
    const struct raft_message *message = &changes.message;
    cr_assert_eq(message->append.configurations_count, RAFT_MESSAGE_CONFIGURATIONS_MAX);
    cr_assert_eq(message->append.last, FIRST + RAFT_MESSAGE_CONFIGURATIONS_MAX - 1u);
    /* each entry has a term of its own */
    cr_assert_eq(message->append.runs_count, RAFT_MESSAGE_CONFIGURATIONS_MAX);
    uint64_t covered = 0;
    for (uint32_t i = 0; i < message->append.runs_count; i++) {
        covered += message->append.runs[i].count;
    }
    cr_assert_eq(covered, RAFT_MESSAGE_CONFIGURATIONS_MAX);
}

/* As many leaders in a row, of whom each appended its no-op and got no further. */
Test(node_received, more_terms_than_a_message_may_have_shorten_it)
{
    enum { TERMS = RAFT_MESSAGE_RUNS_MAX + 3u };
    struct {
        uint8_t bytes[TERMS * (ENTRY_HEADER_BYTES + 8u)];
    } entries;
    struct raft_message message = {.type = RAFT_MESSAGE_APPEND, .term = TERMS};
    message.append.first = FIRST;
    message.append.last = FIRST + TERMS - 1u;
    message.append.previous_chain = PREVIOUS;
    uint64_t chain = PREVIOUS;
    for (uint32_t i = 0; i < TERMS; i++) {
        uint8_t *bytes = entries.bytes + i * entry_bytes(8);
        memset(bytes + ENTRY_HEADER_BYTES, (int)i, 8);
        struct entry_header header = {
            .type = ENTRY_META, .payload_bytes = 8, .index = FIRST + i, .term = 1u + i};
        header.payload_hash = entry_payload_hash(header.type, bytes + ENTRY_HEADER_BYTES, 8);
        entry_encode_header(&header, seed(), chain, bytes);
        chain = header.chain;
    }
    cr_assert_eq(
        received_check(&message, configurations, seed(), entries.bytes, TERMS * entry_bytes(8)),
        RECEIVED_OK);
    cr_assert_eq(message.append.runs_count, RAFT_MESSAGE_RUNS_MAX);
    cr_assert_eq(message.append.last, FIRST + RAFT_MESSAGE_RUNS_MAX - 1u);
    cr_assert_eq(message.append.runs[RAFT_MESSAGE_RUNS_MAX - 1u].term, RAFT_MESSAGE_RUNS_MAX);
    cr_assert_eq(message.append.runs[RAFT_MESSAGE_RUNS_MAX - 1u].count, 1);
    entries.bytes[sizeof(entries.bytes) - 1u] ^= 1u; /* what is cut off is checked, too */
    message.append.last = FIRST + TERMS - 1u;
    cr_assert_neq(
        received_check(&message, configurations, seed(), entries.bytes, TERMS * entry_bytes(8)),
        RECEIVED_OK);
}

Test(node_received, an_unreadable_configuration_is_refused)
{
    static struct changes changes;
    begin(&changes);
    add_entry(&changes, ENTRY_CONFIG, 2, (const uint8_t *)"12345678", 8);
    cr_assert_eq(check_changes(&changes), RECEIVED_MALFORMED);
}
