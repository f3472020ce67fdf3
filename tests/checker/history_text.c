/* Reads and writes the text form of operations (history_text.h). */
#include "history_text.h"

#include "history_private.h"
#include "checker_memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void history_text_init(struct history_text *text, struct history *history)
{
    *text = (struct history_text){.history = history};
}

void history_text_close(struct history_text *text)
{
    free(text->runs);
    *text = (struct history_text){.history = NULL};
}

/* ---- words and numbers -------------------------------------------------------------------------------------------- */

/* What is left of the line, or of a word. */
struct rest {
    const char *at, *end;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, empty at the end of the line. */
static struct rest take_word(struct rest *line)
{
    while (line->at < line->end && is_blank(*line->at)) {
        line->at++;
    }
    struct rest word = {.at = line->at, .end = line->at};
    while (word.end < line->end && !is_blank(*word.end)) {
        word.end++;
    }
    line->at = word.end;
    return word;
}

static size_t word_bytes(const struct rest *word)
{
    return (size_t)(word->end - word->at);
}

static bool word_is(const struct rest *word, const char *text)
{
    size_t bytes = strlen(text);
    return word_bytes(word) == bytes && memcmp(word->at, text, bytes) == 0;
}

static bool take_char(struct rest *word, char c)
{
    if (word->at == word->end || *word->at != c) return false;
    word->at++;
    return true;
}

static bool take_number(struct rest *word, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *start = word->at;
    while (word->at < word->end && *word->at >= '0' && *word->at <= '9') {
        uint64_t digit = (uint64_t)(*word->at - '0');
        if (number > (UINT64_MAX - digit) / 10) return false;
        number = number * 10 + digit;
        word->at++;
    }
    *ret_number = number;
    return word->at > start;
}

static bool take_number32(struct rest *word, uint32_t *ret_number)
{
    uint64_t number;
    if (!take_number(word, &number) || number > UINT32_MAX) return false;
    *ret_number = (uint32_t)number;
    return true;
}

static bool take_value(struct rest *word, uint64_t *ret_value)
{
    uint64_t high, low;
    if (!take_number(word, &high)) return false;
    *ret_value = high;
    if (!take_char(word, '.')) return true;
    if (!take_number(word, &low) || high > UINT32_MAX || low > UINT32_MAX) return false;
    *ret_value = high << 32 | low;
    return true;
}

/* "+COUNT", or nothing. */
static bool take_count(struct rest *word, uint32_t otherwise, uint32_t *ret_count)
{
    *ret_count = otherwise;
    return !take_char(word, '+') || take_number32(word, ret_count);
}

static bool whole_number(struct rest word, uint64_t *ret_number)
{
    return take_number(&word, ret_number) && word.at == word.end;
}

static bool whole_optional(struct rest word, struct history_optional *ret_optional)
{
    ret_optional->known = whole_number(word, &ret_optional->value);
    return ret_optional->known;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

#define KEYS(X)               \
    X(SESSION, "session")     \
    X(NODE, "node")           \
    X(PARTITION, "partition") \
    X(VALUES, "values")       \
    X(PRODUCER, "producer")   \
    X(AT, "at")               \
    X(FROM, "from")           \
    X(SEEK, "seek")           \
    X(LOCAL, "local")         \
    X(GOT, "got")             \
    X(NEXT, "next")           \
    X(END, "end")             \
    X(FIRST, "first")         \
    X(DURABLE, "durable")     \
    X(GROUP, "group")         \
    X(OFFSET, "offset")

enum key {
#define X(name, text) KEY_##name,
    KEYS(X)
#undef X
        KEYS_COUNT
};

static const char *const key_texts[] = {
#define X(name, text) [KEY_##name] = text,
    KEYS(X)
#undef X
};

#define ANY     (1u << KEY_SESSION | 1u << KEY_PARTITION)
#define ANSWER  (1u << KEY_END | 1u << KEY_FIRST | 1u << KEY_DURABLE | 1u << KEY_LOCAL)
#define POLL    (1u << KEY_FROM | 1u << KEY_SEEK | 1u << KEY_GOT | 1u << KEY_NEXT)
#define SENDING (1u << KEY_PRODUCER | 1u << KEY_AT)

/* What a kind needs, and what it may have besides. */
static const struct {
    const char *name;
    uint32_t needs, may;
} kinds[] = {
    [HISTORY_PRODUCE] = {"produce", ANY | 1u << KEY_VALUES, SENDING},
    [HISTORY_FETCH] = {"fetch", ANY, ANSWER | POLL},
    [HISTORY_OFFSETS] = {"offsets", ANY, ANSWER},
    [HISTORY_COMMIT] = {"commit", ANY | 1u << KEY_GROUP | 1u << KEY_OFFSET, 0},
    [HISTORY_COMMITTED] = {"committed", ANY | 1u << KEY_GROUP, 1u << KEY_OFFSET},
    [HISTORY_DRAINED] = {"drained", ANY, 1u << KEY_FIRST},
};
#define KINDS_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const char *const outcomes[] = {
    [HISTORY_OUTCOME_OK] = "ok",
    [HISTORY_OUTCOME_FAIL] = "fail",
    [HISTORY_OUTCOME_UNKNOWN] = "unknown",
};

__attribute__((format(printf, 2, 3))) static enum history_text_result malformed(
    struct history_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text->error, sizeof(text->error), format, arguments);
    va_end(arguments);
    return HISTORY_TEXT_MALFORMED;
}

static void run_add(struct history_text *text, const struct history_run *run)
{
    text->runs = memory_grow(text->runs, text->runs_count, &text->runs_capacity, sizeof(*run));
    text->runs[text->runs_count++] = *run;
}

static bool parse_values(struct rest word, struct history_op *op)
{
    return take_value(&word, &op->produce.value) && take_count(&word, 1, &op->produce.count) &&
           word.at == word.end;
}

static bool parse_producer(struct rest word, struct history_op *op)
{
    op->produce.has_producer = true;
    return take_number(&word, &op->produce.producer) && take_char(&word, ':') &&
           take_number32(&word, &op->produce.epoch) && take_char(&word, ':') &&
           take_number(&word, &op->produce.sequence) && word.at == word.end;
}

/* Counts of 0 are filled in when the batch is known. */
static bool parse_at(struct history_text *text, struct rest word)
{
    do {
        struct history_run run = {.offset = 0};
        if (!take_number(&word, &run.offset) || !take_count(&word, 0, &run.count)) return false;
        run_add(text, &run);
    } while (take_char(&word, ','));
    return word.at == word.end;
}

static bool parse_got(struct history_text *text, struct rest word)
{
    if (word.at == word.end) return true;
    do {
        struct history_run run;
        if (!take_number(&word, &run.offset) || !take_char(&word, ':') ||
            !take_value(&word, &run.value) || !take_count(&word, 1, &run.count)) {
            return false;
        }
        run_add(text, &run);
    } while (take_char(&word, ','));
    return word.at == word.end;
}

static bool parse_node(struct rest word, uint32_t *ret_node)
{
    (void)take_char(&word, 'n');
    return take_number32(&word, ret_node) && word.at == word.end;
}

static bool parse_field(struct history_text *text, enum key key, struct rest word,
                        struct history_op *op)
{
    struct history *history = text->history;
    switch (key) {
    case KEY_SESSION:
        op->session = names_number(&history->session_names, word.at, word_bytes(&word));
        return word_bytes(&word) > 0;
    case KEY_PARTITION:
        op->partition = history__partition_number(history, word.at, word_bytes(&word));
        return word_bytes(&word) > 0;
    case KEY_GROUP:
        op->commit.group = names_number(&history->group_names, word.at, word_bytes(&word));
        return word_bytes(&word) > 0;
    case KEY_NODE:
        return parse_node(word, &op->node);
    case KEY_VALUES:
        return parse_values(word, op);
    case KEY_PRODUCER:
        return parse_producer(word, op);
    case KEY_AT:
        return parse_at(text, word);
    case KEY_GOT:
        return parse_got(text, word);
    case KEY_FROM:
        return whole_optional(word, &op->fetch.from);
    case KEY_NEXT:
        return whole_optional(word, &op->fetch.next);
    case KEY_END:
        return whole_optional(word, &op->fetch.end);
    case KEY_FIRST:
        return whole_optional(word, &op->fetch.first);
    case KEY_DURABLE:
        return whole_optional(word, &op->fetch.durable);
    case KEY_OFFSET:
        return word_is(&word, "none") || whole_optional(word, &op->commit.offset);
    case KEY_SEEK:
        return op->fetch.seek = true;
    case KEY_LOCAL:
        return op->fetch.local = true;
    case KEYS_COUNT:
        break;
    }
    abort();
}

static enum key find_key(const struct rest *word, bool has_value)
{
    for (enum key key = 0; key < KEYS_COUNT; key++) {
        bool flag = key == KEY_SEEK || key == KEY_LOCAL;
        if (flag != has_value && word_is(word, key_texts[key])) return key;
    }
    return KEYS_COUNT;
}

static enum history_text_result parse_fields(struct history_text *text, struct rest line,
                                             struct history_op *op)
{
    uint32_t seen = 0, allowed = kinds[op->kind].needs | kinds[op->kind].may | 1u << KEY_NODE;
    for (struct rest word = take_word(&line); word.at < word.end; word = take_word(&line)) {
        if (*word.at == '#') break;
        const char *equals = memchr(word.at, '=', word_bytes(&word));
        struct rest name = {.at = word.at, .end = equals == NULL ? word.end : equals};
        struct rest value = {.at = equals == NULL ? word.end : equals + 1, .end = word.end};
        enum key key = find_key(&name, equals != NULL);
        int shown = (int)(word_bytes(&word) < 80 ? word_bytes(&word) : 80);
        if (key == KEYS_COUNT) return malformed(text, "what is \"%.*s\"?", shown, word.at);
        if (!(allowed & 1u << key)) {
            return malformed(text, "%s has no \"%s\"", kinds[op->kind].name, key_texts[key]);
        }
        if (seen & 1u << key) return malformed(text, "\"%s\" stands twice", key_texts[key]);
        seen |= 1u << key;
        if (!parse_field(text, key, value, op)) {
            return malformed(text, "cannot read \"%.*s\"", shown, word.at);
        }
    }
    for (enum key key = 0; key < KEYS_COUNT; key++) {
        if (kinds[op->kind].needs & ~seen & 1u << key) {
            return malformed(text, "%s needs \"%s\"", kinds[op->kind].name, key_texts[key]);
        }
    }
    if (op->kind == HISTORY_COMMITTED && op->outcome == HISTORY_OUTCOME_OK &&
        !(seen & 1u << KEY_OFFSET)) {
        return malformed(text, "a committed that is ok needs \"offset\", a number or none");
    }
    return HISTORY_TEXT_OP;
}

/* The pieces of `at` hold the batch's values one after the other. */
static void fill_ack(struct history_text *text, struct history_op *op)
{
    if (text->runs_count == 1 && text->runs[0].count == 0) text->runs[0].count = op->produce.count;
    uint64_t value = op->produce.value;
    for (uint32_t i = 0; i < text->runs_count; i++) {
        if (text->runs[i].count == 0) text->runs[i].count = 1;
        text->runs[i].value = value;
        value += text->runs[i].count;
    }
    op->produce.runs = text->runs;
    op->produce.runs_count = text->runs_count;
}

static enum history_text_result parse_head(struct history_text *text, struct rest *line,
                                           struct history_op *op)
{
    struct rest kind = take_word(line);
    if (kind.at == kind.end || *kind.at == '#') return HISTORY_TEXT_NOTHING;
    for (op->kind = HISTORY_PRODUCE; op->kind < KINDS_COUNT; op->kind++) {
        if (word_is(&kind, kinds[op->kind].name)) break;
    }
    if (op->kind == KINDS_COUNT) return malformed(text, "the first word is no kind of operation");
    struct rest outcome = take_word(line);
    for (op->outcome = HISTORY_OUTCOME_OK; op->outcome <= HISTORY_OUTCOME_UNKNOWN; op->outcome++) {
        if (word_is(&outcome, outcomes[op->outcome])) break;
    }
    if (op->outcome > HISTORY_OUTCOME_UNKNOWN) {
        return malformed(text, "the second word is not ok, fail or unknown");
    }
    if (!whole_number(take_word(line), &op->invoked) ||
        !whole_number(take_word(line), &op->completed)) {
        return malformed(text, "two times must follow the outcome");
    }
    return HISTORY_TEXT_OP;
}

enum history_text_result history_text_parse(struct history_text *text, const char *line,
                                            size_t bytes, struct history_op *ret_op)
{
    struct rest rest = {.at = line, .end = line + bytes};
    struct history_op op = {.node = 0};
    text->runs_count = 0;
    enum history_text_result result = parse_head(text, &rest, &op);
    if (result != HISTORY_TEXT_OP) return result;
    result = parse_fields(text, rest, &op);
    if (result != HISTORY_TEXT_OP) return result;
    if (op.kind == HISTORY_PRODUCE) {
        fill_ack(text, &op);
    } else {
        op.fetch.runs = text->runs;
        op.fetch.runs_count = text->runs_count;
    }
    *ret_op = op;
    return HISTORY_TEXT_OP;
}

enum history_text_result history_text_completed(const char *line, size_t bytes,
                                                uint64_t *ret_completed)
{
    struct rest rest = {.at = line, .end = line + bytes};
    struct rest kind = take_word(&rest);
    if (kind.at == kind.end || *kind.at == '#') return HISTORY_TEXT_NOTHING;
    (void)take_word(&rest);
    (void)take_word(&rest);
    return whole_number(take_word(&rest), ret_completed) ? HISTORY_TEXT_OP : HISTORY_TEXT_MALFORMED;
}

/* ---- printing ---------------------------------------------------------------------------------------------------------- */

static void print_optional(FILE *out, enum key key, struct history_optional optional)
{
    if (optional.known) fprintf(out, " %s=%" PRIu64, key_texts[key], optional.value);
}

static void print_count(FILE *out, uint32_t count)
{
    if (count != 1) fprintf(out, "+%" PRIu32, count);
}

static void print_produce(FILE *out, const struct history_op *op)
{
    fprintf(out, " values=%s", history__value_text(HISTORY__TEXT, op->produce.value));
    print_count(out, op->produce.count);
    if (op->produce.has_producer) {
        fprintf(out, " producer=%" PRIu64 ":%" PRIu32 ":%" PRIu64, op->produce.producer,
                op->produce.epoch, op->produce.sequence);
    }
    for (uint32_t i = 0; i < op->produce.runs_count; i++) {
        fprintf(out, "%s%" PRIu64 "+%" PRIu32, i == 0 ? " at=" : ",", op->produce.runs[i].offset,
                op->produce.runs[i].count);
    }
}

static void print_fetch(FILE *out, const struct history_op *op)
{
    print_optional(out, KEY_FROM, op->fetch.from);
    if (op->fetch.seek) fputs(" seek", out);
    if (op->fetch.local) fputs(" local", out);
    for (uint32_t i = 0; i < op->fetch.runs_count; i++) {
        const struct history_run *run = &op->fetch.runs[i];
        fprintf(out, "%s%" PRIu64 ":%s", i == 0 ? " got=" : ",", run->offset,
                history__value_text(HISTORY__TEXT, run->value));
        print_count(out, run->count);
    }
    print_optional(out, KEY_NEXT, op->fetch.next);
    print_optional(out, KEY_END, op->fetch.end);
    print_optional(out, KEY_FIRST, op->fetch.first);
    print_optional(out, KEY_DURABLE, op->fetch.durable);
}

static void print_commit(FILE *out, const struct history *history, const struct history_op *op)
{
    fprintf(out, " group=%s", history->group_names.texts[op->commit.group]);
    if (op->commit.offset.known) {
        print_optional(out, KEY_OFFSET, op->commit.offset);
    } else if (op->outcome == HISTORY_OUTCOME_OK) {
        fputs(" offset=none", out);
    }
}

void history_text_print(const struct history *history, const struct history_op *op, FILE *out)
{
    fprintf(out, "%s %s %" PRIu64 " %" PRIu64 " session=%s partition=%s", kinds[op->kind].name,
            outcomes[op->outcome], op->invoked, op->completed,
            history__session_name(history, op->session),
            history__partition_name(history, op->partition));
    if (op->node != 0) fprintf(out, " node=n%" PRIu32, op->node);
    switch (op->kind) {
    case HISTORY_PRODUCE:
        print_produce(out, op);
        break;
    case HISTORY_FETCH:
    case HISTORY_OFFSETS:
    case HISTORY_DRAINED:
        print_fetch(out, op);
        break;
    case HISTORY_COMMIT:
    case HISTORY_COMMITTED:
        print_commit(out, history, op);
        break;
    }
    fputc('\n', out);
}
