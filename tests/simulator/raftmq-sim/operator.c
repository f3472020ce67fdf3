#include "operator.h"

#include <inttypes.h>
#include <stdlib.h>

#include "clients.h"
#include "failure.h"
#include "members.h"
#include "nemesis.h"
#include "op.h"
#include "peek.h"
#include "sim_invariants.h"

#define LOOK_EVERY_US 300000u
#define REPAIR_US_MAX 8000000u
#define REPAIR_US_MIN 500000u
#define START_US_MAX  2000000u

struct operator_state {
    struct run *run;
    struct draw draw;
    uint64_t repair_us[PLAN_NODES_MAX]; /* when the damaged disk is replaced; 0: it is well */
    bool is_over;                       /* from now on only disks go that no node starts on */
    uint32_t put_away;                  /* bits: stopped then, for meta did not know them */
    struct op *op;                      /* a change that is asked for */
};

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static void nobody_waits(struct op *op)
{
    (void)op;
}

/* What no good request of an operator may be told. */
static void check_refusal(const struct op *op)
{
    switch (op->request.status) {
    case NODE_OK:
    case NODE_NOT_TRANSFERRED:
    case NODE_NO_LEADER:
    case NODE_NOT_READY:
    case NODE_OVERLOADED:
    case NODE_OUTCOME_UNKNOWN:
    case NODE_DISK_FULL:
    case NODE_SHUTTING_DOWN:
    case NODE_TIMEOUT:
        return;
    case NODE_UNKNOWN_NODE: /* it was removed, or is not admitted yet */
        if (op->request.type != NODE_REQUEST_TRANSFER || op->request.transfer.from != 0) return;
        break;
    case NODE_NODE_EXISTS:
    case NODE_NOT_ENOUGH_NODES:
    case NODE_QUORUM_AT_RISK:
    case NODE_CHANGE_RUNNING:
        if (op->request.type != NODE_REQUEST_TRANSFER) return;
        break;
    case NODE_DAMAGED: /* nobody leads its group, and the replica here is being mended */
        if (op->run->damage.damaged) return;
        break;
    case NODE_TOPIC_NOT_FOUND:
    case NODE_PARTITION_NOT_FOUND:
    case NODE_TOPIC_EXISTS:
    case NODE_INVALID_NAME:
    case NODE_INVALID_ARGUMENT:
    case NODE_TOO_MANY_TOPICS:
    case NODE_CORRUPT_BATCH:
    case NODE_TOO_LARGE:
    case NODE_OUT_OF_ORDER_SEQUENCE:
    case NODE_DUPLICATE_OFFSET_UNKNOWN:
    case NODE_PRODUCER_FENCED:
    case NODE_UNKNOWN_PRODUCER:
    case NODE_STALE_GENERATION:
    case NODE_OFFSET_OUT_OF_RANGE:
    case NODE_NO_OFFSET:
    case NODE_TOO_MANY_NODES:
        break;
    }
    failure("refused-wrongly", "n%u refuses what an operator may ask for: %s: %s", op->node + 1u,
            node_status_text(op->request.status), op->request.detail);
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

/* "Another one leads" is said of one that has led. */
static void check_transferred(const struct op *op)
{
    struct run *run = op->run;
    const struct node_request *request = &op->request;
    if (request->transfer.from != 0) return;
    if (request->transfer.to != 0 && request->ret_leader != request->transfer.to) {
        failure("transfer-elsewhere", "n%u says OK, n%" PRIu64 " leads and not n%" PRIu64,
                op->node + 1u, request->ret_leader, request->transfer.to);
    }
    const struct node *node = run->cluster->nodes[op->node].node;
    const uint64_t group =
        request->transfer.meta ? 0 : peek_partition_group(node, op->topic, request->partition);
    if (group == 0 && !request->transfer.meta) return; /* deleted meanwhile */
    if (invariants_has_led(run->cluster->invariants, group, request->ret_leader)) return;
    failure("transfer-invented", "n%u says that n%" PRIu64 " leads group %" PRIu64 ", it never did",
            op->node + 1u, request->ret_leader, group);
}

static void transfer_answered(struct op *op)
{
    check_refusal(op);
    if (op->request.status != NODE_OK) return;
    check_transferred(op);
    nemesis_count(op->run, FAULT_TRANSFER);
}

static bool ask_transfer(struct run *run, struct draw *draw)
{
    const uint32_t nodes_count = run->plan.nodes_count;
    const uint32_t partition = (uint32_t)draw_below(draw, run->partitions_count);
    const struct partition_facts *facts = &run->partitions[partition];
    const bool is_meta = draw_chance(draw, 1, 4);
    const bool is_of_node = draw_chance(draw, 1, 5);
    const uint64_t from = 1u + draw_below(draw, nodes_count);
    const uint64_t to = draw_chance(draw, 1, 2) ? 0 : 1u + draw_below(draw, nodes_count);
    const bool names_partition = !is_meta && !is_of_node;
    if (names_partition && !facts->is_created) return false;
    struct op *op = op_create(run, NODE_REQUEST_TRANSFER, names_partition ? facts->topic : "",
                              names_partition ? facts->number : 0);
    op->request.transfer.meta = is_meta && !is_of_node;
    op->request.transfer.from = is_of_node ? from : 0;
    op->request.transfer.to = is_of_node && to == from ? 0 : to;
    op->answered = transfer_answered;
    op->over = nobody_waits;
    clients_send(op, draw);
    return true;
}

/* ---- members -------------------------------------------------------------------------------------------------------- */

static void change_answered(struct op *op)
{
    check_refusal(op);
    if (op->request.status == NODE_OK) nemesis_count(op->run, (enum fault)op->number);
}

static void change_over(struct op *op)
{
    op->run->operator_state->op = NULL;
}

/* One at a time: the answer says what is decided, and that takes its time. */
static void ask_change(struct run *run, struct op *op, enum fault fault, struct draw *draw)
{
    run->operator_state->op = op;
    op->number = (uint64_t)fault;
    op->answered = change_answered;
    op->over = change_over;
    clients_send(op, draw);
}

bool operator_shrinks(const struct run *run)
{
    const struct op *op = run->operator_state ? run->operator_state->op : NULL;
    return op && op->request.type != NODE_REQUEST_NODE_ADD;
}

static uint32_t draw_node(uint32_t nodes, struct draw *draw)
{
    assert(nodes != 0);
    uint64_t skip = draw_below(draw, members_count(nodes));
    for (; skip > 0; skip--) {
        nodes &= nodes - 1u;
    }
    return (uint32_t)__builtin_ctz(nodes);
}

/* So many must stay for every topic to have its replicas. */
static uint32_t members_least(const struct run *run)
{
    uint32_t least = run->plan.founders_count < 3u ? run->plan.founders_count : 3u;
    for (uint32_t i = 0; i < run->plan.topics_count; i++) {
        const uint32_t replicas = run->plan.topics[i].replicas_count;
        if (replicas > least) least = replicas;
    }
    return least;
}

void operator_configures(struct run *run, uint32_t node, struct draw *draw)
{
    const uint32_t members = members_wished(run) & ~(1u << node);
    const bool is_founder = run->founders & 1u << node;
    /* The same command line as ever, where one of those it names can tell of the cluster. */
    const bool is_plain = is_founder && members & run->founders && draw_chance(draw, 1, 2);
    run->cluster->starts[node] = (struct cluster_start){
        .peers = is_plain ? run->founders : members,
        .join_only = !is_plain,
    };
}

/* A new machine under this number. The old one, if it still runs somewhere, is switched off. */
static void prepare_machine(struct run *run, uint32_t node, struct draw *draw)
{
    if (sim_is_running(run->sim, node)) sim_crash(run->sim, node, SIM_CRASH_KILL);
    sim_wipe_disk(run->sim, node);
    members_forget(run, node);
    damage_forget(run, node);
    run->cluster->starts[node] =
        (struct cluster_start){.peers = members_wished(run), .join_only = true};
    /* Sometimes it runs before anybody admits it, and must wait. */
    nemesis_stay_down(run, node);
    if (draw_chance(draw, 1, 3)) nemesis_start_soon(run, node, draw_below(draw, START_US_MAX));
}

static bool ask_add(struct run *run, struct draw *draw)
{
    const uint32_t strangers = members_all_nodes(run) & ~members_known(run);
    if (strangers == 0) return false;
    const uint32_t node = draw_node(strangers, draw);
    members_check_forgotten(run, node);
    prepare_machine(run, node, draw);
    struct op *op = op_create(run, NODE_REQUEST_NODE_ADD, "", 0);
    char address[CLUSTER_NAME_MAX];
    cluster_peer_address(node, address, sizeof(address));
    memcpy(op->group, address, sizeof(op->group));
    op->request.node.id = node + 1u;
    op->request.node.peer_address = op->group;
    ask_change(run, op, FAULT_ADD, draw);
    return true;
}

static bool ask_leave(struct run *run, enum fault fault, struct draw *draw)
{
    const uint32_t members = members_wished(run);
    if (members_count(members) <= members_least(run)) return false;
    const uint32_t node = draw_node(members, draw);
    const uint32_t with = draw_node(members & ~(1u << node), draw);
    const bool replaces = fault == FAULT_REPLACE;
    if (!members_can_leave(run, node, replaces ? with : UINT32_MAX)) return false;
    struct op *op =
        op_create(run, replaces ? NODE_REQUEST_NODE_REPLACE : NODE_REQUEST_NODE_REMOVE, "", 0);
    op->request.node.id = node + 1u;
    op->request.node.with = replaces ? with + 1u : 0;
    op->request.node.shrinks = !replaces;
    ask_change(run, op, fault, draw);
    return true;
}

static bool ask_place(struct run *run, struct draw *draw)
{
    const uint32_t partition = (uint32_t)draw_below(draw, run->partitions_count);
    const struct partition_facts *facts = &run->partitions[partition];
    uint32_t members = members_wished(run);
    if (!facts->is_created || members_count(members) <= facts->replicas_count) return false;
    struct op *op = op_create(run, NODE_REQUEST_PLACE, facts->topic, facts->number);
    for (uint32_t i = 0; i < facts->replicas_count; i++) {
        const uint32_t node = draw_node(members, draw);
        members &= ~(1u << node);
        op->request.place.nodes[op->request.place.nodes_count++] = node + 1u;
    }
    ask_change(run, op, FAULT_PLACE, draw);
    return true;
}

bool operator_strikes(struct run *run, enum fault fault, struct draw *draw)
{
    if (fault == FAULT_TRANSFER) return ask_transfer(run, draw);
    if (run->operator_state->op || !members_meta(run)) return false;
    if (fault == FAULT_ADD) return ask_add(run, draw);
    if (fault == FAULT_PLACE) return ask_place(run, draw);
    return ask_leave(run, fault, draw);
}

/* ---- looking after the nodes ------------------------------------------------------------------------------------------- */

static void replace_disk(struct run *run, uint32_t node)
{
    struct operator_state *state = run->operator_state;
    run_tell(run, "n%u gets a new disk", node + 1u);
    if (sim_is_running(run->sim, node)) sim_crash(run->sim, node, SIM_CRASH_KILL);
    sim_wipe_disk(run->sim, node);
    members_forget(run, node);
    damage_forget(run, node);
    state->repair_us[node] = 0;
    operator_configures(run, node, &state->draw);
    nemesis_start_soon(run, node, draw_below(&state->draw, START_US_MAX));
}

/* Nobody depends on what its disk held: it is a member of nothing, or every group has two others. */
static bool is_replaceable(const struct run *run, uint32_t node)
{
    return !(members_known(run) & 1u << node) || members_can_lose(run, node);
}

/* It will not start on the disk that it has, or not before nobody depends on it. */
static bool needs_another(const struct run *run, uint32_t node)
{
    return damage_is_final(run, node) || run->damage.waits & 1u << node;
}

static void look_at_damaged(struct run *run, uint32_t node)
{
    struct operator_state *state = run->operator_state;
    const uint64_t now_us = sim_now_us(run->sim);
    if (!(run->damage.damaged & 1u << node)) return;
    if (state->is_over && !needs_another(run, node)) return;
    if (state->repair_us[node] == 0) {
        state->repair_us[node] = now_us + draw_between(&state->draw, REPAIR_US_MIN, REPAIR_US_MAX);
    } else if (state->repair_us[node] <= now_us && is_replaceable(run, node)) {
        replace_disk(run, node); /* not one of the only two of a group: then it is left as it is */
    }
}

static void look_at_lost(struct run *run, uint32_t node)
{
    if (!(run->lost & 1u << node) || damage_is_on(run, node)) return;
    if (!members_is_back(run, node)) return;
    run_tell(run, "n%u is whole again", node + 1u);
    run->lost &= ~(1u << node);
    run->totals.returns++;
}

/* Who is admitted is started. Also one that had asked to join before it was put away, when the request to admit it and its own
 * were on their way. */
static void look_at_admitted(struct run *run)
{
    struct operator_state *state = run->operator_state;
    struct meta_node nodes[META_NODES_MAX];
    const struct meta_state *meta = members_meta(run);
    const uint32_t count = meta ? meta_nodes(meta, nodes, META_NODES_MAX) : 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t node = (uint32_t)nodes[i].node_id - 1u;
        const uint32_t bit = 1u << node;
        if (sim_is_running(run->sim, node)) continue;
        if (nodes[i].incarnation != 0 && !(state->put_away & bit)) continue;
        state->put_away &= ~bit;
        nemesis_start_soon(run, node, draw_below(&state->draw, START_US_MAX));
    }
}

static void look(void *data)
{
    struct run *run = data;
    sim_call_after(run->sim, LOOK_EVERY_US, look, run);
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        look_at_damaged(run, i);
        look_at_lost(run, i);
    }
    look_at_admitted(run);
}

/* Who runs on a damaged disk is left to mend it, or is given another one. */
static bool is_to_be_replaced(struct run *run, uint32_t node)
{
    const uint32_t bit = 1u << node;
    if (!(run->damage.damaged & bit)) return false;
    return needs_another(run, node) || draw_chance(&run->operator_state->draw, 1, 2);
}

void operator_tidies(struct run *run)
{
    run->operator_state->is_over = true;
    const uint32_t known = members_known(run);
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        /* One of two waits until its group has grown again (look_at_damaged). */
        if (is_to_be_replaced(run, i) && is_replaceable(run, i)) replace_disk(run, i);
        if (known & 1u << i) continue;
        nemesis_stay_down(run, i);
        run->operator_state->put_away |= 1u << i;
        if (sim_is_running(run->sim, i)) sim_crash(run->sim, i, SIM_CRASH_KILL);
    }
}

void operator_starts(struct run *run)
{
    run->operator_state = calloc(1, sizeof(*run->operator_state));
    if (!run->operator_state) abort();
    run->operator_state->run = run;
    run->operator_state->draw = draw_stream(run->plan.seed, PART_OPERATOR);
    sim_call_after(run->sim, LOOK_EVERY_US, look, run);
}

void operator_free(struct run *run)
{
    free(run->operator_state);
}
