/* Makes the inputs that the fuzz targets begin with: raftmq-fuzz-seeds FOLDER writes FOLDER/<target>/<name>.
 *
 * Made by the code that writes the real files and frames, so that they are made again when a format changes. */
#include "codec.h"
#include "seal.h"

#include "heartbeat.h"
#include "hello.h"

#include "frame.h"

#include <broker/base_codec.h>
#include <broker/join_codec.h>
#include <broker/meta.h>
#include <broker/partition.h>
#include <broker/raft_codec.h>
#include <broker/record_batch.h>
#include <broker/repair_codec.h>
#include <broker/request_codec.h>
#include <memory_disk.h>
#include <snapshot/snapshot.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define BYTES_MAX (1u << 17)

static const struct cluster_id cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const char *folder;

/* An input: what stands in front, then the body. */
static void save(const char *target, const char *name, const void *front, size_t front_bytes,
                 const void *body, size_t body_bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, target);
    fuzz_check(mkdir(path, 0777) == 0 || errno == EEXIST, "%s", path);
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
    FILE *file = fopen(path, "wb");
    fuzz_check(file, "%s", path);
    fuzz_check(fwrite(front, 1, front_bytes, file) == front_bytes, "%s", path);
    fuzz_check(fwrite(body, 1, body_bytes, file) == body_bytes, "%s", path);
    fuzz_check(fclose(file) == 0, "%s", path);
}

/* ---- logs and hard state: scripts by hand ----------------------------------------------------------------------------- */

struct script {
    const char *name;
    uint8_t bytes[64];
    size_t count;
};
#define SCRIPT(name, ...)                                     \
    {                                                         \
        name, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}) \
    }

/* flags, steps, (step, argument)...; patches: file, what, region, distance (2), by what */
static const struct script segments[] = {
    SCRIPT("empty", 0, 0),
    SCRIPT("one_flush", 0, 2, 10, 40, 3, 0),
    SCRIPT("power_cut", 4, 3, 10, 40, 3, 0, 18, 90),
    SCRIPT("rot_in_an_entry", 0, 2, 26, 60, 3, 0, 0, 1, 3, 100, 0, 4),
    SCRIPT("rot_in_a_sealed_entry", 1, 2, 26, 60, 3, 0, 0, 1, 3, 24, 0, 4),
    SCRIPT("a_chain_of_other_terms", 3, 2, 26, 60, 3, 0, 0, 0, 3, 32, 0, 9),
    SCRIPT("a_huge_payload", 3, 2, 26, 60, 3, 0, 0, 5, 3, 16, 0, 0x87, 0),
    SCRIPT("a_huge_index", 3, 2, 26, 60, 3, 0, 0, 5, 0, 48, 0, 5, 0xff),
    SCRIPT("a_mark_is_lost", 0, 4, 10, 40, 3, 0, 10, 40, 3, 0, 0, 4, 1, 0, 0, 31),
    SCRIPT("both_marks_are_lost", 0, 2, 10, 40, 3, 0, 0, 4, 1, 0, 0, 31, 0, 4, 2, 0, 0, 31),
    SCRIPT("a_mark_behind_the_end", 1, 2, 10, 40, 3, 0, 0, 5, 1, 32, 0, 3, 0),
    SCRIPT("a_long_tail", 1, 6, 10, 40, 3, 0, 5, 2, 3, 0, 10, 7, 3, 0, 0, 0, 1, 6, 0, 0xb0, 0x0f),
    SCRIPT("truncated_in_a_sector", 4, 5, 34, 2, 3, 0, 5, 3, 3, 0, 10, 9),
    SCRIPT("rolled", 0, 6, 10, 40, 6, 0, 10, 40, 3, 0, 6, 0, 10, 255),
    SCRIPT("truncated_into_an_earlier_one", 0, 7, 26, 40, 6, 0, 10, 40, 3, 0, 5, 4, 3, 0, 10, 9),
    SCRIPT("a_file_is_missing", 0, 5, 10, 40, 6, 0, 10, 40, 6, 0, 10, 40, 0xf9, 1),
    SCRIPT("files_are_swapped", 0, 5, 10, 40, 6, 0, 10, 40, 6, 0, 10, 40, 0xf8, 1),
    SCRIPT("cut_short", 0, 3, 10, 40, 6, 0, 10, 40, 0, 2, 3, 60, 0),
    SCRIPT("misdirected", 0, 2, 26, 60, 3, 0, 0, 3, 3, 0, 2, 0, 0x30, 63),
    SCRIPT("compacted", 8, 7, 26, 200, 7, 0, 26, 200, 7, 0, 26, 200, 7, 0, 10, 40),
    SCRIPT("compacted_and_damaged", 8, 5, 26, 200, 7, 0, 26, 200, 7, 0, 26, 200, 1, 4, 3, 0, 2, 8),
    SCRIPT("footers", 0, 6, 26, 255, 6, 0, 26, 255, 6, 0, 10, 40, 4, 0),
    SCRIPT("rot_under_a_footer", 0, 6, 26, 255, 6, 0, 26, 255, 6, 0, 10, 40, 4, 0, 2, 1, 3, 24, 0,
           1),
    SCRIPT("rot_in_a_footer", 0, 6, 26, 255, 6, 0, 26, 255, 6, 0, 10, 40, 4, 0, 2, 1, 5, 24, 0, 1),
    SCRIPT("a_footer_of_nothing", 1, 6, 26, 255, 6, 0, 26, 255, 6, 0, 10, 40, 4, 0, 2, 5, 5, 144, 0,
           0x80, 0),
    SCRIPT("an_index_of_other_places", 1, 6, 26, 255, 6, 0, 26, 255, 6, 0, 10, 40, 4, 0, 2, 5, 4,
           56, 0, 5, 0),
    SCRIPT("terms_from_elsewhere", 1, 6, 26, 255, 6, 0, 26, 255, 6, 0, 10, 40, 4, 0, 2, 5, 4, 8, 16,
           5, 0),
    SCRIPT("many_segments", 4, 8, 26, 255, 6, 1, 26, 255, 6, 1, 26, 255, 6, 1, 26, 255, 3, 0),
};

/* flags, records; patches: file, what, region, distance (2), by what */
static const struct script stores[] = {
    SCRIPT("empty", 0, 0),
    SCRIPT("records", 0, 5),
    SCRIPT("slot_a_is_rotten", 0, 5, 0, 1, 1, 24, 0, 1),
    SCRIPT("slot_b_is_rotten", 4, 5, 0, 1, 3, 24, 0, 1),
    SCRIPT("both_are_rotten", 0, 5, 0, 1, 1, 24, 0, 1, 0, 1, 3, 24, 0, 1),
    SCRIPT("too_many_records", 1, 5, 0, 5, 0, 48, 0, 0x83, 0),
    SCRIPT("records_out_of_order", 1, 5, 0, 5, 1, 0, 0, 2, 0),
    SCRIPT("a_group_twice", 1, 5, 0, 3, 1, 64, 0, 0, 0x10, 7),
    SCRIPT("an_unknown_state", 1, 5, 0, 0, 1, 48, 0, 7),
    SCRIPT("the_last_sequence", 1, 5, 0, 5, 0, 40, 0, 5, 0, 0, 5, 2, 40, 0, 5, 0),
    SCRIPT("cut_short", 0, 5, 0, 2, 2, 0, 0),
    SCRIPT("another_node", 1, 5, 0, 0, 0, 32, 0, 9, 0, 0, 2, 32, 0, 9),
    SCRIPT("identity_is_rotten", 0, 1, 1, 1, 0, 20, 0, 1),
    SCRIPT("a_long_founding", 1, 1, 1, 5, 1, 0, 0, 0x83, 0),
    SCRIPT("identity_is_cut", 0, 1, 1, 2, 2, 0, 0),
};

/* damages, 3 bytes each; steps: an answer (0, how), a request (4, how, index, more), appends (5, n), a cut (70, how), a power
 * cut (135) */
static const struct script repairs[] = {
    SCRIPT("honest", 0, 1, 9, 30, 0, 0xf0, 0, 0xf0),
    SCRIPT("a_lost_file", 0, 0, 14, 0, 0, 0x30, 0, 0x30, 0, 0x30, 0, 0xf0, 0, 0xf0),
    SCRIPT("the_last_segment", 0, 1, 41, 30, 5, 2, 0, 0xf0, 5, 1, 0, 0xf0),
    SCRIPT("rot_on_its_way", 0, 1, 9, 30, 0, 0xf1, 1, 90, 0, 4, 100, 0, 8, 0, 0xf0),
    SCRIPT("rot_behind_right_checksums", 0, 1, 9, 30, 0, 0xf5, 0, 180, 0, 4, 0, 0xf0),
    SCRIPT("another_history", 0, 1, 9, 30, 0, 0xfd, 0, 180, 0, 4, 0, 0xf0, 0, 0xf0),
    SCRIPT("another_history_of_a_file", 0, 0, 14, 0, 0, 0x3d, 0, 180, 0, 4, 0, 0x3d, 0, 180, 0, 4,
           0, 0xfd, 0, 180, 0, 4, 0, 0xf0, 0, 0xf0),
    SCRIPT("an_entry_is_left_out", 0, 0, 14, 0, 0, 0xf2, 0, 0xfe, 0, 0xf0),
    SCRIPT("a_huge_length", 0, 0, 14, 0, 0, 0xfd, 0, 98, 0, 0x7f, 0, 0xf0),
    SCRIPT("a_number_is_driven_up", 0, 0, 14, 0, 0, 0xfd, 1, 104, 0, 0xff, 111, 0, 0xff, 0, 0xf0),
    SCRIPT("bytes", 0, 0, 14, 0, 0, 0x7f, 8, 'R', 'M', 'Q', 'E', 4, 1, 80, 0, 0, 0xf0),
    SCRIPT("the_head_lies", 0, 0, 14, 0, 0, 0xf1, 2, 24, 0, 1, 40, 0, 1, 0, 0, 2, 0, 0xf0),
    SCRIPT("questions", 1, 1, 9, 30, 0, 22, 0, 4, 0, 0, 9, 4, 0, 8, 9, 4, 0, 40, 255, 4, 1, 9, 3,
           32, 5),
    SCRIPT("power_cuts", 1, 1, 9, 30, 0, 22, 0, 0, 0x30, 135, 0, 0x30, 143, 0, 0xf0, 135),
    SCRIPT("cut_meanwhile", 0, 0, 14, 0, 0, 0x30, 70, 40, 5, 3, 0, 0xf0, 0, 0xf0),
    SCRIPT("dropped_meanwhile", 0, 0, 14, 0, 0, 0x30, 70, 61, 5, 3, 0, 0xf0, 0, 0xf0),
};

static void make_scripts(const char *target, const struct script *scripts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        save(target, scripts[i].name, scripts[i].bytes, scripts[i].count, "", 0);
}

/* ---- entries of the state machines -------------------------------------------------------------------------------- */

static uint8_t buffer[BYTES_MAX];

static size_t make_batch(int64_t producer, int32_t sequence)
{
    struct record_batch_builder builder;
    const struct record_header header = {"kind", 4, (const uint8_t *)"test", 4};
    const struct record records[] = {
        {.timestamp_ms = 1700000000000, .value = (const uint8_t *)"hello", .value_bytes = 5},
        {.timestamp_ms = 1700000000007,
         .key = (const uint8_t *)"k",
         .key_bytes = 1,
         .headers = &header,
         .headers_count = 1},
    };
    record_batch_builder_init(&builder, 4096);
    record_batch_begin(&builder);
    for (size_t i = 0; i < 2; i++)
        fuzz_check(record_batch_add(&builder, &records[i]) == RECORD_BATCH_OK, "no room");
    record_batch_finish(&builder, producer, producer < 0 ? -1 : 0, producer < 0 ? -1 : sequence);
    size_t bytes = builder.bytes;
    memcpy(buffer, builder.buffer, bytes);
    record_batch_builder_close(&builder);
    return bytes;
}

static struct meta_command meta_commands(uint32_t number)
{
    static struct meta_command command;
    memset(&command, 0, sizeof command);
    command.type = (enum meta_command_type)number;
    command.request = 5;
    command.node = (struct meta_node){.node_id = 1,
                                      .incarnation = 9,
                                      .voter = true,
                                      .http_address = "h:1",
                                      .peer_address = "p:2"};
    command.founder = true;
    strcpy(command.create.name, "orders");
    command.create.settings = (struct meta_settings){
        .message_bytes_max = 1 << 20, .retention_ms = -1, .retention_bytes = -1};
    command.create.partitions_count = 2;
    command.create.replicas_count = 1;
    command.create.replicas[0][0] = command.create.replicas[1][0] = 1;
    strcpy(command.delete_name, "orders");
    command.change.node_id = 1;
    command.change.with = number == META_NODE_REPLACE ? 2 : 0;
    strcpy(command.change.peer_address, "p:3");
    command.place.group = 1;
    command.place.nodes[0] = 1;
    command.place.nodes_count = 1;
    command.record.group = 1;
    command.record.configuration_index = 4;
    command.record.wish_index = 2;
    command.record.members[0] = (struct meta_member){.node_id = 1, .epoch = 2, .voter = true};
    command.record.members_count = 1;
    return command;
}

static void make_meta(void)
{
    for (uint32_t number = META_NODE_SET; number <= META_CONFIG_RECORD; number++) {
        struct meta_command command = meta_commands(number);
        size_t bytes = meta_command_encode(&command, buffer, sizeof buffer);
        char name[32];
        uint8_t kind = CODEC_META;
        snprintf(name, sizeof name, "meta_%u", number);
        fuzz_check(bytes > 0, "command %u", number);
        save("codec", name, &kind, 1, buffer, bytes);
    }
}

static size_t put_entry(uint8_t *at, enum entry_type type, uint32_t records, const uint8_t *payload,
                        size_t bytes)
{
    const uint8_t head[] = {(uint8_t)type, (uint8_t)records, (uint8_t)bytes, (uint8_t)(bytes >> 8)};
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, payload, bytes);
    return sizeof head + bytes;
}

static size_t make_offsets(void)
{
    const struct partition_commit commits[] = {
        {.group = "billing", .offset = 2, .generation = 3},
        {.group = "mail",
         .offset = 1,
         .generation = -1,
         .metadata = (const uint8_t *)"m",
         .metadata_bytes = 1},
    };
    return partition_encode_offsets(commits, 2, buffer, sizeof buffer);
}

static void make_partition(void)
{
    static uint8_t entries[4096];
    uint8_t kind = CODEC_PARTITION;
    size_t bytes = make_batch(7, 0);
    size_t at = put_entry(entries, ENTRY_DATA, 2, buffer, bytes);
    bytes = make_batch(7, 2);
    at += put_entry(entries + at, ENTRY_DATA, 2, buffer, bytes);
    bytes = make_offsets();
    at += put_entry(entries + at, ENTRY_OFFSETS, 0, buffer, bytes);
    struct meta_settings settings = {
        .message_bytes_max = 1 << 20, .retention_ms = 1000, .retention_bytes = -1};
    bytes = partition_encode_settings(&settings, buffer, sizeof buffer);
    at += put_entry(entries + at, ENTRY_SETTINGS, 0, buffer, bytes);
    bytes = partition_encode_trim(PARTITION_TRIM_RETENTION, 2, 2, buffer, sizeof buffer);
    at += put_entry(entries + at, ENTRY_TRIM, 0, buffer, bytes);
    save("codec", "partition", &kind, 1, entries, at);
}

/* ---- snapshots ------------------------------------------------------------------------------------------------------ */

static struct tree *partition_state(uint64_t *ret_next_offset)
{
    struct partition partition;
    partition_init(&partition);
    size_t bytes = make_batch(7, 0);
    struct entry_header header = {
        .type = ENTRY_DATA, .payload_bytes = (uint32_t)bytes, .record_count = 2, .index = 1};
    fuzz_check(partition_apply(&partition, &header, buffer), "a batch");
    bytes = make_offsets();
    header = (struct entry_header){
        .type = ENTRY_OFFSETS, .payload_bytes = (uint32_t)bytes, .index = 2, .base_offset = 2};
    fuzz_check(partition_apply(&partition, &header, buffer), "offsets");
    struct tree *state = partition.state;
    tree_ref(state);
    *ret_next_offset = partition.next_offset;
    partition_close(&partition);
    return state;
}

static struct tree *meta_tree(void)
{
    struct meta_state meta;
    meta_init(&meta);
    for (uint32_t number = META_NODE_SET; number <= META_TOPIC_CREATE; number++) {
        struct meta_command command = meta_commands(number);
        struct meta_result result;
        struct entry_header header = {
            .type = ENTRY_META,
            .payload_bytes = (uint32_t)meta_command_encode(&command, buffer, sizeof buffer),
            .index = number};
        fuzz_check(meta_apply(&meta, &header, buffer, &result), "command %u", number);
        free(result.topic);
    }
    struct tree *state = meta.state;
    tree_ref(state);
    meta_close(&meta);
    return state;
}

static void make_snapshot(const char *name, uint8_t flags, uint64_t group, uint64_t next_offset,
                          struct tree *state)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_problem problem;
    struct snapshot_header header = {
        .kind = SNAPSHOT_BASE,
        .cluster = cluster,
        .group = group,
        .point = {.index = 42,
                  .term = 3,
                  .chain = 99,
                  .next_offset = next_offset,
                  .timestamp_ms = 1700000000000},
        .configuration_index = 1,
    };
    struct raft_configuration configuration = {.members = {{.id = {.node = 1}, .voter = true}},
                                               .members_count = 1};
    header.configuration_bytes = (uint32_t)raft_codec_encode_configuration(
        &configuration, header.configuration, sizeof header.configuration);
    fuzz_check(disk_make_directory(disk, "g") == 0, "no directory");
    fuzz_check(snapshot_write(disk, "g", &header, state, &problem) == SNAPSHOT_OK, "%s",
               problem.reason);
    struct fuzz_file file;
    fuzz_file_load(disk, "g/base-00000000000000000042.snap", &file);
    save("snapshot", name, &flags, 1, file.bytes, file.count);
    fuzz_file_close(&file);
    memory_disk_destroy(disk);
    tree_unref(state);
}

static void make_snapshots(void)
{
    uint64_t next_offset = 0;
    make_snapshot("empty", 0, 7, 0, NULL);
    struct tree *state = partition_state(&next_offset);
    make_snapshot("partition", 0, 7, next_offset, state);
    state = partition_state(&next_offset);
    make_snapshot("partition_sealed", 1, 7, next_offset, state);
    make_snapshot("meta_sealed", 3, 0, 0, meta_tree());
    make_snapshot("meta", 2, 0, 0, meta_tree());
}

/* ---- what goes over the wire ---------------------------------------------------------------------------------------- */

static uint8_t stream[BYTES_MAX];
static size_t stream_bytes;

/* Save the body alone, and add it as a frame to the stream. */
static void add_frame(const char *name, enum codec_kind kind, uint16_t type, const uint8_t *body,
                      size_t bytes)
{
    uint8_t kind_byte = (uint8_t)kind;
    save("codec", name, &kind_byte, 1, body, bytes);
    struct frame_header header = {
        .body_bytes = (uint32_t)bytes, .type = type, .group = 7, .cluster = cluster};
    const struct iovec part = {(void *)(uintptr_t)body, bytes};
    header.body_hash = frame__hash_body(&part, 1);
    fuzz_check(stream_bytes + frame_total_bytes(bytes) <= sizeof stream, "the stream is full");
    memset(stream + stream_bytes, 0, frame_total_bytes(bytes));
    frame__encode_header(&header, stream + stream_bytes);
    memcpy(stream + stream_bytes + FRAME_HEADER_BYTES, body, bytes);
    const uint8_t front[] = {1, 0};
    save("frame", name, front, 2, stream + stream_bytes, frame_total_bytes(bytes));
    stream_bytes += frame_total_bytes(bytes);
}

static void make_raft(void)
{
    for (unsigned type = RAFT_MESSAGE_PREVOTE; type <= RAFT_MESSAGE_REGRESSED; type++) {
        struct raft_message message = {.type = (enum raft_message_type)type,
                                       .from = {.node = 1, .epoch = 4},
                                       .to = {.node = 2, .epoch = 5},
                                       .term = 6};
        if (type == RAFT_MESSAGE_APPEND) message.append.first = 1;
        char name[32];
        snprintf(name, sizeof name, "raft_%u", type);
        size_t bytes = raft_codec_encode_message(&message, buffer, sizeof buffer);
        add_frame(name, CODEC_RAFT, PEER_FRAME_RAFT, buffer, bytes);
    }
}

/* An APPEND with a batch, a configuration and a no-op behind it. */
static void make_append(void)
{
    static uint8_t body[8192];
    uint64_t seed = checksum64_group(&cluster, 7), chain = seed;
    struct raft_message message = {
        .type = RAFT_MESSAGE_APPEND,
        .from = {.node = 1},
        .to = {.node = 2},
        .term = 1,
        .append = {.previous_chain = seed, .first = 1, .last = 3},
    };
    size_t at = raft_codec_encode_message(&message, body, sizeof body), entries = at;
    const enum entry_type types[] = {ENTRY_CONFIG, ENTRY_DATA, ENTRY_NOOP};
    struct raft_configuration configuration = {.members = {{.id = {.node = 1}, .voter = true}},
                                               .members_count = 1};
    for (uint64_t i = 0; i < 3; i++) {
        size_t bytes = types[i] == ENTRY_CONFIG
                           ? raft_codec_encode_configuration(&configuration, buffer, sizeof buffer)
                       : types[i] == ENTRY_DATA ? make_batch(-1, 0)
                                                : 0;
        if (types[i] == ENTRY_DATA) record_batch_stamp(buffer, 0, 1);
        struct entry_header header = {.type = types[i],
                                      .payload_bytes = (uint32_t)bytes,
                                      .record_count = types[i] == ENTRY_DATA ? 2 : 0,
                                      .index = i + 1,
                                      .term = 1,
                                      .base_offset = i == 2 ? 2 : 0,
                                      .timestamp_ms = 5};
        header.payload_hash = entry_payload_hash(types[i], buffer, header.payload_bytes);
        memset(body + at, 0, entry_bytes(header.payload_bytes));
        entry_encode_header(&header, seed, chain, body + at);
        chain = header.chain;
        memcpy(body + at + ENTRY_HEADER_BYTES, buffer, bytes);
        at += entry_bytes(header.payload_bytes);
    }
    add_frame("append", CODEC_RAFT, PEER_FRAME_RAFT, body, at);
    uint8_t kind = CODEC_ENTRIES + 128;
    fuzz_check((kind % 128u) % CODEC_KINDS == CODEC_ENTRIES, "kind");
    save("codec", "entries", &kind, 1, body + entries, at - entries);
}

static void make_peers(void)
{
    struct hello_message hello = {.protocol = 1,
                                  .nonce = 77,
                                  .hello = {.node_id = 1,
                                            .incarnation = 2,
                                            .process = 3,
                                            .cluster = cluster,
                                            .peers = {{1, "a:1"}, {2, "b:2"}},
                                            .peers_count = 2,
                                            .peer_address = "a:1",
                                            .http_address = "a:2",
                                            .version = "1.0"}};
    size_t bytes = hello__encode(&hello, buffer, sizeof buffer);
    add_frame("hello", CODEC_HELLO, PEER_FRAME_HELLO, buffer, bytes);
    bytes = hello__encode_goodbye("another cluster", buffer, sizeof buffer);
    add_frame("goodbye", CODEC_GOODBYE, PEER_FRAME_GOODBYE, buffer, bytes);

    struct founding founding = {
        .cluster = {1, 2, 3}, .founder = 1, .nodes = {{1, 11}, {2, 12}}, .nodes_count = 2};
    bytes = founding_encode(&founding, buffer, sizeof buffer);
    add_frame("founding", CODEC_FOUNDING, PEER_FRAME_FOUNDING, buffer, bytes);
    struct raft_configuration joint = {
        .members = {{.id = {1, 0}, .voter = true, .voter_old = true},
                    {.id = {2, 9}, .voter = true},
                    {.id = {3, 0}, .voter_old = true, .learner_after = true}},
        .members_count = 3,
        .joint = true};
    bytes = raft_codec_encode_configuration(&joint, buffer, sizeof buffer);
    uint8_t kind = CODEC_CONFIGURATION;
    save("codec", "configuration", &kind, 1, buffer, bytes);

    struct join_question question = {.node_id = 4, .incarnation = 5, .peer_address = "d:1"};
    bytes = join_question_encode(&question, buffer, sizeof buffer);
    add_frame("join", CODEC_JOIN, PEER_FRAME_JOIN, buffer, bytes);
    struct join_answer answer = {.verdict = JOIN_REFUSED, .node_id = 4, .text = "admit it first"};
    bytes = join_answer_encode(&answer, buffer, sizeof buffer);
    add_frame("join_answer", CODEC_JOIN_ANSWER, PEER_FRAME_JOIN_ANSWER, buffer, bytes);
}

static void make_bases(void)
{
    for (unsigned type = BASE_OFFER; type <= BASE_ANSWER; type++) {
        struct base_message message = {
            .type = (enum base_message_type)type,
            .term = 3,
            .base = {.index = 9, .term = 2, .chain = 5, .next_offset = 8, .bytes = 64, .hash = 6}};
        if (type != BASE_ANSWER) message.commit_index = 9;
        base_codec_encode(&message, buffer);
        memset(buffer + BASE_CODEC_BYTES, 'x', 16);
        char name[32];
        snprintf(name, sizeof name, "base_%u", type);
        add_frame(name, CODEC_BASE, PEER_FRAME_BASE, buffer,
                  BASE_CODEC_BYTES + (type == BASE_CHUNK ? 16u : 0u));
    }
}

static void make_heartbeats(void)
{
    struct heartbeat_books books = {0};
    for (uint64_t group = 0; group < 3; group++) {
        struct raft_message message = {
            .type = RAFT_MESSAGE_HEARTBEAT, .from = {.node = 1}, .to = {.node = 2}, .term = 6};
        size_t bytes = raft_codec_encode_message(&message, buffer, sizeof buffer);
        heartbeat_offer(&books, HEARTBEAT_BEATS, group, buffer, bytes);
    }
    size_t bytes;
    const struct heartbeat_head head = {.wall_ms = 1700000000000, .is_full = true};
    uint8_t *body = heartbeat_build(&books, &head, &bytes);
    fuzz_check(body, "nothing to send");
    add_frame("heartbeats", CODEC_HEARTBEATS, PEER_FRAME_HEARTBEATS, body, bytes);
    free(body);
    heartbeat_books_close(&books);
}

/* A request that a node can serve, of any type. */
static struct node_request any_request(unsigned type)
{
    return (struct node_request){
        .type = (enum node_request_type)type,
        .topic = "orders",
        .fetch = {.from = NODE_FROM_EARLIEST, .bytes_max = 4096},
        .set = {.fields = META_SET_RETENTION_MS},
        .create = {.settings = {.message_bytes_max = 4096, .retention_ms = 9, .retention_bytes = 9},
                   .partitions_count = 1},
        .group = {.group = "billing", .offset = 1, .generation = -1},
        .node = {.id = 4, .with = 1, .peer_address = "n4:1"},
        .place = {.nodes = {1}, .nodes_count = 1},
        .transfer = {.to = 1},
    };
}

/* For the node that serves them: length, body; then the same without any name. */
static void make_served(unsigned type, const char *name)
{
    static uint8_t head[REQUEST_CODEC_BYTES_MAX], batch[4096];
    struct node_request request = any_request(type);
    if (type == NODE_REQUEST_PRODUCE) {
        request.produce.bytes = make_batch(-1, 2);
        fuzz_check(request.produce.bytes <= sizeof batch, "a large batch");
        memcpy(batch, buffer, request.produce.bytes);
    }
    size_t at = 0;
    for (int bare = 0; bare < 2; bare++) {
        if (bare) request.topic = request.group.group = request.node.peer_address = NULL;
        const size_t bytes = request_codec_encode(5, &request, head, sizeof head);
        const size_t whole = bytes + request.produce.bytes;
        fuzz_check(bytes > 0 && at + 2u + whole <= sizeof buffer, "request %u", type);
        buffer[at++] = (uint8_t)whole;
        buffer[at++] = (uint8_t)(whole >> 8);
        memcpy(buffer + at, head, bytes);
        memcpy(buffer + at + bytes, batch, request.produce.bytes);
        at += whole;
    }
    save("request", name, "", 0, buffer, at);
}

static void make_requests(void)
{
    static struct node_request request;
    for (unsigned type = NODE_REQUEST_PRODUCE; type <= NODE_REQUEST_TOPIC_SET; type++) {
        request = any_request(type);
        char name[32];
        snprintf(name, sizeof name, "request_%u", type);
        make_served(type, name);
        size_t bytes = request_codec_encode(5, &request, buffer, sizeof buffer);
        fuzz_check(bytes > 0, "request %u", type);
        add_frame(name, CODEC_REQUEST, PEER_FRAME_REQUEST, buffer, bytes);
    }
    struct node_partition_info partitions[2] = {{.group = 1, .replicas_count = 1},
                                                {.number = 1, .group = 2}};
    struct node_topic_info topic = {
        .name = "orders", .partitions_count = 2, .partitions = partitions};
    struct partition_offset offset = {.group = "billing", .offset = 4, .generation = -1};
    static struct node_change change = {.group = 1, .topic = "orders", .members_count = 1};
    change.members[0].node_id = 1;
    memset(&request, 0, sizeof request);
    request.ret_topics = &topic;
    request.ret_topics_count = 1;
    request.ret_offsets = &offset;
    request.ret_offsets_count = 1;
    request.ret_changes = &change;
    request.ret_changes_count = 1;
    size_t bytes = response_codec_encode(5, &request, buffer, sizeof buffer);
    add_frame("response", CODEC_RESPONSE, PEER_FRAME_RESPONSE, buffer, bytes);
    struct change_report report = {.configuration_index = 4, .wish_index = 2, .change = change};
    bytes = change_report_encode(&report, buffer, sizeof buffer);
    add_frame("change", CODEC_CHANGE, PEER_FRAME_CHANGE, buffer, bytes);
}

/* A question and every answer; entries are those of the APPEND. */
static void make_repairs(void)
{
    struct repair_message message = {
        .type = REPAIR_REQUEST, .number = 7, .from_epoch = 3, .index = 10, .last_index = 12};
    repair_codec_encode(&message, buffer);
    add_frame("repair_request", CODEC_REPAIR, PEER_FRAME_REPAIR, buffer, REPAIR_CODEC_BYTES);
    message.type = REPAIR_ANSWER;
    message.log_start = 5;
    for (enum repair_answer answer = REPAIR_ENTRIES; answer <= REPAIR_UNKNOWN; answer++) {
        message.answer = answer;
        message.index = answer == REPAIR_BELOW_START ? 4 : 10;
        message.log_last_index = answer == REPAIR_NEVER_HELD ? 9 : 20;
        repair_codec_encode(&message, buffer);
        size_t bytes = REPAIR_CODEC_BYTES;
        if (answer == REPAIR_ENTRIES) {
            struct entry_header header = {.type = ENTRY_NOOP, .index = 11, .term = 2};
            header.payload_hash = entry_payload_hash(ENTRY_NOOP, NULL, 0);
            entry_encode_header(&header, checksum64_group(&cluster, 7), message.chain,
                                buffer + bytes);
            bytes += ENTRY_HEADER_BYTES;
        }
        char name[32];
        snprintf(name, sizeof name, "repair_answer_%u", (unsigned)answer);
        add_frame(name, CODEC_REPAIR, PEER_FRAME_REPAIR, buffer, bytes);
    }
}

static void make_streams(void)
{
    make_raft();
    make_append();
    make_peers();
    make_bases();
    make_heartbeats();
    make_requests();
    make_repairs();
    struct frame_header huge = {
        .body_bytes = 1u << 28, .type = PEER_FRAME_RAFT, .group = 7, .cluster = cluster};
    const uint8_t front[] = {1, 96};
    frame__encode_header(&huge, buffer);
    save("frame", "a_huge_body", front, 2, buffer, FRAME_HEADER_BYTES);
    save("frame", "all_of_them", front, 2, stream, stream_bytes);
}

static void make_batches(void)
{
    uint8_t flags = 0;
    size_t bytes = make_batch(7, 3);
    save("record_batch", "idempotent", &flags, 1, buffer, bytes);
    flags = 1;
    save("record_batch", "idempotent_sealed", &flags, 1, buffer, bytes);
    /* The same records, said to be compressed by each codec: the inflaters meet bytes that are not theirs. */
    for (uint8_t codec = RECORD_BATCH_GZIP; codec <= RECORD_BATCH_ZSTD; codec++) {
        char name[32];
        snprintf(name, sizeof name, "codec_%u", codec);
        buffer[22] = codec;
        save("record_batch", name, &flags, 1, buffer, bytes);
    }
}

/* ---- requests of clients -------------------------------------------------------------------------------------------- */

static void make_http(void)
{
    static const struct {
        const char *name, *text;
    } requests[] = {
        {"get", "GET /v1/topics HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"pipelined",
         "GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"produce",
         "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"},
        {"chunked", "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
        {"ndjson", "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Type: "
                   "application/x-ndjson\r\nContent-Length: 28\r\n\r\n{\"value\":\"a\"}\n{\"key\":"
                   "\"b\"}\r\n"},
        {"fetch", "GET /v1/topics/t/messages?partition=0&offset=earliest&limit=3 HTTP/1.1\r\nHost: "
                  "a\r\n\r\n"},
        {"create", "PUT /v1/topics/t HTTP/1.1\r\nHost: a\r\nContent-Type: "
                   "application/json\r\nContent-Length: 16\r\n\r\n{\"partitions\":2}"},
        {"commit", "PUT /v1/groups/g/offsets/t/0 HTTP/1.1\r\nHost: a\r\nContent-Type: "
                   "application/json\r\nContent-Length: 12\r\n\r\n{\"offset\":4}"},
        {"smuggled", "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: "
                     "3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const uint8_t cut = (uint8_t)(i * 7);
        save("http_request", requests[i].name, &cut, 1, requests[i].text, strlen(requests[i].text));
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: raftmq-fuzz-seeds FOLDER\n");
        return 2;
    }
    folder = argv[1];
    fuzz_check(mkdir(folder, 0777) == 0 || errno == EEXIST, "%s", folder);
    make_scripts("segment", segments, sizeof segments / sizeof *segments);
    make_scripts("repair", repairs, sizeof repairs / sizeof *repairs);
    make_scripts("node_store", stores, sizeof stores / sizeof *stores);
    make_meta();
    make_partition();
    make_snapshots();
    make_streams();
    make_batches();
    make_http();
    return 0;
}
