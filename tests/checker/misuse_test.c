/* A history that breaks the caller's side is refused, line by line, and the refused line leaves no trace. */
#include "history_text.h"

#include <criterion/criterion.h>
#include <string.h>

struct judge {
    struct history *history;
    struct history_text text;
};

static struct judge judge_open(void)
{
    struct judge judge = {.history = history_create(&(struct history_options){0})};
    history_text_init(&judge.text, judge.history);
    return judge;
}

static void judge_close(struct judge *judge)
{
    history_text_close(&judge->text);
    history_destroy(judge->history);
}

static enum history_status add(struct judge *judge, const char *line)
{
    struct history_op op;
    enum history_text_result result = history_text_parse(&judge->text, line, strlen(line), &op);
    cr_assert_eq(result, HISTORY_TEXT_OP, "%s: %s", line, judge->text.error);
    return history_add(judge->history, &op);
}

#define ACCEPTS(line)         cr_assert_eq(add(&judge, line), HISTORY_OK)
#define REFUSES(status, line) cr_expect_eq(add(&judge, line), status, "%s", line)

Test(history_misuse, times_that_go_back_are_refused)
{
    struct judge judge = judge_open();
    REFUSES(HISTORY_TIME_REVERSED, "offsets ok 20 10 session=c partition=t end=0");
    ACCEPTS("offsets ok 10 20 session=c partition=t end=0");
    ACCEPTS("offsets ok 0 20 session=c partition=t end=0");
    REFUSES(HISTORY_OUT_OF_ORDER, "offsets ok 10 19 session=c partition=t end=0");
    judge_close(&judge);
}

Test(history_misuse, names_that_were_never_given_are_refused)
{
    struct judge judge = judge_open();
    struct history_op op = {.kind = HISTORY_COMMITTED, .outcome = HISTORY_OUTCOME_OK};
    cr_expect_eq(history_add(judge.history, &op), HISTORY_UNKNOWN_NAME);
    history_partition(judge.history, "t");
    cr_expect_eq(history_add(judge.history, &op), HISTORY_UNKNOWN_NAME);
    history_session(judge.history, "c");
    cr_expect_eq(history_add(judge.history, &op), HISTORY_UNKNOWN_NAME);
    history_group(judge.history, "g");
    cr_expect_eq(history_add(judge.history, &op), HISTORY_OK);
    judge_close(&judge);
}

Test(history_misuse, names_are_numbered_once)
{
    struct judge judge = judge_open();
    cr_expect_eq(history_partition(judge.history, "a"), 0);
    cr_expect_eq(history_partition(judge.history, "ab"), 1);
    cr_expect_eq(history_partition(judge.history, "a"), 0);
    cr_expect_eq(history_session(judge.history, "a"), 0);
    cr_expect_eq(history_group(judge.history, "b"), 0);
    cr_expect_eq(history_group(judge.history, "a"), 1);
    judge_close(&judge);
}

Test(history_misuse, ranges_that_cannot_be_are_refused)
{
    struct judge judge = judge_open();
    REFUSES(HISTORY_BAD_RANGE, "produce unknown 1 2 session=p partition=t values=1+0");
    REFUSES(HISTORY_BAD_RANGE, "produce unknown 1 2 session=p partition=t values=1+1048577");
    REFUSES(HISTORY_BAD_RANGE,
            "produce unknown 1 2 session=p partition=t values=18446744073709551615+2");
    REFUSES(HISTORY_BAD_RANGE, "fetch ok 1 2 session=c partition=t from=0 got=0:1+0");
    REFUSES(HISTORY_BAD_RANGE,
            "fetch ok 1 2 session=c partition=t from=0 got=18446744073709551615:1");
    REFUSES(HISTORY_BAD_RANGE,
            "commit ok 1 2 session=c partition=t group=g offset=18446744073709551615");
    judge_close(&judge);
}

Test(history_misuse, an_ack_tells_the_offsets_of_exactly_its_batch)
{
    struct judge judge = judge_open();
    REFUSES(HISTORY_BAD_ACK, "produce ok 1 2 session=p partition=t values=1+3");
    REFUSES(HISTORY_BAD_ACK, "produce ok 1 2 session=p partition=t values=1+3 at=0+2");
    REFUSES(HISTORY_BAD_ACK, "produce ok 1 2 session=p partition=t values=1+3 at=0+2,2+2");
    ACCEPTS("produce ok 1 2 session=p partition=t values=1+3 at=0+2,2");
    judge_close(&judge);
}

Test(history_misuse, only_an_ok_operation_has_an_answer_and_it_has_one)
{
    struct judge judge = judge_open();
    REFUSES(HISTORY_ANSWER_WITHOUT_OK, "produce unknown 1 2 session=p partition=t values=1 at=0");
    REFUSES(HISTORY_ANSWER_WITHOUT_OK, "fetch fail 1 2 session=c partition=t from=0 got=0:1");
    REFUSES(HISTORY_ANSWER_WITHOUT_OK, "fetch unknown 1 2 session=c partition=t from=0 end=4");
    REFUSES(HISTORY_ANSWER_WITHOUT_OK, "offsets fail 1 2 session=c partition=t end=4");
    REFUSES(HISTORY_ANSWER_WITHOUT_OK, "committed fail 1 2 session=c partition=t group=g offset=4");
    REFUSES(HISTORY_ANSWER_MISSING, "offsets ok 1 2 session=c partition=t");
    REFUSES(HISTORY_ANSWER_MISSING, "commit ok 1 2 session=c partition=t group=g offset=none");
    REFUSES(HISTORY_ANSWER_MISSING, "drained unknown 1 2 session=c partition=t");
    judge_close(&judge);
}

Test(history_misuse, a_value_belongs_to_one_batch)
{
    struct judge judge = judge_open();
    ACCEPTS("produce unknown 1 2 session=p partition=t producer=1:0:0 values=10+3");
    REFUSES(HISTORY_VALUE_REUSED,
            "produce unknown 3 4 session=p partition=t producer=1:0:0 values=10+2");
    REFUSES(HISTORY_VALUE_REUSED,
            "produce unknown 3 4 session=p partition=t producer=1:0:0 values=12+1");
    REFUSES(HISTORY_VALUE_REUSED,
            "produce unknown 3 4 session=p partition=t producer=1:0:0 values=9+2");
    ACCEPTS("produce unknown 3 4 session=p partition=u producer=1:0:0 values=9+2");
    judge_close(&judge);
}

Test(history_misuse, a_retry_keeps_its_identity)
{
    struct judge judge = judge_open();
    ACCEPTS("produce unknown 1 2 session=p partition=t producer=1:0:5 values=10");
    REFUSES(HISTORY_RESENT, "produce ok 3 4 session=p partition=t producer=2:0:5 values=10 at=0");
    REFUSES(HISTORY_RESENT, "produce ok 3 4 session=p partition=t producer=1:1:5 values=10 at=0");
    REFUSES(HISTORY_RESENT, "produce ok 3 4 session=p partition=t producer=1:0:6 values=10 at=0");
    REFUSES(HISTORY_RESENT, "produce ok 3 4 session=p partition=t values=10 at=0");
    ACCEPTS("produce ok 3 4 session=p partition=t producer=1:0:5 values=10 at=0");
    judge_close(&judge);
}

Test(history_misuse, without_a_producer_id_only_a_definite_failure_is_tried_again)
{
    struct judge judge = judge_open();
    ACCEPTS("produce fail 1 2 session=p partition=t values=10");
    ACCEPTS("produce fail 3 4 session=p partition=t values=10");
    ACCEPTS("produce unknown 5 6 session=p partition=t values=10");
    REFUSES(HISTORY_RESENT, "produce ok 7 8 session=p partition=t values=10 at=0");
    judge_close(&judge);
}

Test(history_misuse, fetches_of_one_session_follow_one_another)
{
    struct judge judge = judge_open();
    ACCEPTS("fetch ok 1 10 session=c partition=t from=0");
    REFUSES(HISTORY_SESSION_OVERLAP, "fetch ok 9 20 session=c partition=t from=0");
    ACCEPTS("fetch ok 9 20 session=c partition=u from=0");
    ACCEPTS("fetch ok 9 20 session=d partition=t from=0");
    ACCEPTS("fetch unknown 10 20 session=c partition=t from=0");
    REFUSES(HISTORY_SESSION_OVERLAP, "fetch ok 19 20 session=c partition=t from=0");
    judge_close(&judge);
}

Test(history_misuse, nothing_is_added_after_the_verdict)
{
    struct judge judge = judge_open();
    ACCEPTS("offsets ok 1 2 session=c partition=t end=0");
    history_finish(judge.history);
    REFUSES(HISTORY_FINISHED, "offsets ok 1 2 session=c partition=t end=0");
    judge_close(&judge);
}

Test(history_misuse, a_refused_operation_leaves_no_trace)
{
    struct judge judge = judge_open();
    ACCEPTS("produce ok 1 2 session=p partition=t producer=1:0:0 values=10 at=0");
    REFUSES(HISTORY_BAD_ACK, "produce ok 3 4 session=p partition=t values=20+2 at=0+1");
    REFUSES(HISTORY_BAD_RANGE, "fetch ok 3 4 session=c partition=t from=0 got=0:20,1:21+0");
    ACCEPTS("fetch ok 3 3 session=c partition=t from=0 got=0:10 next=1 end=1");
    history_finish(judge.history);
    cr_expect_eq(history_anomalies(judge.history), 0);
    struct history_totals totals;
    history_totals(judge.history, &totals);
    cr_expect_eq(totals.operations, 2);
    cr_expect_eq(totals.messages_distinct, 1);
    judge_close(&judge);
}

Test(history_misuse, only_some_witnesses_are_kept_and_all_are_counted)
{
    struct history *history = history_create(&(struct history_options){.witnesses_max = 2});
    struct judge judge = {.history = history};
    history_text_init(&judge.text, history);
    ACCEPTS("fetch ok 1 2 session=c partition=t from=0 got=0:10+4");
    history_finish(history);
    cr_expect_eq(history_anomaly_count(history, HISTORY_PHANTOM), 4);
    cr_expect_not_null(history_witness(history, HISTORY_PHANTOM, 1));
    cr_expect_null(history_witness(history, HISTORY_PHANTOM, 2));
    judge_close(&judge);
}

Test(history_misuse, where_not_every_producer_is_recorded_nothing_is_a_phantom)
{
    struct history *history = history_create(&(struct history_options){.open = true});
    struct judge judge = {.history = history};
    history_text_init(&judge.text, history);
    ACCEPTS("fetch ok 1 2 session=c partition=t from=0 got=0:10+4");
    history_finish(history);
    cr_expect_eq(history_anomalies(history), 0);
    judge_close(&judge);
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

Test(history_text, says_what_it_cannot_read)
{
    static const struct {
        const char *line, *error;
    } lines[] = {
        {"publish ok 1 2 session=p partition=t", "the first word is no kind of operation"},
        {"fetch good 1 2 session=p partition=t", "the second word is not ok, fail or unknown"},
        {"fetch ok 1 session=p partition=t", "two times must follow the outcome"},
        {"fetch ok -1 2 session=p partition=t", "two times must follow the outcome"},
        {"fetch ok 1 18446744073709551616 session=p", "two times must follow the outcome"},
        {"fetch ok 1 2 session=p", "fetch needs \"partition\""},
        {"fetch ok 1 2 partition=t", "fetch needs \"session\""},
        {"fetch ok 1 2 session=p partition=t values=1", "fetch has no \"values\""},
        {"fetch ok 1 2 session=p partition=t from=1 from=2", "\"from\" stands twice"},
        {"fetch ok 1 2 session=p partition=t colour=1", "what is \"colour=1\"?"},
        {"fetch ok 1 2 session=p partition=t seek=1", "what is \"seek=1\"?"},
        {"fetch ok 1 2 session=p partition=t from", "what is \"from\"?"},
        {"fetch ok 1 2 session= partition=t", "cannot read \"session=\""},
        {"fetch ok 1 2 session=p partition=t from=1x", "cannot read \"from=1x\""},
        {"fetch ok 1 2 session=p partition=t node=nn1", "cannot read \"node=nn1\""},
        {"fetch ok 1 2 session=p partition=t got=1", "cannot read \"got=1\""},
        {"fetch ok 1 2 session=p partition=t got=1:2,", "cannot read \"got=1:2,\""},
        {"fetch ok 1 2 session=p partition=t got=1:2+", "cannot read \"got=1:2+\""},
        {"fetch ok 1 2 session=p partition=t got=1:2.4294967296",
         "cannot read \"got=1:2.4294967296\""},
        {"produce ok 1 2 session=p partition=t", "produce needs \"values\""},
        {"produce ok 1 2 session=p partition=t values=", "cannot read \"values=\""},
        {"produce ok 1 2 session=p partition=t values=1 producer=1:2",
         "cannot read \"producer=1:2\""},
        {"produce ok 1 2 session=p partition=t values=1 at=x", "cannot read \"at=x\""},
        {"commit ok 1 2 session=p partition=t offset=1", "commit needs \"group\""},
        {"committed ok 1 2 session=p partition=t group=g",
         "a committed that is ok needs \"offset\", a number or none"},
    };
    struct judge judge = judge_open();
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct history_op op;
        enum history_text_result result =
            history_text_parse(&judge.text, lines[i].line, strlen(lines[i].line), &op);
        cr_expect_eq(result, HISTORY_TEXT_MALFORMED, "%s", lines[i].line);
        if (result == HISTORY_TEXT_MALFORMED) cr_expect_str_eq(judge.text.error, lines[i].error);
    }
    judge_close(&judge);
}

Test(history_text, comments_and_empty_lines_mean_nothing)
{
    struct judge judge = judge_open();
    static const char *const lines[] = {"", " \t", "# fetch ok 1 2", "  # x"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct history_op op;
        uint64_t completed;
        size_t bytes = strlen(lines[i]);
        cr_expect_eq(history_text_parse(&judge.text, lines[i], bytes, &op), HISTORY_TEXT_NOTHING);
        cr_expect_eq(history_text_completed(lines[i], bytes, &completed), HISTORY_TEXT_NOTHING);
    }
    ACCEPTS("fetch ok 1 2 session=c partition=t   # from=x");
    judge_close(&judge);
}
