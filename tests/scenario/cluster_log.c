/* Logs and packets: the containers of the model. */
#include "cluster_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- logs ----------------------------------------------------------------------------------------- */

static void log_cut(struct cluster_log *log, raft_index from)
{
    assert(from > log->base);
    if (from > log->count) return;
    log->count = from - 1;
    if (log->configured <= log->count) return;
    log->configured = log->count;
    while (log->configured > 0 && log->entries[log->configured - 1].configuration == NULL) {
        log->configured--;
    }
}

void cluster__log_apply(struct cluster_log *log, const struct cluster_disk_job *job)
{
    if (job->truncate_from != 0) log_cut(log, job->truncate_from);
    for (uint32_t i = 0; i < job->count; i++) {
        assert(log->count + 1 == job->first + i);
        cluster__log_push(log, job->entries[i]);
    }
}

static void copy_first(struct cluster_log *target, const struct cluster_log *source,
                       raft_index count)
{
    target->count = 0;
    target->configured = 0;
    target->founded = source->founded;
    for (raft_index i = 0; i < count; i++) {
        cluster__log_push(target, source->entries[i]);
    }
}

void cluster__log_copy(struct cluster_log *target, const struct cluster_log *source)
{
    copy_first(target, source, source->count);
    target->base = source->base;
}

void cluster__log_copy_base(struct cluster_log *target, const struct cluster_log *source,
                            raft_index count)
{
    copy_first(target, source, count);
    target->base = count;
    target->founded = true; /* a base holds the configuration */
}

bool cluster__log_has(const struct cluster_log *log, raft_index index, uint64_t chain)
{
    return index <= log->count && cluster__log_at(log, index)->chain == chain;
}

const struct raft_configuration *cluster__log_configuration(const struct cluster *cluster,
                                                            const struct cluster_log *log,
                                                            raft_index index, raft_index *ret_index)
{
    static const struct raft_configuration empty;
    raft_index at = index < log->configured ? index : log->configured;
    while (at > 0 && log->entries[at - 1].configuration == NULL) {
        at--;
    }
    *ret_index = at;
    if (at > 0) return log->entries[at - 1].configuration;
    return log->founded ? &cluster->founding : &empty;
}

/* ---- packets -------------------------------------------------------------------------------------- */

void cluster__packets_push(struct cluster_packets *packets, struct cluster_packet packet)
{
    if (packets->count == packets->capacity) {
        packets->capacity = packets->capacity == 0 ? 64 : packets->capacity * 2;
        packets->items = realloc(packets->items, packets->capacity * sizeof packets->items[0]);
        assert(packets->items != NULL);
    }
    packets->items[packets->count++] = packet;
}

struct cluster_packet cluster__packets_take(struct cluster_packets *packets, uint32_t i)
{
    assert(i < packets->count);
    struct cluster_packet packet = packets->items[i];
    packets->count--;
    memmove(packets->items + i, packets->items + i + 1,
            (packets->count - i) * sizeof packets->items[0]);
    return packet;
}

uint32_t cluster__append_count(const struct raft_message *m)
{
    if (m->type != RAFT_MESSAGE_APPEND) return 0;
    if (m->append.last < m->append.first) return 0;
    return (uint32_t)(m->append.last - m->append.first + 1);
}

struct cluster_packet cluster_packet_copy(const struct cluster_packet *packet)
{
    struct cluster_packet copy = *packet;
    uint32_t count = cluster__append_count(&packet->message);
    copy.entries = NULL;
    if (count > 0) {
        copy.entries = cluster__allocate(count, sizeof copy.entries[0]);
        memcpy(copy.entries, packet->entries, count * sizeof copy.entries[0]);
    }
    return copy;
}

void cluster_packet_free(struct cluster_packet *packet)
{
    free(packet->entries);
    packet->entries = NULL;
}

void cluster__packets_clear(struct cluster_packets *packets)
{
    for (uint32_t i = 0; i < packets->count; i++) {
        cluster_packet_free(&packets->items[i]);
    }
    packets->count = 0;
}
