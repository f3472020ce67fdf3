/* raftmq-history-bench: how fast histories are judged, on one core. Makes a clean history in memory (not timed), then
 * judges it through the C interface and again from its text. Not a test: it takes seconds and its result is a speed. */
#include "history_text.h"
#include "model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_speed(const char *what, const struct history *history, double seconds)
{
    struct history_totals totals;
    history_totals(history, &totals);
    printf("%s: %" PRIu64 " operations (%" PRIu64 " messages sent or read, %" PRIu64
           " distinct) in %.3f CPU-s: %.2f million operations/s, %.1f MB\n",
           what, totals.operations, totals.messages_distinct + totals.messages_read,
           totals.messages_distinct, seconds, (double)totals.operations / seconds / 1e6,
           (double)totals.memory_bytes / 1e6);
}

static bool is_clean(const struct history *history)
{
    if (history_anomalies(history) > 0) history_print(history, stdout);
    return history_anomalies(history) == 0;
}

static bool bench_memory(const struct recording *recording)
{
    struct history *history = history_create(&(struct history_options){.witnesses_max = 5});
    double start = cpu_seconds();
    enum history_status status = recording_judge(recording, history);
    double seconds = cpu_seconds() - start;
    bool ok = status == HISTORY_OK && is_clean(history);
    print_speed("from memory", history, seconds);
    history_destroy(history);
    return ok;
}

static bool bench_text(const struct recording *recording)
{
    char *lines = NULL;
    size_t bytes = 0;
    struct history *history = history_create(&(struct history_options){.witnesses_max = 5});
    recording_names(recording, history);
    FILE *out = open_memstream(&lines, &bytes);
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        history_text_print(history, &recording->ops[i], out);
    }
    fclose(out);

    struct history_text text;
    history_text_init(&text, history);
    bool ok = true;
    double start = cpu_seconds();
    for (const char *at = lines, *newline; at < lines + bytes && ok; at = newline + 1) {
        struct history_op op;
        newline = memchr(at, '\n', (size_t)(lines + bytes - at));
        ok = history_text_parse(&text, at, (size_t)(newline - at), &op) == HISTORY_TEXT_OP &&
             history_add(history, &op) == HISTORY_OK;
    }
    history_finish(history);
    double seconds = cpu_seconds() - start;
    ok = ok && is_clean(history);
    print_speed("from text", history, seconds);
    history_text_close(&text);
    history_destroy(history);
    free(lines);
    return ok;
}

int main(int argc, char **argv)
{
    uint32_t operations = 1000000;
    if (argc == 2) operations = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2 || operations == 0) {
        fputs("Usage: raftmq-history-bench [OPERATIONS]\n", stderr);
        return 2;
    }
    struct model_options options = {
        .seed = 1,
        .partitions = 8,
        .producers = 40,
        .plain_producers = 8,
        .readers = 40,
        .committers = 8,
        .operations = operations,
        .batch_count_max = 4,
        .read_count_max = 16,
        .faults = true,
    };
    struct recording recording = model_run(&options);
    bool ok = bench_memory(&recording) && bench_text(&recording);
    recording_close(&recording);
    return ok ? 0 : 1;
}
