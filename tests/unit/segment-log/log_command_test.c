/* Goal: `raftmq log dump|verify` tells the truth about files, in words and exit status. */
#include "log_fixture.h"

#include "log_command.h"
#include "temp_directory.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    snprintf(group, sizeof group, "%.400s/groups/7", data);
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
    cr_assert_not_null(strstr(output, "\"problems\":0}],\"problems\":0}\n"));
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
