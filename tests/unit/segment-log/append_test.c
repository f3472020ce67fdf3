/* Goal: appending changes memory as the contract says, and refuses what does not belong. */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct disk *disk;
static struct segment_log_options options;
static struct segment_log *log_;

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
    log_ = fixture_create(&options);
}

static void tear_down(void)
{
    segment_log_close(log_);
    memory_disk_destroy(disk);
}

TestSuite(segment_log_append, .init = set_up, .fini = tear_down);

Test(segment_log_append, a_new_log_stands_at_its_base)
{
    struct segment_log_info info = fixture_info(log_);
    cr_assert_eq(info.last_index, 0);
    cr_assert_eq(info.durable_index, 0);
    cr_assert_eq(info.next_offset, 0);
    cr_assert_eq(info.last_chain, checksum64_group(&fixture_cluster, FIXTURE_GROUP));
    cr_assert_eq(info.segments_count, 1);
    cr_assert_eq(info.cached_from_index, 1);
}

Test(segment_log_append, appended_is_not_durable_until_the_job_is_finished)
{
    fixture_append(log_, 1, 3, 100);
    cr_assert_eq(fixture_info(log_).last_index, 3);
    cr_assert_eq(fixture_info(log_).durable_index, 0);
    cr_assert_eq(fixture_info(log_).unflushed_bytes, 3 * entry_bytes(100));
    struct segment_log_job *job = segment_log_next_job(log_, false);
    segment_log_job_run(job);
    cr_assert_eq(fixture_info(log_).durable_index, 0);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, job, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK);
    cr_assert_eq(result.durable_index, 3);
    cr_assert_eq(result.durable_term, 1);
    cr_assert_eq(result.bytes_written, 3 * entry_bytes(100));
    cr_assert_eq(fixture_info(log_).durable_index, 3);
    cr_assert_eq(fixture_info(log_).unflushed_bytes, 0);
    cr_assert(segment_log_has_unsynced_mark(log_));
}

Test(segment_log_append, what_comes_while_a_job_runs_is_one_write_of_the_next)
{
    fixture_append(log_, 1, 1, 100);
    struct segment_log_job *job = segment_log_next_job(log_, false);
    cr_assert_null(segment_log_next_job(log_, false));
    fixture_append(log_, 1, 20, 100);
    segment_log_job_run(job);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, job, &result);
    cr_assert_eq(result.durable_index, 1);
    uint64_t syncs = fixture_info(log_).syncs_total;
    cr_assert(fixture_run_job(log_, false, &result));
    cr_assert_eq(result.durable_index, 21);
    cr_assert_eq(fixture_info(log_).syncs_total, syncs + 1, "one sync for all that was collected");
}

Test(segment_log_append, mark_becomes_durable_with_the_next_sync_or_an_idle_one)
{
    fixture_append(log_, 1, 1, 100);
    struct segment_log_job_result result;
    cr_assert(fixture_run_job(log_, false, &result));
    cr_assert(segment_log_has_unsynced_mark(log_));
    cr_assert_null(segment_log_next_job(log_, false), "no work but for the idle");
    cr_assert(fixture_run_job(log_, true, &result));
    cr_assert_not(segment_log_has_unsynced_mark(log_));
    cr_assert_null(segment_log_next_job(log_, true));
}

Test(segment_log_append, offsets_are_dense_and_only_data_counts)
{
    cr_assert_eq(fixture_try_append(log_, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).next_offset, 0);
    cr_assert_eq(fixture_try_append(log_, 1, ENTRY_DATA, 80), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).next_offset, 3);
    cr_assert_eq(fixture_try_append(log_, 1, ENTRY_OFFSETS, 80), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_try_append(log_, 1, ENTRY_DATA, 80), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).next_offset, 6);
}

static enum segment_log_status append_raw(struct segment_log_entry entry, uint64_t term)
{
    uint64_t last_index;
    return segment_log_append(log_, term, &entry, 1, &last_index);
}

Test(segment_log_append, malformed_entries_leave_the_log_unchanged)
{
    fixture_append(log_, 1, 2, 100);
    struct segment_log_info before = fixture_info(log_);
    uint8_t payload[64];
    fixture_payload(payload, sizeof payload, ENTRY_DATA, 3, before.next_offset, 1);
    struct segment_log_entry good = {ENTRY_DATA, 3, before.last_timestamp_ms, payload,
                                     sizeof payload};
    struct segment_log_entry bad = good;
    bad.record_count = 0;
    cr_assert_eq(append_raw(bad, 1), SEGMENT_LOG_BAD_ENTRY, "DATA without records");
    bad = good;
    bad.type = ENTRY_NOOP;
    cr_assert_eq(append_raw(bad, 1), SEGMENT_LOG_BAD_ENTRY, "records in a NOOP");
    bad = good;
    bad.timestamp_ms--;
    cr_assert_eq(append_raw(bad, 1), SEGMENT_LOG_BAD_ENTRY, "time falls");
    bad = good;
    bad.payload_bytes = ENTRY_PAYLOAD_BYTES_MAX + 1;
    cr_assert_eq(append_raw(bad, 1), SEGMENT_LOG_BAD_ENTRY, "too long");
    cr_assert_eq(append_raw(good, 2), SEGMENT_LOG_BAD_ENTRY, "stamped with another term");
    struct segment_log_entry pair[2] = {good, good};
    uint64_t last_index;
    cr_assert_eq(segment_log_append(log_, 1, pair, 2, &last_index), SEGMENT_LOG_BAD_ENTRY,
                 "the second is stamped with the offset of the first");
    struct segment_log_info after = fixture_info(log_);
    cr_assert_eq(after.last_index, before.last_index);
    cr_assert_eq(after.last_chain, before.last_chain);
    cr_assert_eq(after.unflushed_bytes, before.unflushed_bytes);
    cr_assert_eq(append_raw(good, 1), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    fixture_check_all(log_);
}

/* The entries of `log_` from first on, as a leader would send them. */
static size_t encoded_from(uint64_t first, uint8_t *buffer, size_t bytes_max)
{
    struct segment_log_view view;
    cr_assert_eq(segment_log_read(log_, SEGMENT_LOG_BY_INDEX, first, UINT64_MAX, bytes_max, &view),
                 SEGMENT_LOG_OK);
    size_t bytes = 0;
    for (uint32_t i = 0; i < view.parts_count; i++) {
        memcpy(buffer + bytes, view.parts[i].bytes, view.parts[i].bytes_count);
        bytes += view.parts[i].bytes_count;
    }
    segment_log_view_release(&view);
    return bytes;
}

Test(segment_log_append, received_entries_are_taken_as_they_are_and_give_the_same_chain)
{
    fixture_append(log_, 1, 4, 100);
    cr_assert_eq(fixture_try_append(log_, 2, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
    uint8_t encoded[4096];
    size_t bytes = encoded_from(1, encoded, sizeof encoded);
    struct disk *other = memory_disk_create(2);
    struct segment_log_options other_options = fixture_options(other, "/group");
    struct segment_log *follower = fixture_create(&other_options);
    cr_assert_eq(segment_log_append_encoded(follower, encoded, bytes), SEGMENT_LOG_OK);
    struct segment_log_info left = fixture_info(log_), right = fixture_info(follower);
    cr_assert_eq(right.last_index, 5);
    cr_assert_eq(right.last_term, 2);
    cr_assert_eq(right.last_chain, left.last_chain);
    cr_assert_eq(right.next_offset, left.next_offset);
    cr_assert_eq(fixture_flush(follower), SEGMENT_LOG_OK);
    fixture_check_all(follower);
    segment_log_close(follower);
    memory_disk_destroy(other);
}

Test(segment_log_append, received_entries_that_are_damaged_or_do_not_follow_change_nothing)
{
    fixture_append(log_, 1, 3, 100);
    uint8_t encoded[4096];
    size_t bytes = encoded_from(1, encoded, sizeof encoded), one = entry_bytes(100);
    struct disk *other = memory_disk_create(2);
    struct segment_log_options other_options = fixture_options(other, "/group");
    struct segment_log *follower = fixture_create(&other_options);
    for (size_t i = 0; i < bytes; i++) {
        encoded[i] ^= 0x10;
        cr_assert_eq(segment_log_append_encoded(follower, encoded, bytes), SEGMENT_LOG_BAD_ENTRY);
        encoded[i] ^= 0x10;
        cr_assert_eq(fixture_info(follower).last_index, 0);
    }
    cr_assert_eq(segment_log_append_encoded(follower, encoded, bytes - 8), SEGMENT_LOG_BAD_ENTRY,
                 "the last one is cut off");
    cr_assert_eq(segment_log_append_encoded(follower, encoded + one, bytes - one),
                 SEGMENT_LOG_BAD_ENTRY, "a gap");
    cr_assert_eq(fixture_info(follower).last_index, 0);
    /* Another first entry: what follows index 1 in one log does not in the other. */
    cr_assert_eq(fixture_try_append(follower, 1, ENTRY_DATA, 60), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_append_encoded(follower, encoded + one, bytes - one),
                 SEGMENT_LOG_BROKEN_CHAIN);
    cr_assert_eq(fixture_info(follower).last_index, 1);
    segment_log_close(follower);
    memory_disk_destroy(other);
}

static void note_run(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    uint64_t *runs = data;
    cr_assert_lt(runs[0], 4);
    uint64_t *run = runs + 1 + 3 * runs[0]++;
    run[0] = first;
    run[1] = count;
    run[2] = term;
}

Test(segment_log_append, term_runs_tell_the_term_of_every_entry_also_after_a_cut_and_a_restart)
{
    fixture_append(log_, 1, 3, 40);
    fixture_append(log_, 4, 2, 40);
    fixture_append(log_, 6, 1, 40);
    segment_log_truncate(log_, 5);
    fixture_append(log_, 7, 2, 40);
    static const uint64_t expected[] = {3, 1, 3, 1, 4, 1, 4, 5, 2, 7};
    uint64_t runs[13] = {0};
    segment_log_term_runs(log_, note_run, runs);
    cr_assert_eq(memcmp(runs, expected, sizeof expected), 0);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_close(log_);
    log_ = fixture_open(&options);
    memset(runs, 0, sizeof runs);
    segment_log_term_runs(log_, note_run, runs);
    cr_assert_eq(memcmp(runs, expected, sizeof expected), 0);
    struct segment_log_point point;
    cr_assert_eq(segment_log_point_at(log_, 4, &point), SEGMENT_LOG_OK);
    cr_assert_eq(point.term, 4);
    cr_assert_eq(segment_log_point_at(log_, 0, &point), SEGMENT_LOG_OK);
    cr_assert_eq(point.chain, checksum64_group(&fixture_cluster, FIXTURE_GROUP));
    cr_assert_eq(segment_log_point_at(log_, 7, &point), SEGMENT_LOG_OUT_OF_RANGE);
}

Test(segment_log_append, memory_stays_bounded_by_the_cache_once_entries_are_durable)
{
    for (int i = 0; i < 50; i++) {
        fixture_append(log_, 1, 10, 1000);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
    struct segment_log_info info = fixture_info(log_);
    uint64_t cached = (info.last_index + 1 - info.cached_from_index) * entry_bytes(1000);
    cr_assert_gt(info.cached_from_index, 1);
    cr_assert_leq(cached, options.cache_bytes_max + 8192);
    cr_assert_geq(cached, options.cache_bytes_max / 2);
    struct segment_log_point point;
    cr_assert_eq(segment_log_point_at(log_, 2, &point), SEGMENT_LOG_NOT_CACHED);
    cr_assert_eq(segment_log_point_at(log_, info.cached_from_index - 1, &point), SEGMENT_LOG_OK,
                 "the one in front of the cache is known, too");
}

Test(segment_log_append, what_is_not_durable_is_never_evicted)
{
    fixture_append(log_, 1, 200, 1000);
    struct segment_log_info info = fixture_info(log_);
    cr_assert_eq(info.cached_from_index, 1);
    cr_assert_gt(info.unflushed_bytes, 4 * options.cache_bytes_max);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    fixture_check_all(log_);
}

Test(segment_log_append, an_entry_larger_than_a_segment_is_stored_and_read)
{
    fixture_append(log_, 1, 2, 100);
    fixture_append(log_, 1, 1, 300000);
    fixture_append(log_, 1, 2, 100);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_close(log_);
    log_ = fixture_open(&options);
    cr_assert_eq(fixture_info(log_).last_index, 5);
    fixture_check_all(log_);
}
