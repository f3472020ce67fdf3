/* The producer table of a partition: what apply() notes about idempotent batches, and eviction (PROTOCOL P2, P3).
 *
 * apply() judges nothing: whether a batch may enter the log was decided before it was appended (P1), and the log is the
 * topic. It notes what came, from the log alone, so every replica holds the same table. */
#include "partition_state.h"

#include <planted/planted.h>

#include "codec.h"

#include <assert.h>

#define PRODUCER_VERSION      1u
#define PRODUCER_FIXED_BYTES  20u
#define PRODUCER_BATCH_BYTES  16u
#define PRODUCER_RECORD_BYTES (PRODUCER_FIXED_BYTES + PARTITION_BATCHES_KEPT * PRODUCER_BATCH_BYTES)

/* Fields of a record batch v2 that the table needs, big endian (docs/FORMATS.md). */
#define BATCH_HEADER_BYTES       61u
#define BATCH_PRODUCER_ID_POS    43u
#define BATCH_PRODUCER_EPOCH_POS 51u
#define BATCH_BASE_SEQUENCE_POS  53u
#define BATCH_RECORD_COUNT_POS   57u

/* ---- records of the table --------------------------------------------------------------------------------------- */

static bool decode(struct tree_slice value, struct producer *ret_producer)
{
    struct reader reader = reader_of(value.data, value.bytes);
    struct producer producer = {0};
    uint8_t version = reader_u8(&reader);
    producer.batches_count = reader_u8(&reader);
    producer.epoch = (int16_t)reader_u16(&reader);
    producer.last_use_index = reader_u64(&reader);
    producer.records_total = reader_u64(&reader);
    if (reader.bad || version != PRODUCER_VERSION || producer.epoch < 0) return false;
    if (producer.batches_count < 1 || producer.batches_count > PARTITION_BATCHES_KEPT) return false;

    uint64_t records = 0;
    for (uint32_t i = 0; i < producer.batches_count; i++) {
        struct producer_batch *batch = &producer.batches[i];
        batch->first_sequence = reader_u32(&reader);
        batch->last_sequence = reader_u32(&reader);
        batch->base_offset = reader_u64(&reader);
        if (batch->first_sequence > SEQUENCE_MASK || batch->last_sequence > SEQUENCE_MASK)
            return false;
        records += sequence_distance(batch->first_sequence, batch->last_sequence) + 1u;
    }
    if (!reader_is_done(&reader) || records > producer.records_total) return false;
    *ret_producer = producer;
    return true;
}

static uint32_t encode(const struct producer *producer, uint8_t buffer[PRODUCER_RECORD_BYTES])
{
    struct writer writer = writer_of(buffer, PRODUCER_RECORD_BYTES);
    writer_u8(&writer, PRODUCER_VERSION);
    writer_u8(&writer, (uint8_t)producer->batches_count);
    writer_u16(&writer, (uint16_t)producer->epoch);
    writer_u64(&writer, producer->last_use_index);
    writer_u64(&writer, producer->records_total);
    assert(writer.bytes == PRODUCER_FIXED_BYTES);
    for (uint32_t i = 0; i < producer->batches_count; i++) {
        writer_u32(&writer, producer->batches[i].first_sequence);
        writer_u32(&writer, producer->batches[i].last_sequence);
        writer_u64(&writer, producer->batches[i].base_offset);
    }
    assert(writer.bytes <= PRODUCER_RECORD_BYTES);
    return (uint32_t)writer.bytes;
}

bool producer__is_sound(struct tree_slice value, uint64_t *ret_last_use_index)
{
    struct producer producer;
    if (!decode(value, &producer)) return false;
    *ret_last_use_index = producer.last_use_index;
    return true;
}

bool producer__load(const struct partition *partition, int64_t producer_id,
                    struct producer *ret_producer)
{
    assert(producer_id >= 0);
    uint8_t buffer[STATE_NUMBER_KEY_BYTES];
    struct tree_slice key = state__number_key(buffer, STATE_PRODUCER, (uint64_t)producer_id), value;
    if (!tree_get(partition->state, key, &value)) return false;
    bool is_sound = decode(value, ret_producer);
    assert(is_sound);
    return is_sound;
}

static void store(struct partition *partition, int64_t producer_id, const struct producer *producer)
{
    uint8_t key_buffer[STATE_NUMBER_KEY_BYTES], value[PRODUCER_RECORD_BYTES];
    struct tree_slice key = state__number_key(key_buffer, STATE_PRODUCER, (uint64_t)producer_id);
    tree_put(&partition->state, key,
             (struct tree_slice){.data = value, .bytes = encode(producer, value)});
}

static void store_last_use(struct partition *partition, uint64_t index, int64_t producer_id)
{
    uint8_t key[STATE_NUMBER_KEY_BYTES], value[8];
    put_u64_big(value, (uint64_t)producer_id);
    tree_put(&partition->state, state__number_key(key, STATE_LAST_USE, index),
             (struct tree_slice){.data = value, .bytes = sizeof value});
}

static void remove_key(struct partition *partition, uint8_t tag, uint64_t number)
{
    uint8_t key[STATE_NUMBER_KEY_BYTES];
    bool was_there = tree_remove(&partition->state, state__number_key(key, tag, number));
    assert(was_there);
    (void)was_there;
}

/* ---- eviction (P3) ------------------------------------------------------------------------------------------------ */

struct least_recent {
    bool found;
    uint64_t last_use_index;
    int64_t producer_id;
};

static bool take_least_recent(void *data, struct tree_slice key, struct tree_slice value)
{
    struct least_recent *least_recent = data;
    assert(key.bytes == STATE_NUMBER_KEY_BYTES);
    assert(value.bytes == 8);
    least_recent->found = true;
    least_recent->last_use_index = get_u64_big((const uint8_t *)key.data + 1);
    least_recent->producer_id = (int64_t)get_u64_big(value.data);
    return false;
}

static void evict_least_recent(struct partition *partition, struct partition_counters *counters)
{
    uint8_t tag = STATE_LAST_USE;
    struct tree_slice prefix = {.data = &tag, .bytes = 1};
    struct least_recent least_recent = {0};
    tree_visit(partition->state, prefix, prefix, take_least_recent, &least_recent);
    assert(least_recent.found);

    remove_key(partition, STATE_LAST_USE, least_recent.last_use_index);
    remove_key(partition, STATE_PRODUCER, (uint64_t)least_recent.producer_id);
    counters->producers_count--;
    /* The evicted producer is forgotten, so a retry of it could not be told from a new batch: it and everybody who
     * might be confused with it must take a new id. */
    if (PLANTED(P3_EVICTION_FENCES_NOBODY)) return;
    if (least_recent.producer_id > counters->fenced_below) {
        counters->fenced_below = least_recent.producer_id;
    }
}

/* ---- apply ---------------------------------------------------------------------------------------------------------- */

static uint32_t get_u32_big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool read_batch_id(const struct entry_header *header, const uint8_t *payload,
                          struct partition_batch_id *ret_batch)
{
    if (header->payload_bytes < BATCH_HEADER_BYTES) return false;
    const uint8_t *epoch = payload + BATCH_PRODUCER_EPOCH_POS;
    struct partition_batch_id batch = {
        .producer_id = (int64_t)get_u64_big(payload + BATCH_PRODUCER_ID_POS),
        .producer_epoch = (int16_t)((uint16_t)epoch[0] << 8 | epoch[1]),
        .base_sequence = (int32_t)get_u32_big(payload + BATCH_BASE_SEQUENCE_POS),
        .records_count = get_u32_big(payload + BATCH_RECORD_COUNT_POS),
    };
    if (batch.records_count != header->record_count) return false;
    if (batch.records_count == 0 || batch.records_count > SEQUENCE_MASK) return false;
    if (batch.producer_id >= 0 && (batch.producer_epoch < 0 || batch.base_sequence < 0))
        return false;
    *ret_batch = batch;
    return true;
}

static bool follows(const struct producer *producer, const struct producer_batch *batch)
{
    const struct producer_batch *last = &producer->batches[producer->batches_count - 1u];
    return batch->first_sequence == sequence_add(last->last_sequence, 1);
}

static void note_batch(struct producer *producer, int16_t epoch, const struct producer_batch *batch,
                       uint32_t records_count)
{
    if (producer->epoch != epoch || !follows(producer, batch)) {
        /* A new epoch, or a producer whose record was evicted while this batch was in flight: it counts from 0, so
         * what lies below this batch was written, at offsets that are not known any more. */
        producer->epoch = epoch;
        producer->batches_count = 0;
        producer->records_total = batch->first_sequence;
    }
    uint32_t kept = PLANTED(P2_TWO_BATCHES_ARE_KEPT) ? 2 : PARTITION_BATCHES_KEPT;
    if (producer->batches_count == kept) {
        producer->batches_count--;
        memmove(producer->batches, producer->batches + 1,
                producer->batches_count * sizeof producer->batches[0]);
    }
    producer->batches[producer->batches_count++] = *batch;
    producer->records_total += records_count;
}

bool producer__apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload)
{
    struct partition_batch_id id;
    if (!read_batch_id(header, payload, &id)) return false;
    if (id.producer_id < 0) return true;
    if (PLANTED(B32_FOLLOWERS_FORGET_SEQUENCES) && !partition->overlay) return true;

    uint32_t first = (uint32_t)id.base_sequence;
    struct producer_batch batch = {
        .first_sequence = first,
        .last_sequence = sequence_add(first, id.records_count - 1u),
        .base_offset = header->base_offset,
    };
    struct producer producer;
    bool is_known = producer__load(partition, id.producer_id, &producer);
    if (is_known) {
        /* No leader appends a batch of an older epoch; if one stands in the log all the same, the newest epoch stays
         * what it is. */
        if (id.producer_epoch < producer.epoch) return true;
        remove_key(partition, STATE_LAST_USE, producer.last_use_index);
    } else {
        producer = (struct producer){.epoch = -1};
    }
    note_batch(&producer, id.producer_epoch, &batch, id.records_count);
    producer.last_use_index = header->index;
    store(partition, id.producer_id, &producer);
    store_last_use(partition, header->index, id.producer_id);

    if (!is_known) {
        struct partition_counters counters;
        counters__load(partition, &counters);
        counters.producers_count++;
        if (counters.producers_count > PARTITION_PRODUCERS_MAX)
            evict_least_recent(partition, &counters);
        counters__store(partition, &counters);
    }
    return true;
}
