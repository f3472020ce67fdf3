#include "nemesis.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <memory_disk.h>

#include "damage.h"
#include "failure.h"
#include "members.h"
#include "operator.h"
#include "peek.h"

#define HELD_US          20000u /* between two looks at whether a start is still held */
#define START_SPREAD_US  1500000u
#define RESTART_US_MAX   3000000u
#define LONG_DOWN_US_MAX 20000000u
#define DRAIN_MS         4000u
#define STOP_US_MAX      30000000u /* drain, and the jobs that must end */
#define CANARY_STRIKES   3u
#define TEN_YEARS_MS     INT64_C(315360000000)

/* What is wrong with a node. */
struct victim {
    struct run *run;
    uint32_t node;
    bool must_stay_down;
    bool is_restarting;     /* a start is due */
    bool is_stopping;       /* SIGTERM was sent */
    bool may_be_fatal;      /* its disk was made to fail in this process's life */
    bool is_armed;          /* for a crash at a disk call */
    enum fault armed;       /* which one */
    bool has_call_error;    /* one is armed ... */
    uint64_t call_error_at; /* ... at this call of the disk */
    bool has_sync_error;
    bool is_full;
    uint64_t stopping_since_us;
    uint32_t stops_count;
};

/* One kind of fault. */
struct strike {
    struct run *run;
    enum fault fault;
    struct draw draw;
    /* What it did last, to take it back. */
    uint64_t number;
    uint32_t node;
    uint32_t nodes; /* bit per node: one side of a partition */
};

/* Takes back strike number `number`, unless everything was healed meanwhile. */
struct undo {
    struct undo *next;
    struct strike *strike;
    uint64_t number;
    uint32_t node;
};

struct nemesis {
    struct draw draw;
    struct victim victims[PLAN_NODES_MAX];
    struct strike strikes[FAULTS_COUNT];
    struct undo *undos;
    bool is_over;
};

static void strike_again(void *data);

/* ---- nodes that come back -------------------------------------------------------------------------------------- */

static struct victim *victim_of(struct run *run, uint32_t node)
{
    return &run->nemesis->victims[node];
}

static void start_later(struct victim *victim, uint64_t us);

static void start_node(void *data)
{
    struct victim *victim = data;
    struct run *run = victim->run;
    if (!victim->is_restarting) return; /* it was healed meanwhile */
    victim->is_restarting = false;
    if (damage_holds_start(run, victim->node)) {
        start_later(victim, HELD_US);
        return;
    }
    if (victim->must_stay_down || sim_is_running(run->sim, victim->node)) return;
    run_tell(run, "n%u starts", victim->node + 1u);
    victim->may_be_fatal = victim->has_sync_error || victim->has_call_error;
    cluster_start(run->cluster, victim->node);
}

static void start_later(struct victim *victim, uint64_t us)
{
    victim->is_restarting = true;
    sim_call_after(victim->run->sim, us, start_node, victim);
}

void nemesis_count(struct run *run, enum fault fault)
{
    run->totals.faults[fault]++;
    if (run->options.wishes.canary[fault] && run->totals.faults[fault] == CANARY_STRIKES) {
        failure("canary", "%s struck %u times", fault_name(fault), CANARY_STRIKES);
    }
}

void nemesis_stay_down(struct run *run, uint32_t node)
{
    victim_of(run, node)->must_stay_down = true;
    victim_of(run, node)->is_restarting = false;
}

void nemesis_start_soon(struct run *run, uint32_t node, uint64_t us)
{
    struct victim *victim = victim_of(run, node);
    victim->must_stay_down = false;
    if (!victim->is_restarting) start_later(victim, us);
}

void nemesis_node_gone(struct run *run, uint32_t node)
{
    struct nemesis *nemesis = run->nemesis;
    if (!nemesis) return; /* the world ends */
    struct victim *victim = victim_of(run, node);
    run_tell(run, "n%u is gone", node + 1u);
    if (victim->is_armed) nemesis_count(run, victim->armed);
    victim->is_armed = false;
    if (victim->has_call_error &&
        memory_disk_calls(sim_memory_disk(run->sim, node)) >= victim->call_error_at) {
        nemesis_count(run, FAULT_CALL_ERROR);
    }
    if (sim_failed_syncs(run->sim, node) > 0 && victim->has_sync_error) {
        nemesis_count(run, FAULT_SYNC_ERROR);
    }
    victim->has_call_error = false;
    victim->has_sync_error = false; /* a crash of the memory disk takes both back */
    victim->is_stopping = false;
    victim->may_be_fatal = false;
    if (victim->must_stay_down || victim->is_restarting) return;
    const uint64_t us_max = draw_chance(&nemesis->draw, 1, 12) ? LONG_DOWN_US_MAX : RESTART_US_MAX;
    start_later(victim, nemesis->is_over ? 1000u : draw_between(&nemesis->draw, 1000, us_max));
}

/* It holds group 0, so it has been made whole once. */
static bool is_founded(struct run *run, uint32_t node)
{
    struct peek_group group;
    const struct node *inside = run->cluster->nodes[node].node;
    return inside && peek_group(inside, 0, &group);
}

void nemesis_node_fatal(struct run *run, uint32_t node, enum node_fatal code, const char *reason)
{
    const struct victim *victim = victim_of(run, node);
    run_tell(run, "n%u fatal: %s", node + 1u, reason);
    victim_of(run, node)->is_armed = false; /* it dies of this */
    if (damage_explains(run, node, code)) {
        victim_of(run, node)->must_stay_down = true; /* it would say so again each time */
        return;
    }
    if (victim->may_be_fatal && code == NODE_FATAL_DISK) return;
    if (victim->may_be_fatal && code == NODE_FATAL_CONFIG && victim->has_call_error) return;
    /* Without room a node cannot even begin; later it must cope. */
    if (victim->is_full && !is_founded(run, node)) return;
    failure("fatal", "n%u ends itself (code %d), though its disk is well: %s", node + 1u, (int)code,
            reason);
}

/* ---- whom to strike ---------------------------------------------------------------------------------------------- */

static bool is_well(struct run *run, uint32_t node)
{
    const struct victim *victim = victim_of(run, node);
    return sim_is_running(run->sim, node) && !sim_is_paused(run->sim, node) &&
           !(run->lost & 1u << node) && !victim->is_stopping && !victim->is_armed &&
           !victim->has_sync_error && !victim->has_call_error;
}

/* Taking `nodes` away leaves a majority, or the plan does not ask for one. */
static bool may_lose(struct run *run, uint32_t nodes)
{
    if (!run->plan.spares_majority) return true;
    const uint32_t members = members_wished(run);
    uint32_t left = 0;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        if (members & ~nodes & 1u << i && is_well(run, i)) left++;
    }
    return left * 2u > members_count(members);
}

static uint32_t any_node(struct strike *strike)
{
    return (uint32_t)draw_below(&strike->draw, strike->run->plan.nodes_count);
}

/* Some of the nodes, at least one and not all. */
static uint32_t some_nodes(struct strike *strike)
{
    const uint32_t all = (1u << strike->run->plan.nodes_count) - 1u;
    uint32_t nodes;
    do {
        nodes = (uint32_t)draw_below(&strike->draw, all);
    } while (nodes == 0);
    return nodes;
}

/* ---- taking back --------------------------------------------------------------------------------------------------- */

static void cut_between(struct run *run, uint32_t side, uint32_t except, enum sim_link link)
{
    for (uint32_t a = 0; a < run->plan.nodes_count; a++) {
        for (uint32_t b = 0; b < run->plan.nodes_count; b++) {
            if (a == b || a == except || b == except) continue;
            if (!(side & 1u << a) == !(side & 1u << b)) continue;
            sim_set_link(run->sim, a, b, link);
        }
    }
}

static void resume(struct run *run, uint32_t node)
{
    if (sim_is_paused(run->sim, node)) sim_resume(run->sim, node);
}

static void set_capacity(struct run *run, uint32_t node, uint64_t bytes)
{
    memory_disk_set_capacity(sim_memory_disk(run->sim, node), bytes);
    victim_of(run, node)->is_full = bytes != UINT64_MAX;
}

static void take_back(struct run *run, enum fault fault, uint32_t node)
{
    run_tell(run, "fault %s ends, n%u", fault_name(fault), node + 1u);
    switch (fault) {
    case FAULT_PAUSE:
        resume(run, node);
        return;
    case FAULT_ISOLATE:
    case FAULT_HALVES:
    case FAULT_BRIDGE:
    case FAULT_ONE_WAY:
    case FAULT_STALL:
        sim_heal(run->sim);
        return;
    case FAULT_LATENCY:
        sim_set_link_us(run->sim, run->plan.link_us_min, run->plan.link_us_max);
        return;
    case FAULT_SLOW_DISK:
        sim_set_job_factor(run->sim, node, 1);
        return;
    case FAULT_HUNG_DISK:
        sim_hang_disk(run->sim, node, false);
        return;
    case FAULT_DISK_FULL:
        set_capacity(run, node, UINT64_MAX);
        return;
    case FAULT_KILL:
    case FAULT_POWER:
    case FAULT_KILL_AT_CALL:
    case FAULT_POWER_AT_CALL:
    case FAULT_BLACKOUT:
    case FAULT_STOP:
    case FAULT_RESET:
    case FAULT_SYNC_ERROR:
    case FAULT_CALL_ERROR:
    case FAULT_WIPE:
    case FAULT_ROT:
    case FAULT_MISDIRECT:
    case FAULT_LOST_FILE:
    case FAULT_LYING_SYNC:
    case FAULT_OLD_BACKUP:
    case FAULT_TRANSFER:
    case FAULT_ADD:
    case FAULT_REMOVE:
    case FAULT_REPLACE:
    case FAULT_PLACE:
    case FAULT_CLOCK:
        return; /* ends by itself, or never */
    }
}

static void undo_strike(void *data)
{
    struct undo *undo = data;
    struct strike *strike = undo->strike;
    if (strike->run->nemesis->is_over || strike->number != undo->number) return;
    take_back(strike->run, strike->fault, undo->node);
}

static void undo_later(struct strike *strike, uint32_t node, uint64_t us)
{
    struct nemesis *nemesis = strike->run->nemesis;
    struct undo *undo = calloc(1, sizeof(*undo));
    if (!undo) abort();
    undo->next = nemesis->undos;
    nemesis->undos = undo;
    undo->strike = strike;
    undo->number = strike->number;
    undo->node = node;
    sim_call_after(strike->run->sim, us, undo_strike, undo);
}

/* ---- strikes --------------------------------------------------------------------------------------------------------- */

static void on_stopped(void *data)
{
    struct victim *victim = data;
    run_tell(victim->run, "n%u has stopped", victim->node + 1u);
    sim_crash_soon(victim->run->sim, victim->node, SIM_CRASH_KILL); /* the process ends */
}

static void stop_node(void *data)
{
    struct victim *victim = data;
    node_stop(victim->run->cluster->nodes[victim->node].node, DRAIN_MS, on_stopped, victim);
}

static void check_stop(void *data)
{
    struct undo *undo = data;
    struct run *run = undo->strike->run;
    const struct victim *victim = victim_of(run, undo->node);
    if (!victim->is_stopping || victim->stops_count != undo->number) return;
    if (sim_is_paused(run->sim, undo->node) || run->plan.fault_is_on[FAULT_HUNG_DISK] ||
        run->plan.fault_is_on[FAULT_SLOW_DISK] || run->plan.fault_is_on[FAULT_PAUSE]) {
        return;
    }
    failure("stop-hangs", "n%u was asked to end %" PRIu64 " s ago", undo->node + 1u,
            (uint64_t)STOP_US_MAX / 1000000u);
}

static bool strike_stop(struct strike *strike, uint32_t node)
{
    struct run *run = strike->run;
    struct victim *victim = victim_of(run, node);
    if (!is_well(run, node) || !run->cluster->nodes[node].node) return false;
    victim->is_stopping = true;
    victim->stops_count++;
    sim_call_in(run->sim, node, 0, stop_node, victim);
    struct undo *undo = calloc(1, sizeof(*undo));
    if (!undo) abort();
    *undo = (struct undo){
        .next = run->nemesis->undos, .strike = strike, .number = victim->stops_count, .node = node};
    run->nemesis->undos = undo;
    sim_call_after(run->sim, STOP_US_MAX, check_stop, undo);
    return true;
}

static bool strike_crash(struct run *run, uint32_t node, enum sim_crash mode)
{
    if (!sim_is_running(run->sim, node)) return false;
    victim_of(run, node)->is_armed = false; /* it dies of this */
    sim_crash(run->sim, node, mode);
    return true;
}

static bool strike_at_call(struct strike *strike, uint32_t node)
{
    struct run *run = strike->run;
    struct victim *victim = victim_of(run, node);
    if (!is_well(run, node)) return false;
    victim->is_armed = true;
    victim->armed = strike->fault;
    static const uint64_t spans[] = {3, 20, 100};
    sim_crash_at_disk_call(run->sim, node,
                           draw_below(&strike->draw, DRAW_FROM(&strike->draw, spans)),
                           strike->fault == FAULT_POWER_AT_CALL ? SIM_CRASH_POWER : SIM_CRASH_KILL);
    return true;
}

static bool strike_disk_error(struct strike *strike, uint32_t node)
{
    struct run *run = strike->run;
    struct victim *victim = victim_of(run, node);
    if (!is_well(run, node)) return false;
    struct disk *disk = sim_memory_disk(run->sim, node);
    const uint64_t nth = draw_between(&strike->draw, 1, 20);
    victim->may_be_fatal = true;
    if (strike->fault == FAULT_SYNC_ERROR) {
        victim->has_sync_error = true;
        memory_disk_fail_sync(disk, nth);
    } else {
        victim->has_call_error = true;
        victim->call_error_at = memory_disk_calls(disk) + nth;
        memory_disk_fail_call(disk, nth, -EIO);
    }
    return true;
}

/* One node at a time, and only one that has been founded: before that there is nothing to lose. */
static bool strike_loss(struct strike *strike, uint32_t node)
{
    struct run *run = strike->run;
    if ((run->lost & ~(1u << node)) || !sim_is_running(run->sim, node)) return false;
    if (!is_founded(run, node)) return false;
    victim_of(run, node)->is_armed = false; /* it dies of this */
    if (!members_can_lose(run, node) || operator_shrinks(run)) return false;
    if (!damage_strike(run, strike->fault, node, &strike->draw)) return false;
    run->lost |= 1u << node;
    return true;
}

static bool strike_blackout(struct strike *strike)
{
    struct run *run = strike->run;
    if (run->plan.spares_majority && !draw_chance(&strike->draw, 1, 4)) return false;
    bool any = false;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        if (strike_crash(run, i, SIM_CRASH_POWER)) any = true;
    }
    return any;
}

static bool strike_partition(struct strike *strike)
{
    struct run *run = strike->run;
    const uint32_t nodes_count = run->plan.nodes_count;
    if (nodes_count < 2u) return false;
    const uint32_t node = any_node(strike);
    enum sim_link link; /* the order of draws must not be the compiler's */
    switch (strike->fault) {
    case FAULT_ISOLATE:
        sim_isolate(run->sim, node,
                    draw_chance(&strike->draw, 1, 2) ? SIM_LINK_CUT : SIM_LINK_STALLED);
        break;
    case FAULT_HALVES:
        link = draw_chance(&strike->draw, 1, 2) ? SIM_LINK_CUT : SIM_LINK_STALLED;
        cut_between(run, some_nodes(strike), nodes_count, link);
        break;
    case FAULT_BRIDGE:
        cut_between(run, some_nodes(strike), node, SIM_LINK_CUT);
        break;
    case FAULT_ONE_WAY: {
        const uint32_t other =
            (node + 1u + (uint32_t)draw_below(&strike->draw, nodes_count - 1u)) % nodes_count;
        sim_set_link(run->sim, node, other, SIM_LINK_STALLED);
        break;
    }
    case FAULT_STALL:
        sim_isolate(run->sim, node, SIM_LINK_STALLED);
        break;
    case FAULT_RESET:
        for (uint32_t other = 0; other < nodes_count; other++) {
            if (other == node) continue;
            sim_set_link(run->sim, node, other, SIM_LINK_CUT);
            sim_set_link(run->sim, node, other, SIM_LINK_UP);
        }
        break;
    case FAULT_KILL:
    case FAULT_POWER:
    case FAULT_KILL_AT_CALL:
    case FAULT_POWER_AT_CALL:
    case FAULT_BLACKOUT:
    case FAULT_STOP:
    case FAULT_PAUSE:
    case FAULT_LATENCY:
    case FAULT_SLOW_DISK:
    case FAULT_HUNG_DISK:
    case FAULT_SYNC_ERROR:
    case FAULT_CALL_ERROR:
    case FAULT_DISK_FULL:
    case FAULT_WIPE:
    case FAULT_ROT:
    case FAULT_MISDIRECT:
    case FAULT_LOST_FILE:
    case FAULT_LYING_SYNC:
    case FAULT_OLD_BACKUP:
    case FAULT_TRANSFER:
    case FAULT_ADD:
    case FAULT_REMOVE:
    case FAULT_REPLACE:
    case FAULT_PLACE:
    case FAULT_CLOCK:
        assert(false);
    }
    strike->node = node;
    return true;
}

static bool strike_pause(struct run *run, uint32_t node)
{
    if (!is_well(run, node)) return false;
    sim_pause(run->sim, node);
    return true;
}

/* False: there was nothing to strike at, or it would be too much. Sets strike->node. */
static bool strike_now(struct strike *strike)
{
    struct run *run = strike->run;
    const uint32_t node = any_node(strike);
    strike->node = node;
    switch (strike->fault) {
    case FAULT_KILL:
        return may_lose(run, 1u << node) && strike_crash(run, node, SIM_CRASH_KILL);
    case FAULT_POWER:
        return may_lose(run, 1u << node) && strike_crash(run, node, SIM_CRASH_POWER);
    case FAULT_KILL_AT_CALL:
    case FAULT_POWER_AT_CALL:
        return may_lose(run, 1u << node) && strike_at_call(strike, node);
    case FAULT_BLACKOUT:
        return strike_blackout(strike);
    case FAULT_STOP:
        return may_lose(run, 1u << node) && strike_stop(strike, node);
    case FAULT_PAUSE:
        return may_lose(run, 1u << node) && strike_pause(run, node);
    case FAULT_ISOLATE:
    case FAULT_HALVES:
    case FAULT_BRIDGE:
    case FAULT_ONE_WAY:
    case FAULT_STALL:
    case FAULT_RESET:
        return strike_partition(strike);
    case FAULT_LATENCY: {
        const uint64_t factor = draw_between(&strike->draw, 10, 50);
        sim_set_link_us(run->sim, run->plan.link_us_min * factor, run->plan.link_us_max * factor);
        return true;
    }
    case FAULT_SLOW_DISK:
        sim_set_job_factor(run->sim, node, draw_between(&strike->draw, 5, 100));
        return true;
    case FAULT_HUNG_DISK:
        if (!may_lose(run, 1u << node)) return false;
        sim_hang_disk(run->sim, node, true);
        return true;
    case FAULT_SYNC_ERROR:
    case FAULT_CALL_ERROR:
        return may_lose(run, 1u << node) && strike_disk_error(strike, node);
    case FAULT_DISK_FULL:
        if (!may_lose(run, 1u << node)) return false;
        set_capacity(run, node,
                     memory_disk_used(sim_memory_disk(run->sim, node)) +
                         draw_below(&strike->draw, 2u * run->plan.reserve_bytes + 65536u));
        return true;
    case FAULT_WIPE:
    case FAULT_ROT:
    case FAULT_MISDIRECT:
    case FAULT_LOST_FILE:
    case FAULT_LYING_SYNC:
    case FAULT_OLD_BACKUP:
        return may_lose(run, 1u << node) && strike_loss(strike, node);
    case FAULT_TRANSFER:
    case FAULT_ADD:
    case FAULT_REMOVE:
    case FAULT_REPLACE:
    case FAULT_PLACE:
        return operator_strikes(run, strike->fault, &strike->draw);
    case FAULT_CLOCK:
        sim_set_wall_skew_ms(run->sim, node,
                             (int64_t)draw_below(&strike->draw, 2u * (uint64_t)TEN_YEARS_MS) -
                                 TEN_YEARS_MS);
        return true;
    }
    return false;
}

/* Of these it is known only later whether they struck. */
static bool is_counted_later(enum fault fault)
{
    return fault == FAULT_KILL_AT_CALL || fault == FAULT_POWER_AT_CALL ||
           fault == FAULT_SYNC_ERROR || fault == FAULT_CALL_ERROR ||
           (fault >= FAULT_TRANSFER && fault <= FAULT_PLACE);
}

static void strike_again(void *data)
{
    struct strike *strike = data;
    struct run *run = strike->run;
    if (run->nemesis->is_over) return;
    sim_call_after(run->sim, draw_interval(&strike->draw, run->plan.fault_every_us[strike->fault]),
                   strike_again, strike);
    if (!strike_now(strike)) return;
    strike->number++;
    run_tell(run, "fault %s, n%u", fault_name(strike->fault), strike->node + 1u);
    if (!is_counted_later(strike->fault)) nemesis_count(run, strike->fault);
    static const uint64_t spans_us[] = {30000, 300000, 1000000, 3000000, 10000000};
    undo_later(strike, strike->node,
               draw_between(&strike->draw, 1000, DRAW_FROM(&strike->draw, spans_us)));
}

/* ---- begin and end -------------------------------------------------------------------------------------------------- */

void nemesis_start(struct run *run)
{
    struct nemesis *nemesis = calloc(1, sizeof(*nemesis));
    if (!nemesis) abort();
    run->nemesis = nemesis;
    nemesis->draw = draw_stream(run->plan.seed, PART_NEMESIS);
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        struct victim *victim = &nemesis->victims[i];
        victim->run = run;
        victim->node = i;
        if (run->founders & 1u << i)
            start_later(victim, draw_below(&nemesis->draw, START_SPREAD_US));
    }
    for (int i = 0; i < FAULTS_COUNT; i++) {
        struct strike *strike = &nemesis->strikes[i];
        strike->run = run;
        strike->fault = (enum fault)i;
        strike->draw = draw_stream(run->plan.seed, PART_FAULT_FIRST + (uint64_t)i);
        if (!run->plan.fault_is_on[i]) continue;
        sim_call_after(run->sim,
                       run->plan.faults_from_us +
                           draw_interval(&strike->draw, run->plan.fault_every_us[i]),
                       strike_again, strike);
    }
}

void nemesis_free(struct run *run)
{
    struct nemesis *nemesis = run->nemesis;
    if (!nemesis) return;
    run->nemesis = NULL;
    while (nemesis->undos) {
        struct undo *next = nemesis->undos->next;
        free(nemesis->undos);
        nemesis->undos = next;
    }
    free(nemesis);
}

void nemesis_stop(struct run *run)
{
    struct nemesis *nemesis = run->nemesis;
    nemesis->is_over = true;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        if (!sim_is_running(run->sim, i)) victim_of(run, i)->must_stay_down = true;
    }
    sim_set_link_us(run->sim, run->plan.link_us_min, run->plan.link_us_max);
}

static void heal_disk(struct run *run, uint32_t node)
{
    struct victim *victim = victim_of(run, node);
    sim_set_job_factor(run->sim, node, 1);
    sim_hang_disk(run->sim, node, false);
    set_capacity(run, node, UINT64_MAX);
    damage_ends_lie(run, node);
    memory_disk_fail_sync(sim_memory_disk(run->sim, node), 0);
    memory_disk_fail_call(sim_memory_disk(run->sim, node), 0, 0);
    sim_crash_at_disk_call(run->sim, node, UINT64_MAX, SIM_CRASH_KILL);
    victim->is_armed = false;
    if (sim_failed_syncs(run->sim, node) == 0) victim->has_sync_error = false;
}

void nemesis_heal_disks(struct run *run)
{
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        heal_disk(run, i);
    }
}

void nemesis_cut_off(struct run *run, uint32_t nodes, enum sim_link link)
{
    cut_between(run, nodes, run->plan.nodes_count, link);
}

void nemesis_heal(struct run *run, uint32_t nodes)
{
    for (uint32_t a = 0; a < run->plan.nodes_count; a++) {
        if (!(nodes & 1u << a)) continue;
        for (uint32_t b = 0; b < run->plan.nodes_count; b++) {
            if (a != b && nodes & 1u << b) sim_set_link(run->sim, a, b, SIM_LINK_UP);
        }
        heal_disk(run, a);
        victim_of(run, a)->must_stay_down = damage_is_final(run, a);
        resume(run, a);
        if (!sim_is_running(run->sim, a) && !victim_of(run, a)->must_stay_down) {
            victim_of(run, a)->is_restarting = true;
            start_node(victim_of(run, a));
        }
    }
}
