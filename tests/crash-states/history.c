#include "history.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void history_init(struct history *history)
{
    *history = (struct history){.promise = {.durable = NOBODY, .installed = NOBODY}};
    history->promise.records_count = 1; /* the first: none */
}

void history_close(struct history *history)
{
    for (uint32_t i = 0; i < history->count; i++) {
        free(history->entries[i].payload);
    }
    free(history->entries);
    history->entries = NULL;
}

uint64_t history_digest(uint64_t before, const struct entry_header *header)
{
    const uint64_t parts[4] = {before, header->index, (uint64_t)header->type, header->payload_hash};
    return checksum64(parts, sizeof parts);
}

static struct past_entry *add(struct history *history)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? 2 * history->capacity : 256;
        history->entries = realloc(history->entries, history->capacity * sizeof *history->entries);
        if (!history->entries) abort();
    }
    return &history->entries[history->count++];
}

uint32_t history_add_root(struct history *history, const struct segment_log_point *point,
                          uint64_t digest)
{
    *add(history) = (struct past_entry){.point = *point, .parent = NOBODY, .digest = digest};
    return history->count - 1;
}

uint32_t history_add(struct history *history, uint32_t parent, const struct entry_header *header,
                     const uint8_t *payload)
{
    struct past_entry *entry = add(history);
    *entry = (struct past_entry){
        .point = {.index = header->index,
                  .term = header->term,
                  .chain = header->chain,
                  .next_offset = header->base_offset + header->record_count,
                  .timestamp_ms = header->timestamp_ms},
        .parent = parent,
        .digest = history_digest(history->entries[parent].digest, header),
        .type = header->type,
        .payload = malloc(header->payload_bytes + 1u),
        .payload_bytes = header->payload_bytes,
    };
    assert(history->entries[parent].point.index + 1 == header->index);
    if (!entry->payload) abort();
    memcpy(entry->payload, payload, header->payload_bytes);
    return history->count - 1;
}

uint32_t history_find(const struct history *history, uint64_t index, uint64_t chain)
{
    for (uint32_t i = history->count; i > 0; i--) {
        const struct segment_log_point *point = &history->entries[i - 1].point;
        if (point->chain == chain && point->index == index) return i - 1;
    }
    return NOBODY;
}

uint32_t history_at(const struct history *history, uint32_t tip, uint64_t index)
{
    while (tip != NOBODY && history->entries[tip].point.index > index) {
        tip = history->entries[tip].parent;
    }
    if (tip == NOBODY || history->entries[tip].point.index != index) return NOBODY;
    return tip;
}

const char *history_judge_tip(const struct history *history, uint32_t tip)
{
    const struct promise *promise = &history->promise;
    if (promise->installed != NOBODY && tip == promise->installed) return NULL;
    const uint64_t durable_index = history->entries[promise->durable].point.index;
    while (tip != promise->durable) {
        const struct past_entry *entry = &history->entries[tip];
        if (entry->point.index <= durable_index) return "it lacks an entry that was durable";
        if (entry->is_dead) return "an entry that was cut is back";
        if (entry->parent == NOBODY) return "it lacks an entry that was durable";
        tip = entry->parent;
    }
    return NULL;
}

static bool records_are_equal(const struct node_record *a, const struct node_record *b)
{
    return a->group == b->group && a->epoch == b->epoch && a->state == b->state &&
           a->meta_index == b->meta_index && a->term == b->term && a->vote_node == b->vote_node &&
           a->vote_epoch == b->vote_epoch;
}

const char *history_judge_record(const struct history *history, const struct node_record *record)
{
    const struct promise *promise = &history->promise;
    for (uint32_t i = promise->records_count; i > 0; i--) {
        if (!records_are_equal(&promise->records[i - 1], record)) continue;
        return i - 1 >= promise->record_durable ? NULL : "a vote that was durable is gone";
    }
    return "there never was such a vote";
}
