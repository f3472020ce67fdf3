/* Goal: what may be trimmed is decided in apply() alone, the same on every replica (PROTOCOL S4): "consumed" never passes
 * a durable group, retention passes everybody and tells whom it cost how much.
 * Method: entries are applied by hand; every state is also taken through partition_restore(). */
#include "queue_support.h"

static void commit(struct partition *partition, const char *group, uint64_t offset,
                   enum partition_durable durable, bool remove)
{
    uint8_t payload[512];
    const struct partition_commit one = {
        .group = group, .offset = offset, .generation = -1, .durable = durable, .remove = remove};
    const size_t bytes = partition_encode_offsets(&one, 1, payload, sizeof payload);
    cr_assert_gt(bytes, 0);
    cr_assert(test_apply(partition, ENTRY_OFFSETS, payload, (uint32_t)bytes));
}

static void trim(struct partition *partition, enum partition_trim_rule rule, uint64_t up_to_index,
                 uint64_t log_start_offset)
{
    uint8_t payload[PARTITION_TRIM_BYTES];
    cr_assert_eq(
        partition_encode_trim(rule, up_to_index, log_start_offset, payload, sizeof payload),
        sizeof payload);
    cr_assert(test_apply(partition, ENTRY_TRIM, payload, sizeof payload));
}

/* Ten batches of ten messages: entry i ends in front of offset 10 i. */
static void begin(struct partition *partition)
{
    partition_init(partition);
    for (uint32_t i = 0; i < 10; i++)
        test_apply_batch(partition, test_id(-1, -1, -1, 10));
}

static struct partition_offset offset_of(const struct partition *partition, const char *group)
{
    struct partition_offset offset;
    cr_assert(partition_offset_get(partition, group, &offset));
    return offset;
}

static bool restores(const struct partition *partition, struct tree *state)
{
    struct partition restored;
    partition_init(&restored);
    const bool sound =
        partition_restore(&restored, state, partition->applied_index, partition->next_offset,
                          partition->log_start_offset, partition->applied_timestamp_ms);
    if (sound) cr_assert_eq(tree_digest(restored.state), tree_digest(partition->state));
    partition_close(&restored);
    return sound;
}

Test(partition_trim, consumed_goes_as_far_as_the_slowest_durable_group)
{
    struct partition partition;
    uint64_t lowest;
    begin(&partition);
    commit(&partition, "slow", 40, PARTITION_DURABLE_SET, false);
    commit(&partition, "fast", 90, PARTITION_DURABLE_SET, false);
    commit(&partition, "fleeting", 10, PARTITION_DURABLE_KEEP, false);
    cr_assert(partition_durable_lowest(&partition, &lowest));
    cr_assert_eq(lowest, 40);
    trim(&partition, PARTITION_TRIM_CONSUMED, 3, 30);
    cr_assert_eq(partition.log_start_offset, 30);
    cr_assert_eq(partition_trimmed_index(&partition), 3);
    cr_assert(restores(&partition, tree_ref(partition.state)));
    partition_close(&partition);
}

Test(partition_trim, consumed_is_clamped_to_what_the_state_at_its_entry_says)
{
    struct partition partition;
    begin(&partition);
    commit(&partition, "slow", 70, PARTITION_DURABLE_SET, false);
    commit(&partition, "slow", 35, PARTITION_DURABLE_KEEP, false); /* it went back meanwhile */
    trim(&partition, PARTITION_TRIM_CONSUMED, 7, 70);
    cr_assert_eq(partition.log_start_offset, 35);
    cr_assert_eq(partition_trimmed_index(&partition), 0, "entry 4 holds messages it still needs");
    partition_close(&partition);
}

Test(partition_trim, consumed_trims_nothing_when_no_group_is_durable)
{
    struct partition partition;
    uint64_t lowest;
    begin(&partition);
    commit(&partition, "g", 100, PARTITION_DURABLE_KEEP, false);
    cr_assert_not(partition_durable_lowest(&partition, &lowest));
    trim(&partition, PARTITION_TRIM_CONSUMED, 9, 90);
    cr_assert_eq(partition.log_start_offset, 0);
    cr_assert_eq(partition_trimmed_index(&partition), 0);
    partition_close(&partition);
}

Test(partition_trim, a_group_is_durable_by_its_flag_until_it_is_cleared_or_removed)
{
    struct partition partition;
    uint64_t lowest;
    begin(&partition);
    commit(&partition, "a", 20, PARTITION_DURABLE_SET, false);
    commit(&partition, "a", 30, PARTITION_DURABLE_KEEP, false);
    cr_assert(offset_of(&partition, "a").durable, "a commit without the flag keeps it");
    cr_assert(partition_durable_lowest(&partition, &lowest));
    cr_assert_eq(lowest, 30);
    cr_assert(restores(&partition, tree_ref(partition.state)));
    commit(&partition, "a", 30, PARTITION_DURABLE_CLEAR, false);
    cr_assert_not(offset_of(&partition, "a").durable);
    cr_assert_not(partition_durable_lowest(&partition, &lowest));
    commit(&partition, "a", 30, PARTITION_DURABLE_SET, false);
    commit(&partition, "a", 0, PARTITION_DURABLE_KEEP, true);
    cr_assert_not(partition_durable_lowest(&partition, &lowest));
    cr_assert(restores(&partition, tree_ref(partition.state)));
    partition_close(&partition);
}

Test(partition_trim, setting_the_flag_is_a_change_also_at_the_same_offset)
{
    struct partition partition;
    struct partition_commit same = {.group = "a", .offset = 20, .generation = -1};
    begin(&partition);
    commit(&partition, "a", 20, PARTITION_DURABLE_KEEP, false);
    cr_assert(partition_commit_is_noop(&partition, &same));
    same.durable = PARTITION_DURABLE_CLEAR;
    cr_assert(partition_commit_is_noop(&partition, &same));
    same.durable = PARTITION_DURABLE_SET;
    cr_assert_not(partition_commit_is_noop(&partition, &same));
    partition_close(&partition);
}

Test(partition_trim, retention_passes_slow_groups_and_counts_what_they_lost)
{
    struct partition partition;
    begin(&partition);
    commit(&partition, "slow", 20, PARTITION_DURABLE_SET, false);
    commit(&partition, "fast", 80, PARTITION_DURABLE_KEEP, false);
    trim(&partition, PARTITION_TRIM_RETENTION, 5, 50);
    cr_assert_eq(partition.log_start_offset, 50);
    cr_assert_eq(offset_of(&partition, "slow").expired, 30);
    cr_assert_eq(offset_of(&partition, "fast").expired, 0);
    commit(&partition, "slow", 60, PARTITION_DURABLE_KEEP, false); /* it went on behind them */
    cr_assert_eq(offset_of(&partition, "slow").expired, 30);
    trim(&partition, PARTITION_TRIM_RETENTION, 9, 90);
    cr_assert_eq(offset_of(&partition, "slow").expired, 60);
    cr_assert_eq(offset_of(&partition, "fast").expired, 10);
    commit(&partition, "slow", 5, PARTITION_DURABLE_KEEP,
           false); /* back to what is gone: counted once */
    cr_assert_eq(offset_of(&partition, "slow").expired, 60);
    cr_assert_eq(offset_of(&partition, "slow").offset, 5);
    cr_assert(restores(&partition, tree_ref(partition.state)));
    partition_close(&partition);
}

Test(partition_trim, a_new_group_has_lost_nothing_of_what_went_before_it_came)
{
    struct partition partition;
    begin(&partition);
    trim(&partition, PARTITION_TRIM_RETENTION, 5, 50);
    commit(&partition, "late", 0, PARTITION_DURABLE_KEEP, false);
    cr_assert_eq(offset_of(&partition, "late").expired, 0);
    trim(&partition, PARTITION_TRIM_RETENTION, 7, 70);
    cr_assert_eq(offset_of(&partition, "late").expired, 20);
    partition_close(&partition);
}

/* A state whose list of durable groups and whose groups say different things is not believed. */
Test(partition_trim, a_state_with_a_false_list_of_durable_groups_is_refused)
{
    struct partition partition;
    uint8_t key[16] = {'d', 0, 0, 0, 0, 0, 0, 0, 20, 'a'};
    const struct tree_slice nothing = {.data = (const uint8_t[]){0}, .bytes = 1};
    begin(&partition);
    commit(&partition, "a", 20, PARTITION_DURABLE_SET, false);

    struct tree *state = tree_ref(partition.state);
    tree_remove(&state, (struct tree_slice){.data = key, .bytes = 10});
    cr_assert_not(restores(&partition, state), "the group is missing");
    state = tree_ref(partition.state);
    key[9] = 'b';
    tree_put(&state, (struct tree_slice){.data = key, .bytes = 10}, nothing);
    cr_assert_not(restores(&partition, state), "no such group");
    state = tree_ref(partition.state);
    key[9] = 'a';
    key[8] = 21;
    tree_put(&state, (struct tree_slice){.data = key, .bytes = 10}, nothing);
    cr_assert_not(restores(&partition, state), "not at its offset");
    cr_assert(restores(&partition, tree_ref(partition.state)));
    partition_close(&partition);
}

Test(partition_trim, commits_that_tell_two_things_or_an_unknown_one_are_refused)
{
    struct partition partition;
    uint8_t payload[64];
    const struct partition_commit one = {
        .group = "a", .offset = 1, .generation = -1, .durable = PARTITION_DURABLE_SET};
    begin(&partition);
    const uint32_t bytes = (uint32_t)partition_encode_offsets(&one, 1, payload, sizeof payload);
    cr_assert_eq(payload[0], 2, "the version that has the flag");
    payload[8] = 6;
    cr_assert_not(test_apply(&partition, ENTRY_OFFSETS, payload, bytes), "durable and not");
    payload[8] = 8;
    cr_assert_not(test_apply(&partition, ENTRY_OFFSETS, payload, bytes), "unknown");
    payload[8] = 2;
    payload[0] = 1;
    cr_assert_not(test_apply(&partition, ENTRY_OFFSETS, payload, bytes), "not of that version");
    payload[0] = 2;
    cr_assert(test_apply(&partition, ENTRY_OFFSETS, payload, bytes));
    partition_close(&partition);
}

/* ---- settings ----------------------------------------------------------------------------------------------------------- */

Test(partition_settings, older_ones_of_meta_do_not_replace_newer_ones)
{
    struct partition partition;
    struct meta_settings settings = {.message_bytes_max = 1048576,
                                     .retention_ms = 1000,
                                     .retention_bytes = -1,
                                     .until_consumed = true,
                                     .changed_index = 9};
    uint8_t payload[PARTITION_SETTINGS_BYTES_MAX];
    begin(&partition);
    cr_assert_eq(partition_encode_settings(&settings, payload, sizeof payload), sizeof payload);
    cr_assert(test_apply(&partition, ENTRY_SETTINGS, payload, sizeof payload));
    settings.changed_index = 8;
    settings.retention_ms = 5;
    partition_encode_settings(&settings, payload, sizeof payload);
    cr_assert(test_apply(&partition, ENTRY_SETTINGS, payload, sizeof payload));
    cr_assert(partition_settings_get(&partition, &settings));
    cr_assert_eq(settings.retention_ms, 1000);
    cr_assert_eq(settings.changed_index, 9);
    cr_assert(settings.until_consumed);
    cr_assert(restores(&partition, tree_ref(partition.state)));
    partition_close(&partition);
}

/* ---- settings of a topic ------------------------------------------------------------------------------------------------ */

static struct meta_result apply_command(struct meta_state *meta, const struct meta_command *command)
{
    static uint8_t payload[65536];
    struct meta_result result;
    const size_t bytes = meta_command_encode(command, payload, sizeof payload);
    cr_assert_gt(bytes, 0);
    const struct entry_header header = {.type = ENTRY_META,
                                        .index = meta->applied_index + 1,
                                        .payload_bytes = (uint32_t)bytes,
                                        .timestamp_ms = 5000};
    cr_assert(meta_apply(meta, &header, payload, &result));
    return result;
}

static void create_topic(struct meta_state *meta)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_TOPIC_CREATE;
    strcpy(command->create.name, "orders");
    command->create.settings = (struct meta_settings){
        .message_bytes_max = 1048576, .retention_ms = -1, .retention_bytes = -1};
    command->create.partitions_count = 2;
    command->create.replicas_count = 1;
    command->create.replicas[0][0] = command->create.replicas[1][0] = 1;
    struct meta_result result = apply_command(meta, command);
    cr_assert_eq(result.status, META_OK);
    free(result.topic);
    free(command);
}

Test(meta_topic_set, changes_what_is_named_and_tells_since_when)
{
    struct meta_state meta;
    struct meta_settings settings;
    struct meta_partition partition;
    meta_init(&meta);
    create_topic(&meta);
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_TOPIC_SET;
    strcpy(command->set.name, "orders");
    command->set.fields = META_SET_RETENTION_MS | META_SET_UNTIL_CONSUMED;
    command->set.settings = (struct meta_settings){.message_bytes_max = 500,
                                                   .retention_ms = 60000,
                                                   .retention_bytes = 7,
                                                   .until_consumed = true};
    struct meta_result result = apply_command(&meta, command);
    cr_assert(result.changed);
    cr_assert_eq(result.topic->settings.retention_ms, 60000);
    free(result.topic);
    cr_assert(meta_partition_get(&meta, "orders", 1, &partition, &settings, NULL));
    cr_assert_eq(settings.retention_ms, 60000);
    cr_assert(settings.until_consumed);
    cr_assert_eq(settings.retention_bytes, -1);
    cr_assert_eq(settings.message_bytes_max, 1048576);
    cr_assert_eq(settings.changed_index, 2);

    result = apply_command(&meta, command);
    cr_assert_not(result.changed, "it was so already");
    free(result.topic);
    cr_assert(meta_partition_get(&meta, "orders", 0, &partition, &settings, NULL));
    cr_assert_eq(settings.changed_index, 2);
    strcpy(command->set.name, "other");
    result = apply_command(&meta, command);
    cr_assert_eq(result.status, META_TOPIC_NOT_FOUND);
    cr_assert_null(result.topic);

    struct meta_state restored;
    meta_init(&restored);
    cr_assert(meta_restore(&restored, tree_ref(meta.state), meta.applied_index, 5000));
    cr_assert(meta_partition_get(&restored, "orders", 0, &partition, &settings, NULL));
    cr_assert_eq(settings.retention_ms, 60000);
    meta_close(&restored);
    free(command);
    meta_close(&meta);
}

Test(meta_topic_set, nothing_unknown_or_out_of_range_is_proposed)
{
    uint8_t buffer[512];
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_TOPIC_SET;
    strcpy(command->set.name, "orders");
    command->set.settings = (struct meta_settings){
        .message_bytes_max = 1048576, .retention_ms = -1, .retention_bytes = -1};
    cr_assert_eq(meta_command_encode(command, buffer, sizeof buffer), 0, "names no setting");
    command->set.fields = META_SET_ALL + 1u;
    cr_assert_eq(meta_command_encode(command, buffer, sizeof buffer), 0, "an unknown one");
    command->set.fields = META_SET_RETENTION_MS;
    command->set.settings.retention_ms = -2;
    cr_assert_eq(meta_command_encode(command, buffer, sizeof buffer), 0);
    command->set.settings.retention_ms = 5;
    cr_assert_gt(meta_command_encode(command, buffer, sizeof buffer), 0);
    free(command);
}
