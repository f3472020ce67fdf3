/* Makes the topics of the run, asking again until each creation is acked. Then, when the plan says so, makes, deletes and
 * looks for topics of its own, of which it always knows whether they must be there: a name of which it lost track, because
 * an outcome was unknown, is never used again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "failure.h"
#include "op.h"

#define BACKOFF_US_MAX    300000u
#define COME_AND_GO_US    700000u
#define NAMES_MAX         12u
#define MESSAGE_BYTES_MAX (1u << 20)

enum presence { ABSENT, PRESENT };

/* One of the run's topics. */
struct creation {
    struct run *run;
    uint32_t topic;
};

struct admin {
    struct run *run;
    struct draw draw;
    struct creation creations[PLAN_TOPICS_MAX];
    uint32_t names_count;
    enum presence presence; /* of the current name */
    struct op *op;
};

static struct meta_settings settings_of(const struct plan_topic *topic)
{
    return (struct meta_settings){.message_bytes_max = MESSAGE_BYTES_MAX,
                                  .retention_ms = topic ? topic->retention_ms : -1,
                                  .retention_bytes = topic ? topic->retention_bytes : -1,
                                  .until_consumed = topic && topic->until_consumed,
                                  .local_reads = topic && topic->local_reads};
}

/* ---- the topics of the run -------------------------------------------------------------------------------------- */

static void create_topic(struct run *run, uint32_t topic);

static void create_again(void *data)
{
    const struct creation *creation = data;
    create_topic(creation->run, creation->topic);
}

static void topic_over(struct op *op)
{
    struct run *run = op->run;
    const uint32_t topic = (uint32_t)op->number;
    if (op->fate == OP_ANSWERED && op->request.status == NODE_OK) {
        for (uint32_t i = 0; i < run->partitions_count; i++) {
            struct partition_facts *facts = &run->partitions[i];
            if (strcmp(facts->topic, op->topic) == 0) facts->is_created = true;
        }
        run->topics_created_count++;
        return;
    }
    if (op->fate == OP_ANSWERED && op->request.status == NODE_TOPIC_EXISTS) {
        failure("topic-changed", "topic %s is said to be there with other settings", op->topic);
    }
    struct creation *creation = &run->admin->creations[topic];
    *creation = (struct creation){.run = run, .topic = topic};
    sim_call_after(run->sim, draw_between(&run->admin->draw, 1000, BACKOFF_US_MAX), create_again,
                   creation);
}

static void create_topic(struct run *run, uint32_t topic)
{
    const struct plan_topic *plan = &run->plan.topics[topic];
    char name[16];
    snprintf(name, sizeof(name), "t%u", topic + 1u);
    struct op *op = op_create(run, NODE_REQUEST_TOPIC_CREATE, name, 0);
    op->request.create.settings = settings_of(plan);
    op->request.create.partitions_count = plan->partitions_count;
    op->request.create.replicas_count = plan->replicas_count;
    op->number = topic;
    op->over = topic_over;
    clients_send(op, &run->admin->draw);
}

static void name_partitions(struct run *run)
{
    for (uint32_t topic = 0; topic < run->plan.topics_count; topic++) {
        for (uint32_t i = 0; i < run->plan.topics[topic].partitions_count; i++) {
            char name[32];
            struct partition_facts *facts = &run->partitions[run->partitions_count++];
            assert(run->partitions_count <= PLAN_PARTITIONS_MAX);
            snprintf(facts->topic, sizeof(facts->topic), "t%u", topic + 1u);
            snprintf(name, sizeof(name), "t%u/%u", topic + 1u, i);
            facts->number = i;
            facts->history = history_partition(run->history, name);
            facts->local_reads = run->plan.topics[topic].local_reads;
            facts->replicas_count = run->plan.topics[topic].replicas_count;
        }
    }
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void set_answered(struct op *op)
{
    if (op->request.status != NODE_TOPIC_NOT_FOUND) return;
    failure("topic-lost", "n%u does not know topic %s, whose creation was acked", op->node + 1u,
            op->topic);
}

static void set_over(struct op *op)
{
    (void)op; /* whatever the outcome: more or less is kept from then on, or not */
}

static void change_settings(void *data)
{
    struct admin *admin = data;
    struct run *run = admin->run;
    struct draw *draw = &admin->draw;
    if (run->is_draining) return;
    sim_call_after(run->sim, draw_interval(draw, run->plan.set_every_us), change_settings, admin);
    const uint32_t topic = (uint32_t)draw_below(draw, run->plan.topics_count);
    if (run->topics_created_count < run->plan.topics_count) return;
    char name[16];
    snprintf(name, sizeof(name), "t%u", topic + 1u);
    struct op *op = op_create(run, NODE_REQUEST_TOPIC_SET, name, 0);
    struct meta_settings *settings = &op->request.create.settings;
    static const uint32_t fields[] = {META_SET_RETENTION_MS, META_SET_RETENTION_BYTES,
                                      META_SET_UNTIL_CONSUMED,
                                      META_SET_RETENTION_MS | META_SET_RETENTION_BYTES};
    op->request.set.fields = DRAW_FROM(draw, fields);
    settings->retention_ms = draw_chance(draw, 1, 3) ? -1 : (int64_t)draw_between(draw, 200, 20000);
    settings->retention_bytes =
        draw_chance(draw, 1, 3) ? -1 : (int64_t)draw_between(draw, 4096, 262144);
    settings->until_consumed = draw_chance(draw, 1, 2);
    op->answered = set_answered;
    op->over = set_over;
    op->client = admin;
    clients_send(op, draw);
}

/* ---- topics that come and go ------------------------------------------------------------------------------------- */

static void take_new_name(struct admin *admin)
{
    admin->names_count++;
    admin->presence = ABSENT;
}

static void own_answered(struct op *op)
{
    const struct admin *admin = op->client;
    if (op->number != admin->names_count || admin->op != op) return;
    const enum node_status status = op->request.status;
    if (status == NODE_TOPIC_NOT_FOUND && admin->presence == PRESENT) {
        failure("topic-lost", "n%u does not know topic %s, whose creation was acked", op->node + 1u,
                op->topic);
    }
    const bool finds =
        status == NODE_OK &&
        (op->request.type == NODE_REQUEST_TOPIC_GET ||
         op->request.type == NODE_REQUEST_TOPIC_DELETE ||
         (op->request.type == NODE_REQUEST_TOPIC_CREATE && !op->request.ret_created));
    if (finds && admin->presence == ABSENT) {
        failure("topic-back", "n%u knows topic %s, whose deletion was acked", op->node + 1u,
                op->topic);
    }
}

static void own_over(struct op *op)
{
    struct admin *admin = op->client;
    if (admin->op != op) return;
    admin->op = NULL;
    if (op->fate == OP_NOT_SENT || op->request.type == NODE_REQUEST_TOPIC_GET) return;
    const enum node_status status = op->request.status;
    if (op->fate == OP_LOST || (status != NODE_OK && !clients_is_definite(status))) {
        take_new_name(admin);
    } else if (status == NODE_OK) {
        admin->presence = op->request.type == NODE_REQUEST_TOPIC_CREATE ? PRESENT : ABSENT;
    }
}

static void come_and_go(void *data)
{
    struct admin *admin = data;
    struct run *run = admin->run;
    struct draw *draw = &admin->draw;
    if (run->is_draining || admin->names_count >= NAMES_MAX) return;
    sim_call_after(run->sim, draw_interval(draw, COME_AND_GO_US), come_and_go, admin);
    if (admin->op || run->topics_created_count < run->plan.topics_count) return;
    enum node_request_type type = NODE_REQUEST_TOPIC_GET;
    if (draw_chance(draw, 2, 3)) {
        type = admin->presence == PRESENT ? NODE_REQUEST_TOPIC_DELETE : NODE_REQUEST_TOPIC_CREATE;
    }
    char name[16];
    snprintf(name, sizeof(name), "own%u", admin->names_count);
    struct op *op = op_create(run, type, name, 0);
    if (type == NODE_REQUEST_TOPIC_CREATE) {
        op->request.create.settings = settings_of(NULL);
        op->request.create.partitions_count = (uint32_t)draw_between(draw, 1, 3);
        /* While few nodes are members the default is two replicas, which do not outlive the loss of one. */
        op->request.create.replicas_count = plan_loses_disks(&run->plan) ? 3u : 0u;
    }
    op->answered = own_answered;
    op->over = own_over;
    op->client = admin;
    op->number = admin->names_count;
    admin->op = op;
    clients_send(op, draw);
}

void admin_start(struct run *run)
{
    run->admin = calloc(1, sizeof(*run->admin));
    if (!run->admin) abort();
    run->admin->run = run;
    run->admin->draw = draw_stream(run->plan.seed, PART_CLIENT_FIRST + 60u);
    name_partitions(run);
    for (uint32_t topic = 0; topic < run->plan.topics_count; topic++) {
        create_topic(run, topic);
    }
    if (run->plan.set_every_us > 0) {
        sim_call_after(run->sim, run->plan.set_every_us, change_settings, run->admin);
    }
    if (run->plan.has_admin) sim_call_after(run->sim, COME_AND_GO_US, come_and_go, run->admin);
}

void admin_free(struct run *run)
{
    free(run->admin);
}
