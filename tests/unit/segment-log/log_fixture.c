#include "log_fixture.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_id fixture_cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

struct segment_log_options fixture_options(struct disk *disk, const char *directory)
{
    return (struct segment_log_options){
        .disk = disk,
        .directory = directory,
        .cluster = fixture_cluster,
        .group = FIXTURE_GROUP,
        .segment_bytes_max = 65536,
        .extend_bytes = 16384,
        .cache_bytes_max = 32768,
        .reserve_bytes = 0,
        .sector_bytes = 512,
    };
}

struct segment_log_options fixture_small_options(struct disk *disk, const char *directory)
{
    struct segment_log_options options = fixture_options(disk, directory);
    options.segment_bytes_max = FIXTURE_DATA_POS + 8192u;
    options.extend_bytes = 4096;
    options.cache_bytes_max = 1024;
    return options;
}

struct segment_log_point fixture_origin(void)
{
    return (struct segment_log_point){.chain = checksum64_group(&fixture_cluster, FIXTURE_GROUP)};
}

struct segment_log *fixture_create(const struct segment_log_options *options)
{
    struct segment_log *log = NULL;
    struct segment_log_problem problem = {0};
    struct segment_log_point origin = fixture_origin();
    enum segment_log_status status = segment_log_create(options, &origin, &log, &problem);
    cr_assert_eq(status, SEGMENT_LOG_OK, "%s: %s (%d)", problem.path, problem.reason,
                 problem.error);
    return log;
}

struct segment_log *fixture_open(const struct segment_log_options *options)
{
    struct segment_log *log = NULL;
    struct segment_log_problem problem = {0};
    enum segment_log_status status = segment_log_open(options, &log, &problem);
    cr_assert_eq(status, SEGMENT_LOG_OK, "%s at %" PRIu64 ": %s (%d)", problem.path, problem.pos,
                 problem.reason, problem.error);
    return log;
}

struct segment_log *fixture_open_on(const struct segment_log_options *options, struct disk *disk)
{
    struct segment_log_options opened = *options;
    opened.disk = disk;
    return fixture_open(&opened);
}

enum segment_log_status fixture_open_fails(const struct segment_log_options *options,
                                           struct segment_log_problem *ret_problem)
{
    struct segment_log *log = NULL;
    enum segment_log_status status = segment_log_open(options, &log, ret_problem);
    cr_assert_neq(status, SEGMENT_LOG_OK);
    cr_assert_null(log);
    cr_assert_neq(ret_problem->path[0], 0);
    cr_assert_neq(ret_problem->reason[0], 0);
    return status;
}

static void put_big(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
}

void fixture_payload(uint8_t *payload, uint32_t bytes, enum entry_type type, uint64_t index,
                     uint64_t base_offset, uint64_t term)
{
    uint64_t x = index * 0x9e3779b97f4a7c15u + term;
    for (uint32_t i = 0; i < bytes; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        payload[i] = (uint8_t)(x >> 56);
    }
    if (type != ENTRY_DATA) return;
    put_big(payload, base_offset, 8);
    put_big(payload + 8, bytes - 12u, 4);
    put_big(payload + 12, term, 4);
}

enum segment_log_status fixture_try_append(struct segment_log *log, uint64_t term,
                                           enum entry_type type, uint32_t payload_bytes)
{
    struct segment_log_info info = fixture_info(log);
    uint8_t *payload = malloc(payload_bytes + 1);
    fixture_payload(payload, payload_bytes, type, info.last_index + 1, info.next_offset, term);
    struct segment_log_entry entry = {
        .type = type,
        .record_count = type == ENTRY_DATA ? 3 : 0,
        .timestamp_ms = info.last_timestamp_ms + 10,
        .payload = payload,
        .payload_bytes = payload_bytes,
    };
    uint64_t last_index = 0;
    enum segment_log_status status = segment_log_append(log, term, &entry, 1, &last_index);
    if (status == SEGMENT_LOG_OK) cr_assert_eq(last_index, info.last_index + 1);
    free(payload);
    return status;
}

void fixture_append(struct segment_log *log, uint64_t term, uint32_t count, uint32_t payload_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(fixture_try_append(log, term, ENTRY_DATA, payload_bytes), SEGMENT_LOG_OK);
    }
}

bool fixture_run_job(struct segment_log *log, bool idle, struct segment_log_job_result *ret_result)
{
    struct segment_log_job *job = segment_log_next_job(log, idle);
    if (!job) return false;
    cr_assert_null(segment_log_next_job(log, idle), "two jobs at once");
    segment_log_job_run(job);
    segment_log_job_finish(log, job, ret_result);
    return true;
}

enum segment_log_status fixture_flush(struct segment_log *log)
{
    for (int i = 0; i < 100000; i++) {
        struct segment_log_job_result result;
        if (!fixture_run_job(log, true, &result)) return SEGMENT_LOG_OK;
        if (result.status != SEGMENT_LOG_OK) return result.status;
    }
    cr_assert_fail("the log never runs out of jobs");
    return SEGMENT_LOG_OK;
}

enum segment_log_status fixture_seal(struct segment_log *log, uint64_t index)
{
    segment_log_committed(log, index);
    for (int i = 0; i < 100000; i++) {
        struct segment_log_seal_job *job = segment_log_next_seal_job(log);
        if (!job) return SEGMENT_LOG_OK;
        cr_assert_null(segment_log_next_seal_job(log), "two seal jobs at once");
        segment_log_seal_job_run(job);
        enum segment_log_status status = segment_log_seal_job_finish(log, job, NULL);
        if (status != SEGMENT_LOG_OK) return status;
    }
    cr_assert_fail("sealing never ends");
    return SEGMENT_LOG_OK;
}

struct segment_log_info fixture_info(const struct segment_log *log)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    return info;
}

struct segment_log_info fixture_note_chains(struct segment_log *log, uint64_t *chains,
                                            uint64_t count)
{
    const struct segment_log_info info = fixture_info(log);
    cr_assert_lt(info.last_index, count);
    for (uint64_t i = 1; i <= info.last_index; i++) {
        struct segment_log_view view;
        cr_assert_eq(fixture_read(log, SEGMENT_LOG_BY_INDEX, i, i, 1, &view), SEGMENT_LOG_OK);
        struct entry_header header;
        const uint8_t *payload;
        cr_assert_eq(entry_decode(view.parts[0].bytes, view.parts[0].bytes_count,
                                  checksum64_group(&fixture_cluster, FIXTURE_GROUP), &header,
                                  &payload),
                     ENTRY_DECODE_OK);
        chains[i] = header.chain;
        segment_log_view_release(&view);
    }
    return info;
}

uint64_t fixture_draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state ^ (*state >> 29);
    return ((x * 0xbf58476d1ce4e5b9u) >> 20) % below;
}

enum segment_log_status fixture_read_files(struct segment_log *log, enum segment_log_key key,
                                           uint64_t value, uint64_t last_index, size_t bytes_max,
                                           struct segment_log_view *ret_view,
                                           struct segment_log_problem *ret_problem)
{
    struct segment_log_read_job *job = NULL;
    enum segment_log_status status =
        segment_log_read_job_create(log, key, value, last_index, bytes_max, &job);
    if (status != SEGMENT_LOG_OK) return status;
    segment_log_read_job_run(job);
    return segment_log_read_job_finish(log, job, ret_view, ret_problem);
}

enum segment_log_status fixture_read(struct segment_log *log, enum segment_log_key key,
                                     uint64_t value, uint64_t last_index, size_t bytes_max,
                                     struct segment_log_view *ret_view)
{
    enum segment_log_status status =
        segment_log_read(log, key, value, last_index, bytes_max, ret_view);
    if (status != SEGMENT_LOG_NOT_CACHED) return status;
    struct segment_log_problem problem;
    return fixture_read_files(log, key, value, last_index, bytes_max, ret_view, &problem);
}

/* at->chain 0: what is in front is not known, behind a hole. */
static void check_view(const struct segment_log_view *view, struct segment_log_point *at,
                       const uint64_t *chains)
{
    uint64_t seed = checksum64_group(&fixture_cluster, FIXTURE_GROUP);
    size_t total = 0;
    cr_assert_eq(view->first_index, at->index + 1);
    for (uint32_t i = 0; i < view->parts_count; i++) {
        size_t pos = 0;
        while (pos < view->parts[i].bytes_count) {
            struct entry_header header;
            const uint8_t *payload;
            cr_assert_eq(entry_decode(view->parts[i].bytes + pos, view->parts[i].bytes_count - pos,
                                      seed, &header, &payload),
                         ENTRY_DECODE_OK);
            cr_assert_eq(header.index, at->index + 1);
            if (chains) cr_assert_eq(header.chain, chains[header.index]);
            if (at->chain != 0) {
                cr_assert_eq(header.chain, entry_chain(&header, at->chain));
                cr_assert_eq(header.base_offset, at->next_offset);
            }
            uint8_t *expected = malloc(header.payload_bytes + 1);
            fixture_payload(expected, header.payload_bytes, header.type, header.index,
                            header.base_offset, header.term);
            cr_assert_eq(memcmp(expected, payload, header.payload_bytes), 0);
            free(expected);
            at->index = header.index;
            at->chain = header.chain;
            at->next_offset = header.base_offset + header.record_count;
            pos += entry_bytes(header.payload_bytes);
        }
        total += view->parts[i].bytes_count;
    }
    cr_assert_eq(view->last_index, at->index);
    cr_assert_eq(view->bytes_total, total);
}

void fixture_check_all(struct segment_log *log)
{
    struct segment_log_info info = fixture_info(log);
    struct segment_log_point at = info.base;
    while (at.index < info.last_index) {
        struct segment_log_view view;
        enum segment_log_status status =
            fixture_read(log, SEGMENT_LOG_BY_INDEX, at.index + 1, info.last_index, 5000, &view);
        cr_assert_eq(status, SEGMENT_LOG_OK, "%s", segment_log_status_text(status));
        check_view(&view, &at, NULL);
        segment_log_view_release(&view);
    }
    cr_assert_eq(at.chain, info.last_chain);
    cr_assert_eq(at.next_offset, info.next_offset);
}

static void check_read_of_hole(struct segment_log *log, const struct segment_log_hole *hole,
                               uint64_t index)
{
    struct segment_log_view view;
    struct segment_log_problem problem = {0};
    enum segment_log_status status = fixture_read_files(log, SEGMENT_LOG_BY_INDEX, index,
                                                        hole->last_index, 5000, &view, &problem);
    cr_assert_eq(status, SEGMENT_LOG_DAMAGED, "%s", segment_log_status_text(status));
    cr_assert_eq(problem.index, hole->first_index);
    cr_assert_eq(problem.last_index, hole->last_index);
}

static void believe_front(struct segment_log *log, uint64_t index)
{
    struct segment_log_repair_info repair;
    struct segment_log_job_result result;
    cr_assert_eq(segment_log_repair_begin(log, index, NULL, NULL), SEGMENT_LOG_OK);
    for (segment_log_repair_info(log, &repair); repair.state == SEGMENT_LOG_REPAIR_WORKS;
         segment_log_repair_info(log, &repair)) {
        struct segment_log_repair_job *piece = segment_log_repair_next_job(log);
        if (!piece) {
            cr_assert(fixture_run_job(log, false, &result));
            cr_assert_eq(result.status, SEGMENT_LOG_OK);
            continue;
        }
        segment_log_repair_job_run(piece);
        segment_log_repair_job_finish(log, piece);
    }
    if (repair.state == SEGMENT_LOG_REPAIR_WANTS) {
        cr_assert(repair.is_doubted);
        segment_log_repair_settle(log, /* are_believed= */ true);
    } else { /* the file had what was misplaced */
        cr_assert_eq(repair.status, SEGMENT_LOG_OK);
    }
    segment_log_repair_end(log);
}

void fixture_believe(struct segment_log *log)
{
    struct segment_log_hole hole;
    for (uint64_t index = 0; segment_log_hole_from(log, index, &hole);
         index = hole.last_index + 1) {
        if (hole.first_damaged > hole.first_index) believe_front(log, hole.first_index);
    }
}

uint64_t fixture_check_beside_holes(struct segment_log *log, const uint64_t *chains)
{
    struct segment_log_info info = fixture_info(log);
    struct segment_log_point at = info.base;
    uint64_t lost = 0;
    while (at.index < info.last_index) {
        struct segment_log_hole hole = {0};
        uint64_t last_index = info.last_index;
        if (segment_log_hole_from(log, at.index + 1, &hole)) last_index = hole.first_index - 1;
        if (last_index <= at.index) {
            check_read_of_hole(log, &hole, at.index + 1);
            check_read_of_hole(log, &hole, hole.last_index);
            lost += hole.last_index - at.index;
            at.index = hole.last_index;
            at.chain = 0;
            continue;
        }
        struct segment_log_view view;
        enum segment_log_status status =
            fixture_read(log, SEGMENT_LOG_BY_INDEX, at.index + 1, last_index, 5000, &view);
        cr_assert_eq(status, SEGMENT_LOG_OK, "%s", segment_log_status_text(status));
        check_view(&view, &at, chains);
        segment_log_view_release(&view);
    }
    if (at.chain != 0) cr_assert_eq(at.chain, info.last_chain);
    return lost;
}

void fixture_segment_path(const char *directory, uint64_t sequence, char path[DISK_PATH_MAX])
{
    snprintf(path, DISK_PATH_MAX, "%s/%020" PRIu64 ".segment", directory, sequence);
}
