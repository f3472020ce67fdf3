/* Goal: `raftmq log dump|verify|inspect` tells the truth about files, in words and exit status. */
#include "log_fixture.h"

#include "log_command.h"
#include "temp_directory.h"

#include <broker/raft_codec.h>
#include <broker/record_batch.h>
#include <segment_log/node_store.h>
#include <snapshot/snapshot.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct temp_directory directory;
static char data[DISK_PATH_MAX], group[DISK_PATH_MAX];
static struct segment_log_info info;

static void set_up(void)
{
    cr_redirect_stdout();
    cr_redirect_stderr();
    temp_directory_make(&directory);
    snprintf(data, sizeof data, "%s", directory.path);
    snprintf(group, sizeof group, "%.400s/groups", data);
    cr_assert_eq(disk_make_directory(disk_posix(), group), 0);
    snprintf(group, sizeof group, "%.400s/groups/%020u", data, FIXTURE_GROUP);
    struct segment_log_options options = fixture_options(disk_posix(), group);
    struct segment_log *log = fixture_create(&options);
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
    fixture_append(log, 1, 100, 1000);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    info = fixture_info(log);
    segment_log_close(log);
}

static void tear_down(void)
{
    temp_directory_remove(&directory);
}

TestSuite(log_command, .init = set_up, .fini = tear_down);

/* Run with words up to NULL; what it printed to stdout is in `output`. */
static char output[65536];

static int run(const char *action, const char *word1, const char *word2, const char *path)
{
    char *argv[6] = {"log", (char *)(uintptr_t)action};
    int argc = 2;
    const char *words[] = {word1, word2, path};
    for (int i = 0; i < 3; i++) {
        if (words[i]) argv[argc++] = (char *)(uintptr_t)words[i];
    }
    char file[DISK_PATH_MAX];
    snprintf(file, sizeof file, "%s/output", directory.path);
    fflush(stdout);
    int saved = dup(1), fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 1);
    int result = log_command_main(argc, argv);
    fflush(stdout);
    ssize_t got = pread(fd, output, sizeof output - 1, 0);
    output[got > 0 ? got : 0] = 0;
    dup2(saved, 1);
    close(saved);
    close(fd);
    unlink(file);
    return result;
}

static void damage(uint64_t pos)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path(group, 1, path);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    cr_assert_eq(pread(fd, &byte, 1, (off_t)pos), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)pos), 1);
    close(fd);
}

Test(log_command, verify_of_a_whole_log_is_one_line_and_status_0)
{
    char expected[512];
    snprintf(expected, sizeof expected,
             "group 7 entries 101 offsets 0..299 last_index 101 term 1 chain %016" PRIx64
             " mark_index 101: ok\n",
             info.last_chain);
    cr_assert_eq(run("verify", NULL, NULL, data), 0);
    cr_assert_str_eq(output, expected, "from the data directory");
    cr_assert_eq(run("verify", NULL, NULL, group), 0);
    cr_assert_str_eq(output, expected, "from the group's directory");
}

Test(log_command, verify_names_damage_and_exits_with_1)
{
    damage(12288 + 20000);
    char path[DISK_PATH_MAX];
    fixture_segment_path(group, 1, path);
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
    cr_assert_not_null(strstr(output, path));
    cr_assert_not_null(strstr(output, "damaged"));
    cr_assert_null(strstr(output, ": ok\n"));
    cr_assert_eq(run("verify", "--json", NULL, data), 1);
}

Test(log_command, verify_of_several_names_each_and_ends_with_a_verdict)
{
    char heading[DISK_PATH_MAX + 4];
    cr_assert_eq(run("verify", NULL, group, data), 0);
    snprintf(heading, sizeof heading, "# %.400s\n", group);
    cr_assert_not_null(strstr(output, heading), "%s", output);
    snprintf(heading, sizeof heading, "# %.400s\n", data);
    cr_assert_not_null(strstr(output, heading), "%s", output);
    const char *verdict = strstr(output, "2 logs and 0 other files: whole\n");
    cr_assert_not_null(verdict, "%s", output);
    cr_assert_str_eq(strchr(verdict, '\n'), "\n", "it is the last line");
    damage(12288 + 20000);
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
    verdict = strstr(output, "1 log and 0 other files: 1 problem. A node that is started mends ");
    cr_assert_not_null(verdict, "%s", output);
    cr_assert_eq(run("verify", "--json", group, data), 1);
    cr_assert_null(strstr(output, "other files"));
    cr_assert_null(strchr(output, '#'));
}

Test(log_command, verify_shows_the_chain_at_an_index)
{
    char expected[64];
    snprintf(expected, sizeof expected, "chain_at 101 %016" PRIx64, info.last_chain);
    cr_assert_eq(run("verify", "--at", "101", data), 0);
    cr_assert_not_null(strstr(output, expected));
    cr_assert_eq(run("verify", "--at", "50", data), 0);
    cr_assert_not_null(strstr(output, "chain_at 50 "));
    cr_assert_null(strstr(output, "chain_at 50 none"));
    cr_assert_eq(run("verify", "--at", "102", data), 0);
    cr_assert_not_null(strstr(output, "chain_at 102 none"));
}

Test(log_command, verify_for_machines_is_one_json_document)
{
    char expected[64];
    snprintf(expected, sizeof expected, "\"chain\":\"%016" PRIx64 "\"", info.last_chain);
    cr_assert_eq(run("verify", "-o", "json", data), 0);
    cr_assert_eq(strncmp(output, "{\"groups\":[{\"group\":7,", 22), 0);
    cr_assert_not_null(strstr(output, expected));
    cr_assert_not_null(strstr(output, "\"last_index\":101,"));
    cr_assert_not_null(strstr(output, "\"problems\":0}],\"files\":[],\"problems\":0}\n"));
}

Test(log_command, dump_prints_a_line_per_entry)
{
    cr_assert_eq(run("dump", NULL, NULL, data), 0);
    int lines = 0;
    for (const char *p = output; *p; p++) {
        lines += *p == '\n';
    }
    cr_assert_eq(lines, 102, "the directory and 101 entries");
    cr_assert_not_null(strstr(output, "\n1 1 NOOP 0 0 0 10 "));
    cr_assert_not_null(strstr(output, "\n2 1 DATA 0 3 1000 20 "));
    cr_assert_not_null(strstr(output, "\n101 1 DATA 297 3 1000 1010 "));
    cr_assert_eq(run("dump", "--records", "--json", data), 0);
    cr_assert_not_null(strstr(output, "{\"index\":2,\"term\":1,\"type\":\"DATA\",\"offset\":0,"));
    cr_assert_not_null(strstr(output, "\"batch\":{\"magic\":"));
}

static void flip(const char *path, uint64_t pos)
{
    struct disk_file *file;
    uint8_t byte;
    cr_assert_eq(disk_open(disk_posix(), path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pread(file, &byte, 1, pos), 1);
    byte ^= 0x20;
    cr_assert_eq(disk_pwrite(file, &byte, 1, pos), 0);
    disk_close(file);
}

static void append_batch(struct segment_log *log, const struct record *records, uint32_t count)
{
    struct record_batch_builder builder;
    uint64_t last_index;
    record_batch_builder_init(&builder, 4096);
    record_batch_begin(&builder);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(record_batch_add(&builder, &records[i]), RECORD_BATCH_OK);
    }
    record_batch_finish(&builder, -1, -1, -1);
    const struct segment_log_info at = fixture_info(log);
    record_batch_stamp(builder.buffer, at.next_offset, 1);
    const struct segment_log_entry entry = {
        .type = ENTRY_DATA,
        .record_count = count,
        .timestamp_ms = at.last_timestamp_ms,
        .payload = builder.buffer,
        .payload_bytes = (uint32_t)builder.bytes,
    };
    cr_assert_eq(segment_log_append(log, 1, &entry, 1, &last_index), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    record_batch_builder_close(&builder);
}

/* What a node left that nobody can start again. */
Test(log_command, dump_shows_messages_and_tells_of_damage_beside_them)
{
    char other[DISK_PATH_MAX], path[DISK_PATH_MAX];
    const struct record records[3] = {
        {.timestamp_ms = 1700000000123,
         .key = (const uint8_t *)"k",
         .key_bytes = 1,
         .value = (const uint8_t *)"first",
         .value_bytes = 5},
        {.timestamp_ms = 1700000000124, .value = (const uint8_t *)"\xff\xfe", .value_bytes = 2},
        {.timestamp_ms = 1700000000125, .value = (const uint8_t *)"third", .value_bytes = 5}};
    snprintf(other, sizeof other, "%.400s/elsewhere", data);
    struct segment_log_options options = fixture_options(disk_posix(), other);
    struct segment_log *log = fixture_create(&options);
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
    append_batch(log, records, 2);
    append_batch(log, records + 2, 1);
    segment_log_close(log);
    cr_assert_eq(run("dump", "--messages", NULL, other), 0);
    char wanted[512];
    snprintf(wanted, sizeof wanted,
             "{\"group\":%u,\"index\":2,\"offset\":0,\"timestamp\":\"2023-11-14T22:13:20.123Z\","
             "\"key\":\"k\",\"headers\":{},\"value\":\"first\"}\n",
             FIXTURE_GROUP);
    cr_assert_eq(strncmp(output, wanted, strlen(wanted)), 0, "%s", output);
    cr_assert_not_null(strstr(output, "\"offset\":1,"), "%s", output);
    cr_assert_not_null(strstr(output, "\"value_b64\":\"//4=\"}\n"), "%s", output);
    cr_assert_not_null(strstr(output, "\"index\":3,\"offset\":2,"), "%s", output);
    fixture_segment_path(other, 1, path);
    cr_assert_eq(run("dump", "--messages", NULL, path), 2, "a file may begin within a log");
    cr_assert_str_empty(output);
    flip(path, FIXTURE_DATA_POS + 200); /* within the first batch */
    cr_assert_eq(run("dump", "--messages", NULL, other), 1);
    cr_assert_null(strstr(output, "\"first\""), "%s", output);
    cr_assert_null(strstr(output, "damaged"), "it goes to stderr: %s", output);
    cr_assert_eq(strncmp(output, "{\"group\":", 9), 0, "%s", output);
    cr_assert_not_null(strstr(output, "\"value\":\"third\""), "%s", output);
}

/* What it prints to a terminal; a child prints, so that no terminal is full before it is read. */
static void run_on_terminal(const char *action, const char *path)
{
    char *argv[] = {"log", (char *)(uintptr_t)action, (char *)(uintptr_t)path, NULL};
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert_geq(master, 0);
    cr_assert_eq(grantpt(master), 0);
    cr_assert_eq(unlockpt(master), 0);
    const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(terminal, 0);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(terminal, 1);
        const int result = log_command_main(3, argv);
        fflush(stdout);
        _exit(result);
    }
    close(terminal);
    size_t used = 0;
    ssize_t got;
    while (used < sizeof output - 1 &&
           (got = read(master, output + used, sizeof output - 1 - used)) > 0) {
        used += (size_t)got;
    }
    output[used] = 0;
    close(master);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(log_command, dump_names_its_columns_on_a_terminal_only)
{
    const char *const names = "index term type offset count bytes time_ms chain status";
    cr_assert_eq(run("dump", NULL, NULL, group), 0);
    cr_assert_null(strstr(output, names));
    run_on_terminal("dump", group);
    cr_assert_not_null(strstr(output, names), "%s", output);
}

Test(log_command, usage_errors_are_2_and_no_log_is_3)
{
    cr_assert_eq(run("verify", NULL, NULL, NULL), 2);
    cr_assert_eq(run("burn", NULL, NULL, data), 2);
    cr_assert_eq(run("verify", "--wat", NULL, data), 2);
    cr_assert_eq(run("verify", "--at", "x", data), 2);
    cr_assert_eq(run("dump", "--at", "1", data), 2, "only verify compares");
    cr_assert_eq(run("verify", NULL, NULL, "/nonexistent/place"), 3);
    cr_assert_eq(run("verify", "--help", NULL, NULL), 0);
}

Test(log_command, what_is_no_log_is_named_in_one_line)
{
    char strange[DISK_PATH_MAX];
    snprintf(strange, sizeof strange, "%.400s/notes.txt", data);
    FILE *file = fopen(strange, "w");
    cr_assert_not_null(file);
    fputs("years of work\n", file);
    fclose(file);
    for (int i = 0; i < 3; i++) {
        static const char *const actions[] = {"dump", "verify", "inspect"};
        cr_assert_eq(run(actions[i], NULL, NULL, strange), 3, "%s", actions[i]);
        cr_assert_str_empty(output, "%s", actions[i]);
    }
    char wanted[4 * DISK_PATH_MAX] = "";
    for (int i = 0; i < 3; i++) {
        const size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used,
                 "raftmq log: %.400s: neither by its name nor by its bytes a file of raftmq\n",
                 strange);
    }
    fflush(stderr);
    cr_assert_stderr_eq_str(wanted);
}

/* ---- single files ----------------------------------------------------------------------------------- */

/* A data directory with one file of each kind: two segments, the first one sealed, a snapshot, votes and an identity. */
static char segment_path[DISK_PATH_MAX], snapshot_path[DISK_PATH_MAX];

static void make_files(void)
{
    struct disk *disk = disk_posix();
    struct segment_log_options options = fixture_options(disk, group);
    struct segment_log *log = fixture_open(&options);
    cr_assert_eq(fixture_try_append(log, 2, ENTRY_CONFIG, 40), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_seal(log, fixture_info(log).last_index), SEGMENT_LOG_OK);
    cr_assert_gt(segment_log_sealed_count(log), 0);
    info = fixture_info(log);
    segment_log_close(log);
    const struct node_identity identity = {
        .node_id = 3, .incarnation = 99, .cluster = fixture_cluster};
    cr_assert_eq(node_identity_save(disk, data, &identity), 0);
    struct node_store *store;
    struct segment_log_problem problem;
    cr_assert_eq(node_store_open(disk, data, &fixture_cluster, 3, true, &store, &problem),
                 SEGMENT_LOG_OK);
    const struct node_record record = {
        .group = 7, .state = NODE_REPLICA_MADE, .term = 1234, .vote_node = 3};
    cr_assert_neq(node_store_put(store, &record), 0);
    struct node_store_job *job = node_store_next_job(store);
    node_store_job_run(job);
    cr_assert_eq(node_store_job_finish(store, job, &problem), 0);
    node_store_close(store);
    struct tree *state = NULL;
    tree_put(&state, (struct tree_slice){"key", 3}, (struct tree_slice){"value", 5});
    struct snapshot_header header = {.kind = SNAPSHOT_CHECKPOINT,
                                     .cluster = fixture_cluster,
                                     .group = 7,
                                     .point = {.index = 20, .term = 1, .next_offset = 57}};
    cr_assert_eq(snapshot_write(disk, group, &header, state, &problem), SNAPSHOT_OK);
    tree_unref(state);
    header.kind = SNAPSHOT_BASE;
    header.point = fixture_origin();
    cr_assert_eq(snapshot_write(disk, group, &header, NULL, &problem), SNAPSHOT_OK);
    fixture_segment_path(group, 1, segment_path);
    snprintf(snapshot_path, sizeof snapshot_path, "%.400s/checkpoint-%020d.snap", group, 20);
}

/* Another one, which knows who the members were. */
static void make_snapshot_with_members(void)
{
    struct segment_log_problem problem;
    struct snapshot_header header = {.kind = SNAPSHOT_CHECKPOINT,
                                     .cluster = fixture_cluster,
                                     .group = 7,
                                     .point = {.index = 30, .term = 1, .next_offset = 57}};
    const struct raft_configuration members = {.members = {{.id = {.node = 4}, .voter = true},
                                                           {.id = {.node = 5}, .voter = true},
                                                           {.id = {.node = 7}}},
                                               .members_count = 3};
    header.configuration_bytes = (uint32_t)raft_codec_encode_configuration(
        &members, header.configuration, sizeof header.configuration);
    cr_assert_eq(snapshot_write(disk_posix(), group, &header, NULL, &problem), SNAPSHOT_OK);
}

static uint64_t size_of(const char *path)
{
    struct disk_file *file;
    uint64_t bytes;
    cr_assert_eq(disk_open(disk_posix(), path, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, &bytes), 0);
    disk_close(file);
    return bytes;
}

Test(log_command, inspect_shows_every_kind_of_file)
{
    make_files();
    make_snapshot_with_members();
    cr_assert_eq(run("inspect", NULL, NULL, data), 0, "%s", output);
    static const char *const wanted[] = {
        "# segment ",       "# snapshot ", "# identity ", "# votes ", "header\n",
        "marks\n",          "continued",   "footer\n",    "terms\n",  "index\n",
        "configurations\n", "file_hash",   "1234",        "made",     "incarnation",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        cr_assert_not_null(strstr(output, wanted[i]), "%s", wanted[i]);
    }
    cr_assert_null(strstr(output, "problem"));
    cr_assert_null(strstr(output, " \n"), "a line ends with a blank");
    cr_assert_not_null(strstr(output, "members voters n4 n5, learners n7\n"), "%s", output);
    cr_assert_null(strstr(output, "configuration 0"), "bytes are for programs");
    cr_assert_eq(run("verify", NULL, NULL, data), 0);
    cr_assert_not_null(strstr(output, "identity"));
    cr_assert_not_null(strstr(output, ": ok"));
}

Test(log_command, inspect_speaks_json)
{
    make_files();
    make_snapshot_with_members();
    cr_assert_eq(run("inspect", "-o", "json", data), 0);
    cr_assert_eq(strncmp(output, "{\"files\":[{\"path\":", 18), 0);
    cr_assert_not_null(strstr(output, "\"footer\":{\"pos\":"));
    cr_assert_not_null(strstr(output, "\"index\":[{\"pos\":12288,\"index\":0,"));
    cr_assert_not_null(strstr(output, "],\"problems\":0}\n"));
    cr_assert_not_null(strstr(output, "\"configuration\":\"01"));
    cr_assert_not_null(strstr(output, "\",\"members\":\"voters n4 n5, learners n7\""));
    int depth = 0;
    for (const char *p = output; *p; p++) {
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        cr_assert_geq(depth, 0);
    }
    cr_assert_eq(depth, 0);
}

/* One file after the other, damaged at one place: the file and the place of the part that is damaged are named. */
Test(log_command, damage_is_named_in_every_kind_of_file)
{
    make_files();
    char votes[DISK_PATH_MAX], identity[DISK_PATH_MAX];
    snprintf(votes, sizeof votes, "%.400s/votes", data);
    snprintf(identity, sizeof identity, "%.400s/identity", data);
    const uint64_t end = size_of(segment_path);
    const struct {
        const char *path;
        uint64_t pos, part;
        const char *reason;
    } places[] = {
        {segment_path, 100, 0, "the header is damaged"},
        {segment_path, 4096 + 40, 4096, "the mark is damaged"},
        {segment_path, 12288 + 90, 12288 + 80, "entries 2..2 are damaged"},
        {segment_path, end - 4096 * 3 + 8, end - 4096 * 3, "sparse index"},
        {segment_path, end - 4096 * 2 + 8, end - 4096 * 2, "facts"},
        {segment_path, end - 4096 + 100, end - 4096, "trailer"},
        {segment_path, end - 4096 + 2, 0, "neither a footer nor zeros"},
        {snapshot_path, 50, 0, ""},
        {snapshot_path, 128 + 30, 128, "block checksum"},
        {votes, 4096 + 24, 0, "the checksum does not match"},
        {votes, 266240 + 4096 + 24, 266240, "the checksum does not match"},
        {identity, 17, 0, "the checksum does not match"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        static const char *const actions[] = {"inspect", "verify", "dump"};
        char place[32];
        snprintf(place, sizeof place, "at %" PRIu64 ": ", places[i].part);
        flip(places[i].path, places[i].pos);
        for (size_t j = 0; j < 3; j++) {
            cr_assert_eq(run(actions[j], NULL, NULL, places[i].path), 1, "%s %zu", actions[j], i);
            cr_assert_not_null(strstr(output, places[i].reason), "%zu: %s", i, output);
            if (places[i].reason[0] != 'n') {
                cr_assert_not_null(strstr(output, place), "%zu: %s", i, output);
            }
        }
        cr_assert_eq(run("verify", NULL, NULL, data), 1, "%zu", i);
        flip(places[i].path, places[i].pos);
        cr_assert_eq(run("inspect", NULL, NULL, places[i].path), 0, "%zu: %s", i, output);
    }
}

Test(log_command, a_footer_tells_what_a_damaged_header_cannot)
{
    make_files();
    flip(segment_path, 200);
    cr_assert_eq(run("inspect", NULL, NULL, segment_path), 1);
    cr_assert_not_null(strstr(output, "the header is damaged"));
    cr_assert_not_null(strstr(output, "continued"), "the marks");
    cr_assert_not_null(strstr(output, "file_hash"), "the footer");
    cr_assert_not_null(strstr(output, "entries\n"), "and the records");
}

/* Files may be cut anywhere and hold anything. */
Test(log_command, noise_and_cut_files_are_told_and_survived)
{
    make_files();
    char path[DISK_PATH_MAX];
    static const char *const names[] = {"00000000000000000009.segment", "base-9.snap", "votes",
                                        "identity"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%.400s/noise", data);
        (void)disk_make_directory(disk_posix(), path);
        snprintf(path, sizeof path, "%.400s/noise/%s", data, names[i]);
        struct disk_file *file;
        cr_assert_eq(disk_open(disk_posix(), path, DISK_CREATE_NEW, &file), 0);
        cr_assert_eq(run("inspect", NULL, NULL, path), 1, "%s, empty", names[i]);
        uint8_t noise[20000];
        uint64_t x = i + 1;
        for (size_t j = 0; j < sizeof noise; j++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            noise[j] = (uint8_t)(x >> 56);
        }
        cr_assert_eq(disk_pwrite(file, noise, sizeof noise, 0), 0);
        cr_assert_eq(run("inspect", NULL, NULL, path), 1, "%s, noise", names[i]);
        disk_close(file);
    }
    for (uint64_t bytes = 0; bytes < size_of(segment_path); bytes += 5000) {
        struct disk_file *file;
        cr_assert_eq(disk_open(disk_posix(), segment_path, DISK_WRITE, &file), 0);
        cr_assert_eq(disk_truncate(file, size_of(segment_path) - 5000), 0);
        disk_close(file);
        cr_assert_eq(run("inspect", NULL, NULL, segment_path), 1);
    }
}

/* ---- files that are missing ---------------------------------------------------------------------------- */

/* Of the group, by the end of their names. */
static void remove_files(const char *suffix)
{
    char command[2 * DISK_PATH_MAX];
    snprintf(command, sizeof command, "rm -f %.400s/*%s", group, suffix);
    cr_assert_eq(system(command), 0);
}

static void write_record(enum node_replica_state state)
{
    struct disk *disk = disk_posix();
    struct node_store *store;
    struct segment_log_problem problem;
    cr_assert_eq(node_store_open(disk, data, &fixture_cluster, 3, true, &store, &problem),
                 SEGMENT_LOG_OK);
    const struct node_record record = {.group = FIXTURE_GROUP, .state = state, .term = 1234};
    cr_assert_neq(node_store_put(store, &record), 0);
    struct node_store_job *job = node_store_next_job(store);
    node_store_job_run(job);
    cr_assert_eq(node_store_job_finish(store, job, &problem), 0);
    node_store_close(store);
}

Test(log_command, every_lost_segment_is_named_by_verify_and_by_inspect)
{
    make_files();
    const uint64_t count = info.segments_count;
    cr_assert_gt(count, 2);
    for (uint64_t sequence = 1; sequence <= count; sequence++) {
        char path[DISK_PATH_MAX], aside[DISK_PATH_MAX], wanted[128];
        fixture_segment_path(group, sequence, path);
        snprintf(aside, sizeof aside, "%.400s/aside", data);
        cr_assert_eq(rename(path, aside), 0);
        snprintf(wanted, sizeof wanted, "%020" PRIu64 ".segment at 0: %s",
                 sequence < count ? sequence : sequence - 1,
                 sequence == 1      ? "the file is missing, and perhaps others in front of it: "
                                      "entries 1.."
                 : sequence < count ? "the file is missing: entries "
                                    : "the segment says it is continued, but there is none behind");
        cr_assert_eq(run("verify", NULL, NULL, data), 1, "segment %" PRIu64, sequence);
        cr_assert_not_null(strstr(output, wanted), "%s", output);
        cr_assert_eq(run("verify", NULL, NULL, group), 1, "segment %" PRIu64, sequence);
        cr_assert_not_null(strstr(output, wanted), "%s", output);
        cr_assert_eq(run("inspect", NULL, NULL, data), 1, "segment %" PRIu64, sequence);
        cr_assert_not_null(strstr(output, wanted), "%s", output);
        cr_assert_eq(run("dump", NULL, NULL, data), 1, "segment %" PRIu64, sequence);
        cr_assert_not_null(strstr(output, wanted), "%s", output);
        cr_assert_eq(run("inspect", "-o", "json", data), 1);
        cr_assert_not_null(strstr(output, "],\"problems\":1}\n"), "%s", output);
        cr_assert_eq(rename(aside, path), 0);
        cr_assert_eq(run("verify", NULL, NULL, data), 0, "%s", output);
        cr_assert_eq(run("inspect", NULL, NULL, data), 0, "%s", output);
    }
}

Test(log_command, a_group_whose_segments_are_all_lost_is_named)
{
    make_files();
    remove_files(".segment");
    static const char *const actions[] = {"verify", "inspect", "dump"};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(run(actions[i], NULL, NULL, data), 1, "%s", actions[i]);
        cr_assert_not_null(strstr(output, "0007 at 0: all segments are missing"), "%s", output);
        cr_assert_eq(run(actions[i], NULL, NULL, group), 1, "%s", actions[i]);
        cr_assert_not_null(strstr(output, "0007 at 0: all segments are missing"), "%s", output);
    }
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
    cr_assert_not_null(strstr(output, "group 7 entries 0 offsets none"), "%s", output);
    cr_assert_eq(run("dump", NULL, NULL, group), 1);
    cr_assert_not_null(strstr(output, "# snapshot "), "there is nothing else to show: %s", output);
    cr_assert_eq(run("verify", "--json", NULL, data), 1);
    cr_assert_not_null(strstr(output, "{\"group\":7,"), "%s", output);

    /* Where the votes know it, also without any file, and without the directory. */
    remove_files("");
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
    cr_assert_not_null(strstr(output, "0007 at 0: all segments are missing"), "%s", output);
    cr_assert_eq(rmdir(group), 0);
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
    cr_assert_not_null(strstr(output, "group 7 entries 0 offsets none"), "%s", output);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(run(actions[i], NULL, NULL, data), 1, "%s", actions[i]);
        cr_assert_not_null(strstr(output, "0007 at 0: all segments are missing"), "%s", output);
    }
    cr_assert_eq(run("verify", NULL, NULL, group), 3, "nothing tells what it was");
}

Test(log_command, a_made_replica_without_a_base_is_named)
{
    make_files();
    remove_files("base-00000000000000000000.snap");
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
    cr_assert_not_null(strstr(output, "0007 at 0: there is no base"), "%s", output);
}

/* Being made or dropped when its node stopped: its files go in any order, and the record goes first. */
Test(log_command, what_is_left_of_a_replica_that_is_not_made_is_no_problem)
{
    make_files();
    write_record(NODE_REPLICA_DROPPED);
    static const char *const gone[] = {"", "1.segment", ".segment", ".snap", NULL};
    for (size_t i = 0; gone[i]; i++) {
        if (i > 0) remove_files(gone[i]);
        cr_assert_eq(run("verify", NULL, NULL, data), 0, "%s", output);
        cr_assert_eq(run("inspect", NULL, NULL, data), 0, "%s", output);
        if (i == 3) break;
        cr_assert_not_null(strstr(output, "note "), "%s", output);
        cr_assert_eq(run("verify", NULL, NULL, group), 0, "%s", output);
        cr_assert_not_null(strstr(output, ": left over\n"), "%s", output);
        cr_assert_eq(run("verify", "--json", NULL, group), 0);
        cr_assert_not_null(strstr(output, "\"left_over\":true,\"problems\":0}"), "%s", output);
    }
}

/* Votes that are lost, or cannot be read, excuse nothing. */
Test(log_command, without_votes_every_replica_counts_as_made)
{
    make_files();
    write_record(NODE_REPLICA_DROPPED);
    remove_files("1.segment");
    cr_assert_eq(run("verify", NULL, NULL, data), 0);
    const struct node_identity identity = {
        .node_id = 3, .incarnation = 99, .cluster = fixture_cluster, .votes_lost = true};
    cr_assert_eq(node_identity_save(disk_posix(), data, &identity), 0);
    cr_assert_eq(run("verify", NULL, NULL, data), 1, "they are being made anew");
    char votes[DISK_PATH_MAX];
    snprintf(votes, sizeof votes, "%.400s/votes", data);
    cr_assert_eq(unlink(votes), 0);
    cr_assert_eq(run("verify", NULL, NULL, data), 1);
}

/* What a node put away is in its replicas as well: whoever prints both has every message twice. */
Test(log_command, what_was_set_aside_is_looked_at_when_it_is_named_alone)
{
    static const char *const names[] = {"unreadable-1", "lost"};
    for (int i = 0; i < 2; i++) {
        char aside[DISK_PATH_MAX];
        snprintf(aside, sizeof aside, "%.400s/%s", data, names[i]);
        cr_assert_eq(disk_make_directory(disk_posix(), aside), 0);
        snprintf(aside, sizeof aside, "%.400s/%s/%020u", data, names[i], FIXTURE_GROUP);
        struct segment_log_options options = fixture_options(disk_posix(), aside);
        segment_log_close(fixture_create(&options));
        cr_assert_eq(run("verify", "--json", NULL, data), 0);
        cr_assert_null(strstr(output, names[i]), "%s", output);
        cr_assert_not_null(strstr(output, "\"group\":7"), "%s", output);
        snprintf(aside, sizeof aside, "%.400s/%s", data, names[i]);
        cr_assert_eq(run("verify", "--json", NULL, aside), 0);
        cr_assert_not_null(strstr(output, names[i]), "%s", output);
    }
}
