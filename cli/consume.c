/* `raftmq consume`: messages of a topic to stdout, in order within each partition.
 *
 * With a group, what was written to stdout is committed once a second and at the end, by a job beside the loop; the next
 * run begins there. A crash in between shows some messages again, and never leaves one out. */
#include <assert.h>
#include <broker/io_uv.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "consumer.h"
#include "format.h"
#include "group_offset.h"
#include "message.h"
#include "problem.h"
#include "quantity.h"
#include "topic_info.h"
#include "verbs.h"

#define COMMIT_US 1000000u
/* A node that hangs is noticed behind the end of a long poll alone, so polls are short: one small request a second for each
 * partition, in which a read is confirmed as any other. */
#define WAIT_MS      1000u
#define ANSWER_US    1000000u
#define FETCH_BYTES  (4u * 1024u * 1024u)
#define OUTPUT_BYTES (256u * 1024u)

struct consume;

struct consume_partition {
    struct consume *consume;
    struct consumer consumer;
    uint32_t number;
    bool end_known;
    uint64_t end; /* with -e: the high watermark of the first answer */
    bool done;
    uint64_t printed; /* next offset to print: all before it is with stdio */
    bool printed_any;
    uint64_t written; /* next offset to commit: all before it is in the output */
    bool written_known;
    uint64_t committed; /* last one stored, UINT64_MAX: none */
};

struct consume {
    const struct options *options;
    struct client client;
    struct io *io;
    const char *topic;
    const char *group;
    const char *format; /* NULL: --json */
    bool exits_at_end;
    uint64_t count_max; /* 0: no limit */
    uint64_t count, bytes;
    struct consume_partition *partitions;
    uint32_t partitions_count;
    struct io_timer commit_timer;
    struct io_job commit_job;
    struct io_job_queue *commit_queue;
    struct group_offset *commits; /* of the job */
    uint32_t commits_count;
    struct client commit_client; /* the job's own */
    bool committing, stopping, interrupted, told_from;
    char commit_problem[512];
    uint64_t started_us, last_us;
    enum exit_code code;
};

static void stop(struct consume *consume)
{
    if (consume->stopping) return;
    consume->stopping = true;
    io_uv_stop(consume->io);
}

/* ---- records ------------------------------------------------------------------------------------------------ */

static bool on_record(void *data, const struct record_batch_header *batch,
                      const struct record_view *record)
{
    struct consume_partition *partition = data;
    struct consume *consume = partition->consume;
    if (partition->end_known && record->offset >= partition->end) return false;
    if (consume->count_max > 0 && consume->count >= consume->count_max) return false;
    struct format_message message = {
        .topic = consume->topic, .partition = partition->number, .batch = batch, .record = record};
    if (consume->format) {
        format_print(consume->format, &message, stdout);
    } else {
        format_print_json(&message, stdout);
    }
    consume->count++;
    consume->bytes += record->value_bytes;
    partition->printed = record->offset + 1;
    partition->printed_any = true;
    return consume->count_max == 0 || consume->count < consume->count_max;
}

static bool all_done(const struct consume *consume)
{
    for (uint32_t i = 0; i < consume->partitions_count; i++) {
        if (!consume->partitions[i].done) return false;
    }
    return true;
}

static void on_fetched(void *data, uint64_t next_offset, uint64_t high_watermark)
{
    struct consume_partition *partition = data;
    struct consume *consume = partition->consume;
    if (consume->exits_at_end && !partition->end_known) {
        partition->end_known = true;
        partition->end = high_watermark;
    }
    consume->last_us = io_now_us(consume->io);
    if (!message_output_flush()) {
        if (message_output_is_lost()) consume->code = EXIT_CODE_FAILED;
        stop(consume);
        return;
    }
    partition->written = partition->printed;
    partition->written_known = partition->printed_any;
    if (consume->count_max > 0 && consume->count >= consume->count_max) {
        stop(consume);
        return;
    }
    if (partition->end_known && next_offset >= partition->end) {
        partition->done = true;
        if (all_done(consume)) stop(consume);
        return;
    }
    if (!consume->stopping) consumer_fetch(&partition->consumer);
}

/* The command that goes on behind what is lost: nobody skips it by himself. */
static void hint_behind_damage(const struct consume_partition *partition)
{
    const struct consume *consume = partition->consume;
    const uint64_t next = partition->consumer.behind_damage;
    if (next > 0 && consume->group) {
        message_hint("raftmq group seek %s --topic %s --partition %" PRIu32 " --to %" PRIu64
                     " --execute   goes on behind it",
                     consume->group, consume->topic, partition->number, next);
    } else if (next > 0) {
        message_hint("raftmq consume %s --partition %" PRIu32 " --from %" PRIu64
                     "   goes on behind it",
                     consume->topic, partition->number, next);
    }
    message_hint("raftmq cluster status   tells what is damaged, and who could not repair it");
}

static void on_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    struct consume_partition *partition = data;
    struct consume *consume = partition->consume;
    if (consume->code == EXIT_CODE_OK) {
        consume->code = code;
        char from[CONSUMER_FROM_BYTES];
        snprintf(from, sizeof(from), "%s", partition->consumer.from);
        if (partition->consumer.position_known) {
            snprintf(from, sizeof(from), "%" PRIu64, partition->consumer.position);
        }
        message_error("%s, partition %" PRIu32 ", at %s: %s", consume->topic, partition->number,
                      from, reason);
        const char *hint = problem_hint(slug, 0);
        if (hint) message_hint(hint, consume->topic);
        if (strcmp(slug, "damaged") == 0) hint_behind_damage(partition);
        if (code == EXIT_CODE_UNAVAILABLE) {
            message_hint("raftmq cluster status   shows what the cluster is waiting for");
        }
    }
    stop(consume);
}

/* Trimmed before it was read: said, and then it depends on --on-trimmed. */
static bool on_trimmed(void *data, uint64_t position, uint64_t first_offset)
{
    const struct consume_partition *partition = data;
    const struct consume *consume = partition->consume;
    if (strcmp(options_text(consume->options, "on-trimmed"), "fail") == 0) return false;
    message_note("%s, partition %" PRIu32 ": %" PRIu64 " message%s from offset %" PRIu64
                 " on were trimmed before they were read; going on at %" PRIu64,
                 consume->topic, partition->number, first_offset - position,
                 first_offset - position == 1 ? "" : "s", position, first_offset);
    return true;
}

/* ---- committing --------------------------------------------------------------------------------------------- */

static uint32_t collect_commits(struct consume *consume)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < consume->partitions_count; i++) {
        const struct consume_partition *partition = &consume->partitions[i];
        if (!partition->written_known || partition->written == partition->committed) continue;
        consume->commits[count++] = (struct group_offset){
            .partition = partition->number, .offset = partition->written, .slot = i};
    }
    consume->commits_count = count;
    return count;
}

/* On a worker thread, or after the loop has ended. */
static void commit_run(struct io_job *job)
{
    struct consume *consume = job->data;
    consume->commit_problem[0] = '\0';
    for (uint32_t i = 0; i < consume->commits_count; i++) {
        struct group_offset *commit = &consume->commits[i];
        commit->stored = group_offset_commit(&consume->commit_client, consume->group,
                                             consume->topic, commit, consume->commit_problem,
                                             sizeof(consume->commit_problem)) == EXIT_CODE_OK;
    }
}

static void commit_done(struct io_job *job)
{
    struct consume *consume = job->data;
    consume->committing = false;
    for (uint32_t i = 0; i < consume->commits_count; i++) {
        const struct group_offset *commit = &consume->commits[i];
        if (commit->stored) consume->partitions[commit->slot].committed = commit->offset;
    }
    if (consume->stopping) io_uv_stop(consume->io);
}

static void commit_now(struct io_timer *timer)
{
    struct consume *consume = timer->data;
    if (!consume->committing && collect_commits(consume) > 0) {
        consume->committing = true;
        io_job_submit(consume->io, consume->commit_queue, &consume->commit_job);
    }
    io_timer_start(consume->io, timer, COMMIT_US);
}

/* The last commit, with the loop at rest. */
static enum exit_code commit_rest(struct consume *consume)
{
    if (!consume->group || collect_commits(consume) == 0) return EXIT_CODE_OK;
    commit_run(&consume->commit_job);
    commit_done(&consume->commit_job);
    if (consume->commit_problem[0] == '\0') return EXIT_CODE_OK;
    message_error("the position of group %s could not be stored: %s", consume->group,
                  consume->commit_problem);
    message_hint("the next run shows the messages since the last commit again");
    return EXIT_CODE_UNAVAILABLE;
}

/* ---- set up ------------------------------------------------------------------------------------------------- */

static void on_signal(void *data, int number)
{
    struct consume *consume = data;
    if (consume->interrupted) _exit(128 + number);
    consume->interrupted = true;
    stop(consume);
}

/* "@time" in any form we read becomes "@<Unix ms>". False: not a starting point. */
static bool read_from(const char *text, char *ret_from)
{
    int64_t ms;
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    if (strcmp(text, "earliest") == 0 || strcmp(text, "latest") == 0) {
        snprintf(ret_from, CONSUMER_FROM_BYTES, "%s", text);
    } else if (text[0] == '@' && quantity_parse_time(text + 1, &ms)) {
        snprintf(ret_from, CONSUMER_FROM_BYTES, "@%" PRId64, ms);
    } else if (digits > 0 && digits <= 18 && text[(*text == '-') + digits] == '\0') {
        snprintf(ret_from, CONSUMER_FROM_BYTES, "%s", text);
    } else {
        message_error("--from '%.60s' is not a place to start", text);
        message_hint(
            "earliest, latest, an offset, -N for the last N, or @time as in @2026-01-31T12:00:00Z");
        return false;
    }
    return true;
}

/* A stream of messages has one JSON form: `-o json` and `-o ndjson` both mean --json. */
static bool wants_json(const char *output)
{
    return output && (strcmp(output, "json") == 0 || strcmp(output, "ndjson") == 0);
}

static bool check_options(struct consume *consume, char *ret_from)
{
    const struct options *options = consume->options;
    consume->topic = options->arguments[0];
    consume->group = options_text(options, "group");
    bool json = options_on(options, "json") || wants_json(options_text(options, "output"));
    consume->format = json ? NULL : options_text(options, "format");
    consume->exits_at_end = options_on(options, "exit-at-end");
    consume->count_max = options_number(options, "count");
    if (!topic_name_check("topic", consume->topic)) return false;
    if (consume->group && !topic_name_check("group", consume->group)) return false;
    if (consume->format && format_problem(consume->format)) {
        message_error("the format '%.100s' is not valid: %s", consume->format,
                      format_problem(consume->format));
        message_hint("%s", FORMAT_HELP);
        return false;
    }
    if (json && options_is_set(options, "format")) {
        message_error("JSON and --format exclude each other");
        return false;
    }
    if (consume->exits_at_end && options_on(options, "follow")) {
        message_error("--follow and --exit-at-end exclude each other");
        return false;
    }
    return read_from(options_text(options, "from"), ret_from);
}

/* Once, whatever the number of partitions. */
static void tell_from_ignored(struct consume *consume, const struct consume_partition *partition)
{
    if (consume->told_from) return;
    consume->told_from = true;
    message_note("--from is ignored in partition %" PRIu32 ": group %s goes on at %" PRIu64,
                 partition->number, consume->group, partition->committed);
    message_note("  raftmq group seek %s --topic %s --to %s --execute   moves it", consume->group,
                 consume->topic, options_text(consume->options, "from"));
}

static enum exit_code open_partition(struct consume *consume, uint32_t slot, uint32_t number,
                                     const char *from)
{
    struct consume_partition *partition = &consume->partitions[slot];
    char start[CONSUMER_FROM_BYTES];
    snprintf(start, sizeof(start), "%s", from);
    partition->consume = consume;
    partition->number = number;
    partition->committed = UINT64_MAX;
    if (consume->group) {
        uint64_t offset;
        bool found = false;
        enum exit_code code = group_offset_get(&consume->client, consume->group, consume->topic,
                                               number, &found, &offset);
        if (code != EXIT_CODE_OK) return code;
        if (found) snprintf(start, sizeof(start), "%" PRIu64, offset);
        if (found) partition->committed = offset;
        if (found && options_is_set(consume->options, "from"))
            tell_from_ignored(consume, partition);
    }
    struct consumer_options consumer_options = {
        .io = consume->io,
        .servers = &consume->client.servers,
        .topic = consume->topic,
        .partition = number,
        .from = start,
        .wait_ms = consume->exits_at_end ? 0 : WAIT_MS,
        .answer_timeout_us = ANSWER_US,
        .bytes_max = FETCH_BYTES,
        .retry_for_us =
            options_is_set(consume->options, "timeout") ? consume->client.timeout_us : 60000000u,
        .checks_crc = true,
        .record = on_record,
        .fetched = on_fetched,
        .failed = on_failed,
        .trimmed = on_trimmed,
        .data = partition,
    };
    consumer_init(&partition->consumer, &consumer_options);
    consumer_fetch(&partition->consumer);
    return EXIT_CODE_OK;
}

static enum exit_code open_partitions(struct consume *consume, const char *from)
{
    struct topic_info topic;
    enum exit_code code = topic_info_get(&consume->client, consume->topic, &topic);
    if (code != EXIT_CODE_OK) return code;
    if (!topic.exists) {
        message_error("%s: there is no such topic", consume->topic);
        message_hint(problem_hint("topic-not-found", 404), consume->topic);
        return EXIT_CODE_NOT_FOUND;
    }
    client_learn_servers(&consume->client,
                         NULL); /* for a failover; the given node stays the one that is read */
    bool one = options_is_set(consume->options, "partition");
    uint64_t first = options_number(consume->options, "partition");
    if (one && first >= topic.partitions_count) {
        message_error("%s has no partition %" PRIu64 "; it has %" PRIu32, consume->topic, first,
                      topic.partitions_count);
        return EXIT_CODE_NOT_FOUND;
    }
    uint32_t count = one ? 1 : topic.partitions_count;
    consume->partitions = calloc(count, sizeof(*consume->partitions));
    consume->commits = calloc(count, sizeof(*consume->commits));
    assert(consume->partitions);
    assert(consume->commits);
    for (; consume->partitions_count < count; consume->partitions_count++) {
        uint32_t slot = consume->partitions_count;
        code = open_partition(consume, slot, one ? (uint32_t)first : slot, from);
        if (code != EXIT_CODE_OK) return code;
    }
    return EXIT_CODE_OK;
}

static void print_summary(const struct consume *consume)
{
    char count[QUANTITY_TEXT_BYTES], rate[QUANTITY_TEXT_BYTES], answers_text[QUANTITY_TEXT_BYTES];
    uint64_t answers = 0;
    for (uint32_t i = 0; i < consume->partitions_count; i++) {
        answers += consume->partitions[i].consumer.answers_count;
    }
    uint64_t us =
        consume->last_us > consume->started_us ? consume->last_us - consume->started_us : 0;
    message_note("%s message%s  %s  %s fetch answer%s", quantity_count(count, consume->count),
                 consume->count == 1 ? "" : "s", quantity_byte_rate(rate, consume->bytes, us),
                 quantity_count(answers_text, answers), answers == 1 ? "" : "s");
}

static enum exit_code run(struct consume *consume)
{
    struct io *io = consume->io;
    io_uv_on_signal(io, SIGINT, on_signal, consume);
    io_uv_on_signal(io, SIGTERM, on_signal, consume);
    consume->commit_timer = (struct io_timer){.fire = commit_now, .data = consume};
    consume->commit_job = (struct io_job){.run = commit_run, .done = commit_done, .data = consume};
    if (consume->group) {
        client_init_for(&consume->commit_client, servers_current(&consume->client.servers),
                        consume->client.timeout_us);
        consume->commit_client.servers = consume->client.servers;
        consume->commit_queue = io_job_queue_create(io);
        assert(consume->commit_queue);
        io_timer_start(io, &consume->commit_timer, COMMIT_US);
    }
    io_uv_run(io);
    io_timer_stop(io, &consume->commit_timer);
    for (uint32_t i = 0; i < consume->partitions_count; i++) {
        consumer_close(&consume->partitions[i].consumer);
    }
    while (consume->committing) { /* commit_done() stops the loop */
        io_uv_run(io);
    }
    (void)message_output_flush();
    enum exit_code committed = commit_rest(consume);
    enum exit_code code = consume->code != EXIT_CODE_OK ? consume->code : committed;
    if (code == EXIT_CODE_OK && consume->interrupted) code = EXIT_CODE_INTERRUPTED;
    if (consume->count_max == 0 && !consume->exits_at_end && !consume->interrupted) return code;
    if (consume->interrupted) message_interrupted();
    print_summary(consume);
    return code;
}

int consume_command(const struct options *options)
{
    struct consume consume = {.options = options};
    char from[CONSUMER_FROM_BYTES];
    if (!client_init(&consume.client, options)) return EXIT_CODE_USAGE;
    enum exit_code code = EXIT_CODE_USAGE;
    if (check_options(&consume, from)) {
        setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
        consume.io = io_uv_create(1);
        code = EXIT_CODE_FAILED;
        if (!consume.io) {
            message_error("cannot start the event loop: %m");
        } else {
            consume.started_us = io_now_us(consume.io);
            code = open_partitions(&consume, from);
        }
    }
    if (code == EXIT_CODE_OK) {
        code = run(&consume);
    } else {
        for (uint32_t i = 0; i < consume.partitions_count; i++) {
            consumer_close(&consume.partitions[i].consumer);
        }
    }
    client_close(&consume.client);
    client_close(&consume.commit_client);
    if (consume.commit_queue) io_job_queue_destroy(consume.io, consume.commit_queue);
    if (consume.io) io_uv_destroy(consume.io);
    free(consume.partitions);
    free(consume.commits);
    return (int)code;
}
