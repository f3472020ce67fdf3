/* apply() of a partition: types, trimming, settings, replay, and states that must not be trusted. */
#include "queue_support.h"

#include <stdio.h>

static const struct meta_settings settings = {.message_bytes_max = 1048576,
                                              .retention_ms = -1,
                                              .retention_bytes = 5000000000,
                                              .local_reads = true};

static void apply_offset(struct partition *partition, const char *group, uint64_t offset)
{
    uint8_t payload[512];
    struct partition_commit commit = {.group = group, .offset = offset, .generation = -1};
    size_t bytes = partition_encode_offsets(&commit, 1, payload, sizeof payload);
    cr_assert(test_apply(partition, ENTRY_OFFSETS, payload, (uint32_t)bytes));
}

static void apply_trim(struct partition *partition, uint64_t up_to_index, uint64_t log_start_offset)
{
    uint8_t payload[PARTITION_TRIM_BYTES];
    size_t bytes = partition_encode_trim(PARTITION_TRIM_RETENTION, up_to_index, log_start_offset,
                                         payload, sizeof payload);
    cr_assert_eq(bytes, sizeof payload);
    cr_assert(test_apply(partition, ENTRY_TRIM, payload, (uint32_t)bytes));
}

static void apply_settings(struct partition *partition)
{
    uint8_t payload[PARTITION_SETTINGS_BYTES];
    cr_assert_eq(partition_encode_settings(&settings, payload, sizeof payload), sizeof payload);
    cr_assert(test_apply(partition, ENTRY_SETTINGS, payload, sizeof payload));
}

/* A little of everything. */
static void fill(struct partition *partition)
{
    char group[16];
    for (int32_t i = 0; i < 200; i++) {
        test_apply_batch(partition, test_id(1 + i % 7, 0, i / 7 * 2, 2));
        snprintf(group, sizeof group, "group-%d", i % 13);
        if (i % 3 == 0) apply_offset(partition, group, (uint64_t)i);
        if (i % 50 == 0) cr_assert(test_apply(partition, ENTRY_NOOP, NULL, 0));
    }
    apply_settings(partition);
    apply_trim(partition, 20, 30);
}

Test(partition_apply, only_data_takes_offsets)
{
    struct partition partition;
    partition_init(&partition);
    cr_assert(test_apply(&partition, ENTRY_NOOP, NULL, 0));
    cr_assert(test_apply(&partition, ENTRY_CONFIG, "anything", 8));
    cr_assert_eq(partition.next_offset, 0);
    cr_assert_eq(test_apply_batch(&partition, test_id(-1, -1, -1, 3)), 0);
    apply_offset(&partition, "g", 1);
    cr_assert_eq(test_apply_batch(&partition, test_id(-1, -1, -1, 2)), 3);
    cr_assert_eq(partition.next_offset, 5);
    cr_assert_eq(partition.applied_index, 5);
    cr_assert_eq(partition.applied_timestamp_ms, 1004);
    partition_close(&partition);
}

Test(partition_apply, unknown_and_malformed_entries_are_refused_and_change_nothing)
{
    struct partition partition;
    partition_init(&partition);
    fill(&partition);
    uint64_t digest = tree_digest(partition.state), index = partition.applied_index;
    uint8_t batch[TEST_BATCH_BYTES], trim[PARTITION_TRIM_BYTES];
    struct partition_batch_id id = test_id(3, 0, 58, 2);
    test_batch(&id, batch);

    cr_assert_not(test_apply(&partition, ENTRY_META, batch, sizeof batch));
    cr_assert_not(test_apply(&partition, ENTRY_RECOVERY, batch, sizeof batch));
    cr_assert_not(test_apply(&partition, (enum entry_type)99, batch, sizeof batch));
    cr_assert_not(test_apply(&partition, ENTRY_DATA, batch, sizeof batch), "no record count");
    cr_assert_not(test_apply(&partition, ENTRY_SETTINGS, batch, 24));
    cr_assert_not(test_apply(&partition, ENTRY_OFFSETS, batch, sizeof batch));

    struct entry_header header = test_entry(&partition, ENTRY_DATA, sizeof batch, 3);
    cr_assert_not(partition_apply(&partition, &header, batch), "another count than the batch");
    header = test_entry(&partition, ENTRY_DATA, 60, 2);
    cr_assert_not(partition_apply(&partition, &header, batch), "shorter than a batch header");
    header = test_entry(&partition, ENTRY_DATA, sizeof batch, 2);
    header.base_offset++;
    cr_assert_not(partition_apply(&partition, &header, batch), "a gap in the offsets");
    header = test_entry(&partition, ENTRY_NOOP, 0, 1);
    cr_assert_not(partition_apply(&partition, &header, NULL), "a count without data");
    id.producer_epoch = -1;
    test_batch(&id, batch);
    header = test_entry(&partition, ENTRY_DATA, sizeof batch, 2);
    cr_assert_not(partition_apply(&partition, &header, batch), "a producer without an epoch");

    partition_encode_trim(PARTITION_TRIM_RETENTION, index + 1, 5, trim, sizeof trim);
    cr_assert_not(test_apply(&partition, ENTRY_TRIM, trim, sizeof trim), "trims itself");
    partition_encode_trim(PARTITION_TRIM_RETENTION, 1, partition.next_offset + 1, trim,
                          sizeof trim);
    cr_assert_not(test_apply(&partition, ENTRY_TRIM, trim, sizeof trim), "trims what is to come");
    partition_encode_trim(PARTITION_TRIM_RETENTION, 1, 1, trim, sizeof trim);
    trim[2] = 3;
    cr_assert_not(test_apply(&partition, ENTRY_TRIM, trim, sizeof trim), "an unknown rule");

    cr_assert_eq(tree_digest(partition.state), digest);
    cr_assert_eq(partition.applied_index, index);
    partition_close(&partition);
}

Test(partition_apply, a_trim_only_ever_raises_the_log_start)
{
    struct partition partition;
    partition_init(&partition);
    for (uint32_t i = 0; i < 10; i++)
        test_apply_batch(&partition, test_id(-1, -1, -1, 10));
    apply_trim(&partition, 5, 50);
    cr_assert_eq(partition.log_start_offset, 50);
    cr_assert_eq(partition_trimmed_index(&partition), 5);
    apply_trim(&partition, 3, 30);
    cr_assert_eq(partition.log_start_offset, 50);
    cr_assert_eq(partition_trimmed_index(&partition), 5);
    apply_trim(&partition, 10, 100);
    cr_assert_eq(partition.log_start_offset, 100);
    cr_assert_eq(partition_trimmed_index(&partition), 10);
    partition_close(&partition);
}

Test(partition_apply, settings_are_those_of_the_last_entry)
{
    struct partition partition;
    struct meta_settings read;
    partition_init(&partition);
    cr_assert_not(partition_settings_get(&partition, &read));
    apply_settings(&partition);
    cr_assert(partition_settings_get(&partition, &read));
    cr_assert_eq(read.message_bytes_max, settings.message_bytes_max);
    cr_assert_eq(read.retention_ms, settings.retention_ms);
    cr_assert_eq(read.retention_bytes, settings.retention_bytes);
    cr_assert_eq(read.local_reads, settings.local_reads);
    uint8_t buffer[PARTITION_SETTINGS_BYTES];
    struct meta_settings wrong = settings;
    wrong.message_bytes_max = 0;
    cr_assert_eq(partition_encode_settings(&wrong, buffer, sizeof buffer), 0);
    partition_close(&partition);
}

Test(partition_apply, the_same_entries_give_the_same_digest)
{
    struct partition a, b;
    partition_init(&a);
    partition_init(&b);
    fill(&a);
    fill(&b);
    cr_assert_eq(tree_digest(a.state), tree_digest(b.state));
    apply_offset(&b, "group-1", 999);
    cr_assert_neq(tree_digest(a.state), tree_digest(b.state));
    partition_close(&a);
    partition_close(&b);
}

Test(partition_apply, a_frozen_state_is_untouched_by_later_entries)
{
    struct partition partition;
    partition_init(&partition);
    fill(&partition);
    struct tree *frozen = tree_ref(partition.state);
    uint64_t digest = tree_digest(frozen);
    for (int64_t id = 100; id < 500; id++)
        test_apply_batch(&partition, test_id(id, 0, 0, 1));
    apply_offset(&partition, "group-1", 12345);
    cr_assert_eq(tree_digest(frozen), digest);
    cr_assert_neq(tree_digest(partition.state), digest);
    tree_unref(frozen);
    partition_close(&partition);
}

Test(partition_restore, a_retry_after_a_restart_from_a_snapshot_gets_its_original_offset)
{
    struct partition partition, restored;
    partition_init(&partition);
    partition_init(&restored);
    fill(&partition);
    uint64_t offset = test_apply_batch(&partition, test_id(42, 1, 0, 9));
    test_apply_batch(&partition, test_id(-1, -1, -1, 3));
    cr_assert(partition_restore(&restored, tree_ref(partition.state), partition.applied_index,
                                partition.next_offset, partition.log_start_offset,
                                partition.applied_timestamp_ms));
    struct test_answer answer = test_check(&restored, test_id(42, 1, 0, 9));
    cr_assert_eq(answer.verdict, PARTITION_DUPLICATE);
    cr_assert_eq(answer.offset, offset);
    cr_assert_eq(restored.log_start_offset, 30);
    cr_assert_eq(partition_trimmed_index(&restored), 20);

    /* And both go on alike. */
    test_apply_batch(&partition, test_id(42, 1, 9, 1));
    test_apply_batch(&restored, test_id(42, 1, 9, 1));
    cr_assert_eq(tree_digest(partition.state), tree_digest(restored.state));
    partition_close(&partition);
    partition_close(&restored);
}

static bool restores(struct tree *state, uint64_t index)
{
    struct partition restored;
    partition_init(&restored);
    bool is_restored = partition_restore(&restored, state, index, 1000, 0, 0);
    cr_assert_eq(restored.applied_index, is_restored ? index : 0);
    partition_close(&restored);
    return is_restored;
}

static struct tree *with(struct tree *state, const char *key, uint32_t key_bytes, const char *value,
                         uint32_t value_bytes)
{
    struct tree *changed = tree_ref(state);
    tree_put(&changed, (struct tree_slice){.data = key, .bytes = key_bytes},
             (struct tree_slice){.data = value, .bytes = value_bytes});
    return changed;
}

static struct tree *without(struct tree *state, const char *key, uint32_t key_bytes)
{
    struct tree *changed = tree_ref(state);
    cr_assert(tree_remove(&changed, (struct tree_slice){.data = key, .bytes = key_bytes}));
    return changed;
}

Test(partition_restore, a_state_that_this_version_cannot_read_is_refused)
{
    struct partition partition;
    partition_init(&partition);
    fill(&partition);
    struct tree *state = partition.state;
    uint64_t index = partition.applied_index;
    cr_assert(restores(tree_ref(state), index));
    cr_assert(restores(NULL, 0));
    cr_assert_not(restores(with(state, "z", 1, "new", 3), index), "a key of a newer version");
    cr_assert_not(restores(with(state, "", 0, "new", 3), index));
    cr_assert_not(restores(with(state, "s", 1, "new", 3), index));
    cr_assert_not(restores(with(state, "ogroup-1", 8, "new", 3), index));
    cr_assert_not(restores(with(state, "o", 1, "new", 3), index));
    cr_assert_not(restores(without(state, "ogroup-1", 8), index), "not the number counted");
    cr_assert_not(restores(without(state, "c", 1), index));
    cr_assert_not(restores(without(state, "p\0\0\0\0\0\0\0\1", 9), index));
    cr_assert_not(restores(with(state, "u\0\0\0\0\0\0\0\1", 9, "\0\0\0\0\0\0\0\1", 8), index));
    cr_assert_not(restores(tree_ref(state), 10), "a use behind the snapshot's index");
    partition_close(&partition);
}

Test(partition_restore, random_changes_of_a_state_are_refused_or_harmless)
{
    struct partition partition;
    partition_init(&partition);
    fill(&partition);
    uint64_t random = 4242;
    uint32_t refused = 0;
    struct partition_offset list[4];
    for (uint32_t round = 0; round < 4000; round++) {
        static const char *const keys[] = {"c", "s", "ogroup-1", "p\0\0\0\0\0\0\0\1"};
        static const uint32_t key_bytes[] = {1, 1, 8, 9};
        uint32_t pick = round % 4;
        struct tree_slice key = {.data = keys[pick], .bytes = key_bytes[pick]}, value;
        cr_assert(tree_get(partition.state, key, &value));
        uint8_t bytes[1200];
        memcpy(bytes, value.data, value.bytes);
        for (uint32_t i = 0; i <= round % 3; i++) {
            bytes[test_draw(&random) % value.bytes] = (uint8_t)test_draw(&random);
        }
        uint32_t cut =
            round % 5 == 0 ? (uint32_t)(test_draw(&random) % (value.bytes + 1)) : value.bytes;
        struct tree *changed =
            with(partition.state, keys[pick], key_bytes[pick], (char *)bytes, cut);
        struct partition restored;
        partition_init(&restored);
        if (partition_restore(&restored, changed, partition.applied_index, 1000, 0, 0)) {
            /* Whatever it says now, reading and writing it is safe. */
            for (int32_t i = 0; i < 8; i++)
                test_check(&restored, test_id(1, 0, i * 8, 2));
            test_apply_batch(&restored, test_id(1, 0, 58, 2));
            apply_offset(&restored, "group-1", 5);
            partition_offset_list(&restored, NULL, list, 4);
        } else {
            refused++;
        }
        partition_close(&restored);
    }
    cr_assert_gt(refused, 1000);
    partition_close(&partition);
}

Test(partition_apply, random_payloads_are_refused_or_harmless)
{
    struct partition partition;
    partition_init(&partition);
    fill(&partition);
    uint64_t random = 777;
    static const enum entry_type types[] = {ENTRY_DATA, ENTRY_OFFSETS, ENTRY_SETTINGS, ENTRY_TRIM};
    for (uint32_t round = 0; round < 40000; round++) {
        enum entry_type type = types[round % 4];
        uint32_t bytes = (uint32_t)(test_draw(&random) % 200);
        /* Of exact size, so that a read behind it is seen by the sanitizer. */
        uint8_t *payload = malloc(bytes + 1);
        for (uint32_t i = 0; i < bytes; i++)
            payload[i] = (uint8_t)(test_draw(&random) >> 33);
        payload = realloc(payload, bytes > 0 ? bytes : 1);
        if (round % 3 == 0 && bytes > 8) memcpy(payload, "\1\0\0\0\1\0\0\0", 8);
        uint32_t count = type == ENTRY_DATA ? 1 + (uint32_t)(test_draw(&random) % 3) : 0;
        if (type == ENTRY_DATA && bytes > 60) test_put_big(payload + 57, count, 4);
        struct entry_header header = test_entry(&partition, type, bytes, count);
        partition_apply(&partition, &header, payload);
        free(payload);
    }
    struct partition restored;
    partition_init(&restored);
    cr_assert(partition_restore(&restored, tree_ref(partition.state), partition.applied_index,
                                partition.next_offset, partition.log_start_offset, 0),
              "what apply() took is sound");
    partition_close(&restored);
    partition_close(&partition);
}
