/* Messages out of files: every byte once, whatever the chunks; the last line counts without its end. */
#include <broker/io_uv.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_node.h"
#include "input.h"

static struct io *io;
static struct input input;
static char found[4096];
static int messages, refused;
static size_t bytes_total;
static bool done;
static enum input_status last;
static char error[512];

static void pull(void *data)
{
    struct input_message message;
    (void)data;
    for (;;) {
        last = input_next(&input, &message);
        if (last == INPUT_WAIT) return;
        if (last == INPUT_END || last == INPUT_FAILED) break;
        if (last == INPUT_TOO_LARGE) {
            refused++;
            continue;
        }
        messages++;
        bytes_total += message.bytes;
        size_t used = strlen(found);
        if (used + message.bytes + 2 < sizeof(found)) {
            snprintf(found + used, sizeof(found) - used, "%.*s|", (int)message.bytes,
                     (const char *)message.data);
        }
    }
    done = true;
    fake_node_wake(io);
}

static void pull_now(struct io_timer *timer)
{
    (void)timer;
    pull(NULL);
}

static char *make_file(const char *text, size_t bytes)
{
    static char paths[4][64];
    static int paths_count;
    char *path = paths[paths_count++];
    snprintf(path, sizeof(paths[0]), "/tmp/raftmq-input-test.XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
    return path;
}

static void read_files(char *const *paths, int count, char delimiter, bool whole, size_t bytes_max)
{
    struct io_timer post = {.fire = pull_now};
    io = io_uv_create(1);
    input_init(&input, io, paths, count, delimiter, whole, bytes_max, pull, NULL);
    io_post(io, &post);
    fake_node_run_until(io, &done);
    snprintf(error, sizeof(error), "%s", input.error);
    input_close(&input);
    io_uv_destroy(io);
    for (int i = 0; i < count; i++) {
        unlink(paths[i]);
    }
}

Test(cli_input, lines_of_several_files_come_in_order_and_empty_ones_count)
{
    char *paths[] = {make_file("a\n\nbc\n", 6), make_file("", 0), make_file("d", 1)};
    read_files(paths, 3, '\n', false, 100);
    cr_assert_str_eq(found, "a||bc|d|");
    cr_assert_eq(last, INPUT_END);
}

Test(cli_input, a_line_across_chunks_is_whole)
{
    size_t bytes = 3 * INPUT_CHUNK_BYTES + 17;
    char *text = malloc(bytes);
    memset(text, 'x', bytes);
    text[INPUT_CHUNK_BYTES - 1] = '\n';
    text[INPUT_CHUNK_BYTES] = '\n';
    char *paths[] = {make_file(text, bytes)};
    read_files(paths, 1, '\n', false, bytes);
    cr_assert_eq(messages, 3);
    cr_assert_eq(bytes_total, bytes - 2);
    free(text);
}

Test(cli_input, a_message_that_is_too_large_is_skipped_and_told_and_the_next_one_read)
{
    size_t bytes = 2 * INPUT_CHUNK_BYTES;
    char *text = malloc(bytes + 4);
    memset(text, 'x', bytes);
    memcpy(text + bytes, "\nok\n", 4);
    char *paths[] = {make_file(text, bytes + 4)};
    read_files(paths, 1, '\n', false, 1000);
    cr_assert_eq(refused, 1);
    cr_assert_str_eq(found, "ok|");
    free(text);
}

Test(cli_input, whole_files_are_one_message_each_also_empty_ones)
{
    char *paths[] = {make_file("a\nb\n", 4), make_file("", 0)};
    read_files(paths, 2, '\n', true, 100);
    cr_assert_eq(messages, 2);
    cr_assert_str_eq(found, "a\nb\n||");
}

Test(cli_input, another_delimiter_splits_there)
{
    char *paths[] = {make_file("a\0b\nc\0", 6)};
    read_files(paths, 1, '\0', false, 100);
    cr_assert_eq(messages, 2);
    cr_assert_str_eq(found, "a|b\nc|");
}

Test(cli_input, a_file_that_is_missing_is_an_error_with_its_name)
{
    char path[] = "/nowhere/input";
    char *paths[] = {path};
    read_files(paths, 1, '\n', false, 100);
    cr_assert_eq(last, INPUT_FAILED);
    cr_assert(strstr(error, "/nowhere/input"), "%s", error);
}
