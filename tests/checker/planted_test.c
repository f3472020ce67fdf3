/* Planted histories: each file under histories/ is called by exactly the class that it names, and by no other. */
#include "history_text.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT "# expect: "

struct planted {
    char path[512];
};

/* What the second line of a planted history says. */
struct expectation {
    char class[64]; /* "clean" for none */
    unsigned long count;
};

static struct expectation expectation_of(const char *line)
{
    struct expectation expectation = {.count = 0};
    int fields = sscanf(line, EXPECT "%63s %lu", expectation.class, &expectation.count);
    cr_assert(fields >= 1);
    cr_assert_eq(fields == 1, strcmp(expectation.class, "clean") == 0);
    return expectation;
}

#define LINES_MAX 100

/* The lines of a file that hold operations, by the time of completion. */
struct lines {
    char *text[LINES_MAX];
    uint64_t completed[LINES_MAX];
    size_t count;
};

static void lines_insert(struct lines *lines, const char *line)
{
    uint64_t completed;
    enum history_text_result result = history_text_completed(line, strlen(line), &completed);
    if (result == HISTORY_TEXT_NOTHING) return;
    cr_assert_eq(result, HISTORY_TEXT_OP, "%s", line);
    cr_assert_lt(lines->count, LINES_MAX);
    size_t at = lines->count++;
    for (; at > 0 && lines->completed[at - 1] > completed; at--) {
        lines->text[at] = lines->text[at - 1];
        lines->completed[at] = lines->completed[at - 1];
    }
    lines->text[at] = strdup(line);
    lines->completed[at] = completed;
}

static struct lines read_lines(const char *path, struct expectation *ret_expectation)
{
    struct lines lines = {.count = 0};
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    char *line = NULL;
    size_t capacity = 0;
    bool expected = false;
    for (ssize_t bytes; (bytes = getline(&line, &capacity, file)) > 0;) {
        line[bytes - 1] = 0;
        if (strncmp(line, EXPECT, strlen(EXPECT)) == 0) {
            *ret_expectation = expectation_of(line);
            expected = true;
        }
        lines_insert(&lines, line);
    }
    free(line);
    fclose(file);
    cr_assert(expected, "%s expects nothing", path);
    return lines;
}

static struct history *judge_file(const char *path, struct expectation *ret_expectation)
{
    struct lines lines = read_lines(path, ret_expectation);
    struct history *history = history_create(&(struct history_options){.witnesses_max = 3});
    struct history_text text;
    history_text_init(&text, history);
    for (size_t i = 0; i < lines.count; i++) {
        struct history_op op;
        enum history_text_result result =
            history_text_parse(&text, lines.text[i], strlen(lines.text[i]), &op);
        cr_assert_eq(result, HISTORY_TEXT_OP, "%s: %s: %s", path, lines.text[i], text.error);
        enum history_status status = history_add(history, &op);
        cr_assert_eq(status, HISTORY_OK, "%s: %s: %s", path, lines.text[i],
                     history_status_text(status));
        free(lines.text[i]);
    }
    history_text_close(&text);
    history_finish(history);
    return history;
}

static struct planted *planted_histories(size_t *ret_count)
{
    static struct planted histories[100];
    size_t count = 0;
    DIR *folder = opendir(HISTORIES);
    cr_assert_not_null(folder, "%s", HISTORIES);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t bytes = strlen(entry->d_name);
        if (bytes < 4 || strcmp(entry->d_name + bytes - 4, ".txt") != 0) continue;
        cr_assert_lt(count, sizeof(histories) / sizeof(histories[0]));
        snprintf(histories[count].path, sizeof(histories[count].path), "%s/%s", HISTORIES,
                 entry->d_name);
        count++;
    }
    closedir(folder);
    *ret_count = count;
    return histories;
}

ParameterizedTestParameters(history_planted, is_called_by_exactly_its_class)
{
    size_t count;
    struct planted *histories = planted_histories(&count);
    return cr_make_param_array(struct planted, histories, count);
}

ParameterizedTest(struct planted *planted, history_planted, is_called_by_exactly_its_class)
{
    struct expectation expectation;
    struct history *history = judge_file(planted->path, &expectation);
    bool known = strcmp(expectation.class, "clean") == 0;
    for (enum history_anomaly i = 0; i < HISTORY_ANOMALIES_COUNT; i++) {
        bool expected = strcmp(history_anomaly_name(i), expectation.class) == 0;
        known = known || expected;
        cr_expect_eq(history_anomaly_count(history, i), expected ? expectation.count : 0,
                     "%s: %s %lu times: %s", planted->path, history_anomaly_name(i),
                     (unsigned long)history_anomaly_count(history, i),
                     history_witness(history, i, 0));
        if (!expected) continue;
        const char *witness = history_witness(history, i, 0);
        cr_assert_not_null(witness);
        cr_expect(strstr(witness, "orders/") == witness, "names its partition: %s", witness);
    }
    cr_expect(known, "%s expects an unknown class", planted->path);
    history_destroy(history);
}

Test(history_planted, there_is_one_for_every_class)
{
    size_t count;
    struct planted *histories = planted_histories(&count);
    uint64_t seen[HISTORY_ANOMALIES_COUNT] = {0};
    for (size_t i = 0; i < count; i++) {
        struct expectation expectation;
        struct history *history = judge_file(histories[i].path, &expectation);
        for (enum history_anomaly j = 0; j < HISTORY_ANOMALIES_COUNT; j++) {
            seen[j] += history_anomaly_count(history, j);
        }
        history_destroy(history);
    }
    for (enum history_anomaly i = 0; i < HISTORY_ANOMALIES_COUNT; i++) {
        cr_expect_gt(seen[i], 0, "no planted history for %s", history_anomaly_name(i));
    }
}
