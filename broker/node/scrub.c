/* Reading everything from time to time, for damage is repaired only when it is seen (PROTOCOL D): while another replica is still
 * whole there.
 *
 * In the background one replica after the other is read, a piece at a time, at a rate that gets through what the node holds in
 * about a day. A pass that somebody asked for goes first and faster. Damage becomes holes of the log, and repair.c does the
 * rest. One piece is read at a time, so a slow disk slows the scrub and nothing else. */
#include "scrub.h"

#include "disk.h"
#include "group.h"
#include "holes.h"
#include "internal.h"
#include "list.h"
#include "read.h"
#include "repair.h"
#include "snapshots.h"
#include "turn.h"

#include <rare/rare.h>
#include <segment_log/repair.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES      (256u * 1024u)
#define PASS_S           86400u
#define RATE_BYTES_S_MIN (16u * 1024u)
#define RATE_BYTES_S_MAX (8u * 1024u * 1024u)
#define ASKED_BYTES_S    (64u * 1024u * 1024u)
#define BURST_US         100000u /* what was not read in more than that is not made up for */
#define FILES_EVERY_US   3600000000u
#define BETWEEN_US       10000000u /* from the end of a pass over a log to the next, at least */

struct scrub_piece {
    struct group_job base;
    struct segment_log_scrub_job *job;
};

/* ---- pieces ----------------------------------------------------------------------------------------------------------- */

static void run_piece(struct io_job *job)
{
    segment_log_scrub_job_run(((struct scrub_piece *)job->data)->job);
}

static enum segment_log_status finish_piece(struct scrub_piece *piece,
                                            struct segment_log_problem *ret_problem)
{
    struct group *group = piece->base.group;
    struct node *node = group->node;
    uint64_t bytes = 0;
    const enum segment_log_status status =
        segment_log_scrub_job_finish(group->log, piece->job, &bytes, ret_problem);
    node->scrub.is_reading = false;
    node->counters.scrubbed_bytes += bytes;
    node->scrub.credit_bytes -= (int64_t)bytes;
    return status;
}

static uint32_t footers_owed(const struct group *group)
{
    struct segment_log_scrub_info info;
    segment_log_scrub_info(group->log, &info);
    return info.footers_owed;
}

static void discard_piece(struct group_job *job)
{
    struct segment_log_problem problem = {0};
    (void)finish_piece((struct scrub_piece *)(void *)job, &problem);
    free(job);
}

static void done_piece(struct io_job *job)
{
    struct scrub_piece *piece = job->data;
    struct group *group = piece->base.group;
    struct node *node = group->node;
    if (!node__enter(node)) {
        list_remove(&piece->base.link);
        discard_piece(&piece->base);
        return;
    }
    struct segment_log_problem problem = {0};
    const enum segment_log_status status = finish_piece(piece, &problem);
    if (status == SEGMENT_LOG_IO) read__fatal(group, status, &problem);
    if (status == SEGMENT_LOG_DAMAGED && !group->dropping) repair__run(group);
    if (footers_owed(group) > 0 && !group->dropping) node__dirty(group); /* which seals */
    if (node->state == NODE_FAILED) {
        list_remove(&piece->base.link);
    } else {
        group__job_ended(&piece->base); /* may free the group */
        scrub__run(node);
        node__post(node);
    }
    free(piece);
}

static bool is_log_scrubbed(const struct group *group)
{
    struct segment_log_scrub_info info;
    segment_log_scrub_info(group->log, &info);
    return info.active;
}

/* Log and snapshots. */
static void begin_pass(struct group *group)
{
    segment_log_scrub_begin(group->log);
    snapshots__check_begin(group);
}

/* True: a piece is read. */
static bool read_piece(struct group *group)
{
    disk__pump_log(group, false); /* what was rebuilt is written, before more is read */
    const size_t bytes_max = RARELY(SCRUB_PIECE_IS_SHORT) ? 1u : PIECE_BYTES;
    struct segment_log_scrub_job *job = segment_log_scrub_next_job(group->log, bytes_max);
    if (!job) return !is_log_scrubbed(group) && snapshots__check_next(group);
    struct scrub_piece *piece = calloc(1, sizeof(*piece));
    if (!piece) abort();
    piece->job = job;
    piece->base.job.run = run_piece;
    piece->base.job.done = done_piece;
    piece->base.discard = discard_piece;
    group->node->scrub.is_reading = true;
    group__submit(group, group->read_queue, &piece->base);
    return true;
}

/* ---- whose turn it is --------------------------------------------------------------------------------------------------- */

static bool is_scrubbed(const struct group *group)
{
    return is_log_scrubbed(group) || group->snapshots.is_checking;
}

/* A pass that was asked for ends with the first one that began behind the asking. */
static bool is_asked_for(struct group *group)
{
    if (!group->scrub_asked) return false;
    if (is_scrubbed(group)) return true;
    group->scrub_asked = false;
    group->scrubbed_us = io_now_us(group->node->io);
    return false;
}

static struct group *choose(struct node *node)
{
    struct group *oldest = NULL;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        if (is_asked_for(group)) return group;
        if (!oldest || group->scrubbed_us < oldest->scrubbed_us) oldest = group;
    }
    struct group *group = node__group(node, node->scrub.group_id);
    if (group && is_scrubbed(group)) return group;
    if (group && group->scrubbed_us < node->scrub.began_us) {
        group->scrubbed_us = io_now_us(node->io); /* this pass has ended */
        return choose(node);
    }
    if (!oldest) return NULL;
    const bool is_recent = io_now_us(node->io) - oldest->scrubbed_us < BETWEEN_US;
    if (is_recent && !RARELY(SCRUB_BEGINS_NOW)) return NULL;
    node->scrub.group_id = oldest->id;
    node->scrub.began_us = io_now_us(node->io);
    begin_pass(oldest);
    return oldest;
}

/* ---- pace -------------------------------------------------------------------------------------------------------------------- */

static uint64_t rate_bytes_s(struct node *node, const struct group *group)
{
    if (group->scrub_asked) return ASKED_BYTES_S;
    uint64_t bytes = 0;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        bytes += segment_log_bytes(list_entry(link, struct group, link)->log);
    }
    const uint64_t rate = bytes / PASS_S;
    if (rate < RATE_BYTES_S_MIN) return RATE_BYTES_S_MIN;
    return rate > RATE_BYTES_S_MAX ? RATE_BYTES_S_MAX : rate;
}

static void earn(struct node *node, uint64_t rate)
{
    const uint64_t now_us = io_now_us(node->io);
    uint64_t since_us = now_us - node->scrub.earned_us;
    if (since_us > BURST_US) since_us = BURST_US;
    node->scrub.earned_us = now_us;
    node->scrub.credit_bytes += (int64_t)(rate * since_us / 1000000u);
    const int64_t most = (int64_t)(rate * BURST_US / 1000000u);
    if (node->scrub.credit_bytes > most) node->scrub.credit_bytes = most;
}

/* ---- the files of the node: who it is, and its votes -------------------------------------------------------------------- */

static void run_files(struct io_job *job)
{
    struct node *node = job->data;
    node->scrub.files_error = node_identity_check(
        node->disk, node->data_directory, &node->scrub.files_identity, &node->scrub.files_changed);
}

static void done_files(struct io_job *job)
{
    struct node *node = job->data;
    node->setup_jobs_count--;
    node->scrub.files_running = false;
    if (!node__enter(node)) return;
    if (node->scrub.files_error < 0) {
        node__fatal(node, NODE_FATAL_DISK, "%s/identity cannot be checked: %s",
                    node->data_directory, strerror(-node->scrub.files_error));
        return;
    }
    if (node->scrub.files_changed) {
        node->scrub.files_mended++;
        node__log(node, "warn", "event=\"damaged identity written again\" path=\"%s/identity\"",
                  node->data_directory);
    }
    node__post(node);
}

/* In the queue of whatever else writes the identity. The votes are read by a job of their own store. */
static void check_files(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    if (node->scrub.files_us == 0) node->scrub.files_us = now_us;
    if (node->scrub.files_running || !node->store) return;
    const bool is_due = now_us - node->scrub.files_us >= FILES_EVERY_US;
    if (!node->scrub.files_asked && !is_due && !RARELY(FILES_ARE_CHECKED)) return;
    node->scrub.files_asked = false;
    node->scrub.files_us = now_us;
    node->scrub.files_running = true;
    node->scrub.files_identity = node->identity;
    node->scrub.files_job = (struct io_job){.run = run_files, .done = done_files, .data = node};
    node->setup_jobs_count++;
    io_job_submit(node->io, node->setup_queue, &node->scrub.files_job);
    node_store_check_begin(node->store);
    disk__pump_store(node);
}

static bool files_are_busy(const struct node *node)
{
    return node->scrub.files_asked || node->scrub.files_running ||
           node_store_is_checking(node->store);
}

void scrub__run(struct node *node)
{
    if (node->state != NODE_RUNNING) return;
    check_files(node);
    if (node->scrub.is_reading) return;
    struct group *group = choose(node);
    if (!group) return;
    earn(node, rate_bytes_s(node, group));
    if (node->scrub.credit_bytes <= 0) return;
    (void)read_piece(group);
}

/* ---- asking -------------------------------------------------------------------------------------------------------------------- */

void scrub__begin(struct group *group)
{
    begin_pass(group);
    group->scrub_asked = true;
}

uint32_t node_scrub(struct node *node, const char *topic)
{
    uint32_t count = 0;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        if (topic && strcmp(group->topic, topic) != 0) continue;
        scrub__begin(group);
        count++;
    }
    if (node->scrub.credit_bytes < 0) node->scrub.credit_bytes = 0;
    node->scrub.files_asked = true;
    node__post(node);
    return count;
}

static void fill(const struct group *group, struct node_scrub_status *status)
{
    memset(status, 0, sizeof(*status));
    struct segment_log_scrub_info info;
    segment_log_scrub_info(group->log, &info);
    status->group = group->id;
    memcpy(status->topic, group->topic, sizeof(status->topic));
    status->partition = group->partition_number;
    /* Footers that rotted are written again by sealing, which goes on behind the pass. */
    const bool seals = info.footers_owed > 0 && !group->mending && !group->node->disk_full;
    status->is_asked = group->scrub_asked || seals || snapshots__are_mended(group);
    status->is_active = info.active || group->snapshots.is_checking;
    status->bytes_done = info.bytes_done;
    status->bytes_total = info.bytes_total;
    status->passes = info.passes_total;
    status->holes = holes__kept(group, NULL);
    status->holes_found = group->counters.holes_found;
    status->blocks_mended = info.blocks_mended_total + group->snapshots.mended_total;
    status->segments_repaired = group->counters.segments_repaired;
    status->entries_repaired = group->counters.entries_repaired;
    if (group->is_meta) { /* the files of the node count as its own */
        status->is_asked = status->is_asked || files_are_busy(group->node);
        status->blocks_mended +=
            group->node->scrub.files_mended + node_store_mended_total(group->node->store);
    }
    if (status->holes > 0) {
        repair__describe(group, status->problem, sizeof(status->problem));
    } else if (snapshots__start_is_lost(group)) {
        snprintf(
            status->problem, sizeof(status->problem),
            "the base at the start of the log is damaged, and its copy: no replica can be made "
            "from here until the log starts later");
    }
}

uint32_t node_scrub_status(struct node *node, struct node_scrub_status *ret_logs, uint32_t max)
{
    uint32_t count = 0;
    struct list_link *const lists[] = {&node->groups, &node->mending};
    for (int i = 0; i < 2; i++) {
        for (struct list_link *link = lists[i]->next; link != lists[i] && count < max;
             link = link->next) {
            fill(list_entry(link, struct group, link), &ret_logs[count++]);
        }
    }
    return count;
}
