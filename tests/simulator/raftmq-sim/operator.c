#include "operator.h"

#include <inttypes.h>

#include "clients.h"
#include "failure.h"
#include "nemesis.h"
#include "op.h"
#include "peek.h"
#include "sim_invariants.h"

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
    switch (op->request.status) {
    case NODE_OK:
        check_transferred(op);
        nemesis_count(op->run, FAULT_TRANSFER);
        return;
    case NODE_NOT_TRANSFERRED:
    case NODE_NO_LEADER:
    case NODE_NOT_READY:
    case NODE_OVERLOADED:
    case NODE_SHUTTING_DOWN:
    case NODE_TIMEOUT:
        return;
    case NODE_TOPIC_NOT_FOUND:
    case NODE_PARTITION_NOT_FOUND:
    case NODE_TOPIC_EXISTS:
    case NODE_INVALID_NAME:
    case NODE_INVALID_ARGUMENT:
    case NODE_TOO_MANY_TOPICS:
    case NODE_NOT_ENOUGH_NODES:
    case NODE_CORRUPT_BATCH:
    case NODE_TOO_LARGE:
    case NODE_OUT_OF_ORDER_SEQUENCE:
    case NODE_DUPLICATE_OFFSET_UNKNOWN:
    case NODE_PRODUCER_FENCED:
    case NODE_UNKNOWN_PRODUCER:
    case NODE_STALE_GENERATION:
    case NODE_OFFSET_OUT_OF_RANGE:
    case NODE_NO_OFFSET:
    case NODE_OUTCOME_UNKNOWN:
    case NODE_DISK_FULL:
    case NODE_DAMAGED:
    case NODE_UNKNOWN_NODE:
    case NODE_NODE_EXISTS:
    case NODE_TOO_MANY_NODES:
    case NODE_QUORUM_AT_RISK:
    case NODE_CHANGE_RUNNING:
        failure("refused-wrongly", "n%u refuses a good transfer: %s: %s", op->node + 1u,
                node_status_text(op->request.status), op->request.detail);
    }
}

static void nobody_waits(struct op *op)
{
    (void)op;
}

bool operator_transfers(struct run *run, struct draw *draw)
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
