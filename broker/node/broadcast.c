#include "broadcast.h"

#include "group.h"
#include "internal.h"

#include <planted/planted.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FACTOR          10u /* that a broadcast must fit into the election timeout (C9) */
#define FACTOR_FINE     15u
#define CHECK_EVERY_US  10000000u
#define REMIND_EVERY_US 600000000u

/* ---- times ------------------------------------------------------------------------------------------------------------- */

void broadcast_add(struct broadcast_times *times, uint64_t us)
{
    times->us[times->next] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    times->next = (times->next + 1u) % BROADCAST_TIMES_MAX;
    if (times->count < BROADCAST_TIMES_MAX) times->count++;
}

static int compare(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a;
    const uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

uint64_t broadcast_p99_us(const struct broadcast_times *times)
{
    static_assert(BROADCAST_TIMES_MIN > 1u, "the longest one alone must not decide");
    if (times->count < BROADCAST_TIMES_MIN) return 0;
    uint32_t sorted[BROADCAST_TIMES_MAX];
    memcpy(sorted, times->us, times->count * sizeof(sorted[0]));
    qsort(sorted, times->count, sizeof(sorted[0]), compare);
    return sorted[(times->count - 1u) * 99u / 100u];
}

bool broadcast_is_slow(uint64_t p99_us, uint64_t election_timeout_ms_min, bool was_slow)
{
    if (PLANTED(C9_SLOW_BROADCASTS_ARE_NOT_TOLD)) return false;
    const uint64_t factor = was_slow ? FACTOR_FINE : FACTOR;
    return p99_us * factor > election_timeout_ms_min * 1000u;
}

/* ---- of a group --------------------------------------------------------------------------------------------------------- */

static bool has_other_voter(const struct group *group)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->voter && member->id.node != group->node->identity.node_id) return true;
    }
    return false;
}

void broadcast__appended(struct group *group, uint64_t index, uint64_t term)
{
    struct broadcast_sample *sample = &group->broadcast;
    if (sample->index != 0 && sample->term == term) return; /* one at a time */
    sample->index = 0;
    if (!has_other_voter(group)) return;
    *sample = (struct broadcast_sample){
        .index = index, .term = term, .since_us = io_now_us(group->node->io)};
}

/* A leader that gave way in between learns of the commit by another one, in its time. */
void broadcast__committed(struct group *group)
{
    struct broadcast_sample *sample = &group->broadcast;
    if (sample->index == 0 || sample->index > group->commit_index) return;
    if (group->role == RAFT_LEADER && group->term == sample->term) {
        broadcast_add(&group->node->broadcasts, io_now_us(group->node->io) - sample->since_us);
    }
    sample->index = 0;
}

/* ---- of a node ---------------------------------------------------------------------------------------------------------- */

static void tell(struct node *node, uint64_t p99_us)
{
    const uint64_t timeout_ms = node->options.election_timeout_ms_min;
    if (!node->broadcast_is_slow) {
        node__log(node, "info",
                  "event=\"broadcasts fit into the election timeout again\" p99_us=%" PRIu64
                  " election_timeout_ms_min=%" PRIu64,
                  p99_us, timeout_ms);
        return;
    }
    node__log(
        node, "warn",
        "event=\"broadcasts are slow for the election timeout, leaders may be replaced that are "
        "well; raise --election-timeout-ms-min\" p99_us=%" PRIu64
        " election_timeout_ms_min=%" PRIu64 " wanted_ms=%" PRIu64,
        p99_us, timeout_ms, broadcast__wanted_ms(p99_us));
}

uint64_t broadcast__wanted_ms(uint64_t p99_us)
{
    return (p99_us * FACTOR + 999u) / 1000u;
}

void broadcast__check(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    if (now_us - node->broadcast_checked_us < CHECK_EVERY_US) return;
    node->broadcast_checked_us = now_us;
    const bool was_slow = node->broadcast_is_slow;
    node->broadcast_p99_us = broadcast_p99_us(&node->broadcasts);
    node->broadcast_is_slow =
        broadcast_is_slow(node->broadcast_p99_us, node->options.election_timeout_ms_min, was_slow);
    const bool reminds = was_slow && now_us - node->broadcast_told_us >= REMIND_EVERY_US;
    if (node->broadcast_is_slow == was_slow && !reminds) return;
    node->broadcast_told_us = now_us;
    tell(node, node->broadcast_p99_us);
}
