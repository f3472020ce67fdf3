#include "sim_cluster.h"

#include <assert.h>
#include <broker/record_batch.h>
#include <inttypes.h>
#include <segment_log/entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "sim_invariants.h"

#define PEER_PORT    7071u
#define HTTP_PORT    7070u
#define VALUE_BYTES  8u
#define GROUPS_MAX   64u
#define CALL_WAIT_US 15000000u
#define RETRY_US     20000u
/* More terms than a run can have; the array is cleared for each replica that is opened. */
#define TRAIL_RUNS_MAX 2048u

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static void on_fatal(void *data, enum node_fatal code, const char *reason)
{
    struct cluster_node *self = data;
    struct cluster *cluster = self->cluster;
    if (sim_is_dying(cluster->sim, self->number)) return; /* its disk calls fail: it is dead */
    self->fatal_code = (int)code;
    snprintf(self->fatal_reason, sizeof(self->fatal_reason), "%s", reason);
    cluster->last_fatal_code = (int)code;
    snprintf(cluster->last_fatal_reason, sizeof(cluster->last_fatal_reason), "%s", reason);
    cluster->fatals_count++;
    if (cluster->options.log) {
        fprintf(cluster->options.log, "%10" PRIu64 " n%u fatal code=%d reason=\"%s\"\n",
                sim_now_us(cluster->sim), self->number + 1u, (int)code, reason);
    }
    if (cluster->options.fatal) {
        cluster->options.fatal(cluster->options.data, self->number, code, reason);
    }
    sim_crash_soon(cluster->sim, self->number, SIM_CRASH_KILL);
}

static void on_log(void *data, const char *level, const char *line)
{
    const struct cluster_node *self = data;
    FILE *log = self->cluster->options.log;
    if (!log) return;
    fprintf(log, "%10" PRIu64 " n%u level=%s %s\n", sim_now_us(self->cluster->sim),
            self->number + 1u, level, line);
}

void cluster_peer_address(uint32_t node, char *buffer, size_t bytes)
{
    snprintf(buffer, bytes, "n%u:%u", node + 1u, PEER_PORT);
}

static void *create_node(void *data, struct sim *sim, uint32_t number, struct io *io,
                         struct disk *disk)
{
    (void)sim;
    struct cluster *cluster = data;
    struct cluster_node *self = &cluster->nodes[number];
    *self = (struct cluster_node){.cluster = cluster, .number = number};
    const struct cluster_start *start = &cluster->starts[number];
    struct peer_config *peers = self->peers;
    uint32_t peers_count = 0;
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        if (start->peers != 0 && !((start->peers | 1u << number) & 1u << i)) continue;
        struct peer_config *peer = &peers[peers_count++];
        peer->node_id = i + 1u;
        cluster_peer_address(i, peer->address, sizeof(peer->address));
    }
    cluster_peer_address(number, self->peer_address, sizeof(self->peer_address));
    snprintf(self->http_address, sizeof(self->http_address), "n%u:%u", number + 1u, HTTP_PORT);
    const char *told = cluster->starts[number].http_address;
    if (told) snprintf(self->http_address, sizeof(self->http_address), "%s", told);
    const struct node_options options = {
        .io = io,
        .disk = disk,
        .data_directory = "/data",
        .node_id = number + 1u,
        .listen_peer = self->peer_address,
        .advertise_peer = self->peer_address,
        .advertise_http = self->http_address,
        .advertise_kafka = "",
        .peers = peers,
        .peers_count = peers_count,
        .join_only = start->join_only,
        .auto_create_topics = cluster->options.auto_create,
        .heartbeat_ms = cluster->options.heartbeat_ms,
        .election_timeout_ms_min = cluster->options.election_timeout_ms_min,
        .election_timeout_ms_max = cluster->options.election_timeout_ms_max,
        .segment_bytes_max = cluster->options.segment_bytes_max,
        .cache_bytes_max = cluster->options.cache_bytes_max,
        .inflight_bytes_max = cluster->options.inflight_bytes_max,
        .checkpoint_entries = cluster->options.checkpoint_entries,
        .meta_log_entries = cluster->options.meta_log_entries,
        .retention_check_ms = cluster->options.retention_check_ms,
        .base_chunk_bytes = cluster->options.base_chunk_bytes,
        .base_hold_bytes = cluster->options.base_hold_bytes,
        .reserve_bytes = cluster->options.reserve_bytes,
        .trail_runs_max = TRAIL_RUNS_MAX,
        .fatal = on_fatal,
        .log = on_log,
        .data = self,
        .version = "simulated",
    };
    self->node = node_create(&options);
    return self;
}

static void lose_calls(struct cluster *cluster, uint32_t number)
{
    struct cluster_call **at = &cluster->calls;
    while (*at) {
        struct cluster_call *call = *at;
        if (call->node != number) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        call->next = NULL;
        call->is_lost = true;
        call->is_done = true;
        call->done_us = sim_now_us(cluster->sim);
    }
}

static void destroy_node(void *instance)
{
    struct cluster_node *self = instance;
    node_destroy(self->node);
    self->node = NULL;
    lose_calls(self->cluster, self->number);
    invariants_forget_process(self->cluster->invariants, self->number);
    if (self->cluster->options.gone) {
        self->cluster->options.gone(self->cluster->options.data, self->number);
    }
}

static const struct sim_program node_program = {.create = create_node, .destroy = destroy_node};

/* ---- the cluster -------------------------------------------------------------------------------------------------- */

static void after_event(struct sim *sim, void *data)
{
    struct cluster *cluster = data;
    const uint32_t number = sim_event_node(sim);
    if (number < cluster->options.nodes_count && cluster->nodes[number].node) {
        invariants_check(cluster->invariants, number, cluster->nodes[number].node);
    }
    if (cluster->options.after_event) cluster->options.after_event(cluster->options.data);
}

void cluster_options_init(struct cluster_options *options, uint64_t seed, uint32_t nodes_count)
{
    *options = (struct cluster_options){
        .seed = seed,
        .nodes_count = nodes_count,
        .heartbeat_ms = 50,
        .election_timeout_ms_min = 300,
        .election_timeout_ms_max = 600,
        .segment_bytes_max = 1u << 20,
        .cache_bytes_max = 256u << 10,
        .inflight_bytes_max = 16u << 20,
        .checkpoint_entries = 50,
        .meta_log_entries = 10,
        .base_chunk_bytes = 200,
        .reserve_bytes = 0,
    };
    sim_options_init(&options->world, seed, nodes_count);
}

struct cluster *cluster_create(const struct cluster_options *options)
{
    assert(options->nodes_count >= 1 && options->nodes_count <= CLUSTER_NODES_MAX);
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    if (!cluster) abort();
    cluster->options = *options;
    cluster->options.world.after_event = after_event;
    cluster->options.world.data = cluster;
    const uint32_t founders = options->founders_count;
    for (uint32_t i = 0; founders != 0 && i < options->nodes_count; i++) {
        cluster->starts[i] =
            (struct cluster_start){.peers = (1u << founders) - 1u, .join_only = i >= founders};
    }
    cluster->invariants = invariants_create();
    cluster->sim = sim_create(&cluster->options.world);
    failure_begin(cluster->sim, options->seed, options->replay);
    return cluster;
}

void cluster_destroy(struct cluster *cluster)
{
    if (!cluster) return;
    sim_destroy(cluster->sim);
    failure_end();
    invariants_destroy(cluster->invariants);
    free(cluster);
}

void cluster_start(struct cluster *cluster, uint32_t node)
{
    (void)sim_start(cluster->sim, node, &node_program, cluster);
}

void cluster_start_all(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        if (!sim_is_running(cluster->sim, i)) cluster_start(cluster, i);
    }
}

void cluster_crash(struct cluster *cluster, uint32_t node, enum sim_crash mode)
{
    sim_crash(cluster->sim, node, mode);
}

static void on_stopped(void *data)
{
    struct cluster_node *self = data;
    struct node_group_status groups[GROUPS_MAX];
    const uint32_t count = node_groups_status(self->node, groups, GROUPS_MAX);
    self->led_when_stopped = false;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(groups[i].role, "leader") == 0) self->led_when_stopped = true;
    }
    self->is_stopped = true;
}

static bool is_stopped(void *data)
{
    return ((struct cluster_node *)data)->is_stopped;
}

bool cluster_stop(struct cluster *cluster, uint32_t number, uint32_t drain_ms, uint64_t us)
{
    struct cluster_node *self = &cluster->nodes[number];
    node_stop(self->node, drain_ms, on_stopped, self);
    if (!sim_run_until_true(cluster->sim, us, is_stopped, self)) return false;
    sim_crash(cluster->sim, number, SIM_CRASH_KILL);
    return true;
}

/* ---- looking -------------------------------------------------------------------------------------------------------- */

bool cluster_group_status(struct cluster *cluster, uint32_t number, uint64_t group,
                          struct node_group_status *ret_status)
{
    struct node_group_status groups[GROUPS_MAX];
    if (!cluster->nodes[number].node) return false;
    const uint32_t count = node_groups_status(cluster->nodes[number].node, groups, GROUPS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (groups[i].group != group) continue;
        *ret_status = groups[i];
        return true;
    }
    return false;
}

int cluster_leader(struct cluster *cluster, uint64_t group)
{
    int leader = -1;
    uint64_t term = 0;
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        struct node_group_status status;
        if (!cluster_group_status(cluster, i, group, &status)) continue;
        if (strcmp(status.role, "leader") != 0 || status.term < term) continue;
        leader = (int)i;
        term = status.term;
    }
    return leader;
}

uint64_t cluster_group(struct cluster *cluster, uint32_t number, const char *topic)
{
    struct node_group_status groups[GROUPS_MAX];
    if (!cluster->nodes[number].node) return 0;
    const uint32_t count = node_groups_status(cluster->nodes[number].node, groups, GROUPS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (groups[i].group != 0 && strcmp(groups[i].topic, topic) == 0) return groups[i].group;
    }
    return 0;
}

struct leader_wait {
    struct cluster *cluster;
    uint64_t group;
    int leader;
};

static bool all_follow(void *data)
{
    struct leader_wait *wait = data;
    wait->leader = cluster_leader(wait->cluster, wait->group);
    if (wait->leader < 0) return false;
    for (uint32_t i = 0; i < wait->cluster->options.nodes_count; i++) {
        struct node_group_status status;
        if (!sim_is_running(wait->cluster->sim, i)) continue;
        if (!cluster_group_status(wait->cluster, i, wait->group, &status)) {
            if (wait->group == 0) return false;
            continue;
        }
        if (status.leader != (uint64_t)wait->leader + 1u) return false;
    }
    return true;
}

int cluster_wait_leader(struct cluster *cluster, uint64_t group, uint64_t us)
{
    struct leader_wait wait = {.cluster = cluster, .group = group};
    return sim_run_until_true(cluster->sim, us, all_follow, &wait) ? wait.leader : -1;
}

/* ---- asking ---------------------------------------------------------------------------------------------------------- */

static void call_done(struct node_request *request)
{
    struct cluster_call *call = request->data;
    struct cluster *cluster = call->cluster;
    assert(!call->is_done);
    struct cluster_call **at = &cluster->calls;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    call->next = NULL;
    call->is_done = true;
    call->done_us = sim_now_us(cluster->sim);
    const uint64_t note[3] = {(uint64_t)request->type, (uint64_t)request->status,
                              request->ret_offset};
    sim_trace_note(cluster->sim, note, sizeof(note));
}

void cluster_submit(struct cluster *cluster, uint32_t number, struct cluster_call *call)
{
    call->cluster = cluster;
    call->node = number;
    call->submitted_us = sim_now_us(cluster->sim);
    call->request.done = call_done;
    call->request.data = call;
    if (!cluster->nodes[number].node || !sim_is_running(cluster->sim, number)) {
        call->is_lost = true;
        call->is_done = true;
        return;
    }
    call->next = cluster->calls;
    cluster->calls = call;
    node_submit(cluster->nodes[number].node, &call->request);
    assert(!call->is_done); /* done() is never called from inside node_submit */
}

void cluster_cancel(struct cluster_call *call)
{
    struct cluster *cluster = call->cluster;
    if (call->is_done) return;
    node_cancel(cluster->nodes[call->node].node, &call->request);
    struct cluster_call **at = &cluster->calls;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
}

void cluster_call_close(struct cluster_call *call)
{
    if (call->is_lost || !call->is_done) return; /* what a node held went with it */
    segment_log_view_release(&call->request.ret_view);
    node_topics_free(call->request.ret_topics, call->request.ret_topics_count);
    free(call->request.ret_offsets);
    free(call->request.ret_changes);
    call->request.ret_topics = NULL;
    call->request.ret_offsets = NULL;
    call->request.ret_changes = NULL;
}

static bool is_done(void *data)
{
    return ((struct cluster_call *)data)->is_done;
}

bool cluster_wait(struct cluster_call *call, uint64_t us)
{
    return sim_run_until_true(call->cluster->sim, us, is_done, call);
}

static void fill(struct cluster_call *call, enum node_request_type type, const char *topic)
{
    memset(call, 0, sizeof(*call));
    snprintf(call->topic, sizeof(call->topic), "%s", topic);
    call->request.type = type;
    call->request.topic = call->topic;
}

void cluster_fill_create(struct cluster_call *call, const char *topic, uint32_t partitions,
                         uint32_t replicas)
{
    fill(call, NODE_REQUEST_TOPIC_CREATE, topic);
    call->request.create.settings = (struct meta_settings){
        .message_bytes_max = 1u << 20, .retention_ms = -1, .retention_bytes = -1};
    call->request.create.partitions_count = partitions;
    call->request.create.replicas_count = replicas;
}

void cluster_fill_delete(struct cluster_call *call, const char *topic)
{
    fill(call, NODE_REQUEST_TOPIC_DELETE, topic);
}

void cluster_fill_produce(struct cluster_call *call, const char *topic, uint64_t value,
                          int64_t producer_id, int32_t sequence)
{
    fill(call, NODE_REQUEST_PRODUCE, topic);
    uint8_t bytes[VALUE_BYTES];
    memcpy(bytes, &value, sizeof(bytes));
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, sizeof(call->batch));
    record_batch_begin(&builder);
    const struct record record = {.timestamp_ms = 1, .value = bytes, .value_bytes = sizeof(bytes)};
    const enum record_batch_status added = record_batch_add(&builder, &record);
    assert(added == RECORD_BATCH_OK);
    (void)added;
    record_batch_finish(&builder, producer_id, producer_id < 0 ? -1 : 0,
                        producer_id < 0 ? -1 : sequence);
    assert(builder.bytes <= sizeof(call->batch));
    memcpy(call->batch, builder.buffer, builder.bytes);
    call->request.produce.batch = call->batch;
    call->request.produce.bytes = builder.bytes;
    record_batch_builder_close(&builder);
}

void cluster_fill_fetch(struct cluster_call *call, const char *topic, uint64_t offset,
                        uint32_t wait_ms)
{
    fill(call, NODE_REQUEST_FETCH, topic);
    call->request.fetch.from = NODE_FROM_OFFSET;
    call->request.fetch.value = offset;
    call->request.fetch.bytes_max = 64u << 10;
    call->request.fetch.wait_ms = wait_ms;
}

void cluster_fill_commit(struct cluster_call *call, const char *topic, const char *group,
                         uint64_t offset)
{
    fill(call, NODE_REQUEST_GROUP_COMMIT, topic);
    snprintf(call->group, sizeof(call->group), "%s", group);
    call->request.group.group = call->group;
    call->request.group.offset = offset;
    call->request.group.generation = -1;
}

static uint64_t id_of(int node)
{
    return node < 0 ? 0 : (uint64_t)node + 1u;
}

void cluster_fill_transfer(struct cluster_call *call, const char *topic, int to)
{
    fill(call, NODE_REQUEST_TRANSFER, topic ? topic : "");
    call->request.transfer.meta = !topic;
    call->request.transfer.to = id_of(to);
}

void cluster_fill_transfer_from(struct cluster_call *call, uint32_t from, int to)
{
    fill(call, NODE_REQUEST_TRANSFER, "");
    call->request.transfer.from = id_of((int)from);
    call->request.transfer.to = id_of(to);
}

static enum node_status ask(struct cluster *cluster, uint32_t number, struct cluster_call *call)
{
    cluster_submit(cluster, number, call);
    if (!cluster_wait(call, CALL_WAIT_US)) {
        fprintf(stderr, "seed %" PRIu64 ": a request of type %d to n%u was never answered\n",
                cluster->options.seed, (int)call->request.type, number + 1u);
        abort();
    }
    return call->is_lost ? NODE_OUTCOME_UNKNOWN : call->request.status;
}

enum node_status cluster_create_topic(struct cluster *cluster, uint32_t number, const char *topic,
                                      uint32_t replicas)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_create(call, topic, 1, replicas);
    const enum node_status status = ask(cluster, number, call);
    cluster_call_close(call);
    free(call);
    return status;
}

enum node_status cluster_delete_topic(struct cluster *cluster, uint32_t number, const char *topic)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_delete(call, topic);
    const enum node_status status = ask(cluster, number, call);
    cluster_call_close(call);
    free(call);
    return status;
}

enum node_status cluster_allow_local_reads(struct cluster *cluster, uint32_t number,
                                           const char *topic)
{
    struct cluster_call *call = malloc(sizeof(*call));
    fill(call, NODE_REQUEST_TOPIC_SET, topic);
    call->request.set.fields = META_SET_LOCAL_READS;
    call->request.create.settings.local_reads = true;
    const enum node_status status = ask(cluster, number, call);
    cluster_call_close(call);
    free(call);
    return status;
}

enum node_status cluster_produce(struct cluster *cluster, uint32_t number, const char *topic,
                                 uint64_t value, int64_t producer_id, int32_t sequence,
                                 uint64_t *ret_offset)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_produce(call, topic, value, producer_id, sequence);
    const enum node_status status = ask(cluster, number, call);
    if (ret_offset) *ret_offset = call->request.ret_offset;
    cluster_call_close(call);
    free(call);
    return status;
}

int64_t cluster_producer_id(struct cluster *cluster, uint32_t number)
{
    struct cluster_call *call = malloc(sizeof(*call));
    fill(call, NODE_REQUEST_PRODUCER_INIT, "");
    const enum node_status status = ask(cluster, number, call);
    const int64_t id = status == NODE_OK ? call->request.ret_producer_id : -1;
    free(call);
    return id;
}

bool cluster_produce_once(struct cluster *cluster, uint32_t number, const char *topic,
                          uint64_t value, int64_t producer_id, int32_t sequence, uint64_t us,
                          uint64_t *ret_offset)
{
    const uint64_t end_us = sim_now_us(cluster->sim) + us;
    while (sim_now_us(cluster->sim) < end_us) {
        const enum node_status status =
            cluster_produce(cluster, number, topic, value, producer_id, sequence, ret_offset);
        if (status == NODE_OK) return true;
        sim_run_for(cluster->sim, RETRY_US);
    }
    return false;
}

/* ---- reading a topic -------------------------------------------------------------------------------------------------- */

struct record_sink {
    struct cluster_ack *records;
    uint32_t count, max;
    uint64_t from_offset;
};

static void take_batch(struct record_sink *sink, const uint8_t *payload, uint32_t bytes)
{
    struct record_batch_reader reader;
    const enum record_batch_status opened =
        record_batch_reader_open(&reader, payload, bytes, 1u << 20);
    assert(opened == RECORD_BATCH_OK);
    (void)opened;
    for (;;) {
        struct record_view view;
        bool end = false;
        const enum record_batch_status next = record_batch_reader_next(&reader, &view, &end);
        assert(next == RECORD_BATCH_OK);
        (void)next;
        if (end) break;
        if (view.offset < sink->from_offset || sink->count == sink->max) continue;
        assert(view.value_bytes == VALUE_BYTES);
        struct cluster_ack *record = &sink->records[sink->count++];
        record->offset = view.offset;
        memcpy(&record->value, view.value, VALUE_BYTES);
    }
    record_batch_reader_close(&reader);
}

static void take_view(struct record_sink *sink, const struct segment_log_view *view)
{
    for (uint32_t i = 0; i < view->parts_count; i++) {
        const uint8_t *at = view->parts[i].bytes;
        const uint8_t *end = at + view->parts[i].bytes_count;
        while (at < end) {
            const uint32_t payload_bytes = entry_payload_bytes(at);
            if (at[4] == ENTRY_DATA) take_batch(sink, at + ENTRY_HEADER_BYTES, payload_bytes);
            at += entry_bytes(payload_bytes);
        }
    }
}

int cluster_read_all(struct cluster *cluster, uint32_t number, const char *topic,
                     struct cluster_ack *ret_records, uint32_t max)
{
    struct record_sink sink = {.records = ret_records, .max = max};
    struct cluster_call *call = malloc(sizeof(*call));
    uint64_t offset = 0;
    int result = 0;
    for (;;) {
        cluster_fill_fetch(call, topic, offset, 0);
        const enum node_status status = ask(cluster, number, call);
        if (status != NODE_OK) {
            result = -1 - (int)status;
            break;
        }
        sink.from_offset = offset;
        take_view(&sink, &call->request.ret_view);
        const uint64_t next = call->request.ret_next_offset;
        const bool is_end = call->request.ret_view.parts_count == 0;
        cluster_call_close(call);
        if (is_end || sink.count == max) break;
        assert(next > offset);
        offset = next;
    }
    free(call);
    return result < 0 ? result : (int)sink.count;
}
