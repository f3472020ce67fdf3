#include "recall.h"

#include "base_send.h"
#include "group.h"
#include "internal.h"
#include "perform.h"
#include "repair.h"
#include "term_runs.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <inttypes.h>

bool recall__knows_terms(const struct group *group)
{
    struct segment_log_hole hole;
    for (uint64_t index = 0; segment_log_hole_from(group->log, index, &hole);
         index = hole.last_index + 1u) {
        if (!hole.terms_known) return false;
    }
    return true;
}

bool recall__waits_for(const struct group *group, uint64_t node_id)
{
    return group->begun_behind > 0 && repair__is_needed(group) &&
           !repair__was_refused_by(group, node_id);
}

void recall__run(struct group *group)
{
    if (group->begun_behind == 0 || !recall__knows_terms(group)) return;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    struct raft_event event = {.type = RAFT_EVENT_RECALLED};
    struct raft_recalled *recalled = &event.recalled;
    /* What is dropped behind a base, or about to be, is not offered again. */
    recalled->index = info.base.index;
    recalled->term = info.base.term;
    struct term_runs dropped = {0};
    if (group->dropped_below > info.base.index) {
        recalled->index = group->dropped_below;
        term_runs__collect(group->log, recalled->index, recalled->index, &dropped);
        if (dropped.count > 0) recalled->term = dropped.items[0].term;
        term_runs__free(&dropped);
    }
    const uint64_t begun_behind = group->begun_behind;
    group->begun_behind = 0;
    if (recalled->index >= begun_behind || PLANTED(D4_REPAIRED_ENTRIES_ARE_NOT_OFFERED)) return;
    struct term_runs runs;
    term_runs__collect(group->log, recalled->index + 1u, begun_behind, &runs);
    recalled->runs = runs.items;
    recalled->runs_count = runs.count;
    const enum raft_status status = group__step(group, &event);
    term_runs__free(&runs);
    node__log(group->node, status == RAFT_OK ? "info" : "error",
              "event=\"%s\" group=%" PRIu64 " from=%" PRIu64 " to=%" PRIu64,
              status == RAFT_OK ? "offers repaired entries again"
                                : "terms of repaired entries do not lead to those behind them",
              group->id, recalled->index + 1u, begun_behind);
    base_send__end_all(group);
}
