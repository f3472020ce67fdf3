/* Histories as text: one operation per line, in any order (raftmq-history-check sorts by the time of completion).
 *
 *     KIND OUTCOME INVOKED COMPLETED key=value ...        # a comment, or an empty line, means nothing
 *
 *     produce   ok 100 180  session=p1 node=2 partition=orders/0 producer=7:0:12 values=7.12+3 at=10
 *     produce   unknown 190 2190  session=p1 partition=orders/0 producer=7:0:15 values=7.15
 *     fetch     ok 200 260  session=c1 node=3 partition=orders/0 from=8 got=8:1.4+2,10:7.12+3 next=13 end=13
 *     offsets   ok 270 280  session=c1 node=1 partition=orders/0 first=0 end=13
 *     commit    ok 300 310  session=c1 node=1 partition=orders/0 group=billing offset=13
 *     committed ok 320 330  session=c2 node=2 partition=orders/0 group=billing offset=13
 *     drained   ok 400 450  session=c1 partition=orders/0 first=0
 *
 * OUTCOME: ok, fail, unknown. Times: whole numbers of one clock, see history_checker.h for what they mean.
 *
 * session, partition, group   names without blanks; `session` and `partition` are always there
 * node       the node asked, "2" or "n2"; optional
 * values     FIRST[+COUNT]: the batch. A value is a number, or HIGH.LOW, both below 2^32
 * producer   ID:EPOCH:SEQUENCE of an idempotent batch, the sequence of its first message; optional
 * at         offset of the batch as the ack told it; where it told several, OFFSET[+COUNT] for each piece with commas
 * from       the offset asked for; left out for "latest" and for a stream that goes on
 * seek       (a word alone) the client meant to start there; else a session goes on where it stood
 * local      (a word alone) not a linearizable read
 * got        OFFSET:VALUE[+COUNT] with commas, in the order of the answer; left out when nothing came
 * next, end, first   what the answer told: where to go on, high watermark, log start; each optional
 * durable    (simulator) the end of what a majority had on disk when it was answered; optional
 * offset     the consumer offset; "none" when a read of it finds none */
#ifndef HISTORY_TEXT_H
#define HISTORY_TEXT_H

#include "history_checker.h"

#include <stddef.h>

struct history_text {
    struct history *history;
    struct history_run *runs; /* of the last line */
    uint32_t runs_count, runs_capacity;
    char error[200];
};

void history_text_init(struct history_text *text, struct history *history);
void history_text_close(struct history_text *text);

enum history_text_result {
    HISTORY_TEXT_OP = 1,
    HISTORY_TEXT_NOTHING,   /* empty, or a comment */
    HISTORY_TEXT_MALFORMED, /* text->error says why */
};

/* One line, without its newline; no NUL needed. The operation's runs are borrowed until the next line. */
HISTORY_CHECKED enum history_text_result history_text_parse(struct history_text *text,
                                                            const char *line, size_t bytes,
                                                            struct history_op *ret_op);

/* When the operation of a line completed, without reading the rest of the line. */
HISTORY_CHECKED enum history_text_result history_text_completed(const char *line, size_t bytes,
                                                                uint64_t *ret_completed);

/* The line of an operation, with its newline. */
void history_text_print(const struct history *history, const struct history_op *op, FILE *out);

#endif
