/* After a majority was healed: every partition that has one must take a new message. A new one with each attempt, so that
 * it does not matter what became of the last. */
#include <inttypes.h>

#include "clients.h"
#include "failure.h"
#include "op.h"
#include "payload.h"

#define ATTEMPT_MS  1000u
#define VALUE_BYTES 32u
#define AGAIN_US    20000u

struct demand {
    struct run *run;
    uint32_t session;
    uint64_t next_value;
    uint32_t nodes; /* to ask, bit per node */
    uint32_t open;  /* bit per partition that has acked nothing yet */
    uint32_t asked; /* bit per partition with an attempt under way */
    struct sent_batch sent[PLAN_PARTITIONS_MAX];
    const char *last; /* why the last attempt failed */
};

static void answered(struct op *op)
{
    struct demand *demand = op->client;
    clients_check_status(op->run, op->node, &op->request, op->partition);
    enum history_outcome outcome = HISTORY_OUTCOME_UNKNOWN;
    if (op->request.status == NODE_OK) outcome = HISTORY_OUTCOME_OK;
    if (clients_is_definite(op->request.status)) outcome = HISTORY_OUTCOME_FAIL;
    producers_record(op, &demand->sent[op->partition], outcome, op->completed);
    demand->last = node_status_text(op->request.status);
}

static void over(struct op *op)
{
    struct demand *demand = op->client;
    if (op->fate == OP_LOST) {
        producers_record(op, &demand->sent[op->partition], HISTORY_OUTCOME_UNKNOWN,
                         run_tick(op->run));
    }
    demand->asked &= ~(1u << op->partition);
    if (op->fate == OP_ANSWERED && op->request.status == NODE_OK) {
        demand->open &= ~(1u << op->partition);
    }
}

static void ask(struct demand *demand, uint32_t partition)
{
    struct run *run = demand->run;
    const struct partition_facts *facts = &run->partitions[partition];
    struct op *op = op_create(run, NODE_REQUEST_PRODUCE, facts->topic, facts->number);
    struct sent_batch *sent = &demand->sent[partition];
    *sent = (struct sent_batch){
        .value = demand->next_value++, .count = 1, .session = demand->session, .producer_id = -1};
    op->bytes = payload_batch(sent->value, 1, VALUE_BYTES, -1, -1, -1, &op->request.produce.bytes);
    op->request.timeout_ms = ATTEMPT_MS;
    op->partition = partition;
    op->answered = answered;
    op->over = over;
    op->client = demand;
    demand->asked |= 1u << partition;
    uint32_t node;
    do {
        node = (uint32_t)draw_below(&run->draw, run->plan.nodes_count);
    } while (!(demand->nodes & 1u << node));
    op_send(op, node, clients_latency_us(run, &run->draw));
}

static bool has_news(void *data)
{
    const struct demand *demand = data;
    return (demand->open & ~demand->asked) != 0 || (demand->open | demand->asked) == 0;
}

void clients_demand_writes(struct run *run, uint32_t nodes, uint32_t partitions, uint64_t us)
{
    struct demand demand = {.run = run,
                            .session = history_session(run->history, "demand"),
                            .next_value = ++run->next_value_producer << 32,
                            .nodes = nodes,
                            .open = partitions,
                            .last = "no answer"};
    const uint64_t end_us = sim_now_us(run->sim) + us;
    while (demand.open | demand.asked) {
        for (uint32_t i = 0; i < run->partitions_count; i++) {
            if (demand.open & ~demand.asked & 1u << i) ask(&demand, i);
        }
        const uint64_t now_us = sim_now_us(run->sim);
        const bool late = now_us >= end_us;
        if (demand.open && late) {
            failure("no-writes", "partitions 0x%x take no message though a majority is whole: %s",
                    demand.open, demand.last);
        }
        /* What was asked must be over before the memory of it goes. */
        (void)sim_run_until_true(run->sim, late ? us : end_us - now_us, has_news, &demand);
        if (demand.open) sim_run_for(run->sim, AGAIN_US);
    }
}
