/* The state machine of group 0: commands, ids that are never reused, queries, and bytes that must not be trusted. */
#include "queue_support.h"

#include <stdio.h>

static bool apply(struct meta_state *meta, const struct meta_command *command,
                  struct meta_result *ret_result)
{
    static uint8_t payload[32768];
    size_t bytes = meta_command_encode(command, payload, sizeof payload);
    cr_assert_gt(bytes, 0);
    cr_assert_leq(bytes, sizeof payload);
    struct entry_header header = {.type = ENTRY_META,
                                  .payload_bytes = (uint32_t)bytes,
                                  .index = meta->applied_index + 1,
                                  .term = 1,
                                  .timestamp_ms = 5000 + (int64_t)meta->applied_index};
    return meta_apply(meta, &header, payload, ret_result);
}

static struct meta_command *create_command(const char *name, uint32_t partitions, uint32_t replicas)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_TOPIC_CREATE;
    command->request = 77;
    snprintf(command->create.name, sizeof command->create.name, "%s", name);
    command->create.settings = (struct meta_settings){
        .message_bytes_max = 1048576, .retention_ms = -1, .retention_bytes = -1};
    command->create.partitions_count = partitions;
    command->create.replicas_count = replicas;
    for (uint32_t i = 0; i < partitions && i < META_PARTITIONS_MAX; i++) {
        for (uint32_t j = 0; j < replicas && j < META_REPLICAS_MAX; j++) {
            command->create.replicas[i][j] = 1 + (i + j) % 7;
        }
    }
    return command;
}

static struct meta_result create(struct meta_state *meta, const char *name, uint32_t partitions)
{
    struct meta_result result;
    struct meta_command *command = create_command(name, partitions, 3);
    cr_assert(apply(meta, command, &result));
    free(command);
    return result;
}

static struct meta_result delete (struct meta_state *meta, const char *name)
{
    struct meta_result result;
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_TOPIC_DELETE;
    snprintf(command->delete_name, sizeof command->delete_name, "%s", name);
    cr_assert(apply(meta, command, &result));
    free(command);
    return result;
}

static struct meta_command *node_command(uint64_t node_id, const char *host)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_NODE_SET;
    command->node.node_id = node_id;
    command->node.incarnation = node_id * 1000;
    command->founder = true;
    snprintf(command->node.http_address, META_ADDRESS_BYTES_MAX, "%s:7070", host);
    snprintf(command->node.peer_address, META_ADDRESS_BYTES_MAX, "%s:7071", host);
    return command;
}

Test(meta_topic, a_created_topic_is_found_by_name_by_partition_and_by_group)
{
    struct meta_state meta;
    meta_init(&meta);
    struct meta_result result = create(&meta, "orders", 3);
    cr_assert_eq(result.type, META_TOPIC_CREATE);
    cr_assert_eq(result.request, 77);
    cr_assert_eq(result.status, META_OK);
    cr_assert_str_eq(result.topic->name, "orders");
    cr_assert_eq(result.topic->created_index, 1);
    cr_assert_eq(result.topic->created_ms, 5000);
    cr_assert_eq(result.topic->partitions_count, 3);

    struct meta_topic *topic;
    cr_assert(meta_topic_get(&meta, "orders", &topic));
    cr_assert_str_eq(topic->name, "orders");
    cr_assert_eq(topic->created_index, result.topic->created_index);
    cr_assert_eq(topic->created_ms, result.topic->created_ms);
    cr_assert_eq(topic->partitions_count, result.topic->partitions_count);
    for (uint32_t i = 0; i < 3; i++) {
        struct meta_partition partition;
        struct meta_settings settings;
        uint32_t count;
        char name[META_TOPIC_NAME_BYTES_MAX + 1];
        cr_assert(meta_partition_get(&meta, "orders", i, &partition, &settings, &count));
        cr_assert_eq(count, 3);
        cr_assert_eq(partition.number, i);
        cr_assert_eq(topic->partitions[i].group, partition.group);
        cr_assert_eq(result.topic->partitions[i].group, partition.group);
        cr_assert_eq(partition.group, i + 1, "the first group behind meta is 1");
        cr_assert_eq(partition.first_leader, 1 + i);
        cr_assert_eq(partition.replicas_count, 3);
        cr_assert_eq(partition.replicas[2].node_id, 1 + i + 2);
        cr_assert_eq(partition.replicas[2].epoch, 1, "the index of the entry that placed it");
        cr_assert_eq(settings.message_bytes_max, 1048576);
        cr_assert(meta_group_find(&meta, partition.group, name, &partition, &settings));
        cr_assert_str_eq(name, "orders");
        cr_assert_eq(partition.number, i);
    }
    cr_assert_not(meta_partition_get(&meta, "orders", 3, NULL, NULL, NULL));
    cr_assert_not(meta_partition_get(&meta, "other", 0, NULL, NULL, NULL));
    cr_assert_not(meta_group_find(&meta, 0, NULL, NULL, NULL));
    cr_assert_not(meta_group_find(&meta, 4, NULL, NULL, NULL));
    free(topic);
    free(result.topic);
    meta_close(&meta);
}

Test(meta_topic, creating_it_again_tells_whether_it_is_the_same)
{
    struct meta_state meta;
    meta_init(&meta);
    free(create(&meta, "orders", 3).topic);
    uint64_t digest = tree_digest(meta.state);
    struct meta_result result = create(&meta, "orders", 3);
    cr_assert_eq(result.status, META_TOPIC_EXISTS);
    cr_assert(result.topic_same);
    cr_assert_null(result.topic);
    result = create(&meta, "orders", 4);
    cr_assert_eq(result.status, META_TOPIC_EXISTS);
    cr_assert_not(result.topic_same);
    struct meta_command *command = create_command("orders", 3, 3);
    command->create.settings.retention_ms = 1000;
    cr_assert(apply(&meta, command, &result));
    cr_assert_eq(result.status, META_TOPIC_EXISTS);
    cr_assert_not(result.topic_same);
    free(command);
    cr_assert_eq(tree_digest(meta.state), digest);
    cr_assert_eq(meta_topics_count(&meta), 1);
    meta_close(&meta);
}

Test(meta_topic, group_ids_are_never_reused)
{
    struct meta_state meta;
    meta_init(&meta);
    free(create(&meta, "a", 2).topic);
    struct meta_result result = delete (&meta, "a");
    cr_assert_eq(result.status, META_OK);
    cr_assert_str_eq(result.topic->name, "a");
    cr_assert_eq(result.topic->partitions[1].group, 2);
    cr_assert_eq(result.topic->partitions[1].replicas_count, 3);
    free(result.topic);
    cr_assert_not(meta_group_find(&meta, 2, NULL, NULL, NULL));
    cr_assert_eq(meta_topics_count(&meta), 0);
    result = create(&meta, "a", 1);
    cr_assert_eq(result.topic->partitions[0].group, 3);
    cr_assert_eq(result.topic->partitions[0].replicas[0].epoch, 3);
    free(result.topic);
    result = delete (&meta, "b");
    cr_assert_eq(result.status, META_TOPIC_NOT_FOUND);
    cr_assert_null(result.topic);
    meta_close(&meta);
}

static bool count_topic(void *data, const struct meta_topic *topic)
{
    uint32_t *count = data;
    char name[32];
    snprintf(name, sizeof name, "t-%05u", *count);
    cr_assert_str_eq(topic->name, name);
    cr_assert_eq(topic->partitions_count, 1);
    return ++*count < 1500;
}

Test(meta_topic, the_number_of_topics_is_bounded)
{
    struct meta_state meta;
    meta_init(&meta);
    char name[32];
    for (uint32_t i = 0; i < META_TOPICS_MAX; i++) {
        snprintf(name, sizeof name, "t-%05u", i);
        struct meta_result result = create(&meta, name, 1);
        cr_assert_eq(result.status, META_OK);
        free(result.topic);
    }
    struct meta_result result = create(&meta, "one-more", 1);
    cr_assert_eq(result.status, META_TOO_MANY_TOPICS);
    cr_assert_null(result.topic);
    cr_assert_eq(create(&meta, "t-00000", 1).status, META_TOPIC_EXISTS, "asked first");
    uint32_t count = 0;
    meta_topics_visit(&meta, count_topic, &count);
    cr_assert_eq(count, META_TOPICS_MAX);
    free(delete (&meta, "t-00007").topic);
    result = create(&meta, "one-more", 1);
    cr_assert_eq(result.status, META_OK);
    free(result.topic);
    meta_close(&meta);
}

Test(meta_topic, the_largest_topic_fits)
{
    struct meta_state meta;
    meta_init(&meta);
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    memset(name, 'x', META_TOPIC_NAME_BYTES_MAX);
    name[META_TOPIC_NAME_BYTES_MAX] = '\0';
    struct meta_result result;
    struct meta_command *command = create_command(name, META_PARTITIONS_MAX, META_REPLICAS_MAX);
    cr_assert(apply(&meta, command, &result));
    cr_assert_eq(result.status, META_OK);
    struct meta_partition partition;
    cr_assert(meta_partition_get(&meta, name, META_PARTITIONS_MAX - 1, &partition, NULL, NULL));
    cr_assert_eq(partition.group, META_PARTITIONS_MAX);
    cr_assert_eq(partition.replicas_count, META_REPLICAS_MAX);
    free(result.topic);
    free(command);
    meta_close(&meta);
}

Test(meta_name, follows_the_rule_of_the_interface)
{
    cr_assert_null(meta_name_problem("a", 1));
    cr_assert_null(meta_name_problem("Orders.v1_x-9", 13));
    cr_assert_null(meta_name_problem("...", 3));
    cr_assert_not_null(meta_name_problem("", 0));
    cr_assert_not_null(meta_name_problem(".", 1));
    cr_assert_not_null(meta_name_problem("..", 2));
    cr_assert_not_null(meta_name_problem("a/b", 3));
    cr_assert_not_null(meta_name_problem("a b", 3));
    cr_assert_not_null(meta_name_problem("a\0b", 3));
    cr_assert_not_null(meta_name_problem("\xc3\xa4", 2));
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    memset(name, 'x', sizeof name);
    cr_assert_null(meta_name_problem(name, META_TOPIC_NAME_BYTES_MAX));
    cr_assert_not_null(meta_name_problem(name, META_TOPIC_NAME_BYTES_MAX + 1));
}

Test(meta_name, a_name_that_cannot_exist_is_simply_not_found)
{
    struct meta_state meta;
    struct meta_topic *topic;
    char name[1000];
    meta_init(&meta);
    free(create(&meta, "a", 1).topic);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_not(meta_topic_get(&meta, name, &topic));
    cr_assert_not(meta_topic_get(&meta, "", &topic));
    cr_assert_not(meta_topic_get(&meta, "a/", &topic));
    cr_assert_not(meta_partition_get(&meta, name, 0, NULL, NULL, NULL));
    meta_close(&meta);
}

Test(meta_node, nodes_are_kept_and_listed_by_id)
{
    struct meta_state meta;
    struct meta_result result;
    struct meta_node nodes[3], node;
    meta_init(&meta);
    cr_assert_eq(meta_nodes(&meta, nodes, 3), 0);
    for (uint64_t id = 300; id > 0; id -= 100) {
        struct meta_command *command = node_command(id, "host");
        cr_assert(apply(&meta, command, &result));
        cr_assert_eq(result.status, META_OK);
        free(command);
    }
    struct meta_command *command = node_command(200, "moved");
    cr_assert(apply(&meta, command, &result));
    free(command);
    cr_assert_eq(meta_nodes(&meta, nodes, 3), 3);
    cr_assert_eq(nodes[0].node_id, 100);
    cr_assert_eq(nodes[1].node_id, 200);
    cr_assert_str_eq(nodes[1].http_address, "moved:7070");
    cr_assert_str_eq(nodes[1].kafka_address, "");
    cr_assert_eq(nodes[2].incarnation, 300000);
    cr_assert_eq(meta_nodes(&meta, nodes, 2), 2);
    cr_assert(meta_node_get(&meta, 300, &node));
    cr_assert_not(meta_node_get(&meta, 4, &node));
    meta_close(&meta);
}

Test(meta_producer, every_block_is_handed_out_once_and_ids_start_at_1)
{
    struct meta_state meta;
    struct meta_result result;
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_PRODUCER_BLOCK_TAKE;
    meta_init(&meta);
    cr_assert_eq(meta_producer_next(&meta), 1);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert(apply(&meta, command, &result));
        cr_assert_eq(result.producer_first, 1 + i * META_PRODUCER_BLOCK);
    }
    cr_assert_eq(meta_producer_next(&meta), 1 + 5 * META_PRODUCER_BLOCK);
    free(command);
    meta_close(&meta);
}

Test(meta_apply, other_types_change_only_the_index)
{
    struct meta_state meta;
    meta_init(&meta);
    struct meta_result result;
    struct entry_header header = {.type = ENTRY_NOOP, .index = 1, .timestamp_ms = 9};
    cr_assert(meta_apply(&meta, &header, NULL, &result));
    header = (struct entry_header){
        .type = ENTRY_CONFIG, .index = 2, .timestamp_ms = 10, .payload_bytes = 3};
    cr_assert(meta_apply(&meta, &header, (const uint8_t *)"abc", &result));
    cr_assert_eq((int)result.type, 0);
    cr_assert_null(result.topic);
    cr_assert_eq(meta.applied_index, 2);
    cr_assert_eq(meta.applied_timestamp_ms, 10);
    header = (struct entry_header){.type = (enum entry_type)42, .index = 3};
    cr_assert_not(meta_apply(&meta, &header, NULL, &result));
    cr_assert_eq(meta.applied_index, 2);
    meta_close(&meta);
}

/* ---- codec ------------------------------------------------------------------------------------------------------------- */

static void expect_refused(struct meta_command *command)
{
    uint8_t buffer[64];
    cr_assert_eq(meta_command_encode(command, buffer, sizeof buffer), 0);
    free(command);
}

static struct meta_command *change_command(enum meta_command_type type)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = type;
    command->request = 5;
    command->change.node_id = 3;
    if (type == META_NODE_ADD) strcpy(command->change.peer_address, "host:7071");
    if (type == META_NODE_REPLACE) command->change.with = 4;
    if (type == META_NODE_REMOVE || type == META_NODE_REPLACE) {
        command->change.spares[0] = 9;
        command->change.spares[1] = 2;
        command->change.spares_count = 2;
    }
    command->place.group = 8;
    command->place.nodes[0] = 3;
    command->place.nodes[1] = 1;
    command->place.nodes_count = 2;
    command->renew.group = 8;
    command->renew.node_id = 3;
    command->renew.epoch = 70;
    command->record.group = 8;
    command->record.configuration_index = 900;
    command->record.wish_index = 70;
    command->record.members[0] = (struct meta_member){.node_id = 3, .epoch = 70, .voter = true};
    command->record.members[1] = (struct meta_member){.node_id = 1, .epoch = 12};
    command->record.members_count = 2;
    return command;
}

#define META_REFUSED_CHANGES 19u

static struct meta_command *refused_change(uint32_t number)
{
    static const enum meta_command_type types[META_REFUSED_CHANGES] = {
        META_NODE_ADD,      META_NODE_ADD,      META_NODE_ADD,      META_NODE_REMOVE,
        META_NODE_REMOVE,   META_NODE_REMOVE,   META_NODE_REMOVE,   META_NODE_REPLACE,
        META_NODE_REPLACE,  META_NODE_REPLACE,  META_PLACE,         META_PLACE,
        META_PLACE,         META_PLACE,         META_CONFIG_RECORD, META_CONFIG_RECORD,
        META_CONFIG_RECORD, META_CONFIG_RECORD, META_REPLICA_RENEW,
    };
    struct meta_command *command = change_command(types[number]);
    switch (number) {
    case 0:
    case 3:
    case 7:
        command->change.node_id = 0;
        break;
    case 1:
        command->change.peer_address[0] = '\0';
        break;
    case 2:
        command->change.peer_address[4] = ' ';
        break;
    case 4:
        command->change.with = 4; /* a REMOVE replaces by nobody */
        break;
    case 5:
        command->change.spares[1] = 9; /* twice */
        break;
    case 6:
        command->change.spares_count = META_NODES_MAX + 1u;
        break;
    case 8:
        command->change.with = 0;
        break;
    case 9:
        command->change.with = 3; /* by itself */
        break;
    case 10:
        command->place.group = 0;
        break;
    case 11:
        command->place.nodes_count = 0;
        break;
    case 12:
        command->place.nodes_count = META_REPLICAS_MAX + 1u;
        break;
    case 13:
        command->place.nodes[1] = 3;
        break;
    case 14:
        command->record.members_count = 0;
        break;
    case 15:
        command->record.members_count = META_NODES_MAX + 1u;
        break;
    case 16:
        command->record.members[1].node_id = 3;
        break;
    case 17:
        command->record.members[0].voter = false; /* nobody votes */
        break;
    case 18:
        command->renew.node_id = 0;
        break;
    default:
        cr_assert_fail();
    }
    return command;
}

Test(meta_command, what_would_stop_the_nodes_is_never_encoded)
{
    expect_refused(create_command("", 1, 1));
    expect_refused(create_command("a b", 1, 1));
    expect_refused(create_command("a", 0, 1));
    expect_refused(create_command("a", META_PARTITIONS_MAX + 1, 1));
    expect_refused(create_command("a", 1, 0));
    expect_refused(create_command("a", 1, META_REPLICAS_MAX + 1));
    struct meta_command *command = create_command("a", 2, 3);
    command->create.replicas[1][2] = command->create.replicas[1][0];
    expect_refused(command);
    command = create_command("a", 2, 3);
    command->create.replicas[1][2] = 0;
    expect_refused(command);
    command = create_command("a", 1, 1);
    command->create.settings.message_bytes_max = ENTRY_PAYLOAD_BYTES_MAX + 1;
    expect_refused(command);
    command = create_command("a", 1, 1);
    command->create.settings.retention_bytes = -2;
    expect_refused(command);
    command = create_command("a", 1, 1);
    memset(command->create.name, 'x', sizeof command->create.name);
    expect_refused(command);
    expect_refused(node_command(0, "host"));
    expect_refused(node_command(1, "ho st"));
    command = node_command(1, "host");
    command->node.incarnation = 0;
    expect_refused(command);
    command = node_command(1, "host");
    memset(command->node.kafka_address, 'x', META_ADDRESS_BYTES_MAX);
    expect_refused(command);
    for (uint32_t i = 0; i < META_REFUSED_CHANGES; i++) {
        expect_refused(refused_change(i));
    }
    command = calloc(1, sizeof *command);
    command->type = (enum meta_command_type)12;
    expect_refused(command);
}

#define META_COMMANDS 10u

static struct meta_command *command_number(uint32_t number)
{
    if (number == 0) return node_command(3, "host.example");
    if (number == 1) return create_command("orders", 5, 3);
    if (number == 4) return change_command(META_NODE_ADD);
    if (number == 5) return change_command(META_NODE_REMOVE);
    if (number == 6) return change_command(META_NODE_REPLACE);
    if (number == 7) return change_command(META_PLACE);
    if (number == 8) return change_command(META_CONFIG_RECORD);
    if (number == 9) return change_command(META_REPLICA_RENEW);
    struct meta_command *command = calloc(1, sizeof *command);
    command->request = UINT64_MAX;
    command->type = number == 2 ? META_TOPIC_DELETE : META_PRODUCER_BLOCK_TAKE;
    if (number == 2) strcpy(command->delete_name, "orders");
    return command;
}

Test(meta_command, every_command_reads_back_and_no_part_of_it_does)
{
    struct meta_command *decoded = malloc(sizeof *decoded);
    for (uint32_t number = 0; number < META_COMMANDS; number++) {
        struct meta_command *command = command_number(number);
        size_t bytes = meta_command_encode(command, NULL, 0);
        uint8_t *buffer = malloc(bytes + 1);
        cr_assert_eq(meta_command_encode(command, buffer, bytes), bytes);
        cr_assert(meta_command_decode(buffer, bytes, decoded));
        uint8_t *again = malloc(bytes);
        cr_assert_eq(decoded->type, command->type);
        cr_assert_eq(decoded->request, command->request);
        cr_assert_eq(meta_command_encode(decoded, again, bytes), bytes);
        cr_assert_eq(memcmp(buffer, again, bytes), 0);
        free(again);
        buffer[bytes] = 0;
        cr_assert_not(meta_command_decode(buffer, bytes + 1, decoded), "a byte too many");
        for (size_t cut = 0; cut < bytes; cut++) {
            uint8_t *exact = malloc(cut > 0 ? cut : 1);
            memcpy(exact, buffer, cut);
            cr_assert_not(meta_command_decode(exact, cut, decoded));
            free(exact);
        }
        free(buffer);
        free(command);
    }
    free(decoded);
}

Test(meta_command, whatever_decodes_encodes_to_the_same_bytes)
{
    struct meta_command *decoded = malloc(sizeof *decoded);
    uint64_t random = 31337;
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 40000; round++) {
        struct meta_command *command = command_number(round % META_COMMANDS);
        size_t bytes = meta_command_encode(command, NULL, 0);
        uint8_t *buffer = malloc(bytes), *again = malloc(bytes);
        meta_command_encode(command, buffer, bytes);
        for (uint32_t i = 0; i <= round % 3; i++) {
            buffer[test_draw(&random) % bytes] = (uint8_t)(test_draw(&random) >> 20);
        }
        if (meta_command_decode(buffer, bytes, decoded)) {
            accepted++;
            cr_assert_eq(meta_command_encode(decoded, again, bytes), bytes);
            cr_assert_eq(memcmp(buffer, again, bytes), 0);
        }
        free(buffer);
        free(again);
        free(command);
    }
    cr_assert_gt(accepted, 1000, "the request number alone is free");
    free(decoded);
}

/* ---- restore ------------------------------------------------------------------------------------------------------------ */

static bool restores(struct tree *state)
{
    struct meta_state restored;
    meta_init(&restored);
    bool is_restored = meta_restore(&restored, state, 50, 1);
    cr_assert_eq(restored.applied_index, is_restored ? 50 : 0);
    meta_close(&restored);
    return is_restored;
}

static void fill(struct meta_state *meta)
{
    struct meta_result result;
    struct meta_command *command = node_command(1, "host");
    cr_assert(apply(meta, command, &result));
    free(command);
    free(create(meta, "orders", 3).topic);
    free(create(meta, "events", 2).topic);
    free(delete (meta, "orders").topic);
}

Test(meta_restore, a_restored_state_goes_on_alike)
{
    struct meta_state meta, restored;
    meta_init(&meta);
    meta_init(&restored);
    fill(&meta);
    cr_assert(meta_restore(&restored, tree_ref(meta.state), meta.applied_index,
                           meta.applied_timestamp_ms));
    struct meta_result result = create(&restored, "new", 1);
    cr_assert_eq(result.topic->partitions[0].group, 6);
    free(result.topic);
    free(create(&meta, "new", 1).topic);
    cr_assert_eq(tree_digest(meta.state), tree_digest(restored.state));
    meta_close(&meta);
    meta_close(&restored);
}

static struct tree *with(struct tree *state, const char *key, uint32_t key_bytes, const void *value,
                         uint32_t value_bytes)
{
    struct tree *changed = tree_ref(state);
    tree_put(&changed, (struct tree_slice){.data = key, .bytes = key_bytes},
             (struct tree_slice){.data = value, .bytes = value_bytes});
    return changed;
}

Test(meta_restore, a_state_that_this_version_cannot_read_is_refused)
{
    struct meta_state meta;
    meta_init(&meta);
    fill(&meta);
    static const char *const keys[] = {"c", "tevents", "g\0\0\0\0\0\0\0\4", "n\0\0\0\0\0\0\0\1"};
    static const uint32_t key_bytes[] = {1, 7, 9, 9};
    cr_assert(restores(tree_ref(meta.state)));
    cr_assert(restores(NULL));
    cr_assert_not(restores(with(meta.state, "z", 1, "new", 3)));
    cr_assert_not(restores(with(meta.state, "t", 1, "new", 3)));
    for (uint32_t i = 0; i < 4; i++) {
        struct tree_slice key = {.data = keys[i], .bytes = key_bytes[i]}, value;
        cr_assert(tree_get(meta.state, key, &value));
        uint8_t newer[2048];
        memcpy(newer, value.data, value.bytes);
        newer[0] = 9;
        cr_assert_not(restores(with(meta.state, keys[i], key_bytes[i], newer, value.bytes)));
        cr_assert_not(
            restores(with(meta.state, keys[i], key_bytes[i], value.data, value.bytes - 1)));
        if (i == 3) continue;
        struct tree *less = tree_ref(meta.state);
        cr_assert(tree_remove(&less, key));
        cr_assert_not(restores(less), "a piece is missing");
    }
    meta_close(&meta);
}

Test(meta_restore, random_changes_of_a_state_are_refused_or_harmless)
{
    struct meta_state meta;
    meta_init(&meta);
    fill(&meta);
    static const char *const keys[] = {"c", "tevents", "g\0\0\0\0\0\0\0\4", "n\0\0\0\0\0\0\0\1"};
    static const uint32_t key_bytes[] = {1, 7, 9, 9};
    uint64_t random = 99;
    uint32_t refused = 0;
    for (uint32_t round = 0; round < 8000; round++) {
        struct tree_slice key = {.data = keys[round % 4], .bytes = key_bytes[round % 4]}, value;
        cr_assert(tree_get(meta.state, key, &value));
        uint8_t bytes[2048];
        memcpy(bytes, value.data, value.bytes);
        for (uint32_t i = 0; i <= round % 3; i++) {
            bytes[test_draw(&random) % value.bytes] = (uint8_t)(test_draw(&random) >> 20);
        }
        struct meta_state restored;
        meta_init(&restored);
        if (meta_restore(
                &restored,
                with(meta.state, keys[round % 4], key_bytes[round % 4], bytes, value.bytes), 50,
                1)) {
            struct meta_topic *topic;
            struct meta_node nodes[4];
            cr_assert(meta_topic_get(&restored, "events", &topic));
            free(topic);
            meta_nodes(&restored, nodes, 4);
            free(create(&restored, "more", 1).topic);
        } else {
            refused++;
        }
        meta_close(&restored);
    }
    cr_assert_gt(refused, 2000);
    meta_close(&meta);
}
