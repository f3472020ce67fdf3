/* The state machine of group 0: nodes, topics, placement, producer-id blocks; pure (PROTOCOL M).
 *
 * The state is a copy-on-write tree as in a partition. Ids are never reused: the id of a partition's Raft group is
 * drawn in apply() from a counter in the state. */
#ifndef BROKER_META_H
#define BROKER_META_H

#include <segment_log/entry.h>
#include <snapshot/tree.h>

#define META_TOPIC_NAME_BYTES_MAX 128u
#define META_ADDRESS_BYTES_MAX    256u
#define META_PARTITIONS_MAX       256u /* per topic */
#define META_REPLICAS_MAX         7u
#define META_TOPICS_MAX           1024u
#define META_PRODUCER_BLOCK       1000u /* producer ids handed out by one entry */
#define META_NODES_MAX            16u /* as many members as a group can have: each is one of group 0 */
#define META_VOTERS_MAX           5u /* of group 0; the other nodes are its learners (PROTOCOL M9) */

struct meta_state {
    struct tree *state;
    uint64_t applied_index;
    int64_t applied_timestamp_ms;
};

void meta_init(struct meta_state *meta);
void meta_close(struct meta_state *meta);
/* Take over a loaded snapshot, after meta_init(); `state` is moved. False: the state holds something that this
 * version cannot read; it was unreferenced and the meta state is empty: the node must stop rather than guess. O(n). */
bool meta_restore(struct meta_state *meta, struct tree *state, uint64_t index,
                  int64_t timestamp_ms);

struct meta_node {
    uint64_t node_id;
    uint64_t incarnation; /* 0: admitted, has not joined yet */
    /* Index of the NODE_SET that brought this incarnation, 0 for a founder. A replica of an older epoch on this node
     * went with an earlier incarnation (M5). */
    uint64_t incarnation_index;
    /* Index of the REPLICA_RENEW that ended its replica of group 0, 0 = none: one of an older epoch is over (M5). */
    uint64_t renewed_index;
    bool voter;           /* wished voter of group 0; else a learner */
    bool leaving;         /* removed or replaced: no new replica goes there */
    uint64_t replaced_by; /* leaving: the node that takes its place, 0 = none in particular */
    char http_address[META_ADDRESS_BYTES_MAX]; /* advertised */
    char peer_address[META_ADDRESS_BYTES_MAX];
    char kafka_address[META_ADDRESS_BYTES_MAX]; /* empty: no listener */
};

struct meta_replica {
    uint64_t node_id;
    uint64_t epoch; /* index of the meta entry that placed it (M3) */
};

struct meta_settings {
    uint32_t message_bytes_max; /* of one batch; default 1 MiB */
    int64_t retention_ms;       /* -1 = for ever (default) */
    int64_t retention_bytes;    /* -1 = no limit (default) */
    bool local_reads;           /* consistency = local (PROTOCOL R3); default false */
    /* Also what every durable group has consumed may go (PROTOCOL S4); default false */
    bool until_consumed;
    /* Index of the meta entry that changed them last; 0 = as created. A partition that got newer ones keeps them. */
    uint64_t changed_index;
};

/* The placement is a wish; the group follows it by changes of its configuration, which meta does not see. What meta does
 * know is that every member of the group is among `replicas` and `lingering`: that is what may not be dropped (M4). */
struct meta_partition {
    uint32_t number;
    uint64_t group;                                  /* Raft group id */
    struct meta_replica replicas[META_REPLICAS_MAX]; /* wished, all of them voters */
    uint32_t replicas_count;
    /* As many as there should be: what was asked for at its creation, or placed by hand. Fewer are wished where a node left
     * and no other could take its place; then it grows back as soon as one can. */
    uint32_t replicas_wanted;
    /* Wished before and perhaps still members; empty when settled. At most one of a node: one that is wished again
     * gets its old epoch back. */
    struct meta_replica lingering[META_NODES_MAX];
    uint32_t lingering_count;
    /* The members at its creation: the configuration of its base at index 0 (M7) */
    struct meta_replica founders[META_REPLICAS_MAX];
    uint32_t founders_count;
    uint64_t first_leader;        /* node id; campaigns at once (M7) */
    uint64_t wish_index;          /* of the entry that changed `replicas` last */
    bool settled;                 /* a CONFIG_RECORD told that the group is what is wished */
    uint64_t configuration_index; /* of the CONFIG entry that it named; 0 = the founders' */
};

struct meta_topic {
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    uint64_t created_index;
    int64_t created_ms;
    struct meta_settings settings;
    uint32_t partitions_count;
    struct meta_partition partitions[META_PARTITIONS_MAX];
};

/* ---- commands: payloads of META entries --------------------------------------------------------------- */

enum meta_command_type {
    /* A node told its incarnation and addresses. Of a node that nobody admitted it does nothing (META_UNKNOWN_NODE), but for
     * founders. A new incarnation of a known node gets new epochs for all its replicas (M5). One that is here already may
     * take a vote in group 0 by it, while fewer than META_VOTERS_MAX are wished (M9). */
    META_NODE_SET = 1,
    META_TOPIC_CREATE,
    META_TOPIC_DELETE,
    META_PRODUCER_BLOCK_TAKE,
    META_NODE_ADD,     /* an operator admits a node id */
    META_NODE_REMOVE,  /* node_id leaves every group; `spares` take its place */
    META_NODE_REPLACE, /* `with` takes the place of node_id; spares where it is a replica already */
    META_PLACE,        /* the wish of one partition */
    META_CONFIG_RECORD, /* the committed configuration of a group, as told by its leader */
    META_TOPIC_SET,     /* some settings of a topic */
    /* One replica lost its position or its vote, or was quarantined (D2, D6, V3): that epoch of it is over, and where it
     * is wished it gets a new one. A repeated one does nothing. */
    META_REPLICA_RENEW,
};

/* Which settings a TOPIC_SET changes. */
enum meta_settings_field {
    META_SET_RETENTION_MS = 0x01,
    META_SET_RETENTION_BYTES = 0x02,
    META_SET_UNTIL_CONSUMED = 0x04,
    META_SET_MESSAGE_BYTES_MAX = 0x08,
    META_SET_LOCAL_READS = 0x10,
    META_SET_ALL = 0x1f,
};

struct meta_member {
    uint64_t node_id;
    uint64_t epoch;
    bool voter;
};

struct meta_command {
    enum meta_command_type type;
    uint64_t request;      /* random, chosen by the proposer; comes back in the result */
    struct meta_node node; /* NODE_SET: but for incarnation_index, leaving and replaced_by */
    /* NODE_SET: listed by the founding; node.voter is as the founding says. Else node.voter asks for a vote that nobody has,
     * and of a new incarnation counts for nothing. */
    bool founder;
    /* NODE_SET of a new incarnation: the one in whose place it comes, 0 = none joined yet. When another one is there by then,
     * the request was made before that one joined, and does nothing (M2). */
    uint64_t replaces;
    struct { /* REPLICA_RENEW */
        uint64_t group;
        uint64_t node_id;
        uint64_t epoch;
    } renew;
    struct { /* NODE_ADD: node_id and address; REMOVE, REPLACE */
        uint64_t node_id;
        uint64_t with; /* REPLACE */
        char peer_address[META_ADDRESS_BYTES_MAX];
        /* Best first; which partition gets which is settled in apply(). */
        uint64_t spares[META_NODES_MAX];
        uint32_t spares_count;
        bool
            shrinks; /* REMOVE: also where a partition is left with fewer replicas than are wanted */
    } change;
    struct { /* PLACE */
        uint64_t group;
        uint64_t nodes[META_REPLICAS_MAX];
        uint32_t nodes_count;
        /* By the leader of meta itself, towards what is wanted: counts only while this is the wish and it is settled. 0: by an
         * operator, who wants exactly these */
        uint64_t grows_wish;
    } place;
    /* CONFIG_RECORD. For a partition it counts only when its leader compared the members with the wish of wish_index and
     * that is still the wish; then they are all voters. Of group 0 it lets the records of nodes go that left. */
    struct {
        uint64_t group;
        uint64_t configuration_index;
        uint64_t wish_index;
        struct meta_member members[META_NODES_MAX];
        uint32_t members_count;
    } record;
    struct
    { /* TOPIC_CREATE: placement is decided by the proposing leader: replicas[p] of each partition */
        char name[META_TOPIC_NAME_BYTES_MAX + 1];
        struct meta_settings settings;
        uint32_t partitions_count;
        uint32_t replicas_count;
        uint64_t replicas[META_PARTITIONS_MAX]
                         [META_REPLICAS_MAX]; /* node ids; [p][0] is the first leader */
    } create;
    char delete_name[META_TOPIC_NAME_BYTES_MAX + 1];
    struct
    { /* TOPIC_SET: what is not named in `fields` counts for nothing, but has to be in range */
        char name[META_TOPIC_NAME_BYTES_MAX + 1];
        uint32_t fields; /* of enum meta_settings_field, at least one */
        struct meta_settings settings;
    } set;
};

/* Returns the encoded size; writes it when it fits. 0: the command breaks a rule that decode would refuse it for (a bad
 * name, no replica, one node twice, a setting out of range), so that no entry that stops the nodes is ever proposed.
 * decode: false = malformed; *ret_command is then undefined. */
size_t meta_command_encode(const struct meta_command *command, uint8_t *buffer, size_t bytes);
bool meta_command_decode(const uint8_t *payload, size_t bytes, struct meta_command *ret_command);

enum meta_result_status {
    META_OK,
    META_TOPIC_EXISTS, /* with the same partitions and settings: result.topic_same = true */
    META_TOPIC_NOT_FOUND,
    META_TOO_MANY_TOPICS,
    META_UNKNOWN_NODE,
    META_NODE_EXISTS, /* ADD: by another address */
    META_NODE_LEAVING,
    META_TOO_MANY_NODES,
    META_NOT_ENOUGH_NODES, /* a partition would be left without any replica, or with fewer than wanted */
    META_CHANGE_RUNNING, /* the node is being replaced by another one, or removed */
    /* SET: of an incarnation that was replaced; CONFIG_RECORD: the wish has changed; RENEW: the replica is another one */
    META_STALE,
    META_PARTITION_NOT_FOUND,
};

/* What applying one META entry did; the node acts on it (makes and drops replicas). */
struct meta_result {
    enum meta_command_type type;
    uint64_t request;
    enum meta_result_status status;
    bool topic_same;
    bool changed; /* membership, TOPIC_SET: false = it was so already */
    /* created, deleted or set; owned by the caller, free(); NULL otherwise */
    struct meta_topic *topic;
    uint64_t producer_first; /* PRODUCER_BLOCK_TAKE: first id of the block of META_PRODUCER_BLOCK */
};

/* Apply entry applied_index + 1 (any type; others than META change only applied_index and applied_timestamp_ms and
 * give a result of type 0). false = malformed or unknown, nothing changed: the node must stop rather than guess. */
bool meta_apply(struct meta_state *meta, const struct entry_header *header, const uint8_t *payload,
                struct meta_result *ret_result);

/* ---- queries ------------------------------------------------------------------------------------------- */

/* "[A-Za-z0-9._-]{1,128}", not "." or "..". NULL when valid, else a short reason. */
const char *meta_name_problem(const char *name, size_t bytes);
/* NULL when every setting is in range, else a short reason. */
const char *meta_settings_problem(const struct meta_settings *settings);
/* Those of `wanted` that `fields` (enum meta_settings_field) names. */
void meta_settings_merge(struct meta_settings *settings, const struct meta_settings *wanted,
                         uint32_t fields);

/* The first producer id that was not handed out yet; ids start at 1. */
uint64_t meta_producer_next(const struct meta_state *meta);

/* *ret_topic is malloc'ed, the caller frees it. */
bool meta_topic_get(const struct meta_state *meta, const char *name, struct meta_topic **ret_topic);
/* Cheap look-up for the data path. */
bool meta_partition_get(const struct meta_state *meta, const char *name, uint32_t partition,
                        struct meta_partition *ret_partition, struct meta_settings *ret_settings,
                        uint32_t *ret_partitions_count);
typedef bool (*meta_topic_cb)(void *data, const struct meta_topic *topic);
void meta_topics_visit(const struct meta_state *meta, meta_topic_cb cb, void *data);
uint32_t meta_topics_count(const struct meta_state *meta);
bool meta_node_get(const struct meta_state *meta, uint64_t node_id, struct meta_node *ret_node);
uint32_t meta_nodes(const struct meta_state *meta, struct meta_node *ret_nodes, uint32_t max);
/* Is there a replica of that node, wished or lingering, in any partition? O(partitions). */
bool meta_node_is_held(const struct meta_state *meta, uint64_t node_id);
/* May this replica be a member of its group, now or later, as far as this state knows? False also for a group that was
 * deleted: then the replica may be dropped (M4). */
bool meta_replica_is_held(const struct meta_state *meta, uint64_t group, uint64_t node_id,
                          uint64_t epoch);
/* Every partition, by group id; `name` and `partition` are borrowed until the callback returns. False from it ends the
 * visit. */
typedef bool (*meta_partition_cb)(void *data, const char *name,
                                  const struct meta_partition *partition);
void meta_partitions_visit(const struct meta_state *meta, meta_partition_cb cb, void *data);
/* A replica of group 0 on that node with an epoch below this one is over (M3, M5). */
uint64_t meta_node_epoch_min(const struct meta_node *node);
/* Topic and partition number of a Raft group; false when it never existed or is deleted. */
bool meta_group_find(const struct meta_state *meta, uint64_t group, char *ret_name,
                     struct meta_partition *ret_partition, struct meta_settings *ret_settings);

#endif
