#include "members.h"

#include "sim_invariants.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_US    5000u
#define SECOND_US   1000000u
#define ANSWER_US   (30u * SECOND_US)
#define RETRY_US    20000u
#define CHANGES_GAP 100000u

/* ---- requests ------------------------------------------------------------------------------------------------------------ */

static enum node_status ask(struct cluster *cluster, uint32_t through, struct cluster_call *call)
{
    cluster_submit(cluster, through, call);
    cr_assert(cluster_wait(call, ANSWER_US), "seed %" PRIu64 ": never answered",
              cluster->options.seed);
    return call->is_lost ? NODE_OUTCOME_UNKNOWN : call->request.status;
}

bool members_keep_replicas;

enum node_status members_change(struct cluster *cluster, uint32_t through,
                                enum node_request_type type, uint32_t node, uint32_t with,
                                char *detail)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    char address[32];
    snprintf(address, sizeof(address), "n%u:7071", node + 1u);
    call->request.type = type;
    call->request.node.id = node + 1u;
    if (type == NODE_REQUEST_NODE_REPLACE) call->request.node.with = with + 1u;
    call->request.node.shrinks = type == NODE_REQUEST_NODE_REMOVE && !members_keep_replicas;
    if (type == NODE_REQUEST_NODE_ADD) call->request.node.peer_address = address;
    const enum node_status status = ask(cluster, through, call);
    if (detail) snprintf(detail, 256, "%s", call->request.detail);
    cluster_call_close(call);
    free(call);
    return status;
}

static bool may_change(enum node_status status)
{
    return status == NODE_NO_LEADER || status == NODE_NOT_READY || status == NODE_OUTCOME_UNKNOWN ||
           status == NODE_TIMEOUT ||
           status == NODE_QUORUM_AT_RISK; /* of a node that has just been started */
}

enum node_status members_change_surely(struct cluster *cluster, uint32_t through,
                                       enum node_request_type type, uint32_t node, uint32_t with)
{
    enum node_status status = NODE_NO_LEADER;
    for (uint32_t i = 0; i < 200 && may_change(status); i++) {
        if (i > 0) sim_run_for(cluster->sim, CHANGES_GAP);
        status = members_change(cluster, through, type, node, with, NULL);
    }
    return status;
}

enum node_status members_place(struct cluster *cluster, uint32_t through, const char *topic,
                               const uint32_t *nodes, uint32_t count)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    call->request.type = NODE_REQUEST_PLACE;
    call->request.topic = topic;
    call->request.place.nodes_count = count;
    for (uint32_t i = 0; i < count; i++) {
        call->request.place.nodes[i] = nodes[i] + 1u;
    }
    const enum node_status status = ask(cluster, through, call);
    cluster_call_close(call);
    free(call);
    return status;
}

static int ask_changes(struct cluster *cluster, uint32_t through, struct node_change **ret_changes)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    call->request.type = NODE_REQUEST_CHANGES;
    const enum node_status status = ask(cluster, through, call);
    const int count = status == NODE_OK ? (int)call->request.ret_changes_count : -1;
    *ret_changes = NULL;
    if (count > 0) {
        *ret_changes = call->request.ret_changes;
        call->request.ret_changes = NULL;
    }
    cluster_call_close(call);
    free(call);
    return count;
}

int members_changes(struct cluster *cluster, uint32_t through, struct node_change *ret_first)
{
    struct node_change *changes;
    const int count = ask_changes(cluster, through, &changes);
    if (count > 0 && ret_first) *ret_first = changes[0];
    free(changes);
    return count;
}

bool members_change_of(struct cluster *cluster, uint32_t through, uint64_t group,
                       struct node_change *ret_change)
{
    struct node_change *changes;
    const int count = ask_changes(cluster, through, &changes);
    bool is_found = false;
    for (int i = 0; i < count; i++) {
        if (changes[i].group != group) continue;
        *ret_change = changes[i];
        is_found = true;
    }
    free(changes);
    return is_found;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------- */

static uint32_t mask_of(struct cluster *cluster, uint32_t as_seen_by, uint64_t group, bool all)
{
    struct peek_group peek;
    if (!cluster->nodes[as_seen_by].node) return 0;
    if (!peek_group(cluster->nodes[as_seen_by].node, group, &peek)) return 0;
    const struct raft_configuration *configuration = peek_configuration(&peek);
    uint32_t mask = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (all || member->voter || member->voter_old) mask |= 1u << (member->id.node - 1u);
    }
    return mask;
}

uint32_t members_voters(struct cluster *cluster, uint32_t as_seen_by, uint64_t group)
{
    return mask_of(cluster, as_seen_by, group, false);
}

uint32_t members_all(struct cluster *cluster, uint32_t as_seen_by, uint64_t group)
{
    return mask_of(cluster, as_seen_by, group, true);
}

bool members_has_replica(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct peek_group peek;
    return cluster->nodes[node].node && peek_group(cluster->nodes[node].node, group, &peek);
}

static void count_name(void *data, const char *name)
{
    (void)name;
    (*(uint32_t *)data)++;
}

bool members_has_files(struct cluster *cluster, uint32_t node, uint64_t group)
{
    char path[96];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "/data/groups/%020" PRIu64, group);
    const int error = disk_list(sim_disk(cluster->sim, node), path, count_name, &count);
    return error == 0 && count > 0;
}

/* ---- producers ------------------------------------------------------------------------------------------------------------- */

static uint32_t pick_node(struct load *load)
{
    struct cluster *cluster = load->cluster;
    const uint32_t count = cluster->options.nodes_count;
    const uint32_t first = (uint32_t)sim_draw(cluster->sim, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t node = (first + i) % count;
        if ((load->through & 1u << node) && sim_is_running(cluster->sim, node)) return node;
    }
    return first;
}

static void submit(struct load *load, struct load_producer *producer)
{
    struct cluster_call *call = &producer->call;
    cluster_fill_produce(call, load->topic, producer->value, producer->id, producer->sequence);
    call->request.timeout_ms = 2000;
    producer->retry_us = 0;
    cluster_submit(load->cluster, pick_node(load), call);
}

static void next_message(struct load *load, struct load_producer *producer)
{
    producer->value = load->next_value++;
    producer->sequence++;
    submit(load, producer);
}

static void look_at_disks(const struct load *load, uint64_t offset)
{
    const struct cluster *cluster = load->cluster;
    const struct node *nodes[CLUSTER_NODES_MAX];
    uint64_t group = 0;
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        nodes[i] = cluster->nodes[i].node;
        if (nodes[i] && group == 0) group = peek_partition_group(nodes[i], load->topic, 0);
    }
    (void)invariants_check_ack(cluster->invariants, cluster->sim, nodes,
                               cluster->options.nodes_count, group, offset, load->acks_count);
}

static void note_ack(struct load *load, const struct load_producer *producer)
{
    const uint64_t now_us = sim_now_us(load->cluster->sim);
    cr_assert_lt(load->acks_count, LOAD_ACKS_MAX);
    load->acks[load->acks_count++] =
        (struct cluster_ack){.offset = producer->call.request.ret_offset, .value = producer->value};
    if (now_us - load->acked_us > load->silence_us_max) {
        load->silence_us_max = now_us - load->acked_us;
    }
    load->acked_us = now_us;
    if (load->acks_per_look == 0 || load->acks_count % load->acks_per_look != 0) return;
    look_at_disks(load, producer->call.request.ret_offset);
}

static void poll(struct load *load, bool goes_on)
{
    const uint64_t now_us = sim_now_us(load->cluster->sim);
    for (uint32_t i = 0; i < load->producers_count; i++) {
        struct load_producer *producer = &load->producers[i];
        if (producer->retry_us != 0) {
            if (now_us >= producer->retry_us) submit(load, producer);
            continue;
        }
        if (!producer->call.is_done) continue;
        const bool is_acked = !producer->call.is_lost && producer->call.request.status == NODE_OK;
        if (is_acked && producer->value != UINT64_MAX) note_ack(load, producer);
        cluster_call_close(&producer->call);
        if (!is_acked) {
            producer->retry_us = now_us + RETRY_US;
        } else if (goes_on) {
            next_message(load, producer);
        } else {
            producer->value = UINT64_MAX; /* idle: done, and noted */
        }
    }
}

void load_start(struct load *load, struct cluster *cluster, const char *topic, uint32_t through)
{
    memset(load, 0, sizeof(*load));
    load->cluster = cluster;
    load->topic = topic;
    load->through = through;
    load->producers_count = LOAD_PRODUCERS_MAX;
    for (uint32_t i = 0; i < load->producers_count; i++) {
        struct load_producer *producer = &load->producers[i];
        producer->id = cluster_producer_id(cluster, pick_node(load));
        cr_assert_geq(producer->id, 0);
        producer->sequence = -1;
        next_message(load, producer);
    }
    load->acked_us = sim_now_us(cluster->sim);
}

static bool never(void *data)
{
    (void)data;
    return false;
}

bool load_run_until(struct load *load, uint64_t us, bool (*is_true)(void *data), void *data)
{
    const uint64_t end_us = sim_now_us(load->cluster->sim) + us;
    while (sim_now_us(load->cluster->sim) < end_us) {
        sim_run_for(load->cluster->sim, SLICE_US);
        poll(load, true);
        if (is_true(data)) return true;
    }
    return false;
}

void load_run(struct load *load, uint64_t us)
{
    (void)load_run_until(load, us, never, NULL);
}

bool load_run_until_settled(struct load *load, uint64_t us, uint32_t through)
{
    const uint64_t end_us = sim_now_us(load->cluster->sim) + us;
    while (sim_now_us(load->cluster->sim) < end_us) {
        load_run(load, CHANGES_GAP);
        if (members_changes(load->cluster, through, NULL) == 0) return true;
    }
    return false;
}

void load_expect_settled(struct load *load, uint64_t us, uint32_t through)
{
    struct node_change change = {0};
    if (load_run_until_settled(load, us, through)) return;
    (void)members_changes(load->cluster, through, &change);
    cr_assert_fail("seed %" PRIu64 ": group %" PRIu64 " is still %s: %s",
                   load->cluster->options.seed, change.group, node_change_state_text(change.state),
                   change.blocked);
}

static bool is_idle(struct load *load)
{
    for (uint32_t i = 0; i < load->producers_count; i++) {
        if (load->producers[i].value != UINT64_MAX) return false;
    }
    return true;
}

static void check_reader(struct load *load, uint32_t node)
{
    struct cluster_ack *records = calloc(LOAD_ACKS_MAX, sizeof(*records));
    uint32_t *times = calloc(load->next_value, sizeof(*times));
    const int count = cluster_read_all(load->cluster, node, load->topic, records, LOAD_ACKS_MAX);
    cr_assert_geq(count, 0, "seed %" PRIu64 ": n%u does not read: %s", load->cluster->options.seed,
                  node + 1u, node_status_text((enum node_status)(-1 - count)));
    cr_assert_lt(count, (int)LOAD_ACKS_MAX);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(records[i].offset, (uint64_t)i);
        cr_assert_lt(records[i].value, load->next_value);
        cr_assert_eq(++times[records[i].value], 1, "seed %" PRIu64 ": %" PRIu64 " is there twice",
                     load->cluster->options.seed, records[i].value);
    }
    for (uint32_t i = 0; i < load->acks_count; i++) {
        const struct cluster_ack *ack = &load->acks[i];
        cr_assert_lt(ack->offset, (uint64_t)count, "seed %" PRIu64 ": %" PRIu64 " is lost",
                     load->cluster->options.seed, ack->value);
        cr_assert_eq(records[ack->offset].value, ack->value, "seed %" PRIu64,
                     load->cluster->options.seed);
    }
    free(records);
    free(times);
}

void load_check(struct load *load, uint32_t readers)
{
    const uint64_t end_us = sim_now_us(load->cluster->sim) + ANSWER_US;
    while (!is_idle(load)) {
        cr_assert_lt(sim_now_us(load->cluster->sim), end_us,
                     "seed %" PRIu64 ": a message is never acked: %s", load->cluster->options.seed,
                     load->producers[0].call.request.detail);
        sim_run_for(load->cluster->sim, SLICE_US);
        poll(load, false);
    }
    for (uint32_t i = 0; i < load->cluster->options.nodes_count; i++) {
        if (readers & 1u << i) check_reader(load, i);
    }
    cr_assert_eq(load->cluster->fatals_count, 0, "seed %" PRIu64 ": %s",
                 load->cluster->options.seed, load->cluster->last_fatal_reason);
}
