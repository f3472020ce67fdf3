/* Counts of anomalies, and the first of each class in words. */
#include "history_private.h"

#include "checker_memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

static const struct {
    const char *name, *meaning;
} anomalies[] = {
#define X(name, text, meaning) [name] = {text, meaning},
    HISTORY_ANOMALIES(X)
#undef X
};

const char *history_anomaly_name(enum history_anomaly anomaly)
{
    assert(anomaly < HISTORY_ANOMALIES_COUNT);
    return anomalies[anomaly].name;
}

const char *history_anomaly_meaning(enum history_anomaly anomaly)
{
    assert(anomaly < HISTORY_ANOMALIES_COUNT);
    return anomalies[anomaly].meaning;
}

const char *history_status_text(enum history_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        HISTORY_STATUSES(X)
#undef X
    }
    abort();
}

void history__report(struct history *history, enum history_anomaly anomaly, const char *format, ...)
{
    uint64_t nth = history->counts[anomaly]++;
    if (nth >= history->options.witnesses_max) return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    history->witnesses[anomaly * history->options.witnesses_max + nth] = memory_text(text);
}

uint64_t history_anomaly_count(const struct history *history, enum history_anomaly anomaly)
{
    assert(anomaly < HISTORY_ANOMALIES_COUNT);
    return history->counts[anomaly];
}

uint64_t history_anomalies(const struct history *history)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < HISTORY_ANOMALIES_COUNT; i++) {
        sum += history->counts[i];
    }
    return sum;
}

const char *history_witness(const struct history *history, enum history_anomaly anomaly, uint32_t i)
{
    assert(anomaly < HISTORY_ANOMALIES_COUNT);
    if (i >= history->options.witnesses_max) return NULL;
    return history->witnesses[anomaly * history->options.witnesses_max + i];
}

const char *history__value_text(struct history__text *text, uint64_t value)
{
    if (value >> 32 == 0) {
        snprintf(text->text, sizeof(text->text), "%" PRIu64, value);
    } else {
        snprintf(text->text, sizeof(text->text), "%" PRIu64 ".%" PRIu32, value >> 32,
                 (uint32_t)value);
    }
    return text->text;
}

const char *history__values_text(struct history__text *text, uint64_t value, uint64_t count)
{
    const char *first = history__value_text(HISTORY__TEXT, value);
    if (count == 1) {
        snprintf(text->text, sizeof(text->text), "value %.30s", first);
    } else {
        const char *last = history__value_text(HISTORY__TEXT, value + count - 1);
        snprintf(text->text, sizeof(text->text), "values %.30s..%.30s", first, last);
    }
    return text->text;
}

const char *history__partition_name(const struct history *history, uint32_t partition)
{
    return history->partition_names.texts[partition];
}

const char *history__session_name(const struct history *history, uint32_t session)
{
    return history->session_names.texts[session];
}

const char *history__who_text(struct history__text *text, const struct history *history,
                              const struct history__attempt *attempt)
{
    const char *session = history__session_name(history, attempt->session);
    if (attempt->node == 0) {
        snprintf(text->text, sizeof(text->text), "%.80s (%" PRIu64 "..%" PRIu64 ")", session,
                 attempt->invoked, attempt->completed);
    } else {
        snprintf(text->text, sizeof(text->text), "%.80s on n%" PRIu32 " (%" PRIu64 "..%" PRIu64 ")",
                 session, attempt->node, attempt->invoked, attempt->completed);
    }
    return text->text;
}

void history_print(const struct history *history, FILE *out)
{
    struct history_totals totals;
    history_totals(history, &totals);
    fprintf(out,
            "%" PRIu64 " operations: produce %" PRIu64 " ok, %" PRIu64 " fail, %" PRIu64
            " unknown; fetch %" PRIu64 " ok, %" PRIu64 " not; commit %" PRIu64
            ", read of committed %" PRIu64 "\n",
            totals.operations, totals.produces_ok, totals.produces_fail, totals.produces_unknown,
            totals.fetches_ok, totals.fetches_not_ok, totals.commits, totals.commit_reads);
    fprintf(out,
            "%" PRIu64 " distinct messages, read %" PRIu64 " times; %" PRIu32
            " partitions, %" PRIu32 " sessions; %.1f MB\n",
            totals.messages_distinct, totals.messages_read, history->partitions_count,
            history->session_names.count, (double)totals.memory_bytes / 1e6);
    for (enum history_anomaly kind = 0; kind < HISTORY_ANOMALIES_COUNT; kind++) {
        if (history->counts[kind] == 0) continue;
        fprintf(out, "%s: %" PRIu64 " (%s)\n", anomalies[kind].name, history->counts[kind],
                anomalies[kind].meaning);
        for (uint32_t i = 0; history_witness(history, kind, i) != NULL; i++) {
            fprintf(out, "    %s\n", history_witness(history, kind, i));
        }
    }
    uint64_t sum = history_anomalies(history);
    if (sum == 0) {
        fputs("history: clean\n", out);
        return;
    }
    fprintf(out, "history: %" PRIu64 " %s:", sum, sum == 1 ? "anomaly" : "anomalies");
    for (enum history_anomaly kind = 0; kind < HISTORY_ANOMALIES_COUNT; kind++) {
        if (history->counts[kind] == 0) continue;
        fprintf(out, " %s=%" PRIu64, anomalies[kind].name, history->counts[kind]);
    }
    fputc('\n', out);
}
