#include "received.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <segment_log/entry.h>

static bool add_run(struct raft_message *message, uint64_t index, uint64_t term)
{
    struct raft_term_run *runs = message->append.runs;
    const uint32_t count = message->append.runs_count;
    if (count > 0 && runs[count - 1].term == term) {
        runs[count - 1].count++;
        return true;
    }
    if (count == RAFT_MESSAGE_RUNS_MAX) return false;
    runs[count] = (struct raft_term_run){.first = index, .count = 1, .term = term};
    message->append.runs_count++;
    return true;
}

struct found_configurations {
    struct raft_indexed_configuration *items;
    uint32_t count;
};

static bool add_configuration(struct found_configurations *found, const struct entry_header *header,
                              const uint8_t *payload)
{
    struct raft_configuration configuration;
    if (!raft_codec_decode_configuration(payload, header->payload_bytes, &configuration)) {
        return false;
    }
    found->items[found->count++] =
        (struct raft_indexed_configuration){.index = header->index, .configuration = configuration};
    return true;
}

enum received received_check(
    struct raft_message *append,
    struct raft_indexed_configuration configurations[RAFT_MESSAGE_CONFIGURATIONS_MAX],
    uint64_t group_seed, const uint8_t *entries, size_t bytes)
{
    uint64_t chain = append->append.previous_chain;
    uint64_t index = append->append.first;
    raft_index kept_last = append->append.last;
    struct found_configurations found = {.items = configurations};
    size_t pos = 0;
    append->append.runs_count = 0;
    while (pos < bytes) {
        struct entry_header header;
        const uint8_t *payload;
        if (entry_decode(entries + pos, bytes - pos, group_seed, &header, &payload) !=
                ENTRY_DECODE_OK ||
            header.index != index || index > append->append.last || header.term > append->term) {
            return RECEIVED_MALFORMED;
        }
        if (PLANTED(L2_CHAIN_OF_ENTRIES_UNCHECKED)) chain = 0;
        if (chain != 0 && entry_chain(&header, chain) != header.chain) return RECEIVED_BROKEN_CHAIN;
        chain = header.chain;
        const bool is_configuration = header.type == ENTRY_CONFIG;
        const bool has_room = !is_configuration || found.count < RAFT_MESSAGE_CONFIGURATIONS_MAX;
        if (index <= kept_last) {
            if (!has_room || !add_run(append, index, header.term)) {
                kept_last = index - 1u;
            } else if (is_configuration && !add_configuration(&found, &header, payload)) {
                return RECEIVED_MALFORMED;
            }
        }
        pos += entry_bytes(header.payload_bytes);
        index++;
    }
    if (index != append->append.last + 1u) return RECEIVED_MALFORMED;
    append->append.last = kept_last;
    append->append.configurations = found.count > 0 ? configurations : NULL;
    append->append.configurations_count = found.count;
    return RECEIVED_OK;
}
