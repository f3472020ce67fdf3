/* Histories of a model that never errs pass, whatever they look like. */
#include "history_text.h"
#include "model.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 300

static void expect_clean(const struct history *history, uint64_t seed)
{
    for (enum history_anomaly i = 0; i < HISTORY_ANOMALIES_COUNT; i++) {
        cr_assert_eq(history_anomaly_count(history, i), 0, "seed %lu: %s: %s", (unsigned long)seed,
                     history_anomaly_name(i), history_witness(history, i, 0));
    }
}

Test(history_clean, concurrent_histories_pass, .timeout = 900)
{
    struct history_totals sum = {0};
    uint64_t commit_reads = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct model_options options = model_options_draw(seed);
        struct recording recording = model_run(&options);
        struct history *history = history_create(&(struct history_options){0});
        enum history_status status = recording_judge(&recording, history);
        cr_assert_eq(status, HISTORY_OK, "seed %lu: %s", (unsigned long)seed,
                     history_status_text(status));
        expect_clean(history, seed);
        struct history_totals totals;
        history_totals(history, &totals);
        cr_assert_eq(totals.operations, recording.ops_count);
        sum.operations += totals.operations;
        sum.produces_ok += totals.produces_ok;
        sum.produces_fail += totals.produces_fail;
        sum.produces_unknown += totals.produces_unknown;
        sum.fetches_ok += totals.fetches_ok;
        sum.fetches_not_ok += totals.fetches_not_ok;
        sum.messages_read += totals.messages_read;
        commit_reads += totals.commit_reads;
        history_destroy(history);
        recording_close(&recording);
    }
    /* The model does what the test is about. */
    cr_log_info("%lu operations: produce %lu ok, %lu fail, %lu unknown; fetch %lu ok, %lu not",
                (unsigned long)sum.operations, (unsigned long)sum.produces_ok,
                (unsigned long)sum.produces_fail, (unsigned long)sum.produces_unknown,
                (unsigned long)sum.fetches_ok, (unsigned long)sum.fetches_not_ok);
    cr_expect_gt(sum.produces_ok, 10000);
    cr_expect_gt(sum.produces_fail, 1000);
    cr_expect_gt(sum.produces_unknown, 1000);
    cr_expect_gt(sum.fetches_ok, 10000);
    cr_expect_gt(sum.fetches_not_ok, 1000);
    cr_expect_gt(commit_reads, 1000);
}

Test(history_clean, the_same_seed_makes_the_same_history)
{
    struct model_options options = model_options_draw(7);
    struct recording one = model_run(&options), two = model_run(&options);
    cr_assert_eq(one.ops_count, two.ops_count);
    for (uint32_t i = 0; i < one.ops_count; i++) {
        cr_assert_eq(one.ops[i].completed, two.ops[i].completed);
        cr_assert_eq(one.ops[i].kind, two.ops[i].kind);
    }
    recording_close(&one);
    recording_close(&two);
}

/* Written as text and read back, a history is the same, line by line. */
Test(history_text, survives_a_round_trip, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model_options options = model_options_draw(seed);
        struct recording recording = model_run(&options);
        struct history *written = history_create(&(struct history_options){0});
        struct history *read = history_create(&(struct history_options){0});
        recording_names(&recording, written);
        struct history_text text;
        history_text_init(&text, read);
        for (uint32_t i = 0; i < recording.ops_count; i++) {
            char *line = NULL, *again = NULL;
            size_t line_bytes = 0, again_bytes = 0;
            FILE *out = open_memstream(&line, &line_bytes);
            history_text_print(written, &recording.ops[i], out);
            fclose(out);
            struct history_op op;
            enum history_text_result result = history_text_parse(&text, line, line_bytes - 1, &op);
            cr_assert_eq(result, HISTORY_TEXT_OP, "%s%s", line, text.error);
            out = open_memstream(&again, &again_bytes);
            history_text_print(read, &op, out);
            fclose(out);
            cr_assert_str_eq(line, again);
            cr_assert_eq(history_add(read, &op), HISTORY_OK, "%s", line);
            free(line);
            free(again);
        }
        history_finish(read);
        expect_clean(read, seed);
        history_text_close(&text);
        history_destroy(written);
        history_destroy(read);
        recording_close(&recording);
    }
}

/* Lines with flipped, missing and repeated bytes are refused or mean something else; nothing reads past their end (the
 * sanitized build looks), and a history of them is judged to its end. */
Test(history_text, garbled_lines_do_no_harm, .timeout = 300)
{
    uint64_t refused = 0, taken = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct model_options options = model_options_draw(seed);
        struct dice dice = {.state = seed};
        struct recording recording = model_run(&options);
        struct history *history = history_create(&(struct history_options){0});
        recording_names(&recording, history);
        struct history_text text;
        history_text_init(&text, history);
        for (uint32_t i = 0; i < recording.ops_count; i++) {
            char *line = NULL;
            size_t bytes = 0;
            FILE *out = open_memstream(&line, &bytes);
            history_text_print(history, &recording.ops[i], out);
            fclose(out);
            uint32_t at = dice_below(&dice, (uint32_t)bytes),
                     to = dice_below(&dice, (uint32_t)bytes);
            if (dice_chance(&dice, 50)) line[at] = line[to];
            if (dice_chance(&dice, 20)) line[at] = (char)dice_below(&dice, 256);
            size_t kept = dice_chance(&dice, 20) ? to : bytes - 1;
            char *exact = malloc(kept + 1);
            memcpy(exact + 1, line, kept); /* its end is the end of the allocation */
            struct history_op op;
            bool ok = history_text_parse(&text, exact + 1, kept, &op) == HISTORY_TEXT_OP &&
                      history_add(history, &op) == HISTORY_OK;
            taken += ok;
            refused += !ok;
            free(exact);
            free(line);
        }
        history_finish(history);
        history_text_close(&text);
        history_destroy(history);
        recording_close(&recording);
    }
    cr_expect_gt(refused, 1000);
    cr_expect_gt(taken, 1000);
}
