#include "trail.h"

#include <assert.h>
#include <string.h>

static raft_index run_end(const struct raft_term_run *run)
{
    return run->first + run->count - 1;
}

/* Binary search; the newest run is looked at first because nearly every question is about it. */
static const struct raft_term_run *find_run(const struct raft_trail *trail, raft_index index)
{
    assert(index > trail->floor_index);
    assert(index <= trail->last_index);
    assert(trail->runs_count > 0);
    uint32_t low = 0;
    uint32_t high = trail->runs_count - 1;
    if (trail->runs[high].first <= index) return &trail->runs[high];
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (trail->runs[middle].first <= index) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    assert(trail->runs[low].first <= index);
    assert(index <= run_end(&trail->runs[low]));
    return &trail->runs[low];
}

raft_term raft__trail_term(const struct raft_trail *trail, raft_index index)
{
    if (index < trail->floor_index) return 0;
    if (index > trail->last_index) return 0;
    if (index == trail->floor_index) return trail->floor_term;
    return find_run(trail, index)->term;
}

raft_term raft__trail_last_term(const struct raft_trail *trail)
{
    return raft__trail_term(trail, trail->last_index);
}

raft_index raft__trail_run_end(const struct raft_trail *trail, raft_index index)
{
    return run_end(find_run(trail, index));
}

raft_index raft__trail_highest_at_term(const struct raft_trail *trail, raft_index index,
                                       raft_term term)
{
    if (index > trail->last_index) index = trail->last_index;
    while (index > trail->floor_index) {
        const struct raft_term_run *run = find_run(trail, index);
        if (run->term <= term) return index;
        index = run->first - 1;
    }
    return index;
}

void raft__trail_truncate(struct raft_trail *trail, raft_index from)
{
    assert(from > trail->floor_index);
    assert(from <= trail->last_index);
    while (trail->runs_count > 0 && trail->runs[trail->runs_count - 1].first >= from) {
        trail->runs_count--;
    }
    if (trail->runs_count > 0) {
        struct raft_term_run *run = &trail->runs[trail->runs_count - 1];
        if (run_end(run) >= from) run->count = from - run->first;
    }
    trail->last_index = from - 1;
}

bool raft__trail_has_room(const struct raft_trail *trail, raft_index commit_index)
{
    if (trail->runs_count < trail->runs_max) return true;
    return trail->runs_count > 1 && run_end(&trail->runs[0]) <= commit_index;
}

/* Forgets up to a quarter of the runs at once, so that the move costs little per run. The newest run stays. */
static void forget_oldest(struct raft_trail *trail, raft_index commit_index)
{
    uint32_t limit = trail->runs_max / 4 + 1;
    uint32_t forgotten = 0;
    while (forgotten < limit && forgotten + 1 < trail->runs_count &&
           run_end(&trail->runs[forgotten]) <= commit_index) {
        trail->floor_index = run_end(&trail->runs[forgotten]);
        trail->floor_term = trail->runs[forgotten].term;
        forgotten++;
    }
    assert(forgotten > 0);
    trail->runs_count -= forgotten;
    memmove(trail->runs, trail->runs + forgotten, trail->runs_count * sizeof trail->runs[0]);
}

void raft__trail_forget(struct raft_trail *trail, raft_index index)
{
    assert(index > trail->floor_index);
    assert(index <= trail->last_index);
    trail->floor_term = raft__trail_term(trail, index);
    trail->floor_index = index;
    uint32_t forgotten = 0;
    while (forgotten < trail->runs_count && run_end(&trail->runs[forgotten]) <= index) {
        forgotten++;
    }
    trail->runs_count -= forgotten;
    memmove(trail->runs, trail->runs + forgotten, trail->runs_count * sizeof trail->runs[0]);
    if (trail->runs_count == 0) return;
    struct raft_term_run *run = &trail->runs[0];
    run->count = run_end(run) - index;
    run->first = index + 1;
}

/* Do they form a log from (index, term) to the floor? */
static bool leads_to_floor(const struct raft_trail *trail, raft_index index, raft_term term,
                           const struct raft_term_run *runs, uint32_t runs_count)
{
    for (uint32_t i = 0; i < runs_count; i++) {
        if (runs[i].first != index + 1 || runs[i].count == 0) return false;
        if (runs[i].term == 0 || runs[i].term < term) return false;
        index = run_end(&runs[i]);
        term = runs[i].term;
    }
    return index == trail->floor_index && term == trail->floor_term;
}

bool raft__trail_recall(struct raft_trail *trail, raft_index index, raft_term term,
                        const struct raft_term_run *runs, uint32_t runs_count)
{
    if (!leads_to_floor(trail, index, term, runs, runs_count)) return false;
    for (uint32_t i = runs_count; i > 0; i--) {
        const struct raft_term_run *run = &runs[i - 1];
        struct raft_term_run *first = &trail->runs[0];
        if (trail->runs_count > 0 && first->term == run->term) {
            first->first = run->first;
            first->count += run->count;
        } else {
            if (trail->runs_count == trail->runs_max) break;
            memmove(first + 1, first, trail->runs_count * sizeof *first);
            *first = *run;
            trail->runs_count++;
        }
        trail->floor_index = run->first - 1;
        trail->floor_term = i > 1 ? runs[i - 2].term : term;
    }
    return true;
}

void raft__trail_reset(struct raft_trail *trail, raft_index index, raft_term term)
{
    trail->runs_count = 0;
    trail->floor_index = index;
    trail->floor_term = term;
    trail->last_index = index;
}

bool raft__trail_append(struct raft_trail *trail, uint64_t count, raft_term term,
                        raft_index commit_index)
{
    assert(count > 0);
    assert(term > 0);
    assert(term >= raft__trail_last_term(trail));
    if (trail->runs_count > 0 && trail->runs[trail->runs_count - 1].term == term) {
        trail->runs[trail->runs_count - 1].count += count;
        trail->last_index += count;
        return true;
    }
    if (!raft__trail_has_room(trail, commit_index)) return false;
    if (trail->runs_count == trail->runs_max) forget_oldest(trail, commit_index);
    struct raft_term_run *run = &trail->runs[trail->runs_count++];
    run->first = trail->last_index + 1;
    run->count = count;
    run->term = term;
    trail->last_index += count;
    return true;
}
