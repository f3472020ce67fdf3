#include "scrub_count.h"

#include <stdbool.h>
#include <string.h>

#include "client.h"

static bool is_same_log(const json_t *a, const json_t *b)
{
    return reply_number(a, "partition", 0) == reply_number(b, "partition", 0) &&
           strcmp(reply_text(a, "topic", ""), reply_text(b, "topic", "")) == 0;
}

/* Nodes list their logs in one order, so it mostly stands at the same place. */
static const json_t *find_log(const json_t *logs, const json_t *wanted, size_t place)
{
    size_t i;
    json_t *log;
    const json_t *guess = json_array_get(logs, place);
    if (guess && is_same_log(guess, wanted)) return guess;
    json_array_foreach(logs, i, log)
    {
        if (is_same_log(log, wanted)) return log;
    }
    return NULL;
}

uint64_t scrub_count_since(const json_t *before, const json_t *after, const char *name)
{
    uint64_t total = 0;
    size_t i;
    json_t *log;
    json_array_foreach(after, i, log)
    {
        const json_t *old = find_log(before, log, i);
        const uint64_t was = old ? reply_number(old, name, 0) : 0;
        const uint64_t is = reply_number(log, name, 0);
        total += is >= was ? is - was : is;
    }
    return total;
}
