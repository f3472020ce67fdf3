#include "received.h"

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

enum received received_check(struct raft_message *append, uint64_t group_seed,
                             const uint8_t *entries, size_t bytes)
{
    uint64_t chain = append->append.previous_chain;
    uint64_t index = append->append.first;
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
        if (chain != 0 && entry_chain(&header, chain) != header.chain) return RECEIVED_BROKEN_CHAIN;
        chain = header.chain;
        if (!add_run(append, index, header.term)) return RECEIVED_MALFORMED;
        pos += entry_bytes(header.payload_bytes);
        index++;
    }
    return index == append->append.last + 1u ? RECEIVED_OK : RECEIVED_MALFORMED;
}
