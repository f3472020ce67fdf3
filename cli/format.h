/* How `raftmq consume` prints a message: `-f '%o %k %v\n'`, or `--json`; and `raftmq log dump --messages`. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <broker/record_batch.h>
#include <stdio.h>

#define FORMAT_HELP                                                                               \
    "%v value  %k key  %o offset  %p partition  %t topic  %T timestamp (Unix ms)  %h headers\n"   \
    "  %L value bytes  %K key bytes  %I producer id  %S sequence  %H XXH3-64 of the value  %% a " \
    "%\n"                                                                                         \
    "  and the escapes \\n \\t \\r \\0 \\\\ \\xHH"

struct format_message {
    const char *topic; /* NULL: only files are known, which tell group and index */
    uint32_t partition;
    uint64_t group, index; /* without a topic */
    const struct record_batch_header *batch;
    const struct record_view *record;
};

/* NULL when every % and \ of the format is known, else what is wrong. */
const char *format_problem(const char *format);
/* A format without a problem. */
void format_print(const char *format, const struct format_message *message, FILE *out);
/* One JSON object and a line end; a key or value that is not UTF-8 appears as key_b64, value_b64. */
void format_print_json(const struct format_message *message, FILE *out);

/* The producer's sequence of a record; -1 when its batch has none. */
int64_t format_sequence(const struct format_message *message);

#endif
