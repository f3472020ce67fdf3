/* The log as a whole, offline: what its files and the snapshots beside them say of each other.
 *
 * A file that is missing leaves no bytes to be damaged. That one is, those beside it tell: a gap in the sequences, a segment
 * that says it is continued, and the bases, which tell where the log starts and what it must hold (lost.c, recovery.c). */
#include "walk.h"

#include "problem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void add_name(void *data, const char *name)
{
    struct walk *walk = data;
    uint64_t sequence;
    if (!segment_format__parse_name(name, &sequence)) return;
    if (walk->sequences_count == walk->sequences_capacity) {
        size_t capacity = walk->sequences_capacity ? 2 * walk->sequences_capacity : 16;
        uint64_t *sequences = realloc(walk->sequences, capacity * sizeof *sequences);
        if (!sequences) {
            walk->out_of_memory = true;
            return;
        }
        walk->sequences = sequences;
        walk->sequences_capacity = capacity;
    }
    walk->sequences[walk->sequences_count++] = sequence;
}

static void tell_missing(struct walk *walk, uint64_t from, uint64_t to)
{
    const struct walk_glimpse next = walk__look_at(walk, to);
    const bool is_told = walk->started && next.is_whole && !next.header.installed &&
                         next.header.base.index > walk->at.index;
    char what[64] = "the file is missing";
    if (to - from > 1) {
        snprintf(what, sizeof what, "the files through segment %" PRIu64 " are missing", to - 1);
    }
    walk__set_path(walk, from);
    if (!is_told) {
        walk__say_of_log(walk, true, "%s", what);
        return;
    }
    walk__say_of_log(walk, true, "%s: entries %" PRIu64 "..%" PRIu64, what, walk->at.index + 1,
                     next.header.base.index);
    walk->at = next.header.base; /* nothing else is wrong between them */
}

/* A log starts at or in front of its oldest base: bases go before the files that they stand in front of. One that is damaged
 * still tells its index. A segment that was born behind an installed base is the first one of its log. */
static void judge_start(struct walk *walk, uint64_t sequence)
{
    const struct segment_log_snapshots *snapshots = walk->snapshots;
    const struct walk_glimpse first = walk__look_at(walk, sequence);
    walk->start_is_known = first.is_whole;
    if (!snapshots || !first.is_whole) return;
    const uint64_t base_index = first.header.base.index;
    if (snapshots->bases_count + snapshots->damaged_count == 0) {
        if (base_index == 0) return;
        walk__set_path(walk, sequence);
        walk__say_of_log(walk, true,
                         "the log starts behind entry %" PRIu64 ", where there is no base",
                         base_index);
        walk->lacks_start = true;
        return;
    }
    uint64_t start_index = snapshots->bases_count > 0 ? snapshots->oldest_base.index : UINT64_MAX;
    if (snapshots->damaged_count > 0 && snapshots->damaged_lowest < start_index) {
        start_index = snapshots->damaged_lowest;
    }
    if (sequence == 1 || first.header.installed || base_index <= start_index) return;
    walk__set_path(walk, sequence - 1);
    walk__say_of_log(walk, true,
                     "the file is missing, and perhaps others in front of it: entries %" PRIu64
                     "..%" PRIu64,
                     start_index + 1, base_index);
    walk->lacks_start = true;
}

/* It must hold the entry of its newest base, and reach as far as its snapshots (PROTOCOL S2). */
static void judge_extent(struct walk *walk, uint64_t first, uint64_t last)
{
    const struct segment_log_snapshots *snapshots = walk->snapshots;
    if (!snapshots) return;
    const uint64_t end_index = walk->at.index;
    uint64_t wanted = snapshots->state_index;
    if (snapshots->damaged_count > 0 && snapshots->damaged_highest > wanted) {
        wanted = snapshots->damaged_highest;
    }
    if (walk__has_bases(walk) && snapshots->newest_base.index > wanted) {
        wanted = snapshots->newest_base.index;
    }
    walk__set_path(walk, last);
    if (wanted > end_index) {
        walk__say_of_log(walk, true,
                         "the log ends at entry %" PRIu64 ", in front of its snapshot of %" PRIu64,
                         end_index, wanted);
    }
    if (!walk__has_bases(walk) || walk->has_base || walk->lacks_start) return;
    const uint64_t base_index = snapshots->newest_base.index;
    if (walk->start_is_known && base_index + 1 < walk->summary->first_index) {
        walk__set_path(walk, first);
        walk__say_of_log(walk, true,
                         "the log starts behind entry %" PRIu64 ", its newest base is of %" PRIu64,
                         walk->summary->first_index - 1, base_index);
    } else if (walk->base_differs) {
        walk__say_of_log(walk, true, "entry %" PRIu64 " is not the one that the base there is of",
                         base_index);
    }
}

/* A file behind the last segment. */
static void tell_left_over(struct walk *walk, size_t at)
{
    const struct segment_log_snapshots *snapshots = walk->snapshots;
    const struct walk_glimpse file = walk__look_at(walk, walk->sequences[at]);
    const bool is_born_behind_a_base = file.is_whole && file.header.installed;
    walk__set_path(walk, walk->sequences[at]);
    if (is_born_behind_a_base && snapshots && snapshots->damaged_count > 0 &&
        snapshots->damaged_highest == file.header.base.index) {
        walk__say_of_log(walk, true,
                         "the log was replaced by the base of %" PRIu64 ", which is damaged",
                         file.header.base.index);
        return;
    }
    walk__say_of_log(
        walk, false, "%s",
        is_born_behind_a_base
            ? "born behind a base that was being installed; the next start keeps one log"
            : "left over: the segment before is the last; dropped at the next start");
}

/* The segments from the nth one on. Returns where the last one of the log leads; *ret_last: which one that is. */
static enum walk_end walk_from(struct walk *walk, size_t from, size_t *ret_last)
{
    enum walk_end end = WALK_UNKNOWN;
    judge_start(walk, walk->sequences[from]);
    for (size_t i = from; i < walk->sequences_count; i++) {
        if (i > from && end == WALK_ENDS) {
            tell_left_over(walk, i);
            continue;
        }
        if (i > from && walk->sequences[i] != walk->sequences[i - 1] + 1) {
            tell_missing(walk, walk->sequences[i - 1] + 1, walk->sequences[i]);
        }
        end = walk__segment(walk, i);
        *ret_last = i;
    }
    return end;
}

/* S3: the newest file was born behind the newest base, which was published. A log in front of it that holds the entry of that
 * base is kept; any other one is over, whatever is left of its files. */
static bool is_replaced(const struct walk *walk)
{
    if (!walk__has_bases(walk) || walk->sequences_count < 2) return false;
    const struct walk_glimpse newest =
        walk__look_at(walk, walk->sequences[walk->sequences_count - 1]);
    if (!newest.is_whole || !newest.header.installed ||
        !walk__is_newest_base(walk, &newest.header.base)) {
        return false;
    }
    struct segment_log_walk_summary summary = {0};
    struct walk front = *walk;
    size_t last;
    front.cb = NULL;
    front.summary = &summary;
    front.sequences_count--;
    return walk_from(&front, 0, &last) != WALK_ENDS || !front.has_base;
}

static void walk_segments(struct walk *walk)
{
    size_t first = 0, last;
    if (is_replaced(walk)) {
        for (; first + 1 < walk->sequences_count; first++) {
            walk__set_path(walk, walk->sequences[first]);
            walk__say_of_log(walk, false,
                             "left over: the base of %" PRIu64
                             " replaced its log; dropped at the next start",
                             walk->snapshots->newest_base.index);
        }
    }
    switch (walk_from(walk, first, &last)) {
    case WALK_ENDS:
        judge_extent(walk, walk->sequences[first], walk->sequences[last]);
        break;
    case WALK_GOES_ON:
        walk__say_of_log(walk, true,
                         "the segment says it is continued, but there is none behind it");
        break;
    case WALK_UNKNOWN:
        walk__say_of_log(walk, true,
                         "the segment does not tell where it ends, and there is none behind it");
        break;
    }
}

enum segment_log_status segment_log_walk(struct disk *disk, const char *directory,
                                         const struct segment_log_snapshots *snapshots,
                                         segment_log_walk_cb cb, void *data,
                                         struct segment_log_walk_summary *ret_summary,
                                         struct segment_log_problem *ret_problem)
{
    struct walk walk = {
        .disk = disk,
        .directory = directory,
        .snapshots = snapshots,
        .cb = cb,
        .data = data,
        .summary = ret_summary,
    };
    *ret_summary = (struct segment_log_walk_summary){0};
    enum segment_log_status status = SEGMENT_LOG_OK;
    int error = 0;
    if (!segment_format__path(directory, UINT64_MAX, walk.path)) error = -ENAMETOOLONG;
    if (!error) error = disk_list(disk, directory, add_name, &walk);
    if (!error && walk.out_of_memory) error = -ENOMEM;
    if (error == -ENOENT || error == -ENOTDIR || (!error && walk.sequences_count == 0)) {
        const bool has_ids = snapshots && snapshots->has_ids;
        if (has_ids) ret_summary->cluster = snapshots->cluster;
        if (has_ids) ret_summary->group = snapshots->group;
        problem__set(ret_problem, directory, 0, 0, error,
                     has_ids ? "all segments are missing" : "there are no segments here");
        status = SEGMENT_LOG_MISSING;
    } else if (error) {
        problem__set(ret_problem, directory, 0, 0, error, "listing the directory failed");
        status = SEGMENT_LOG_IO;
    } else {
        walk_segments(&walk);
    }
    ret_summary->last_index = walk.at.index;
    ret_summary->last_term = walk.at.term;
    ret_summary->last_chain = walk.at.chain;
    ret_summary->next_offset = walk.at.next_offset;
    free(walk.sequences);
    return status;
}
