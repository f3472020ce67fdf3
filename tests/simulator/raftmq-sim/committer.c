/* Committers: each sets and reads the offset of a consumer group of its own, and reads those of the others. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "failure.h"
#include "op.h"

#define GROUP_NAME_BYTES 16u

struct committer {
    struct run *run;
    uint32_t number;
    struct draw draw;
    uint32_t partition;
    uint32_t session;
    char group[GROUP_NAME_BYTES];
    uint64_t last; /* committed last, acked or not */
};

static void group_name(char name[GROUP_NAME_BYTES], uint32_t number)
{
    snprintf(name, GROUP_NAME_BYTES, "g%u", number + 1u);
}

static struct history_op entry_of(const struct op *op, enum history_kind kind,
                                  enum history_outcome outcome, uint64_t completed)
{
    const struct committer *committer = op->client;
    return (struct history_op){
        .kind = kind,
        .outcome = outcome,
        .invoked = op->invoked,
        .completed = completed,
        .session = committer->session,
        .node = op->node + 1u,
        .partition = op->run->partitions[op->partition].history,
        .commit = {.group = history_group(op->run->history, op->group)},
    };
}

static void record_commit(const struct op *op, enum history_outcome outcome, uint64_t completed)
{
    struct history_op entry = entry_of(op, HISTORY_COMMIT, outcome, completed);
    entry.commit.offset = history_known(op->request.group.offset);
    run_record(op->run, &entry);
}

static void commit_answered(struct op *op)
{
    const struct node_request *request = &op->request;
    clients_check_status(op->run, op->node, request, op->partition);
    if (request->status == NODE_STALE_GENERATION || request->status == NODE_OFFSET_OUT_OF_RANGE) {
        failure("commit-refused",
                "n%u refuses offset %" PRIu64 " of group %s in %s/%u, which was acked to be there: "
                "%s: %s",
                op->node + 1u, request->group.offset, op->group, op->topic, request->partition,
                node_status_text(request->status), request->detail);
    }
    enum history_outcome outcome = HISTORY_OUTCOME_UNKNOWN;
    if (request->status == NODE_OK) outcome = HISTORY_OUTCOME_OK;
    if (clients_is_definite(request->status)) outcome = HISTORY_OUTCOME_FAIL;
    record_commit(op, outcome, op->completed);
}

static void commit_over(struct op *op)
{
    if (op->fate == OP_LOST) record_commit(op, HISTORY_OUTCOME_UNKNOWN, run_tick(op->run));
}

static void read_answered(struct op *op)
{
    const struct node_request *request = &op->request;
    clients_check_status(op->run, op->node, request, op->partition);
    if (request->status != NODE_OK && request->status != NODE_NO_OFFSET) return;
    struct history_op entry = entry_of(op, HISTORY_COMMITTED, HISTORY_OUTCOME_OK, op->completed);
    if (request->status == NODE_OK) entry.commit.offset = history_known(request->ret_offset);
    run_record(op->run, &entry);
}

static void read_over(struct op *op)
{
    (void)op;
}

static struct op *new_op(struct committer *committer, enum node_request_type type, uint32_t group)
{
    struct run *run = committer->run;
    const struct partition_facts *facts = &run->partitions[committer->partition];
    struct op *op = op_create(run, type, facts->topic, facts->number);
    op->partition = committer->partition;
    op->client = committer;
    group_name(op->group, group);
    op->request.group.group = op->group;
    op->request.group.generation = -1;
    return op;
}

static void commit(struct committer *committer)
{
    const struct partition_facts *facts = &committer->run->partitions[committer->partition];
    struct op *op = new_op(committer, NODE_REQUEST_GROUP_COMMIT, committer->number);
    /* Now and then what stands there already: nothing need be appended for it (PROTOCOL P5). */
    if (!draw_chance(&committer->draw, 1, 4)) {
        committer->last = draw_below(&committer->draw, facts->end + 1u);
    }
    op->request.group.offset = committer->last;
    /* A third of the groups are durable from the start, some become it, or are it no more. */
    if (committer->number % 3u == 0) {
        op->request.group.durable = PARTITION_DURABLE_SET;
    } else if (draw_chance(&committer->draw, 1, 20)) {
        op->request.group.durable =
            draw_chance(&committer->draw, 1, 2) ? PARTITION_DURABLE_SET : PARTITION_DURABLE_CLEAR;
    }
    op->answered = commit_answered;
    op->over = commit_over;
    clients_send(op, &committer->draw);
}

static void read_back(struct committer *committer)
{
    const uint32_t group =
        (uint32_t)draw_below(&committer->draw, committer->run->plan.committers_count);
    struct op *op = new_op(committer, NODE_REQUEST_GROUP_FETCH, group);
    op->answered = read_answered;
    op->over = read_over;
    clients_send(op, &committer->draw);
}

static void record_listed(const struct op *op, const char *group, const uint64_t *offset)
{
    struct history_op entry = entry_of(op, HISTORY_COMMITTED, HISTORY_OUTCOME_OK, op->completed);
    entry.commit.group = history_group(op->run->history, group);
    if (offset) entry.commit.offset = history_known(*offset);
    run_record(op->run, &entry);
}

/* All groups of the partition, each like a read of its own; a group that is not listed has no offset. */
static void list_answered(struct op *op)
{
    const struct node_request *request = &op->request;
    const struct committer *committer = op->client;
    bool lists_own = false;
    clients_check_status(op->run, op->node, request, op->partition);
    if (request->status != NODE_OK) return;
    for (uint32_t i = 0; i < request->ret_offsets_count; i++) {
        const struct partition_offset *offset = &request->ret_offsets[i];
        if (strcmp(offset->group, committer->group) == 0) lists_own = true;
        record_listed(op, offset->group, &offset->offset);
    }
    if (!lists_own) record_listed(op, committer->group, NULL);
}

static void list_groups(struct committer *committer)
{
    struct op *op = new_op(committer, NODE_REQUEST_GROUP_LIST, committer->number);
    op->request.group.group = NULL; /* from the first on */
    op->answered = list_answered;
    op->over = read_over;
    clients_send(op, &committer->draw);
}

static void think(void *data)
{
    struct committer *committer = data;
    struct run *run = committer->run;
    if (run->is_draining) return;
    sim_call_after(run->sim, draw_interval(&committer->draw, run->plan.commit_every_us), think,
                   committer);
    if (!run->partitions[committer->partition].is_created) return;
    if (draw_chance(&committer->draw, 1, 8)) {
        list_groups(committer);
    } else if (draw_chance(&committer->draw, 1, 2)) {
        read_back(committer);
    } else {
        commit(committer);
    }
}

void committers_start(struct run *run)
{
    run->committers = calloc(run->plan.committers_count + 1u, sizeof(*run->committers));
    if (!run->committers) abort();
    for (uint32_t i = 0; i < run->plan.committers_count; i++) {
        struct committer *committer = &run->committers[i];
        committer->run = run;
        committer->number = i;
        committer->draw = draw_stream(run->plan.seed, PART_CLIENT_FIRST + 40u + i);
        committer->partition = (uint32_t)draw_below(&committer->draw, run->partitions_count);
        group_name(committer->group, i);
        committer->session = history_session(run->history, committer->group);
        sim_call_after(run->sim, draw_below(&committer->draw, 100000), think, committer);
    }
}

void committers_free(struct run *run)
{
    free(run->committers);
}
