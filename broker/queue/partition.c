/* apply() of a partition: one entry in, a new version of the state out. The parts are producer.c, offsets.c and
 * settings.c; here stand the frame around them, the counters, trimming, and the check of a loaded state. */
#include "partition_state.h"

#include <planted/planted.h>

#include "codec.h"

#include <assert.h>

#define COUNTERS_VERSION 1u
#define COUNTERS_BYTES   28u
#define TRIM_VERSION     1u

struct tree_slice state__number_key(uint8_t *buffer, uint8_t tag, uint64_t number)
{
    buffer[0] = tag;
    put_u64_big(buffer + 1, number);
    return (struct tree_slice){.data = buffer, .bytes = STATE_NUMBER_KEY_BYTES};
}

/* ---- counters --------------------------------------------------------------------------------------------------- */

static const struct tree_slice counters_key = {.data = (const uint8_t[]){STATE_COUNTERS},
                                               .bytes = 1};

static bool decode_counters(struct tree_slice value, struct partition_counters *ret_counters)
{
    struct reader reader = reader_of(value.data, value.bytes);
    uint16_t version = reader_u16(&reader);
    uint16_t zero = reader_u16(&reader);
    struct partition_counters counters = {.fenced_below = reader_i64(&reader)};
    counters.producers_count = reader_u32(&reader);
    counters.groups_count = reader_u32(&reader);
    counters.trimmed_index = reader_u64(&reader);
    if (!reader_is_done(&reader) || version != COUNTERS_VERSION || zero != 0) return false;
    if (counters.fenced_below < -1) return false;
    if (counters.producers_count > PARTITION_PRODUCERS_MAX) return false;
    *ret_counters = counters;
    return true;
}

static bool counters_are_sound(struct tree_slice value)
{
    struct partition_counters counters;
    return decode_counters(value, &counters);
}

void counters__load(const struct partition *partition, struct partition_counters *ret_counters)
{
    struct tree_slice value;
    *ret_counters = (struct partition_counters){.fenced_below = -1};
    if (!tree_get(partition->state, counters_key, &value)) return;
    bool is_sound = decode_counters(value, ret_counters);
    assert(is_sound);
    (void)is_sound;
}

void counters__store(struct partition *partition, const struct partition_counters *counters)
{
    uint8_t buffer[COUNTERS_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    writer_u16(&writer, COUNTERS_VERSION);
    writer_u16(&writer, 0);
    writer_i64(&writer, counters->fenced_below);
    writer_u32(&writer, counters->producers_count);
    writer_u32(&writer, counters->groups_count);
    writer_u64(&writer, counters->trimmed_index);
    assert(writer.bytes == sizeof buffer);
    tree_put(&partition->state, counters_key,
             (struct tree_slice){.data = buffer, .bytes = sizeof buffer});
}

/* ---- trimming --------------------------------------------------------------------------------------------------- */

size_t partition_encode_trim(enum partition_trim_rule rule, uint64_t up_to_index,
                             uint64_t log_start_offset, uint8_t *buffer, size_t buffer_bytes)
{
    struct writer writer = writer_of(buffer, buffer_bytes);
    writer_u16(&writer, TRIM_VERSION);
    writer_u16(&writer, (uint16_t)rule);
    writer_u32(&writer, 0);
    writer_u64(&writer, up_to_index);
    writer_u64(&writer, log_start_offset);
    assert(writer.bytes == PARTITION_TRIM_BYTES);
    return writer.bytes;
}

/* S4: a durable group may have gone back, or come, since the leader looked. */
static void clamp_to_durable(const struct partition *partition, uint64_t *up_to_index,
                             uint64_t *log_start_offset)
{
    uint64_t lowest = 0;
    (void)partition_durable_lowest(partition, &lowest);
    if (*log_start_offset <= lowest || PLANTED(S4_CONSUMED_TRIM_IS_NOT_CLAMPED)) return;
    *log_start_offset = lowest;
    *up_to_index =
        0; /* the entry in front of that offset is not known here: the next TRIM names it */
}

static bool trim_apply(struct partition *partition, const struct entry_header *header,
                       const uint8_t *payload)
{
    struct reader reader = reader_of(payload, header->payload_bytes);
    uint16_t version = reader_u16(&reader);
    uint16_t rule = reader_u16(&reader);
    uint32_t zero = reader_u32(&reader);
    uint64_t up_to_index = reader_u64(&reader);
    uint64_t log_start_offset = reader_u64(&reader);
    if (!reader_is_done(&reader)) return false;
    if (version != TRIM_VERSION || zero != 0) return false;
    if (rule != PARTITION_TRIM_RETENTION && rule != PARTITION_TRIM_CONSUMED) return false;
    /* It trims what stands before it, never itself or what follows. */
    if (up_to_index >= header->index || log_start_offset > header->base_offset) return false;
    if (rule == PARTITION_TRIM_CONSUMED)
        clamp_to_durable(partition, &up_to_index, &log_start_offset);

    struct partition_counters counters;
    counters__load(partition, &counters);
    if (up_to_index > counters.trimmed_index) {
        counters.trimmed_index = up_to_index;
        counters__store(partition, &counters);
        partition->trimmed_index = up_to_index;
    }
    if (log_start_offset > partition->log_start_offset)
        partition->log_start_offset = log_start_offset;
    return true;
}

uint64_t partition_trimmed_index(const struct partition *partition)
{
    return partition->trimmed_index;
}

uint64_t partition_trimmed_index_of_state(struct tree *state)
{
    const struct partition partition = {.state = state};
    struct partition_counters counters;
    counters__load(&partition, &counters);
    return counters.trimmed_index;
}

/* ---- life cycle --------------------------------------------------------------------------------------------------- */

void partition_init(struct partition *partition)
{
    *partition = (struct partition){0};
}

void partition_close(struct partition *partition)
{
    if (!partition) return;
    tree_unref(partition->state);
    overlay__destroy(partition->overlay);
    *partition = (struct partition){0};
}

struct restore {
    const struct tree *state;
    uint64_t index;
    uint64_t producers_count, last_uses_count, groups_count;
    uint64_t durables_count, durable_keys_count;
    bool bad;
};

/* A producer's last use stands under its own key and leads back to it. */
static bool is_last_use_sound(const struct restore *restore, struct tree_slice key,
                              uint64_t last_use_index)
{
    uint8_t buffer[STATE_NUMBER_KEY_BYTES];
    struct tree_slice value;
    if (last_use_index > restore->index) return false;
    if (!tree_get(restore->state, state__number_key(buffer, STATE_LAST_USE, last_use_index),
                  &value)) {
        return false;
    }
    return value.bytes == 8 && memcmp(value.data, (const uint8_t *)key.data + 1, 8) == 0;
}

static bool is_pair_sound(struct restore *restore, struct tree_slice key, struct tree_slice value)
{
    const uint8_t *bytes = key.data;
    uint64_t last_use_index;
    bool is_durable;
    switch (key.bytes > 0 ? bytes[0] : 0) {
    case STATE_COUNTERS:
        return key.bytes == 1 && counters_are_sound(value);
    case STATE_SETTINGS:
        return key.bytes == 1 && settings__is_sound(value);
    case STATE_OFFSET:
        restore->groups_count++;
        if (!offsets__is_sound(key, value, &is_durable)) return false;
        if (is_durable) restore->durables_count++;
        return true;
    case STATE_DURABLE:
        restore->durable_keys_count++;
        return offsets__is_durable_key_sound(restore->state, key, value);
    case STATE_PRODUCER:
        restore->producers_count++;
        return key.bytes == STATE_NUMBER_KEY_BYTES && bytes[1] < 0x80 &&
               producer__is_sound(value, &last_use_index) &&
               is_last_use_sound(restore, key, last_use_index);
    case STATE_LAST_USE:
        restore->last_uses_count++;
        return key.bytes == STATE_NUMBER_KEY_BYTES && value.bytes == 8;
    default:
        return false;
    }
}

static bool check_pair(void *data, struct tree_slice key, struct tree_slice value)
{
    struct restore *restore = data;
    restore->bad = !is_pair_sound(restore, key, value);
    return !restore->bad;
}

bool partition_restore(struct partition *partition, struct tree *state, uint64_t index,
                       uint64_t next_offset, uint64_t log_start_offset, int64_t timestamp_ms)
{
    partition_close(partition);
    struct restore restore = {.state = state, .index = index};
    struct tree_slice none = {0};
    tree_visit(state, none, none, check_pair, &restore);
    if (restore.bad || log_start_offset > next_offset) {
        tree_unref(state);
        return false;
    }
    *partition = (struct partition){
        .state = state,
        .applied_index = index,
        .applied_timestamp_ms = timestamp_ms,
        .next_offset = next_offset,
        .log_start_offset = log_start_offset,
    };
    struct partition_counters counters;
    counters__load(partition, &counters);
    if (counters.producers_count != restore.producers_count ||
        restore.last_uses_count != restore.producers_count ||
        counters.groups_count != restore.groups_count ||
        restore.durable_keys_count != restore.durables_count) {
        partition_close(partition);
        return false;
    }
    partition->trimmed_index = counters.trimmed_index;
    return true;
}

/* ---- apply ---------------------------------------------------------------------------------------------------------- */

static bool apply_payload(struct partition *partition, const struct entry_header *header,
                          const uint8_t *payload)
{
    switch (header->type) {
    case ENTRY_DATA:
        return producer__apply(partition, header, payload);
    case ENTRY_NOOP:
    case ENTRY_CONFIG: /* the core's business */
        return true;
    case ENTRY_OFFSETS:
        return offsets__apply(partition, header, payload);
    case ENTRY_SETTINGS:
        return settings__apply(partition, header, payload);
    case ENTRY_TRIM:
        return trim_apply(partition, header, payload);
    case ENTRY_RECOVERY:
    case ENTRY_META:
        return false;
    }
    return false; /* a number that this version has no name for */
}

bool partition_apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload)
{
    assert(header->index == partition->applied_index + 1u);
    if (header->base_offset != partition->next_offset) return false;
    if ((header->type == ENTRY_DATA) != (header->record_count > 0)) return false;
    if (!apply_payload(partition, header, payload)) return false;

    partition->applied_index = header->index;
    partition->applied_timestamp_ms = header->timestamp_ms;
    partition->next_offset += header->record_count;
    overlay__applied(partition->overlay, header->index);
    return true;
}
