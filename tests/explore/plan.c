#include "plan.h"

/* What the plans have in common. */
#define PLAN_BASE(count, sent) .nodes = (count), .entries_sent = (sent), .inflight = 2, .rounds = 2
#define ALL                    EXPLORE_ENTRIES_MAX

static const struct explore_preset presets[] = {
    {.plan = {PLAN_BASE(3, ALL), .name = "one-term", .goal = "all of one term, with a crash",
              .terms = 1, .entries = 2, .crashes = 1, .silence = true},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "two-terms",
              .goal = "all of two terms, with disks that are never behind", .terms = 2,
              .entries = 2, .votes_at_once = true, .log_at_once = true},
     .states_quick = 1000000},
    {.plan = {PLAN_BASE(3, ALL), .name = "crash",
              .goal =
                  "three nodes, one of which crashes once, with any part of what was not synced",
              .terms = 3, .entries = 3, .crashes = 1, .silence = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "deep",
              .goal = "as far into three terms as possible: disks that are never behind",
              .terms = 3, .entries = 3, .votes_at_once = true, .log_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, 1), .name = "single",
              .goal = "entries sent one by one, terms and votes durable at once, one crash",
              .terms = 3, .entries = 3, .crashes = 1, .votes_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "prevote", .goal = "pre-votes, stickiness, lost leaders",
              .terms = 2, .entries = 2, .crashes = 1, .prevote = true, .silence = true,
              .leader_lost = true, .votes_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "heartbeat",
              .goal = "heartbeats and their answers, and what leaders ask for again", .terms = 2,
              .entries = 2, .crashes = 1, .heartbeats = true, .silence = true,
              .votes_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "read",
              .goal = "reads of any node across two terms, with pauses", .terms = 2, .entries = 2,
              .reads = 2, .time_gaps = 1, .silence = true, .votes_at_once = true,
              .log_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "transfer", .goal = "leadership handed over", .terms = 3,
              .entries = 2, .transfers = 1, .votes_at_once = true, .log_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(1, ALL), .name = "one", .goal = "a node alone, three crashes", .terms = 4,
              .entries = 3, .crashes = 3},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(2, ALL), .name = "two", .goal = "two nodes, two crashes", .terms = 3,
              .entries = 3, .crashes = 2, .prevote = true, .heartbeats = true, .silence = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(4, ALL), .name = "four", .goal = "four nodes", .terms = 2, .entries = 2,
              .votes_at_once = true, .log_at_once = true},
     .states_quick = 300000},
    {.plan = {PLAN_BASE(3, ALL), .name = "remove", .goal = "one voter of three is removed",
              .terms = 2, .entries = 2, .crashes = 1, .changes = 1, .target = 0x3,
              .votes_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "add", .goal = "a third voter joins two", .founders = 2,
              .terms = 2, .entries = 2, .crashes = 1, .changes = 1, .target = 0x7,
              .votes_at_once = true},
     .states_quick = 800000},
    {.plan = {PLAN_BASE(3, ALL), .name = "replace",
              .goal = "one of two voters is replaced, by a joint phase", .founders = 2, .terms = 2,
              .entries = 2, .changes = 1, .target = 0x5, .votes_at_once = true,
              .log_at_once = true},
     .states_quick = 800000},
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
