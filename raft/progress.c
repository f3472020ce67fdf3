#include "progress.h"

#include <assert.h>

static raft_index max_index(raft_index a, raft_index b)
{
    return a > b ? a : b;
}

void raft__progress_reset(struct raft_progress *progress, raft_index last_index, uint64_t now_ms)
{
    progress->state = RAFT_PROGRESS_PROBE;
    progress->match = 0;
    progress->counts_from = 0;
    progress->received = 0;
    progress->next = last_index + 1;
    progress->commit_told = 0;
    progress->heard_at_ms = 0;
    progress->moved_at_ms = now_ms;
    progress->asked_at_ms = now_ms;
    progress->probe_sent = false;
    progress->cut_off = false;
    progress->check_wanted = false;
    progress->heartbeat_wanted = false;
    progress->append_sent = false;
    progress->round_acked = 0;
    progress->last_refusal = RAFT_REFUSED_NOT;
    progress->window_head = 0;
    progress->window_count = 0;
    progress->snapshot_wanted = false;
    progress->snapshot_failed = false;
    progress->catch_up_index =
        max_index(last_index, 1); /* to have nothing of nothing is no round */
    progress->catch_up_runs = true;
    progress->catch_up_since_ms = now_ms;
    progress->catch_up_last_ms = UINT64_MAX;
}

static raft_index window_at(const struct raft_progress *progress, uint32_t i)
{
    assert(i < progress->window_count);
    return progress->window[(progress->window_head + i) % RAFT_INFLIGHT_MAX];
}

static void window_clear(struct raft_progress *progress)
{
    progress->window_head = 0;
    progress->window_count = 0;
}

static void window_free_through(struct raft_progress *progress, raft_index match)
{
    while (progress->window_count > 0 && window_at(progress, 0) <= match) {
        progress->window_head = (progress->window_head + 1) % RAFT_INFLIGHT_MAX;
        progress->window_count--;
    }
}

bool raft__progress_accepted(struct raft_progress *progress, raft_index match, raft_index received)
{
    assert(match <= received);
    bool moved = match > progress->match || received > progress->received;
    progress->match = max_index(progress->match, match);
    if (progress->match >= progress->counts_from) progress->counts_from = 0;
    progress->received = max_index(progress->received, received);
    switch (progress->state) {
    case RAFT_PROGRESS_PROBE:
        if (progress->received + 1 >= progress->next) {
            progress->state = RAFT_PROGRESS_REPLICATE;
            progress->next = progress->received + 1;
            progress->probe_sent = false;
            window_clear(progress);
        }
        break;
    case RAFT_PROGRESS_REPLICATE:
        /* An answer may tell of more than we believed sent, after a cut. */
        progress->next = max_index(progress->next, progress->received + 1);
        window_free_through(progress, progress->match);
        break;
    case RAFT_PROGRESS_SNAPSHOT:
        progress->next = max_index(progress->next, progress->received + 1);
        break;
    }
    assert(progress->received < progress->next);
    return moved;
}

void raft__progress_probe(struct raft_progress *progress, raft_index next)
{
    assert(next > progress->match);
    progress->state = RAFT_PROGRESS_PROBE;
    progress->received = progress->match;
    progress->next = next;
    progress->probe_sent = false;
    progress->check_wanted = false;
    window_clear(progress);
}

void raft__progress_regressed(struct raft_progress *progress, raft_index agree,
                              raft_index commit_index)
{
    assert(agree < progress->match);
    progress->counts_from = max_index(progress->counts_from, max_index(commit_index, 1));
    progress->match = 0; /* nothing of it is believed before it is verified again */
    progress->catch_up_runs = true;
    progress->catch_up_index = max_index(progress->catch_up_index, 1);
    raft__progress_probe(progress, agree + 1);
}

void raft__progress_catch_up(struct raft_progress *progress, raft_index last_index, uint64_t now_ms)
{
    if (progress->catch_up_index > progress->match) return; /* the round goes on */
    if (progress->catch_up_runs) {
        progress->catch_up_last_ms = now_ms - progress->catch_up_since_ms;
        progress->catch_up_runs = false;
    }
    if (progress->match == last_index) { /* the next round would be over before it began */
        progress->catch_up_last_ms = 0;
        return;
    }
    progress->catch_up_runs = true;
    progress->catch_up_index = last_index;
    progress->catch_up_since_ms = now_ms;
}

void raft__progress_snapshot(struct raft_progress *progress)
{
    progress->state = RAFT_PROGRESS_SNAPSHOT;
    progress->probe_sent = false;
    progress->check_wanted = false;
    progress->snapshot_wanted = true;
    progress->snapshot_failed = false;
    window_clear(progress);
}

void raft__progress_sent(struct raft_progress *progress, raft_index last)
{
    assert(last + 1 >= progress->next);
    assert(progress->state != RAFT_PROGRESS_SNAPSHOT);
    progress->append_sent = true;
    switch (progress->state) {
    case RAFT_PROGRESS_PROBE:
        progress->probe_sent = true;
        break;
    case RAFT_PROGRESS_REPLICATE:
        if (last < progress->next) break;
        assert(progress->window_count < RAFT_INFLIGHT_MAX);
        progress->window[(progress->window_head + progress->window_count) % RAFT_INFLIGHT_MAX] =
            last;
        progress->window_count++;
        progress->next = last + 1;
        break;
    case RAFT_PROGRESS_SNAPSHOT:
        break;
    }
}

static void cut_probe(struct raft_progress *progress, raft_index last)
{
    if (last >= progress->next) return; /* a part of the probe left: its answer will come */
    progress->probe_sent = false;
    progress->cut_off = true;
}

/* The ends are contiguous, so the cut lies at an end (the APPEND behind it did not leave at all) or inside of
 * one APPEND (a part of it left, and the rest may follow at once). */
static void cut_window(struct raft_progress *progress, raft_index last)
{
    last = max_index(last, progress->received);
    if (last + 1 >= progress->next) {
        progress->cut_off = true; /* an empty APPEND, or one whose entries arrived by another way */
        return;
    }
    bool inside = false;
    while (progress->window_count > 0) {
        raft_index end = window_at(progress, progress->window_count - 1);
        if (end <= last) break;
        raft_index previous_end = progress->window_count > 1
                                      ? window_at(progress, progress->window_count - 2)
                                      : progress->match;
        inside = previous_end < last;
        if (inside) {
            uint32_t at = (progress->window_head + progress->window_count - 1) % RAFT_INFLIGHT_MAX;
            progress->window[at] = last;
            break;
        }
        progress->window_count--;
    }
    progress->next = last + 1;
    if (!inside) progress->cut_off = true;
}

void raft__progress_cut(struct raft_progress *progress, raft_index last)
{
    switch (progress->state) {
    case RAFT_PROGRESS_PROBE:
        cut_probe(progress, last);
        break;
    case RAFT_PROGRESS_REPLICATE:
        cut_window(progress, last);
        break;
    case RAFT_PROGRESS_SNAPSHOT:
        break;
    }
}
