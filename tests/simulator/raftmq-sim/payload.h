/* What messages are made of: a value that is sent once in the whole run, and bytes that follow from it. */
#ifndef RAFTMQ_SIM_PAYLOAD_H
#define RAFTMQ_SIM_PAYLOAD_H

#include <history_checker.h>
#include <segment_log/segment_log.h>
#include <stddef.h>
#include <stdint.h>

/* A record batch with the values value .. value + count - 1, malloc'ed. producer_id -1: none. */
uint8_t *payload_batch(uint64_t value, uint32_t count, uint32_t value_bytes, int64_t producer_id,
                       int16_t epoch, int32_t sequence, size_t *ret_bytes);

/* The messages of a view from from_offset on as runs of following offsets and values, malloc'ed. Fails when a byte is
 * not as it was sent. */
struct history_run *payload_runs(const struct segment_log_view *view, uint64_t from_offset,
                                 uint32_t *ret_runs_count, uint64_t *ret_messages_count);

#endif
