/* The one door through which clients reach a node: HTTP, later Kafka, the simulator's clients and proxying peers all
 * fill in a struct node_request, submit it and get one callback. Pure data; no protocol of a front end appears here.
 *
 *     node_submit(node, request);          ... later, exactly once:  request->done(request)
 *
 * The request belongs to the caller and must stay in place until done() or until node_cancel() returned; so must all that it
 * points to, which is borrowed so long and read at any time. Names are NUL-terminated strings. done() is never called from
 * inside node_submit. */
#ifndef BROKER_NODE_REQUEST_H
#define BROKER_NODE_REQUEST_H

#include <broker/meta.h>
#include <broker/partition.h>
#include <segment_log/segment_log.h>

struct node;

#define NODE_STATUS_TEXT_BYTES 256u

#define NODE_STATUSES(X)                                                                           \
    X(NODE_OK, "ok")                                                                               \
    X(NODE_TOPIC_NOT_FOUND, "there is no such topic")                                              \
    X(NODE_PARTITION_NOT_FOUND, "the topic has no such partition")                                 \
    X(NODE_TOPIC_EXISTS, "the topic exists with other settings")                                   \
    X(NODE_INVALID_NAME, "the name is not allowed")                                                \
    X(NODE_INVALID_ARGUMENT, "an argument is out of range")                                        \
    X(NODE_TOO_MANY_TOPICS, "the cluster's limit of topics is reached")                            \
    X(NODE_NOT_ENOUGH_NODES, "not enough nodes")                                                   \
    X(NODE_CORRUPT_BATCH, "the record batch is malformed")                                         \
    X(NODE_TOO_LARGE, "the message or batch is larger than the topic allows")                      \
    X(NODE_OUT_OF_ORDER_SEQUENCE, "the producer's sequence has a gap or overlaps")                 \
    X(NODE_DUPLICATE_OFFSET_UNKNOWN, "the batch was stored before; its offset is no longer known") \
    X(NODE_PRODUCER_FENCED, "a newer epoch of this producer id has written")                       \
    X(NODE_UNKNOWN_PRODUCER, "the producer id was forgotten; take a new one")                      \
    X(NODE_STALE_GENERATION, "the consumer group has moved on to a newer generation")              \
    X(NODE_OFFSET_OUT_OF_RANGE, "the offset is outside of the log")                                \
    X(NODE_NO_OFFSET, "the group has committed no offset")                                         \
    X(NODE_NO_LEADER, "no leader could be reached; nothing was stored")                            \
    X(NODE_NOT_READY, "this node is not ready to serve")                                           \
    X(NODE_OUTCOME_UNKNOWN,                                                                        \
      "it is unknown whether it was stored; retry with the same producer id and sequence")         \
    X(NODE_OVERLOADED, "too much is in flight; nothing was stored")                                \
    X(NODE_DISK_FULL, "the disk is nearly full; nothing was stored")                               \
    X(NODE_DAMAGED, "the range asked for is damaged on this node")                                 \
    X(NODE_SHUTTING_DOWN, "this node is shutting down; nothing was stored")                        \
    X(NODE_TIMEOUT, "it could not be confirmed in time; try again")                                \
    X(NODE_UNKNOWN_NODE, "the cluster knows no such node")                                         \
    X(NODE_NODE_EXISTS, "that node, or its address, is taken")                                     \
    X(NODE_TOO_MANY_NODES, "the cluster's limit of nodes is reached")                              \
    X(NODE_QUORUM_AT_RISK, "the change would lose a quorum; nothing was changed")                  \
    X(NODE_CHANGE_RUNNING, "another change of that node is running; nothing was changed")          \
    X(NODE_NOT_TRANSFERRED, "leadership stays where it was")

enum node_status {
#define X(name, text) name,
    NODE_STATUSES(X)
#undef X
};
const char *node_status_text(enum node_status status);

enum node_request_type {
    NODE_REQUEST_PRODUCE = 1,
    NODE_REQUEST_FETCH,
    NODE_REQUEST_OFFSETS, /* first and next offset of a partition, linearizable */
    NODE_REQUEST_TOPIC_CREATE,
    NODE_REQUEST_TOPIC_DELETE,
    NODE_REQUEST_TOPIC_LIST,
    NODE_REQUEST_TOPIC_GET,
    NODE_REQUEST_PRODUCER_INIT, /* a producer id and epoch */
    NODE_REQUEST_GROUP_COMMIT,
    NODE_REQUEST_GROUP_FETCH, /* one committed offset */
    /* groups of one partition by name, at most 1000: those behind group.group, NULL: from the first on */
    NODE_REQUEST_GROUP_LIST,
    /* Membership. ADD, REMOVE, REPLACE and PLACE go to the leader of meta and are answered when their entry is applied:
     * the cluster has then decided it, and works on it by itself until it is done; CHANGES tells how far it is. Asking
     * for what was decided already is OK. */
    NODE_REQUEST_NODE_ADD,     /* admit node.id at node.peer_address; it joins when it is started */
    NODE_REQUEST_NODE_REMOVE,  /* take node.id out of every group, other nodes take its place */
    NODE_REQUEST_NODE_REPLACE, /* node.with takes the place of node.id in every group */
    NODE_REQUEST_PLACE,        /* the replicas of one partition: place.nodes */
    NODE_REQUEST_CHANGES,      /* what is not finished, and what blocks it */
    NODE_REQUEST_TRANSFER,     /* hand over the leadership of a group, or of all groups of a node */
    NODE_REQUEST_TOPIC_SET,    /* some settings: set.fields of create.settings */
};
#define NODE_REQUEST_TYPES_MAX 32u

/* Where a fetch starts. */
enum node_fetch_from {
    NODE_FROM_OFFSET, /* value = offset */
    NODE_FROM_EARLIEST,
    NODE_FROM_LATEST, /* next_offset: only what comes */
    NODE_FROM_TAIL,   /* value = n: the last n messages */
    NODE_FROM_TIME,   /* value = Unix ms */
    /* value = offset: of this message alone; at the end of the log, too, NODE_OFFSET_OUT_OF_RANGE */
    NODE_FROM_MESSAGE,
};

struct node_request {
    enum node_request_type type;
    void (*done)(struct node_request *request);
    void *data;
    uint32_t timeout_ms; /* 0 = default (10 s). For a fetch: besides wait_ms */

    /* ---- in ---- */
    const char *topic;
    uint32_t partition;
    bool auto_create; /* PRODUCE: create a missing topic with defaults (when the node allows it) */
    /* do not proxy: answer NODE_NO_LEADER with ret_leader set when another node leads */
    bool redirect;
    bool from_peer; /* proxied already: never proxied again */

    struct { /* PRODUCE: one checked or unchecked record batch; base offset and leader epoch are
                written into it */
        uint8_t *batch;
        size_t bytes;
    } produce;
    struct { /* FETCH */
        enum node_fetch_from from;
        uint64_t value;
        size_t bytes_max; /* at least one batch is returned even if it is larger */
        uint32_t wait_ms; /* long poll: how long to wait for the first message */
    } fetch;
    struct {             /* TOPIC_SET */
        uint32_t fields; /* enum meta_settings_field */
    } set;
    struct { /* TOPIC_CREATE */
        struct meta_settings settings;
        uint32_t partitions_count; /* 1 .. META_PARTITIONS_MAX */
        uint32_t replicas_count;   /* 0 = min(3, nodes) */
    } create;
    struct { /* GROUP_COMMIT, GROUP_FETCH; GROUP_LIST: `group` alone */
        const char *group;
        uint64_t offset;
        int64_t generation; /* -1 */
        const uint8_t *metadata;
        uint32_t metadata_bytes;
        /* compare and set: fails with NODE_STALE_GENERATION when the committed one differs */
        bool has_if_offset;
        uint64_t if_offset;
        enum partition_durable durable; /* COMMIT */
    } group;
    struct { /* NODE_ADD, NODE_REMOVE, NODE_REPLACE */
        uint64_t id;
        uint64_t with; /* REPLACE */
        bool shrinks;  /* REMOVE: partitions may be left with fewer replicas than are wanted */
        const char *peer_address; /* ADD: host:port where other nodes reach it */
    } node;
    struct { /* PLACE: of `topic` and `partition`; the first is not preferred in any way */
        uint64_t nodes[META_REPLICAS_MAX];
        uint32_t nodes_count;
    } place;
    /* TRANSFER: of `topic` and `partition`, or of meta, or of all groups that a node leads. Answered OK when another
     * replica leads (`to`, unless 0), else NODE_NOT_TRANSFERRED with the reason. */
    struct {
        bool meta;
        uint64_t from; /* 0 = of one group */
        uint64_t to;   /* 0 = the most up-to-date voter */
    } transfer;

    /* ---- out ---- */
    enum node_status status;
    /* one sentence more than the status text, what to do next; may be empty */
    char detail[256];
    uint32_t retry_after_ms; /* > 0 where repeating it later may help; 0: not said */
    uint64_t ret_leader;     /* node id of the group's leader, 0 = unknown */
    uint64_t ret_term;
    uint64_t ret_offset; /* PRODUCE: base offset; GROUP_FETCH */
    uint32_t ret_count;  /* PRODUCE: records; TRANSFER with `from`: groups that others lead now */
    int64_t
        ret_timestamp_ms; /* PRODUCE: the leader's time of the entry; the messages have their own */
    bool ret_duplicate;   /* PRODUCE: it was stored before; ret_offset is the original */
    bool ret_created;     /* TOPIC_CREATE, NODE_ADD: it was not there before */
    uint64_t ret_first_offset; /* FETCH, OFFSETS, OFFSET_OUT_OF_RANGE */
    /* FETCH: where the next fetch starts; when DAMAGED, where reading goes on behind it, 0 = unknown. OFFSETS: end of the log */
    uint64_t ret_next_offset;
    uint64_t ret_high_watermark; /* FETCH: committed end as of the read index */
    uint64_t ret_local_lag;      /* FETCH with local reads: entries known to be missing; else 0 */
    /* FETCH: whole encoded entries of every type, from the one that holds the start on; released
     * by the caller with segment_log_view_release */
    struct segment_log_view ret_view;
    /* FETCH: first offset wanted: records below it in ret_view are skipped */
    uint64_t ret_fetch_offset;
    int64_t ret_producer_id; /* PRODUCER_INIT */
    int16_t ret_producer_epoch;
    /* TOPIC_LIST, TOPIC_GET, TOPIC_CREATE, TOPIC_SET: malloc'ed, the caller frees it with node_topics_free */
    struct node_topic_info *ret_topics;
    uint32_t ret_topics_count;
    struct partition_offset *ret_offsets; /* GROUP_FETCH, GROUP_LIST: malloc'ed, free() */
    uint32_t ret_offsets_count;
    struct node_change *ret_changes; /* CHANGES: malloc'ed, free() */
    uint32_t ret_changes_count;

    uint64_t node_private[48]; /* the node's; zero before submit */
};

struct node_partition_info {
    uint32_t number;
    uint64_t group;
    uint64_t leader; /* 0 = unknown to this node */
    uint64_t term;
    bool offsets_known;
    uint64_t first_offset, next_offset;
    uint64_t commit_index;
    struct meta_replica replicas[META_REPLICAS_MAX];
    uint32_t replicas_count;
    struct {
        uint64_t match;
        uint64_t lag; /* entries behind the leader's last index; UINT64_MAX = unknown */
    } progress[META_REPLICAS_MAX]; /* known on the leader */
    bool progress_known;
};

struct node_topic_info {
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    uint64_t created_index;
    int64_t created_ms;
    struct meta_settings settings;
    uint32_t partitions_count;
    struct node_partition_info *partitions; /* array[partitions_count] */
};
void node_topics_free(struct node_topic_info *topics, uint32_t count);

/* ---- changes of membership ------------------------------------------------------------------------------------- */

/* What a group's leader does next, in this order. */
#define NODE_CHANGE_STATES(X)                                                               \
    X(NODE_CHANGE_UNKNOWN, "unknown")     /* nobody reports: no leader, or not reached */   \
    X(NODE_CHANGE_WAITING, "waiting")     /* for a node that has not joined, or a leader */ \
    X(NODE_CHANGE_ADDING, "adding")       /* new replicas become learners */                \
    X(NODE_CHANGE_COPYING, "copying")     /* learners get the log */                        \
    X(NODE_CHANGE_SWITCHING, "switching") /* the new voters take over */                    \
    X(NODE_CHANGE_RECORDING, "recording") /* done but for meta's record, which drops the rest */

enum node_change_state {
#define X(name, text) name,
    NODE_CHANGE_STATES(X)
#undef X
};
const char *node_change_state_text(enum node_change_state state);

enum node_change_role {
    NODE_CHANGE_VOTER,
    NODE_CHANGE_LEARNER,
    NODE_CHANGE_ABSENT, /* wished, and not in the group yet */
};

struct node_change_member {
    uint64_t node_id;
    uint64_t epoch;
    enum node_change_role role; /* now */
    bool wished;                /* it stays, or comes; false: it leaves */
    bool connected;             /* to the group's leader */
    bool match_known;
    uint64_t match; /* entries durable there, of node_change.last_index */
};

/* As many as a hub knows: those of the list that are no members any more are told of, too, while they are connected. */
#define NODE_MEMBERS_MAX        32u
#define NODE_CHANGE_MEMBERS_MAX 24u

/* A group whose members are not those that are wished. */
struct node_change {
    uint64_t group;
    bool meta;                                 /* group 0; else a partition: */
    char topic[META_TOPIC_NAME_BYTES_MAX + 1]; /* "" with meta */
    uint32_t partition;
    uint64_t leader; /* who reported; 0: nobody */
    uint64_t last_index;
    enum node_change_state state;
    struct node_change_member members[NODE_CHANGE_MEMBERS_MAX];
    uint32_t members_count;
    char blocked[NODE_STATUS_TEXT_BYTES]; /* one sentence: what it waits for; "" = it moves */
};
#define NODE_CHANGES_MAX 4096u /* in one answer */

/* Asynchronous; done() is called later, exactly once. */
void node_submit(struct node *node, struct node_request *request);
/* The client went away: done() will not be called any more, and no output is left. A produce may be stored all the same. */
void node_cancel(struct node *node, struct node_request *request);

/* What this node's applied meta state says about a topic, at once and without a round: enough to pick a partition and to
 * refuse a body that is far too large before it is read. It may be stale: false (no such topic here) is never a 404. */
bool node_topic_partitions(struct node *node, const char *topic, uint32_t *ret_partitions_count,
                           uint32_t *ret_message_bytes_max);

/* ---- status, synchronous, of this node's knowledge ------------------------------------------------------------ */

struct node_member_status {
    uint64_t node_id;
    bool self;
    bool connected;
    char role
        [16]; /* of the meta group: leader, follower, candidate, learner, joining, admitted, ... */
    char vote[12]; /* in the meta group: voter, learner; empty = not in it, as far as known here */
    uint64_t incarnation;
    uint64_t match_index; /* of the meta group, known on the leader */
    bool match_known;
    char http_address[META_ADDRESS_BYTES_MAX];
    char peer_address[META_ADDRESS_BYTES_MAX];
    char version[32];
    char problem[NODE_STATUS_TEXT_BYTES]; /* empty = none */
};

struct node_cluster_status {
    struct cluster_id cluster; /* zero: not founded */
    uint64_t node_id;
    uint64_t incarnation;
    uint64_t leader; /* of the meta group */
    uint64_t term;
    uint64_t commit_index;
    uint64_t applied_index;
    uint32_t groups_count; /* replicas on this node */
    uint32_t groups_led;
    uint32_t topics_count;
    uint64_t data_bytes;
    uint64_t uptime_ms;
    /* founding, joining, refused, removed, ready, electing, no quorum, stopping, failed */
    char state[24];
    /* why it cannot serve, and what to do; empty = healthy */
    char problem[NODE_STATUS_TEXT_BYTES];
    /* of the logs on this node, in front of nothing that is kept not counted; the second: those that everybody who answers was
     * asked for in vain */
    uint32_t damaged_ranges, unrepaired_ranges;
    char damage[NODE_STATUS_TEXT_BYTES]; /* the first of them, by its name; empty = none */
    /* what is wrong with its settings while it serves, and what to do; empty = nothing */
    char warning[NODE_STATUS_TEXT_BYTES];
    struct node_member_status members[NODE_MEMBERS_MAX];
    uint32_t members_count;
};
void node_cluster_status(struct node *node, struct node_cluster_status *ret_status);

/* Ready to serve clients: every group that this node holds knows a leader and has caught up once. `why` gets a line per
 * check, "[+]..." or "[-]...". */
bool node_is_ready(struct node *node, char *why, size_t why_bytes);

/* Prometheus text of the node's own counters into a malloc'ed string. */
char *node_metrics_text(struct node *node, size_t *ret_bytes);

/* Per partition replica on this node, for `/v1/cluster?groups=1` and tests. */
struct node_group_status {
    uint64_t group;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t partition;
    char role[16];
    uint64_t leader, term, last_index, durable_index, commit_index, applied_index, next_offset,
        first_offset;
    /* this replica's fetch answers by how they were confirmed */
    uint64_t reads_confirmed, reads_skipped, reads_local;
    /* Reads that have no index yet, of this node and, at the leader, requests of others; of the round that is under way: how
     * many it covers, the index, and who confirmed it (as raft_reads_view) */
    uint32_t reads_waiting, read_requests, round_reads, round_acks, round_voters;
    uint64_t round_index;     /* 0: no round is under way here */
    uint64_t chain_at_commit; /* 0 = not in memory */
    char problem[NODE_STATUS_TEXT_BYTES];
};
uint32_t node_groups_status(struct node *node, struct node_group_status *ret_groups, uint32_t max);

/* Begin to read the logs of a topic's replicas here, or of all (NULL), from the first to the last byte, and repair what is
 * damaged. Returns how many; one that is read already is begun again. */
uint32_t node_scrub(struct node *node, const char *topic);

/* How far that is, log by log, and what was found since the node started. */
struct node_scrub_status {
    uint64_t group;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t partition;
    bool is_asked;  /* a pass that was asked for has not ended */
    bool is_active; /* a pass is under way, of the background perhaps */
    uint64_t bytes_done, bytes_total;
    uint64_t passes;
    uint32_t holes; /* ranges that are damaged now */
    uint64_t holes_found, blocks_mended, segments_repaired, entries_repaired;
    char problem[NODE_STATUS_TEXT_BYTES]; /* what stands in the way of repair */
};
uint32_t node_scrub_status(struct node *node, struct node_scrub_status *ret_logs, uint32_t max);

#endif
