/* What follows from what: histories with more than one fault. */
#include "history_text.h"

#include <criterion/criterion.h>
#include <string.h>

static struct history *judge(const char *const *lines)
{
    struct history *history = history_create(&(struct history_options){0});
    struct history_text text;
    history_text_init(&text, history);
    for (size_t i = 0; lines[i] != NULL; i++) {
        struct history_op op;
        enum history_text_result result =
            history_text_parse(&text, lines[i], strlen(lines[i]), &op);
        cr_assert_eq(result, HISTORY_TEXT_OP, "%s: %s", lines[i], text.error);
        cr_assert_eq(history_add(history, &op), HISTORY_OK, "%s", lines[i]);
    }
    history_text_close(&text);
    history_finish(history);
    return history;
}

static void expect_count(const struct history *history, enum history_anomaly anomaly,
                         uint64_t expected)
{
    cr_expect_eq(history_anomaly_count(history, anomaly), expected, "%s %lu times, not %lu",
                 history_anomaly_name(anomaly),
                 (unsigned long)history_anomaly_count(history, anomaly), (unsigned long)expected);
}

/* Fetches that leave out messages prove those lost that nobody else read, wherever the gaps overlap. */
Test(history_verdict, what_every_fetch_leaves_out_is_lost)
{
    struct history *history = judge((const char *[]){
        "produce ok 1 2 session=p partition=t producer=1:0:0 values=0+2 at=0",
        "produce ok 1 2 session=p partition=t producer=1:0:2 values=2 at=2",
        "produce ok 1 2 session=p partition=t producer=1:0:3 values=3 at=3",
        "produce ok 1 2 session=p partition=t producer=1:0:4 values=4+4 at=4",
        "produce ok 1 2 session=p partition=t producer=1:0:8 values=8 at=8",
        "produce ok 1 2 session=p partition=t producer=1:0:9 values=9 at=9",
        "fetch ok 5 6 session=a partition=t from=8 got=8:8 next=9",      /* never above 8 */
        "fetch ok 7 8 session=b partition=t from=0 got=0:0+2,3:3,8:8",   /* not 2, not 4..7 */
        "fetch ok 9 10 session=c partition=t from=2 got=4:4,8:8",        /* not 2, 3, 5..7 */
        "fetch ok 11 12 session=d partition=t from=4 got=4:4+2,7:7,8:8", /* not 6 */
        NULL,
    });
    expect_count(history, HISTORY_LOST_WRITE, 1); /* 2; nobody looked at 9 */
    expect_count(history, HISTORY_TORN_BATCH, 1); /* 4..7 without 6 */
    expect_count(history, HISTORY_UNSEEN, 0);
    history_destroy(history);
}

Test(history_verdict, gaps_are_joined_whatever_their_order)
{
    struct history *history = judge((const char *[]){
        "produce ok 1 2 session=p partition=t producer=1:0:0 values=10 at=10",
        "produce ok 1 2 session=p partition=t producer=1:0:1 values=35 at=35",
        "produce ok 1 2 session=p partition=t producer=1:0:2 values=50 at=50",
        "fetch ok 5 6 session=a partition=t from=20 next=40",
        "fetch ok 5 6 session=b partition=t from=5 next=30",
        "fetch ok 5 6 session=c partition=t from=22 next=24",
        "fetch ok 5 6 session=d partition=t from=51 next=60",
        NULL,
    });
    expect_count(history, HISTORY_LOST_WRITE, 2); /* 10 and 35, not 50 */
    expect_count(history, HISTORY_NONMONOTONIC_POLL, 4);
    history_destroy(history);
}

/* Told to go on behind it: no message above was read, and yet it is lost, not merely unseen. */
Test(history_verdict, an_acked_message_that_an_answer_passes_by_is_lost_at_the_end_of_the_log_too)
{
    struct history *history = judge((const char *[]){
        "produce ok 1 2 session=p partition=t producer=1:0:0 values=0 at=0",
        "produce ok 1 2 session=p partition=t producer=1:0:1 values=1 at=1",
        "fetch ok 5 6 session=a partition=t from=0 got=0:0 next=2 end=2",
        NULL,
    });
    expect_count(history, HISTORY_LOST_WRITE, 1);
    expect_count(history, HISTORY_UNSEEN, 0);
    expect_count(history, HISTORY_NONMONOTONIC_POLL, 1);
    history_destroy(history);
}

/* Old acks that come late are compared with the oldest batch of the producer that is still known. */
Test(history_verdict, an_ack_far_out_of_order_is_still_compared)
{
    struct history *history = history_create(&(struct history_options){0});
    history_partition(history, "t");
    history_session(history, "p");
    struct history_run run = {.count = 1};
    struct history_op op = {
        .kind = HISTORY_PRODUCE,
        .outcome = HISTORY_OUTCOME_OK,
        .invoked = 1,
        .produce = {.count = 1, .has_producer = true, .runs = &run, .runs_count = 1},
    };
    for (uint64_t i = 2; i < 200; i++) {
        op.completed = i;
        op.produce.sequence = op.produce.value = run.value = i;
        run.offset = i;
        cr_assert_eq(history_add(history, &op), HISTORY_OK);
    }
    op.completed = 200;
    op.produce.sequence = op.produce.value = run.value = 0;
    run.offset = 0; /* where it belongs */
    cr_assert_eq(history_add(history, &op), HISTORY_OK);
    expect_count(history, HISTORY_NONMONOTONIC_SEND, 0);
    op.produce.sequence = op.produce.value = run.value = 1;
    run.offset = 500;
    cr_assert_eq(history_add(history, &op), HISTORY_OK);
    expect_count(history, HISTORY_NONMONOTONIC_SEND, 1);
    history_destroy(history);
}

/* An ack in pieces that go back tells of its highest offset all the same. */
Test(history_verdict, an_ack_in_pieces_tells_the_end_of_the_log)
{
    struct history *history = judge((const char *[]){
        "produce ok 1 2 session=p partition=t producer=1:0:0 values=0+3 at=2+2,0",
        "offsets ok 5 6 session=a partition=t end=3",
        NULL,
    });
    expect_count(history, HISTORY_INT_NONMONOTONIC_SEND, 1);
    expect_count(history, HISTORY_STALE_READ, 1);
    history_destroy(history);
}

/* A message of a batch stands below the place where the batch must begin: the log has no room for the rest. */
Test(history_verdict, a_batch_that_would_begin_before_the_log_is_torn)
{
    struct history *history = judge((const char *[]){
        "produce unknown 1 2 session=p partition=t producer=1:0:0 values=0+3",
        "fetch ok 5 6 session=a partition=t from=0 got=0:2 next=1",
        NULL,
    });
    expect_count(history, HISTORY_TORN_BATCH, 1);
    cr_expect_eq(history_anomalies(history), 1);
    history_destroy(history);
}

/* Anomalies of messages count once, however often they are read. */
Test(history_verdict, a_fault_is_counted_once)
{
    struct history *history = judge((const char *[]){
        "produce unknown 1 2 session=p partition=t producer=1:0:0 values=0",
        "produce unknown 1 2 session=p partition=t producer=2:0:0 values=100",
        "fetch ok 5 6 session=a partition=t from=0 got=0:0 next=1",
        "fetch ok 5 6 session=b partition=t from=0 got=0:100 next=1",
        "fetch ok 7 8 session=c partition=t from=0 got=0:100 next=1",
        "fetch ok 7 8 session=d partition=t from=0 got=0:100 next=1",
        NULL,
    });
    expect_count(history, HISTORY_INCONSISTENT_OFFSETS, 1);
    cr_expect_eq(history_anomalies(history), 1);
    history_destroy(history);
}
