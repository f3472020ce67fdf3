/* `raftmq produce` to its end: what it says is stored when a batch was refused. */
#include <broker/io_uv.h>
#include <criterion/criterion.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_code.h"
#include "fake_node.h"

#define LOOK_US    10000u
#define SAID_BYTES 4096
#define LINES_FILE "/produce_test_XXXXXX"

#define STORED "HTTP/1.1 201 Created\r\nContent-Length: 14\r\n\r\n{\"offset\": 10}"
#define DESCRIPTION                                                      \
    "{\"partition_list\":[{\"partition\":0}],\"max_message_bytes\":300," \
    "\"producer_id\":7,\"epoch\":0}"

struct refusal {
    const char *status; /* NULL: stored */
    const char *body;
};

#define DISK_FULL                                                                   \
    {                                                                               \
        "507", "{\"type\":\"urn:raftmq:problem:disk-full\",\"title\":\"no space\"}" \
    }
#define A_GAP                                                                                \
    {                                                                                        \
        "409", "{\"type\":\"urn:raftmq:problem:out-of-order-sequence\",\"title\":\"a gap\"}" \
    }

/* The command is a process of its own: it ends itself when a read of its input is still under way. */
static struct fake_node node;
static struct io *io;
static pid_t command;
static int command_status;
static bool over;
static int batches_count;
static int together_count; /* so many of them are in flight before the first is answered */
static const struct refusal *refusals; /* of the batches, in their order */

static char said[SAID_BYTES]; /* by the command on stderr */
static char path[256];

static const char *with_length(const char *status, const char *body)
{
    static char answer[512];
    snprintf(answer, sizeof(answer), "HTTP/1.1 %s X\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    return answer;
}

static const char *answer_to(const struct refusal *refusal)
{
    return refusal->status ? with_length(refusal->status, refusal->body) : STORED;
}

/* The batches come on one connection, so their answers go out in order. What is no batch asks for the topic, the cluster or a
 * producer id. */
static const char *answer_next(struct fake_node *self, int index)
{
    static char answers[2048];
    if (self->requests[index].base_sequence == -2) return with_length("200", DESCRIPTION);
    batches_count++;
    if (batches_count > together_count) return answer_to(&refusals[batches_count - 1]);
    if (batches_count < together_count) return "";
    size_t bytes = 0;
    for (int i = 0; i < together_count; i++) {
        bytes += (size_t)snprintf(answers + bytes, sizeof(answers) - bytes, "%s",
                                  answer_to(&refusals[i]));
    }
    return answers;
}

static void look_whether_it_is_over(struct io_timer *timer)
{
    over = waitpid(command, &command_status, WNOHANG) == command;
    if (over) {
        fake_node_wake(io);
    } else {
        io_timer_start(io, timer, LOOK_US);
    }
}

static void write_lines(const char *lines)
{
    const char *directory = getenv("TMPDIR");
    if (!lines) {
        snprintf(path, sizeof(path), "/there/is/no/such/file");
        return;
    }
    snprintf(path, sizeof(path), "%s" LINES_FILE, directory ? directory : "/tmp");
    const int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, lines, strlen(lines)), (ssize_t)strlen(lines));
    close(file);
}

static pid_t start_command(const char *idempotent, FILE *terminal)
{
    char program[] = RAFTMQ_PROGRAM, verb[] = "produce", topic[] = "t", batch[] = "--batch=1";
    char ids[32], server[80];
    char *words[] = {program, verb, topic, batch, ids, server, path, NULL};
    posix_spawn_file_actions_t actions;
    pid_t process;
    snprintf(ids, sizeof(ids), "--idempotent=%s", idempotent);
    snprintf(server, sizeof(server), "--server=%s", node.address);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(terminal), STDERR_FILENO);
    cr_assert_eq(posix_spawn(&process, program, &actions, NULL, words, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return process;
}

/* A batch for each line; NULL: of a file that is not there. Returns the exit status. */
static int produce(const char *lines, const char *idempotent, const struct refusal *given)
{
    struct io_timer look = {.fire = look_whether_it_is_over};
    FILE *const terminal = tmpfile();
    cr_assert_not_null(terminal);
    refusals = given;
    write_lines(lines);
    io = io_uv_create(1);
    fake_node_listen(&node, io, answer_next);
    command = start_command(idempotent, terminal);
    io_timer_start(io, &look, LOOK_US);
    fake_node_run_until(io, &over);
    rewind(terminal);
    said[fread(said, 1, sizeof(said) - 1, terminal)] = '\0';
    fclose(terminal);
    io_uv_destroy(io);
    fake_node_close(&node);
    unlink(path);
    cr_assert(WIFEXITED(command_status), "%s", said);
    return WEXITSTATUS(command_status);
}

/* Space returns between two batches that are in flight together. */
Test(cli_produce, without_ids_what_is_stored_need_not_be_the_first)
{
    static const struct refusal refusals_given[5] = {DISK_FULL};
    together_count = 5;
    cr_assert_eq(produce("a\nb\nc\nd\ne\n", "off", refusals_given), EXIT_CODE_PARTIAL, "%s", said);
    cr_assert_eq(batches_count, 5);
    cr_assert(strstr(said, "  4 messages are stored, the others are not"), "%s", said);
}

Test(cli_produce, behind_a_message_that_was_too_large_what_is_stored_is_not_the_first)
{
    static const struct refusal refusals_given[3] = {{NULL, NULL}, {NULL, NULL}, DISK_FULL};
    char lines[1024];
    snprintf(lines, sizeof(lines), "a\n%0500d\nb\nc\n", 0);
    cr_assert_eq(produce(lines, "on", refusals_given), EXIT_CODE_PARTIAL, "%s", said);
    cr_assert(strstr(said, "  2 messages are stored, the others are not"), "%s", said);
}

Test(cli_produce, with_ids_what_is_stored_are_the_first)
{
    static const struct refusal refusals_given[5] = {
        {NULL, NULL}, {NULL, NULL}, DISK_FULL, A_GAP, A_GAP};
    cr_assert_eq(produce("a\nb\nc\nd\ne\n", "on", refusals_given), EXIT_CODE_PARTIAL, "%s", said);
    cr_assert(strstr(said, "the first 2 messages are stored, the others are not"), "%s", said);
}

/* A proxy that answers for a node: the second batch may be stored. */
Test(cli_produce, what_was_answered_by_no_node_may_be_stored)
{
    static const struct refusal refusals_given[2] = {{NULL, NULL}, {"500", ""}};
    cr_assert_eq(produce("a\nb\n", "on", refusals_given), EXIT_CODE_UNKNOWN, "%s", said);
    cr_assert(strstr(said, "1 were acknowledged"), "%s", said);
    cr_assert(strstr(said, "up to 1 more may be"), "%s", said);
    cr_assert_not(strstr(said, "the others are not"), "%s", said);
}

Test(cli_produce, a_file_that_cannot_be_opened_is_told_with_the_reason)
{
    cr_assert_eq(produce(NULL, "off", NULL), EXIT_CODE_FAILED);
    cr_assert(strstr(said, "cannot open /there/is/no/such/file: No such file"), "%s", said);
}
