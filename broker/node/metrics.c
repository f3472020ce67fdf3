/* Prometheus text (0.0.4) of a node's own counters; names as in the peers' metrics where there is a common one. */
#include "base.h"
#include "broadcast.h"
#include "group.h"
#include "holes.h"
#include "internal.h"
#include "list.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_CONSUMERS_MAX 100u /* per partition */
#define METRICS_GROUPS_MAX    256u /* rows per group metric: bounded cardinality */

static void metric(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP raftmq_%s %s\n# TYPE raftmq_%s %s\n", name, help, name, type);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    metric(out, name, "counter", help);
    fprintf(out, "raftmq_%s %" PRIu64 "\n", name, value);
}

static void gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
    metric(out, name, "gauge", help);
    fprintf(out, "raftmq_%s %" PRIu64 "\n", name, value);
}

struct group_metric {
    const char *name;
    const char *type;
    const char *help;
    uint64_t (*value)(const struct group *group);
};

static uint64_t value_term(const struct group *group)
{
    return group->term;
}
static uint64_t value_has_leader(const struct group *group)
{
    return group->leader != 0;
}
static uint64_t value_leads(const struct group *group)
{
    return group->role == RAFT_LEADER;
}
static uint64_t value_commit(const struct group *group)
{
    return group->commit_index;
}
static uint64_t value_applied(const struct group *group)
{
    return group->applied_index;
}
static uint64_t value_last(const struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    return info.last_index;
}
static uint64_t value_base(const struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    return info.base.index;
}
static uint64_t value_bases_installed(const struct group *group)
{
    return group->counters.bases_installed;
}
static uint64_t value_base_bytes_sent(const struct group *group)
{
    return group->counters.base_bytes_sent;
}
static uint64_t value_leader_changes(const struct group *group)
{
    return group->counters.leader_changes;
}
static uint64_t value_rejected(const struct group *group)
{
    return group->counters.appends_rejected;
}
static uint64_t value_regressions(const struct group *group)
{
    return group->counters.regressions;
}
static uint64_t value_holes(const struct group *group)
{
    return holes__kept(group, NULL);
}
static uint64_t value_holes_found(const struct group *group)
{
    return group->counters.holes_found;
}
static uint64_t value_segments_repaired(const struct group *group)
{
    return group->counters.segments_repaired;
}
static uint64_t value_entries_repaired(const struct group *group)
{
    return group->counters.entries_repaired;
}
static uint64_t value_repair_served(const struct group *group)
{
    return group->counters.repair_bytes_served;
}
static uint64_t value_next_offset(const struct group *group)
{
    return group->is_meta ? 0 : group->partition.next_offset;
}
static uint64_t value_first_offset(const struct group *group)
{
    return base__first_offset_kept(group);
}
static uint64_t value_log_bytes(const struct group *group)
{
    return segment_log_bytes(group->log);
}
static uint64_t value_trims(const struct group *group)
{
    return group->counters.trims;
}
static uint64_t value_records(const struct group *group)
{
    return group->counters.produced_records;
}
static uint64_t value_duplicates(const struct group *group)
{
    return group->counters.duplicates;
}

static const struct group_metric group_metrics[] = {
    {"raft_term", "gauge", "Current term.", value_term},
    {"raft_has_leader", "gauge", "1 when a leader is known.", value_has_leader},
    {"raft_is_leader", "gauge", "1 when this node leads the group.", value_leads},
    {"raft_commit_index", "gauge", "Last committed entry.", value_commit},
    {"raft_applied_index", "gauge", "Last applied entry.", value_applied},
    {"raft_last_index", "gauge", "Last appended entry.", value_last},
    {"raft_base_index", "gauge", "The log starts behind this entry.", value_base},
    {"raft_bases_installed_total", "counter", "Bases of a leader that replaced the log.",
     value_bases_installed},
    {"raft_base_bytes_sent_total", "counter", "Bytes of bases sent to followers.",
     value_base_bytes_sent},
    {"raft_leader_changes_total", "counter", "Leaders seen.", value_leader_changes},
    {"raft_append_rejected_total", "counter", "APPENDs that a follower refused.", value_rejected},
    {"raft_match_regressions_total", "counter",
     "Times that a follower lacked what it had acknowledged: its disk lies about syncs.",
     value_regressions},
    {"log_holes", "gauge",
     "Ranges of entries that are damaged on this disk now, but for what retention has trimmed.",
     value_holes},
    {"log_holes_found_total", "counter", "Ranges of entries that were found damaged.",
     value_holes_found},
    {"log_segments_repaired_total", "counter", "Segment files that were made whole from peers.",
     value_segments_repaired},
    {"log_entries_repaired_total", "counter", "Entries that peers supplied for it.",
     value_entries_repaired},
    {"log_repair_served_bytes_total", "counter", "Bytes of entries sent to damaged replicas.",
     value_repair_served},
    {"partition_next_offset", "gauge", "Offset of the next message.", value_next_offset},
    {"partition_first_offset", "gauge", "Offset of the first message that is kept.",
     value_first_offset},
    {"log_bytes", "gauge", "Bytes of the segment files.", value_log_bytes},
    {"trims_total", "counter", "Trims of the log that this node proposed.", value_trims},
    {"messages_applied_total", "counter", "Messages applied here.", value_records},
    {"produce_duplicates_total", "counter", "Retries answered with the original.",
     value_duplicates},
};

static void label(const struct group *group, char *buffer, size_t bytes)
{
    struct meta_partition partition;
    struct meta_settings settings;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1] = "";
    if (!group->is_meta &&
        meta_group_find(&group->node->meta, group->id, topic, &partition, &settings)) {
        snprintf(buffer, bytes, "group=\"%" PRIu64 "\",topic=\"%s\",partition=\"%u\"", group->id,
                 topic, partition.number);
        return;
    }
    snprintf(buffer, bytes, "group=\"%" PRIu64 "\"", group->id);
}

static void print_groups(FILE *out, struct node *node)
{
    char text[256];
    for (size_t m = 0; m < sizeof(group_metrics) / sizeof(group_metrics[0]); m++) {
        metric(out, group_metrics[m].name, group_metrics[m].type, group_metrics[m].help);
        uint32_t rows = 0;
        for (struct list_link *link = node->groups.next;
             link != &node->groups && rows < METRICS_GROUPS_MAX; link = link->next, rows++) {
            const struct group *group = list_entry(link, struct group, link);
            label(group, text, sizeof(text));
            fprintf(out, "raftmq_%s{%s} %" PRIu64 "\n", group_metrics[m].name, text,
                    group_metrics[m].value(group));
        }
    }
    metric(out, "fetch_answers_total", "counter",
           "Fetches answered, by how the read was confirmed.");
    uint32_t rows = 0;
    for (struct list_link *link = node->groups.next;
         link != &node->groups && rows < METRICS_GROUPS_MAX; link = link->next, rows++) {
        const struct group *group = list_entry(link, struct group, link);
        if (group->is_meta) continue;
        label(group, text, sizeof(text));
        const char *role = group->role == RAFT_LEADER ? "leader" : "follower";
        const char *format = "raftmq_fetch_answers_total{%s,role=\"%s\",read=\"%s\"} %" PRIu64 "\n";
        fprintf(out, format, text, role, "confirmed", group->counters.reads_confirmed);
        fprintf(out, format, text, role, "skipped", group->counters.reads_skipped);
        fprintf(out, format, text, role, "local", group->counters.reads_local);
    }
}

/* Groups that lost messages, as far as the first ones of a partition tell: a scrape is bounded. */
static void print_expired(FILE *out, struct node *node)
{
    struct partition_offset *offsets = malloc(METRICS_CONSUMERS_MAX * sizeof(*offsets));
    if (!offsets) abort();
    metric(out, "group_expired_messages_total", "counter",
           "Messages that were trimmed before the group had committed them.");
    uint32_t rows = 0;
    for (struct list_link *link = node->groups.next;
         link != &node->groups && rows < METRICS_GROUPS_MAX; link = link->next, rows++) {
        const struct group *group = list_entry(link, struct group, link);
        if (group->is_meta || group->partition.log_start_offset == 0) continue;
        char text[256];
        label(group, text, sizeof(text));
        const uint32_t count =
            partition_offset_list(&group->partition, NULL, offsets, METRICS_CONSUMERS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            if (offsets[i].expired == 0) continue;
            fprintf(out,
                    "raftmq_group_expired_messages_total{%s,consumer_group=\"%s\"} %" PRIu64 "\n",
                    text, offsets[i].group, offsets[i].expired);
        }
    }
    free(offsets);
}

static const char *const request_names[] = {
    [NODE_REQUEST_PRODUCE] = "produce",
    [NODE_REQUEST_FETCH] = "fetch",
    [NODE_REQUEST_OFFSETS] = "offsets",
    [NODE_REQUEST_TOPIC_CREATE] = "topic_create",
    [NODE_REQUEST_TOPIC_DELETE] = "topic_delete",
    [NODE_REQUEST_TOPIC_LIST] = "topic_list",
    [NODE_REQUEST_TOPIC_GET] = "topic_get",
    [NODE_REQUEST_PRODUCER_INIT] = "producer_init",
    [NODE_REQUEST_GROUP_COMMIT] = "group_commit",
    [NODE_REQUEST_GROUP_FETCH] = "group_fetch",
    [NODE_REQUEST_GROUP_LIST] = "group_list",
    [NODE_REQUEST_NODE_ADD] = "node_add",
    [NODE_REQUEST_NODE_REMOVE] = "node_remove",
    [NODE_REQUEST_NODE_REPLACE] = "node_replace",
    [NODE_REQUEST_PLACE] = "place",
    [NODE_REQUEST_CHANGES] = "changes",
    [NODE_REQUEST_TRANSFER] = "transfer",
    [NODE_REQUEST_TOPIC_SET] = "topic_set",
};

static void print_requests(FILE *out, const struct node *node)
{
    metric(out, "requests_total", "counter", "Requests of clients and of peers for their clients.");
    for (size_t i = 1; i < sizeof(request_names) / sizeof(request_names[0]); i++) {
        fprintf(out, "raftmq_requests_total{type=\"%s\"} %" PRIu64 "\n", request_names[i],
                node->counters.requests_total[i]);
    }
}

static void print_broadcasts(FILE *out, const struct node *node)
{
    metric(out, "broadcast_seconds_p99", "gauge",
           "From a leader's append to the commit, of the newest 1000 that were timed; 0: too few.");
    fprintf(out, "raftmq_broadcast_seconds_p99 %.6f\n", (double)node->broadcast_p99_us / 1e6);
    gauge(out, "broadcast_is_slow",
          "1 while the shortest election timeout is below ten times that.",
          node->broadcast_is_slow);
}

static void print_syncs(FILE *out, const struct node *node)
{
    metric(out, "log_fsync_seconds", "summary", "fdatasync calls of the logs.");
    fprintf(out, "raftmq_log_fsync_seconds_sum %.6f\nraftmq_log_fsync_seconds_count %" PRIu64 "\n",
            (double)node->counters.sync_us_total / 1e6, node->counters.sync_count);
    metric(out, "log_fsync_seconds_max", "gauge", "Slowest fdatasync since start.");
    fprintf(out, "raftmq_log_fsync_seconds_max %.6f\n", (double)node->counters.sync_us_max / 1e6);
}

char *node_metrics_text(struct node *node, size_t *ret_bytes)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    metric(out, "build_info", "gauge", "Version of this node.");
    fprintf(out, "raftmq_build_info{version=\"%s\"} 1\n", node->options.version);
    gauge(out, "uptime_seconds", "Seconds since start.",
          (io_now_us(node->io) - node->started_us) / 1000000u);
    gauge(out, "disk_full", "1 while writes are refused for lack of space.", node->disk_full);
    gauge(out, "produce_inflight_bytes", "Produce bytes admitted and not answered.",
          node->inflight_bytes);
    counter(out, "produce_refused_overload_total", "Produces refused: too much in flight.",
            node->counters.refused_overload);
    counter(out, "produce_refused_full_total", "Produces refused: disk nearly full.",
            node->counters.refused_full);
    counter(out, "proxied_out_total", "Requests sent to another node.", node->counters.proxied_out);
    counter(out, "proxied_in_total", "Requests served for another node.",
            node->counters.proxied_in);
    counter(out, "peer_bad_frames_total", "Malformed frames of peers.", node->counters.bad_frames);
    counter(out, "replicas_lost_total",
            "Replicas that were set aside: position or vote lost, or quarantined.",
            node->counters.replicas_lost);
    counter(out, "chain_disputes_total", "Times that a replica here differed from another one.",
            node->counters.chain_disputes);
    counter(out, "replicas_quarantined_total", "Replicas that differed from the majority.",
            node->counters.replicas_quarantined);
    counter(out, "time_gaps_total", "Pauses longer than an election timeout.",
            node->counters.time_gaps);
    counter(out, "log_scrubbed_bytes_total", "Bytes of logs read to find damage.",
            node->counters.scrubbed_bytes);
    struct peer_counters peers;
    peer_hub_counters(node->hub, &peers);
    counter(out, "peer_bytes_in_total", "Bytes received from peers.", peers.bytes_in);
    counter(out, "peer_unknown_groups_total",
            "Frames of peers for a replica that is not here (yet, or any more).",
            node->counters.unknown_groups);
    counter(out, "peer_unknown_groups_told_total",
            "Answers of peers that they have no such replica (yet, or any more).",
            node->counters.unknown_told);
    counter(out, "peer_bytes_out_total", "Bytes sent to peers.", peers.bytes_out);
    counter(out, "peer_disconnects_total", "Connections to peers that closed.", peers.disconnects);
    counter(out, "peer_silent_total", "Connections to peers closed because nothing came for 3 s.",
            peers.silent);
    counter(out, "peer_bulk_stalls_total",
            "Bulk connections to peers made anew because nothing moved on them.",
            peers.bulk_stalls);
    print_requests(out, node);
    print_syncs(out, node);
    print_broadcasts(out, node);
    print_groups(out, node);
    print_expired(out, node);
    fclose(out);
    *ret_bytes = bytes;
    return text;
}
