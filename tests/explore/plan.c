#include "plan.h"

/* What the plans have in common. */
#define PLAN_BASE(count, sent) .nodes = (count), .entries_sent = (sent), .inflight = 2, .rounds = 2
#define ALL                    EXPLORE_ENTRIES_MAX
#define AT_ONCE                .votes_at_once = true, .log_at_once = true /* disks are never behind */

static const struct explore_preset presets[] = {
    /* Small enough to be gone through to the end. */
    {.plan = {PLAN_BASE(1, ALL), .name = "one", .goal = "a node alone, three crashes", .terms = 4,
              .entries = 3, .crashes = 3},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "one-term", .goal = "all of one term, with a crash",
              .terms = 1, .entries = 2, .crashes = 1, .silence = true},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "two-terms", .goal = "all of two terms, no crash",
              .terms = 2, .entries = 2, AT_ONCE},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, 1), .name = "ask",
              .goal = "two terms, entries sent one by one, leaders ask what arrived", .terms = 2,
              .entries = 2, .asks = true, AT_ONCE},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(4, ALL), .name = "four", .goal = "four nodes, two terms", .terms = 2,
              .entries = 1, AT_ONCE},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "transfer", .goal = "leadership handed over, two terms",
              .terms = 2, .entries = 2, .transfers = 1, AT_ONCE},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "remove", .goal = "one voter of three is removed",
              .terms = 2, .entries = 1, .changes = 1, .target = 0x3, AT_ONCE},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "reads", .goal = "two reads at any node, one term",
              .terms = 1, .entries = 2, .reads = 2, AT_ONCE},
     .states_quick = 300000},
    {.plan = {PLAN_BASE(4, ALL), .name = "swap", .goal = "two of three voters go, a new one comes",
              .founders = 3, .terms = 2, .entries = 1, .changes = 1, .target = 0x9, AT_ONCE},
     .states_quick = 200000},
    {.plan = {PLAN_BASE(3, ALL), .name = "add", .goal = "a third voter joins two", .founders = 2,
              .terms = 2, .entries = 2, .changes = 1, .target = 0x7, AT_ONCE},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "replace",
              .goal = "one of two voters is replaced by a joint phase, with a crash", .founders = 2,
              .terms = 2, .entries = 2, .crashes = 1, .changes = 1, .target = 0x5, AT_ONCE},
     .states_quick = 1000000},
    /* Not in seconds. */
    {.plan = {PLAN_BASE(3, ALL), .name = "crash",
              .goal = "three terms, a crash with any part of what was not synced", .terms = 3,
              .entries = 3, .crashes = 1, .silence = true},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "deep", .goal = "three terms, no crash", .terms = 3,
              .entries = 3, AT_ONCE},
     .states_quick = 600000},
    {.plan = {PLAN_BASE(3, 1), .name = "single",
              .goal = "three terms, entries sent one by one, a crash that loses entries",
              .terms = 3, .entries = 3, .crashes = 1, .votes_at_once = true},
     .states_quick = 600000},
    {.plan = {PLAN_BASE(3, ALL), .name = "prevote", .goal = "pre-votes, stickiness, lost leaders",
              .terms = 2, .entries = 2, .crashes = 1, .prevote = true, .silence = true,
              .leader_lost = true, .votes_at_once = true},
     .states_quick = 600000},
    {.plan = {PLAN_BASE(3, ALL), .name = "heartbeat",
              .goal = "heartbeats, their answers, and what is asked again", .terms = 2,
              .entries = 2, .crashes = 1, .heartbeats = true, .asks = true, .silence = true,
              .votes_at_once = true},
     .states_quick = 600000},
    {.plan = {PLAN_BASE(3, ALL), .name = "read", .goal = "two reads at any node across two terms",
              .terms = 2, .entries = 1, .reads = 2, AT_ONCE},
     .states_quick = 2000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "pause",
              .goal = "reads while leaders pause and find themselves alone", .terms = 2,
              .entries = 2, .reads = 2, .time_gaps = 1, .silence = true, AT_ONCE},
     .states_quick = 600000},
    {.plan = {PLAN_BASE(2, ALL), .name = "two",
              .goal = "two nodes, all kinds of messages, two crashes", .terms = 3, .entries = 3,
              .crashes = 2, .prevote = true, .heartbeats = true, .asks = true, .silence = true},
     .states_quick = 600000},
    {.plan = {PLAN_BASE(3, ALL), .name = "change",
              .goal = "one voter of three is removed, and one crashes", .terms = 2, .entries = 2,
              .crashes = 1, .changes = 1, .target = 0x3, .votes_at_once = true},
     .states_quick = 600000},
};

const struct explore_preset *explore_presets(uint32_t *ret_count)
{
    *ret_count = sizeof presets / sizeof presets[0];
    return presets;
}

const char *explore_bug_word(enum explore_bug bug)
{
    switch (bug) {
#define X(name, word, text) \
    case name:              \
        return word;
        EXPLORE_BUGS(X)
#undef X
    case EXPLORE_BUGS_COUNT:
        break;
    }
    return "unknown";
}

const char *explore_bug_text(enum explore_bug bug)
{
    switch (bug) {
#define X(name, word, text) \
    case name:              \
        return text;
        EXPLORE_BUGS(X)
#undef X
    case EXPLORE_BUGS_COUNT:
        break;
    }
    return "unknown";
}
