#include "clock.h"

#include "group.h"
#include "internal.h"
#include "peers.h"

#include <planted/planted.h>

#include <assert.h>

void clock_take(struct clock_reading *reading, int64_t wall_ms, uint64_t now_us)
{
    reading->is_known = wall_ms >= 0 && wall_ms <= CLOCK_WALL_MS_MAX;
    reading->wall_ms = wall_ms;
    reading->taken_us = now_us;
}

int64_t clock_read(const struct clock_reading *reading, uint64_t now_us)
{
    assert(reading->is_known);
    assert(now_us >= reading->taken_us);
    return reading->wall_ms + (int64_t)((now_us - reading->taken_us) / 1000u);
}

int64_t clock_median(int64_t *clocks, uint32_t clocks_count, uint32_t voters_count)
{
    assert(clocks_count >= 1);
    assert(clocks_count <= voters_count);
    for (uint32_t i = 1; i < clocks_count; i++) {
        const int64_t clock = clocks[i];
        uint32_t at = i;
        for (; at > 0 && clocks[at - 1u] > clock; at--) {
            clocks[at] = clocks[at - 1u];
        }
        clocks[at] = clock;
    }
    if (PLANTED(C8_ONE_CLOCK_DECIDES)) return clocks[clocks_count - 1u];
    const uint32_t rank = (voters_count - 1u) / 2u;
    const uint32_t unknown = voters_count - clocks_count;
    return clocks[rank > unknown ? rank - unknown : 0];
}

void clock_watch_look(struct clock_watch *watch, int64_t wall_ms, uint64_t now_us)
{
    if (watch->is_started) {
        assert(now_us >= watch->seen_us);
        const int64_t expected_ms = watch->wall_ms + (int64_t)((now_us - watch->seen_us) / 1000u);
        const int64_t jump_ms = wall_ms - expected_ms;
        if (jump_ms > CLOCK_JUMP_MS || jump_ms < -CLOCK_JUMP_MS) {
            watch->ahead_ms += jump_ms;
            watch->jumped_us = now_us;
            /* It was ahead from the start, or is behind now: then it only makes things look younger. */
            if (watch->ahead_ms < CLOCK_JUMP_MS) watch->ahead_ms = 0;
        }
    }
    watch->is_started = true;
    watch->wall_ms = wall_ms;
    watch->seen_us = now_us;
}

bool clock_watch_rests(const struct clock_watch *watch, uint64_t retention_ms, uint64_t now_us)
{
    if (watch->ahead_ms < CLOCK_JUMP_MS) return false;
    return (now_us - watch->jumped_us) / 1000u < retention_ms;
}

/* The voter's clock as this node knows it. */
static bool voter_clock(struct node *node, uint64_t node_id, int64_t *ret_clock_ms)
{
    if (node_id == node->options.node_id) {
        *ret_clock_ms = io_wall_ms(node->io);
        return true;
    }
    const struct peer_state *peer = node__peer(node, node_id);
    if (!peer || !peer->clock.is_known) return false;
    *ret_clock_ms = clock_read(&peer->clock, io_now_us(node->io));
    return true;
}

int64_t clock__of_group(struct group *group)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    int64_t clocks[RAFT_MEMBERS_MAX];
    uint32_t clocks_count = 0;
    uint32_t voters_count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!member->voter && !member->voter_old) continue;
        voters_count++;
        if (voter_clock(group->node, member->id.node, &clocks[clocks_count])) clocks_count++;
    }
    /* A leader that is no voter any more, and has heard of no clock. */
    if (clocks_count == 0) return io_wall_ms(group->node->io);
    return clock_median(clocks, clocks_count, voters_count);
}
