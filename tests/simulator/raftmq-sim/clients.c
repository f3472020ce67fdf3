#include "clients.h"

#include "failure.h"
#include "op.h"

void clients_start(struct run *run)
{
    admin_start(run);
    producers_start(run);
    consumers_start(run);
    committers_start(run);
}

void clients_free(struct run *run)
{
    producers_free(run);
    consumers_free(run);
    committers_free(run);
    admin_free(run);
}

bool clients_are_idle(const struct run *run)
{
    return run->ops_count == 0 && producers_are_idle(run);
}

uint32_t clients_pick_node(const struct run *run, struct draw *draw)
{
    uint32_t node = 0;
    for (int tries = 0; tries < 3; tries++) {
        node = (uint32_t)draw_below(draw, run->plan.nodes_count);
        if (sim_is_running(run->sim, node)) break;
    }
    return node;
}

uint64_t clients_latency_us(const struct run *run, struct draw *draw)
{
    return draw_between(draw, 20, run->plan.client_us_max);
}

void clients_send(struct op *op, struct draw *draw)
{
    const uint32_t node = clients_pick_node(op->run, draw);
    op_send(op, node, clients_latency_us(op->run, draw));
}

bool clients_is_definite(enum node_status status)
{
    switch (status) {
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
    case NODE_PRODUCER_FENCED:
    case NODE_UNKNOWN_PRODUCER:
    case NODE_STALE_GENERATION:
    case NODE_OFFSET_OUT_OF_RANGE:
    case NODE_NO_LEADER:
    case NODE_NOT_READY:
    case NODE_OVERLOADED:
    case NODE_DISK_FULL:
    case NODE_SHUTTING_DOWN:
    case NODE_UNKNOWN_NODE:
    case NODE_NODE_EXISTS:
    case NODE_TOO_MANY_NODES:
    case NODE_QUORUM_AT_RISK:
    case NODE_CHANGE_RUNNING:
    case NODE_NOT_TRANSFERRED:
        return true;
    case NODE_OK:
    case NODE_NO_OFFSET:
    case NODE_OUTCOME_UNKNOWN:
    case NODE_DUPLICATE_OFFSET_UNKNOWN:
    case NODE_DAMAGED:
    case NODE_TIMEOUT:
        return false;
    }
    return false;
}

void clients_check_status(const struct run *run, uint32_t node, const struct node_request *request,
                          uint32_t partition)
{
    const struct partition_facts *facts = &run->partitions[partition];
    switch (request->status) {
    case NODE_DAMAGED:
        if (run->damage.damaged) return; /* here, or where it was handed on to */
        failure("refused-wrongly", "n%u calls %s/%u damaged: %s", node + 1u, facts->topic,
                facts->number, request->detail);
    case NODE_TOPIC_NOT_FOUND:
    case NODE_PARTITION_NOT_FOUND:
        if (!facts->is_created) return;
        failure("topic-lost", "n%u does not know topic %s, whose creation was acked: %s", node + 1u,
                facts->topic, request->detail);
    case NODE_INVALID_NAME:
    case NODE_INVALID_ARGUMENT:
    case NODE_TOO_MANY_TOPICS:
    case NODE_NOT_ENOUGH_NODES:
    case NODE_CORRUPT_BATCH:
    case NODE_TOO_LARGE:
    case NODE_UNKNOWN_NODE:
    case NODE_NODE_EXISTS:
    case NODE_TOO_MANY_NODES:
    case NODE_QUORUM_AT_RISK:
    case NODE_CHANGE_RUNNING:
    case NODE_NOT_TRANSFERRED:
        failure("refused-wrongly", "n%u refuses a good request of %s/%u: %s: %s", node + 1u,
                facts->topic, facts->number, node_status_text(request->status), request->detail);
    case NODE_OK:
    case NODE_TOPIC_EXISTS:
    case NODE_OUT_OF_ORDER_SEQUENCE:
    case NODE_DUPLICATE_OFFSET_UNKNOWN:
    case NODE_PRODUCER_FENCED:
    case NODE_UNKNOWN_PRODUCER:
    case NODE_STALE_GENERATION:
    case NODE_OFFSET_OUT_OF_RANGE:
    case NODE_NO_OFFSET:
    case NODE_NO_LEADER:
    case NODE_NOT_READY:
    case NODE_OUTCOME_UNKNOWN:
    case NODE_OVERLOADED:
    case NODE_DISK_FULL:
    case NODE_SHUTTING_DOWN:
    case NODE_TIMEOUT:
        return;
    }
}
