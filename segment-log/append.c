/* Appending in memory: the loop's side of a write. */
#include "entry.h"
#include "log.h"

#include <assert.h>
#include <string.h>

void segment_log_look_for_space(struct segment_log *log)
{
    log->space_wanted = true;
}

/* The next job looks at the free space again, so that the log recovers by itself (L11). */
static enum segment_log_status refuse_full(struct segment_log *log)
{
    segment_log_look_for_space(log);
    return SEGMENT_LOG_FULL;
}

/* What begins a term, ends a change of members, or makes room: it goes into the reserve (L11). Whoever proposes META entries
 * sends none but the last kind here. */
static bool is_taken_when_full(enum entry_type type)
{
    switch (type) {
    case ENTRY_NOOP:
    case ENTRY_CONFIG:
    case ENTRY_TRIM:
    case ENTRY_SETTINGS:
    case ENTRY_META:
        return true;
    case ENTRY_DATA:
    case ENTRY_OFFSETS:
    case ENTRY_RECOVERY:
        return false;
    }
    return false;
}

bool segment_log_is_taken_when_full(const uint8_t *encoded, size_t bytes)
{
    for (size_t pos = 0; pos < bytes;) {
        struct entry_header header;
        if (bytes - pos < ENTRY_HEADER_BYTES) return false;
        entry__parse(encoded + pos, &header);
        const size_t size = entry_bytes(header.payload_bytes);
        if (size > bytes - pos || !is_taken_when_full(header.type)) return false;
        pos += size;
    }
    return true;
}

/* Undo entries that were added since the log ended at `old`. */
static void roll_back(struct segment_log *log, const struct segment_log_point *old,
                      uint64_t old_unflushed_bytes)
{
    cache__cut(&log->cache, old->index + 1);
    log__cut_runs(log, old->index + 1);
    log->last = *old;
    log->unflushed_bytes = old_unflushed_bytes;
}

static void advance(struct segment_log *log, const struct entry_header *header, size_t bytes)
{
    cache__add(&log->cache, header, bytes);
    log__add_term(log, header->index, header->term);
    log->last = (struct segment_log_point){
        .index = header->index,
        .term = header->term,
        .chain = header->chain,
        .next_offset = header->base_offset + header->record_count,
        .timestamp_ms = header->timestamp_ms,
    };
    log->unflushed_bytes += bytes;
}

static enum segment_log_status append_one(struct segment_log *log, uint64_t term,
                                          const struct segment_log_entry *entry)
{
    struct entry_header header = {
        .type = entry->type,
        .payload_bytes = entry->payload_bytes,
        .record_count = entry->record_count,
        .index = log->last.index + 1,
        .term = term,
        .base_offset = log->last.next_offset,
        .timestamp_ms = entry->timestamp_ms,
    };
    if (!entry__fields_are_valid(&header)) return SEGMENT_LOG_BAD_ENTRY;
    if (entry->timestamp_ms < log->last.timestamp_ms) return SEGMENT_LOG_BAD_ENTRY;
    if (entry->type == ENTRY_DATA &&
        !entry__stamp_matches(entry->payload, entry->payload_bytes, header.base_offset, term)) {
        return SEGMENT_LOG_BAD_ENTRY;
    }
    size_t bytes = entry_bytes(entry->payload_bytes);
    if (!log__reserve_run(log)) return SEGMENT_LOG_FULL;
    uint8_t *place = cache__place(&log->cache, bytes);
    if (!place) return SEGMENT_LOG_FULL;
    header.payload_hash = entry_payload_hash(entry->type, entry->payload, entry->payload_bytes);
    entry_encode_header(&header, log->seed, log->last.chain, place);
    size_t end = ENTRY_HEADER_BYTES + (size_t)entry->payload_bytes;
    if (entry->payload_bytes > 0) {
        memcpy(place + ENTRY_HEADER_BYTES, entry->payload, entry->payload_bytes);
    }
    memset(place + end, 0, bytes - end);
    advance(log, &header, bytes);
    return SEGMENT_LOG_OK;
}

enum segment_log_status segment_log_append(struct segment_log *log, uint64_t term,
                                           const struct segment_log_entry *entries,
                                           uint32_t entries_count, uint64_t *ret_last_index)
{
    assert(entries_count > 0);
    assert(term >= log->last.term);
    if (log->broken) return SEGMENT_LOG_IO;
    bool is_taken = true;
    for (uint32_t i = 0; i < entries_count; i++)
        is_taken = is_taken && is_taken_when_full(entries[i].type);
    if (log->full && !is_taken) return refuse_full(log);
    struct segment_log_point old = log->last;
    uint64_t old_unflushed_bytes = log->unflushed_bytes;
    for (uint32_t i = 0; i < entries_count; i++) {
        enum segment_log_status status = append_one(log, term, &entries[i]);
        if (status != SEGMENT_LOG_OK) {
            roll_back(log, &old, old_unflushed_bytes);
            return status;
        }
    }
    cache__evict(&log->cache, log->durable_index);
    *ret_last_index = log->last.index;
    return SEGMENT_LOG_OK;
}

/* Check every entry before the first one is copied. */
static enum segment_log_status check_encoded(const struct segment_log *log, const uint8_t *encoded,
                                             size_t bytes, bool *ret_taken_when_full)
{
    *ret_taken_when_full = true;
    struct segment_log_point at = log->last;
    size_t pos = 0;
    while (pos < bytes) {
        struct entry_header header;
        const uint8_t *payload;
        if (entry_decode(encoded + pos, bytes - pos, log->seed, &header, &payload) !=
            ENTRY_DECODE_OK) {
            return SEGMENT_LOG_BAD_ENTRY;
        }
        if (header.index != at.index + 1) return SEGMENT_LOG_BAD_ENTRY;
        if (header.chain != entry_chain(&header, at.chain)) return SEGMENT_LOG_BROKEN_CHAIN;
        if (header.term < at.term || header.base_offset != at.next_offset ||
            header.timestamp_ms < at.timestamp_ms) {
            return SEGMENT_LOG_BAD_ENTRY;
        }
        *ret_taken_when_full = *ret_taken_when_full && is_taken_when_full(header.type);
        at = (struct segment_log_point){header.index, header.term, header.chain,
                                        header.base_offset + header.record_count,
                                        header.timestamp_ms};
        pos += entry_bytes(header.payload_bytes);
    }
    return SEGMENT_LOG_OK;
}

enum segment_log_status segment_log_append_encoded(struct segment_log *log, const uint8_t *encoded,
                                                   size_t bytes)
{
    assert(bytes > 0);
    if (log->broken) return SEGMENT_LOG_IO;
    bool is_taken = false;
    enum segment_log_status status = check_encoded(log, encoded, bytes, &is_taken);
    if (log->full && !(status == SEGMENT_LOG_OK && is_taken)) return refuse_full(log);
    if (status != SEGMENT_LOG_OK) return status;
    struct segment_log_point old = log->last;
    uint64_t old_unflushed_bytes = log->unflushed_bytes;
    for (size_t pos = 0; pos < bytes;) {
        struct entry_header header;
        entry__parse(encoded + pos, &header);
        size_t size = entry_bytes(header.payload_bytes);
        uint8_t *place = log__reserve_run(log) ? cache__place(&log->cache, size) : NULL;
        if (!place) {
            roll_back(log, &old, old_unflushed_bytes);
            return SEGMENT_LOG_FULL;
        }
        memcpy(place, encoded + pos, size);
        advance(log, &header, size);
        pos += size;
    }
    cache__evict(&log->cache, log->durable_index);
    return SEGMENT_LOG_OK;
}
