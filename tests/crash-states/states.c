#include "states.h"

#include "crashes.h"
#include "seen.h"

#include <memory_disk.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct crash_limits outer_limits = {
    .singles_max = 40, .edges_max = 20, .torn_max = 16, .names_max = 5, .mixed = 6};
static const struct crash_limits inner_limits = {
    .singles_max = 6, .edges_max = 2, .torn_max = 2, .names_max = 3, .mixed = 2};

struct states {
    struct states_options options;
    struct history *history;
    const struct group_settings *settings;
    struct seen seen;
    struct states_figures figures;
    char problem[600];
    struct memory_disk_loose loose[CRASH_LOOSE_MAX];
};

struct states *states_create(const struct states_options *options, struct history *history,
                             const struct group_settings *settings)
{
    struct states *states = calloc(1, sizeof *states);
    if (!states) abort();
    states->options = *options;
    states->history = history;
    states->settings = settings;
    seen_init(&states->seen);
    return states;
}

void states_destroy(struct states *states)
{
    if (!states) return;
    seen_close(&states->seen);
    free(states);
}

const struct states_figures *states_figures(const struct states *states)
{
    return &states->figures;
}

const char *states_problem(const struct states *states)
{
    return states->problem;
}

static bool fail(struct states *states, const char *where, enum part part,
                 const struct finding *finding, const char *why)
{
    states->figures.bad++;
    if (states->problem[0]) return false;
    const struct promise *promise = &states->history->promise;
    int written = snprintf(states->problem, sizeof states->problem, "%s of the %s: %s", where,
                           part_name(part), why);
    if (part == PART_GROUP && !finding->problem[0] && written > 0) {
        const struct past_entry *entries = states->history->entries;
        snprintf(states->problem + written, sizeof states->problem - (size_t)written,
                 " (found: base %" PRIu64 " snapshot %" PRIu64 " last %" PRIu64 " damaged %" PRIu64
                 "..%" PRIu64 "; promised: durable %" PRIu64 " snapshot %" PRIu64
                 " damaged %" PRIu64 "..%" PRIu64 ")",
                 finding->base_index, finding->snapshot_index, entries[finding->tip].point.index,
                 finding->hole_first, finding->hole_last, entries[promise->durable].point.index,
                 promise->snapshot_durable, promise->damaged_first, promise->damaged_last);
    }
    return false;
}

/* Votes are looked for only by a node that has an identity, and a group only when the votes say that it was made. */
static bool is_expected(enum part part, const struct finding *identity, const struct finding *votes)
{
    switch (part) {
    case PART_IDENTITY:
        return true;
    case PART_VOTES:
        return !identity->is_missing;
    case PART_GROUP:
        return votes->record.state == NODE_REPLICA_MADE;
    }
    return false;
}

static uint64_t key_of(const struct states *states, const struct disk *disk, enum part part)
{
    uint64_t key = memory_disk_hash(disk, part_path(part)) + (uint64_t)part;
    if (part == PART_VOTES && !states->history->promise.store_is_made) key ^= UINT64_MAX / 3;
    return key ? key : 1;
}

static void start(struct states *states, enum part part, struct disk *disk,
                  struct finding *ret_finding, struct segment_log **ret_log)
{
    start_part(part, disk, states->history, states->settings,
               states->history->promise.store_is_made, ret_finding, ret_log);
    states->figures.distinct[part]++;
}

/* ---- a start that is crashed --------------------------------------------------------------------------------------- */

struct nested {
    struct states *states;
    enum part part;
    uint64_t key;            /* of the state that it starts from */
    const struct disk *disk; /* at this instant */
    uint32_t first;          /* in seen->nested */
    /* the start is over and its findings were told: nothing else may be found any more */
    const struct finding *told;
    const struct memory_disk_loose *items;
    uint32_t count;
    bool failed;
};

static bool is_what_was_told(enum part part, const struct finding *told,
                             const struct finding *finding)
{
    if (finding->problem[0]) return false;
    switch (part) {
    case PART_IDENTITY:
        return finding->identity_version == told->identity_version;
    case PART_VOTES:
        return memcmp(&finding->record, &told->record, sizeof told->record) == 0;
    case PART_GROUP:
        return finding->tip == told->tip && finding->base_index == told->base_index &&
               finding->snapshot_index == told->snapshot_index &&
               finding->hole_first == told->hole_first && finding->hole_last == told->hole_last;
    }
    return false;
}

static bool judge_nested(struct nested *nested, struct disk *crashed)
{
    struct states *states = nested->states;
    struct seen *seen = &states->seen;
    const uint64_t key = key_of(states, crashed, nested->part);
    const struct seen_state *state = seen_find(seen, key);
    states->figures.crashes++;
    if (key == nested->key) return true; /* as if it had not begun */
    uint32_t number;
    if (state) {
        number = state->finding;
    } else {
        struct finding finding;
        start(states, nested->part, crashed, &finding, NULL);
        states->figures.nested++;
        number = seen_intern(seen, &finding);
        seen_add(seen, key, number)->nested_first = nested->first;
    }
    seen_add_nested(seen, nested->first, number);
    const struct finding *finding = &seen->findings[number];
    if (nested->told && !is_what_was_told(nested->part, nested->told, finding)) {
        nested->failed = true;
        char why[300] = "what had been found is gone";
        if (nested->part == PART_GROUP) {
            const struct finding *told = nested->told;
            snprintf(why, sizeof why, "found was last %" PRIu64 " damaged %" PRIu64 "..%" PRIu64,
                     states->history->entries[told->tip].point.index, told->hole_first,
                     told->hole_last);
        }
        return fail(states, "a crash behind the start", nested->part, finding,
                    finding->problem[0] ? finding->problem : why);
    }
    return true;
}

static bool cut_nested(void *data, const enum memory_disk_fate *fates)
{
    struct nested *nested = data;
    struct disk *crashed = memory_disk_power_cut(nested->disk, nested->items, fates, nested->count);
    const bool is_good = judge_nested(nested, crashed);
    memory_disk_destroy(crashed);
    return is_good;
}

static void look_nested(void *data, struct disk *disk)
{
    struct nested *nested = data;
    if (nested->failed) return;
    struct memory_disk_loose items[CRASH_LOOSE_MAX];
    nested->disk = disk;
    nested->items = items;
    nested->count = memory_disk_loose(disk, items, CRASH_LOOSE_MAX);
    assert(nested->count <= CRASH_LOOSE_MAX);
    crashes_each(items, nested->count, &inner_limits, (uint32_t)memory_disk_calls(disk), cut_nested,
                 nested);
    if (nested->failed) return;
    struct disk *killed = memory_disk_clone(disk, 1);
    memory_disk_crash(killed, MEMORY_DISK_KILL);
    judge_nested(nested, killed);
    memory_disk_destroy(killed);
}

/* ---- a log that goes on ------------------------------------------------------------------------------------------ */

/* One entry more, all the way to the disk, with a crash behind each call. */
static bool goes_on(struct states *states, struct nested *nested, struct disk *disk,
                    struct segment_log *log, const struct finding *found)
{
    states->figures.went_on++;
    struct history *history = states->history;
    struct segment_log_info info;
    segment_log_info(log, &info);
    uint8_t payload[700];
    memset(payload, (int)(states->figures.went_on & 0xff), sizeof payload);
    const struct segment_log_entry entry = {
        .type = ENTRY_OFFSETS,
        .timestamp_ms = info.last_timestamp_ms,
        .payload = payload,
        .payload_bytes = (uint32_t)(states->figures.went_on * 37 % sizeof payload),
    };
    uint64_t last_index;
    /* A term of its own, so that it is nobody's again. */
    const uint64_t term = info.last_term + 1000000 + states->figures.went_on;
    if (segment_log_append(log, term, &entry, 1, &last_index) != SEGMENT_LOG_OK) {
        return fail(states, "a log that goes on", PART_GROUP, found, "it takes no entry");
    }
    segment_log_info(log, &info);
    const struct entry_header header = {
        .type = ENTRY_OFFSETS,
        .payload_bytes = entry.payload_bytes,
        .index = info.last_index,
        .term = term,
        .base_offset = info.next_offset,
        .timestamp_ms = info.last_timestamp_ms,
        .payload_hash = entry_payload_hash(ENTRY_OFFSETS, payload, entry.payload_bytes),
        .chain = info.last_chain,
    };
    struct finding next = *found;
    next.tip = history_add(history, found->tip, &header, payload);
    nested->told = NULL;
    memory_disk_set_capacity(disk, UINT64_MAX); /* a full one refuses */
    memory_disk_set_hook(disk, look_nested, nested);
    struct segment_log_job *job;
    bool is_good = true;
    while (is_good && (job = segment_log_next_job(log, true))) {
        struct segment_log_job_result result;
        segment_log_job_run(job);
        segment_log_job_finish(log, job, &result);
        if (result.status != SEGMENT_LOG_OK) {
            is_good = fail(states, "a log that goes on", PART_GROUP, found, result.problem.reason);
        } else if (result.durable_index == last_index && !nested->told) {
            nested->told = &next;
            look_nested(nested, disk);
        }
    }
    memory_disk_set_hook(disk, NULL, NULL);
    return is_good && !nested->failed;
}

/* ---- one state --------------------------------------------------------------------------------------------------- */

static void spoil_slot(struct disk *disk, uint32_t slot)
{
    static const uint64_t pos[2] = {0, 4096 + NODE_STORE_GROUPS_MAX * 64};
    if (memory_disk_flip(disk, VOTES_PATH, pos[slot] + 41, 0x5a) != 0) abort();
}

/* Behind a start either slot of the votes alone tells what was found (V2). */
static bool survives_rotten_slot(struct states *states, const struct disk *disk,
                                 const struct finding *told)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct disk *rotten = memory_disk_clone(disk, 1);
        memory_disk_crash(rotten, MEMORY_DISK_KILL);
        spoil_slot(rotten, i);
        struct finding finding;
        start_part(PART_VOTES, rotten, states->history, states->settings, true, &finding, NULL);
        memory_disk_destroy(rotten);
        if (is_what_was_told(PART_VOTES, told, &finding)) continue;
        return fail(states, "a rotten slot behind the start", PART_VOTES, &finding,
                    finding.problem[0] ? finding.problem : "what had been found is gone");
    }
    return true;
}

static bool is_due(uint64_t number, uint32_t in)
{
    return in > 0 && number % in == 0;
}

/* What was found along the way must be allowed under the promises of this instant. */
static bool judge_all(struct states *states, enum part part, const struct seen_state *state)
{
    const struct finding *finding = &states->seen.findings[state->finding];
    const char *why = finding_judge(part, finding, states->history);
    if (why) return fail(states, "a crash", part, finding, why);
    for (uint32_t i = 0; i < state->nested_count; i++) {
        finding = &states->seen.findings[states->seen.nested[state->nested_first + i]];
        why = finding_judge(part, finding, states->history);
        if (why) return fail(states, "a crash of the start", part, finding, why);
    }
    return true;
}

/* Start from a state that is new. The disk is used up. */
static bool explore(struct states *states, enum part part, struct disk *disk, uint64_t key)
{
    struct seen *seen = &states->seen;
    const uint64_t number = states->figures.distinct[part];
    struct nested nested = {
        .states = states, .part = part, .key = key, .first = seen->nested_count};
    const bool is_nested = is_due(number, states->options.nested_in);
    if (is_nested) memory_disk_set_hook(disk, look_nested, &nested);
    struct finding finding;
    struct segment_log *log = NULL;
    start(states, part, disk, &finding, &log);
    memory_disk_set_hook(disk, NULL, NULL);
    states->figures.nested_starts += is_nested;
    const uint32_t nested_count = seen->nested_count - nested.first;
    bool is_good = !nested.failed;
    if (is_good && !finding.problem[0]) {
        nested.told = &finding;
        look_nested(&nested, disk);
        is_good = !nested.failed;
    }
    if (is_good && !finding.problem[0] && part == PART_VOTES) {
        is_good = survives_rotten_slot(states, disk, &finding);
    }
    if (is_good && log && is_due(number, states->options.files_in)) {
        states->figures.files_read++;
        const char *why = start_check_files(log, states->history, finding.tip);
        if (why) is_good = fail(states, "the files", part, &finding, why);
    }
    if (is_good && log && is_due(number, states->options.goes_on_in)) {
        is_good = goes_on(states, &nested, disk, log, &finding);
    }
    segment_log_close(log);
    /* Only what was found before the start was over is judged again. */
    seen->nested_count = nested.first + nested_count;
    struct seen_state *state = seen_add(seen, key, seen_intern(seen, &finding));
    state->nested_first = nested.first;
    state->nested_count = nested_count;
    return judge_all(states, part, state) && is_good;
}

static bool judge_state(struct states *states, struct disk *crashed)
{
    states->figures.crashes++;
    struct finding identity = {0}, votes = {0};
    uint64_t keys[PARTS_COUNT];
    for (uint32_t part = 0; part < PARTS_COUNT; part++) {
        keys[part] = key_of(states, crashed, (enum part)part);
    }
    for (uint32_t i = 0; i < PARTS_COUNT; i++) {
        const enum part part = (enum part)i;
        if (!is_expected(part, &identity, &votes)) continue;
        const struct seen_state *state = seen_find(&states->seen, keys[i]);
        if (state ? !judge_all(states, part, state) : !explore(states, part, crashed, keys[i])) {
            return false;
        }
        state = seen_find(&states->seen, keys[i]);
        const struct finding *finding = &states->seen.findings[state->finding];
        if (part == PART_IDENTITY) identity = *finding;
        if (part == PART_VOTES) votes = *finding;
        if (part == PART_GROUP && finding->tip != states->history->promise.durable) {
            states->figures.torn_logs++;
        }
    }
    return true;
}

struct look {
    struct states *states;
    const struct disk *disk;
    uint32_t count;
};

static bool cut(void *data, const enum memory_disk_fate *fates)
{
    const struct look *look = data;
    struct states *states = look->states;
    struct disk *crashed = memory_disk_power_cut(look->disk, states->loose, fates, look->count);
    const bool is_good = judge_state(states, crashed);
    memory_disk_destroy(crashed);
    return is_good;
}

bool states_look(struct states *states, const struct disk *disk)
{
    if (states->problem[0]) return false;
    states->figures.instants++;
    struct look look = {.states = states, .disk = disk};
    look.count = memory_disk_loose(disk, states->loose, CRASH_LOOSE_MAX);
    assert(look.count <= CRASH_LOOSE_MAX);
    if (!crashes_each(states->loose, look.count, &outer_limits, (uint32_t)memory_disk_calls(disk),
                      cut, &look)) {
        return false;
    }
    struct disk *killed = memory_disk_clone(disk, 1);
    memory_disk_crash(killed, MEMORY_DISK_KILL);
    const bool is_good = judge_state(states, killed);
    memory_disk_destroy(killed);
    return is_good;
}

bool states_look_at_rotten_votes(struct states *states, const struct disk *disk)
{
    if (states->problem[0]) return false;
    bool is_good = true;
    for (uint32_t i = 0; i < 2 && is_good; i++) {
        struct disk *rotten = memory_disk_clone(disk, 1);
        memory_disk_crash(rotten, MEMORY_DISK_KILL);
        spoil_slot(rotten, i);
        is_good = judge_state(states, rotten);
        memory_disk_destroy(rotten);
    }
    return is_good;
}
