/* A small log for the state machines under test: builds entries and applies them in order. */
#ifndef TESTS_QUEUE_SUPPORT_H
#define TESTS_QUEUE_SUPPORT_H

#include <broker/meta.h>
#include <broker/partition.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#define TEST_BATCH_BYTES 64u

static inline void test_put_big(uint8_t *bytes, uint64_t value, uint32_t bytes_count)
{
    for (uint32_t i = 0; i < bytes_count; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (bytes_count - 1 - i)));
    }
}

/* What the state machine reads of a record batch v2. */
static inline void test_batch(const struct partition_batch_id *id, uint8_t batch[TEST_BATCH_BYTES])
{
    memset(batch, 0, TEST_BATCH_BYTES);
    batch[16] = 2;
    test_put_big(batch + 43, (uint64_t)id->producer_id, 8);
    test_put_big(batch + 51, (uint16_t)id->producer_epoch, 2);
    test_put_big(batch + 53, (uint32_t)id->base_sequence, 4);
    test_put_big(batch + 57, id->records_count, 4);
}

static inline struct entry_header test_entry(const struct partition *partition,
                                             enum entry_type type, uint32_t payload_bytes,
                                             uint32_t record_count)
{
    return (struct entry_header){
        .type = type,
        .payload_bytes = payload_bytes,
        .record_count = record_count,
        .index = partition->applied_index + 1,
        .term = 1,
        .base_offset = partition->next_offset,
        .timestamp_ms = 1000 + (int64_t)partition->applied_index,
    };
}

static inline bool test_apply(struct partition *partition, enum entry_type type,
                              const void *payload, uint32_t payload_bytes)
{
    struct entry_header header = test_entry(partition, type, payload_bytes, 0);
    return partition_apply(partition, &header, payload);
}

static inline struct partition_batch_id test_id(int64_t producer, int16_t epoch, int32_t sequence,
                                                uint32_t records)
{
    return (struct partition_batch_id){.producer_id = producer,
                                       .producer_epoch = epoch,
                                       .base_sequence = sequence,
                                       .records_count = records};
}

/* Apply a batch as the next entry; returns its base offset. */
static inline uint64_t test_apply_batch(struct partition *partition, struct partition_batch_id id)
{
    uint8_t batch[TEST_BATCH_BYTES];
    test_batch(&id, batch);
    struct entry_header header = test_entry(partition, ENTRY_DATA, sizeof batch, id.records_count);
    cr_assert(partition_apply(partition, &header, batch));
    return header.base_offset;
}

struct test_answer {
    enum partition_verdict verdict;
    uint64_t offset;
    uint64_t index;
    int32_t expected;
};

#define TEST_UNSET UINT64_C(0xdeadbeefdeadbeef)

static inline struct test_answer test_check(const struct partition *partition,
                                            struct partition_batch_id id)
{
    struct test_answer answer = {.offset = TEST_UNSET, .index = TEST_UNSET, .expected = -7};
    answer.verdict =
        partition_check(partition, &id, &answer.offset, &answer.index, &answer.expected);
    return answer;
}

#define expect_verdict(partition, id, wanted)                             \
    cr_assert_eq(test_check(partition, id).verdict, wanted, "verdict %d", \
                 (int)test_check(partition, id).verdict)

/* xorshift64: the same numbers on every machine. */
static inline uint64_t test_draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

#endif
