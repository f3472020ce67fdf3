#include "repair_driver.h"

#include <criterion/criterion.h>

#define CHUNK_BYTES 1500u

enum segment_log_status repair_supply_from(struct segment_log *log, struct segment_log *peer,
                                           const struct segment_log_repair_info *wanted)
{
    struct segment_log_read_job *read;
    struct segment_log_view view;
    struct segment_log_problem problem;
    enum segment_log_status status =
        segment_log_repair_read_create(peer, wanted->want_before.index, wanted->want_before.chain,
                                       wanted->want_last, CHUNK_BYTES, &read);
    if (status != SEGMENT_LOG_OK) return status;
    segment_log_read_job_run(read);
    status = segment_log_read_job_finish(peer, read, &view, &problem);
    if (status != SEGMENT_LOG_OK) return status;
    cr_assert_eq(view.first_index, wanted->want_first);
    cr_assert_leq(view.last_index, wanted->want_last);
    cr_assert_eq(view.parts_count, 1);
    status = segment_log_repair_supply(log, view.parts[0].bytes, view.parts[0].bytes_count);
    segment_log_view_release(&view);
    return status;
}

bool repair_step(struct segment_log *log, struct segment_log **peers, uint32_t peers_count,
                 struct segment_log_repair_info *ret_info)
{
    segment_log_repair_info(log, ret_info);
    cr_assert_neq(ret_info->state, SEGMENT_LOG_REPAIR_NONE);
    if (ret_info->state == SEGMENT_LOG_REPAIR_ENDED) return false;
    if (ret_info->state == SEGMENT_LOG_REPAIR_WANTS) {
        cr_assert_null(segment_log_repair_next_job(log));
        for (uint32_t i = 0; i < peers_count; i++) {
            if (peers[i] == log) continue;
            if (repair_supply_from(log, peers[i], ret_info) == SEGMENT_LOG_OK) return true;
        }
        return false;
    }
    struct segment_log_repair_job *piece = segment_log_repair_next_job(log);
    if (piece) {
        segment_log_repair_job_run(piece);
        segment_log_repair_job_finish(log, piece);
        return true;
    }
    struct segment_log_job_result result;
    cr_assert(fixture_run_job(log, false, &result), "the session waits for nothing");
    return result.status == SEGMENT_LOG_OK;
}

enum segment_log_status repair_first_from(struct segment_log *log, uint64_t index,
                                          struct segment_log **peers, uint32_t peers_count)
{
    cr_assert_eq(segment_log_repair_begin(log, index, NULL, NULL), SEGMENT_LOG_OK);
    struct segment_log_repair_info last = {0};
    for (int i = 0; i < 100000 && repair_step(log, peers, peers_count, &last); i++) {
    }
    enum segment_log_status status = SEGMENT_LOG_DAMAGED;
    if (last.state == SEGMENT_LOG_REPAIR_ENDED) status = last.status;
    segment_log_repair_end(log);
    return status;
}

void repair_want_all(struct segment_log *log, struct segment_log_repair_info *ret_wanted)
{
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    while (repair_step(log, NULL, 0, ret_wanted)) {
    }
    cr_assert_eq(ret_wanted->state, SEGMENT_LOG_REPAIR_WANTS);
}

void repair_expect_unread(struct segment_log *log, uint64_t index)
{
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(fixture_read_files(log, SEGMENT_LOG_BY_INDEX, index, 100, 1024, &view, &problem),
                 SEGMENT_LOG_DAMAGED);
}
