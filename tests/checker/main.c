/* raftmq-history-check: judges recorded histories (history_text.h). */
#include "history_text.h"

#include "checker_memory.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_CLEAN = 0,
    EXIT_ANOMALIES = 1,
    EXIT_MALFORMED = 2,
};

static const char usage[] =
    "Usage: raftmq-history-check [OPTION...] FILE...\n"
    "Judge a history of client operations against a raftmq log. FILE: one operation per line, "
    "\"-\" is standard\n"
    "input; several files, for instance one per client, are one history. Lines may stand in any "
    "order.\n"
    "\n"
    "  -w, --witnesses N   show the first N anomalies of every class (default 5)\n"
    "  -o, --open          not every producer is recorded: an unknown value is no phantom\n"
    "  -q, --quiet         print the verdict only\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 clean, 1 anomalies, 2 malformed input or no operation at all.\n"
    "The format stands in tests/checker/history_text.h, the classes in docs/TESTING.md.\n";

/* A line of input that holds an operation. */
struct line {
    uint64_t completed;
    const char *text;
    uint32_t bytes, file, number;
};

struct input {
    char **names; /* of the files */
    char **texts; /* their contents */
    uint32_t files_count;
    struct line *lines;
    uint32_t lines_count, lines_capacity;
};

static bool input_error(const struct input *input, uint32_t file, uint32_t line, const char *why)
{
    fprintf(stderr, "%s:%" PRIu32 ": %s\n", input->names[file], line, why);
    return false;
}

static bool read_whole(FILE *file, char **ret_text, size_t *ret_bytes)
{
    size_t bytes = 0, capacity = 1 << 16;
    char *text = memory_array(capacity, 1);
    for (;;) {
        bytes += fread(text + bytes, 1, capacity - bytes, file);
        if (bytes < capacity) break;
        char *larger = reallocarray(text, capacity, 2);
        if (larger == NULL) {
            free(text);
            errno = ENOMEM;
            return false;
        }
        text = larger;
        capacity *= 2;
    }
    *ret_text = text;
    *ret_bytes = bytes;
    return !ferror(file);
}

static bool split_lines(struct input *input, uint32_t file, size_t bytes)
{
    const char *at = input->texts[file], *end = at + bytes;
    for (uint32_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        /* A recorder that was killed leaves half a line, and half a number looks like a number. */
        if (newline == NULL) return input_error(input, file, number, "the last line is not whole");
        struct line line = {.text = at, .file = file, .number = number};
        if (newline - at > INT32_MAX) return input_error(input, file, number, "too long");
        line.bytes = (uint32_t)(newline - at);
        at = newline + 1;
        switch (history_text_completed(line.text, line.bytes, &line.completed)) {
        case HISTORY_TEXT_NOTHING:
            continue;
        case HISTORY_TEXT_MALFORMED:
            return input_error(input, file, number, "the fourth word is no time");
        case HISTORY_TEXT_OP:
            break;
        }
        input->lines = memory_grow(input->lines, input->lines_count, &input->lines_capacity,
                                   sizeof(*input->lines));
        input->lines[input->lines_count++] = line;
    }
    return true;
}

static bool input_read(struct input *input, char **names, uint32_t count)
{
    input->names = names;
    input->texts = memory_array(count, sizeof(char *));
    for (uint32_t i = 0; i < count; i++) {
        bool standard = strcmp(names[i], "-") == 0;
        FILE *file = standard ? stdin : fopen(names[i], "rb");
        size_t bytes = 0;
        bool ok = file != NULL && read_whole(file, &input->texts[i], &bytes);
        if (!ok) fprintf(stderr, "%s: %s\n", names[i], strerror(errno));
        if (file != NULL && !standard) fclose(file);
        input->files_count++;
        if (!ok || !split_lines(input, i, bytes)) return false;
    }
    return true;
}

static void input_close(struct input *input)
{
    for (uint32_t i = 0; i < input->files_count; i++) {
        free(input->texts[i]);
    }
    free(input->texts);
    free(input->lines);
}

/* Stable, by the time of completion, 16 bits at a time from the lowest: linear, like everything here. Digits in which no
 * two lines differ cost one look. */
static void sort_lines(struct input *input)
{
    uint32_t count = input->lines_count;
    struct line *from = input->lines, *to = memory_array(count, sizeof(*to));
    uint32_t *starts = memory_array((1 << 16) + 1, sizeof(*starts));
    for (unsigned shift = 0; shift < 64; shift += 16) {
        memset(starts, 0, ((1 << 16) + 1) * sizeof(*starts));
        for (uint32_t i = 0; i < count; i++) {
            starts[(from[i].completed >> shift & 0xffff) + 1]++;
        }
        if (starts[(from[0].completed >> shift & 0xffff) + 1] == count) continue;
        for (uint32_t i = 0; i < 1 << 16; i++) {
            starts[i + 1] += starts[i];
        }
        for (uint32_t i = 0; i < count; i++) {
            to[starts[from[i].completed >> shift & 0xffff]++] = from[i];
        }
        struct line *sorted = to;
        to = from;
        from = sorted;
    }
    input->lines = from;
    input->lines_capacity = count;
    free(to);
    free(starts);
}

static bool is_sorted(const struct input *input)
{
    for (uint32_t i = 1; i < input->lines_count; i++) {
        if (input->lines[i].completed < input->lines[i - 1].completed) return false;
    }
    return true;
}

static bool judge(struct history *history, struct input *input)
{
    struct history_text text;
    history_text_init(&text, history);
    bool ok = true;
    for (uint32_t i = 0; i < input->lines_count && ok; i++) {
        const struct line *line = &input->lines[i];
        struct history_op op;
        if (history_text_parse(&text, line->text, line->bytes, &op) != HISTORY_TEXT_OP) {
            ok = input_error(input, line->file, line->number, text.error);
            break;
        }
        enum history_status status = history_add(history, &op);
        if (status != HISTORY_OK) {
            ok = input_error(input, line->file, line->number, history_status_text(status));
        }
    }
    history_text_close(&text);
    if (ok) history_finish(history);
    return ok;
}

static int check(const struct history_options *options, bool quiet, struct input *input)
{
    if (input->lines_count == 0) {
        fputs("there is no operation in this history\n", stderr);
        return EXIT_MALFORMED;
    }
    if (!is_sorted(input)) sort_lines(input);
    struct history *history = history_create(options);
    int status = EXIT_MALFORMED;
    if (judge(history, input)) {
        uint64_t anomalies = history_anomalies(history);
        if (!quiet) history_print(history, stdout);
        if (quiet) puts(anomalies == 0 ? "clean" : "anomalies");
        status = anomalies == 0 ? EXIT_CLEAN : EXIT_ANOMALIES;
    }
    history_destroy(history);
    return status;
}

static bool parse_witnesses(const char *text, uint32_t *ret_count)
{
    char *end;
    errno = 0;
    unsigned long count = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || count == 0 || count > 10000) return false;
    *ret_count = (uint32_t)count;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"witnesses", required_argument, NULL, 'w'},
        {"open", no_argument, NULL, 'o'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct history_options history_options = {.witnesses_max = 0};
    bool quiet = false;
    for (int c; (c = getopt_long(argc, argv, "w:oqh", options, NULL)) != -1;) {
        switch (c) {
        case 'w':
            if (!parse_witnesses(optarg, &history_options.witnesses_max)) {
                fputs("--witnesses takes a number from 1 to 10000\n", stderr);
                return EXIT_MALFORMED;
            }
            break;
        case 'o':
            history_options.open = true;
            break;
        case 'q':
            quiet = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_CLEAN;
        default:
            fputs(usage, stderr);
            return EXIT_MALFORMED;
        }
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return EXIT_MALFORMED;
    }
    struct input input = {.names = NULL};
    int status = EXIT_MALFORMED;
    if (input_read(&input, argv + optind, (uint32_t)(argc - optind))) {
        status = check(&history_options, quiet, &input);
    }
    input_close(&input);
    return status;
}
