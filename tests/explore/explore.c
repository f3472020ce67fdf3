/* raftmq-explore: all that can happen to a small group of real cores, within bounds (see --help). */
#include "search.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "raftmq-explore: visit every state that a small group of the real consensus core can reach\n"
    "\n"
    "  --plan NAME     explore this plan; again for several (default: all)\n"
    "  --states N      stop each plan at N distinct states (default: a short run; 0 = no limit)\n"
    "  --seconds N     stop each plan after N seconds\n"
    "  --controls      negative controls: plant faults in the driver, want each to be found\n"
    "  --assumptions   try out what the search takes for granted about the core\n"
    "  --bug NAME      plant this fault while exploring\n"
    "  --list          plans and faults\n"
    "\n"
    "bounds of the plans explored, instead of their own:\n"
    "  --nodes N  --terms N  --entries N  --crashes N  --reads N  --rounds N  --time-gaps N\n"
    "  --transfers N  --changes N  --entries-sent N  --inflight N\n"
    "  --prevote B  --heartbeats B  --asks B  --silence B  --leader-lost B  --votes-at-once B\n"
    "  --log-at-once B     (B: 0 or 1)\n"
    "\n"
    "Ends with 0 when every promise held, 1 when one broke (its path is printed), 2 on bad use.\n";

enum option_id {
    OPTION_PLAN = 1,
    OPTION_STATES,
    OPTION_SECONDS,
    OPTION_CONTROLS,
    OPTION_ASSUMPTIONS,
    OPTION_BUG,
    OPTION_LIST,
    OPTION_HELP,
    OPTION_BOUND, /* and those behind it: bounds[] in order */
};

/* A bound by its name and its place in the plan. */
struct bound {
    const char *name;
    size_t at;
    bool is_flag;
    uint32_t max;
};

#define NUMBER(name, field, max)                               \
    {                                                          \
        name, offsetof(struct explore_plan, field), false, max \
    }
#define FLAG(name, field)                                   \
    {                                                       \
        name, offsetof(struct explore_plan, field), true, 1 \
    }

static const struct bound bounds[] = {
    NUMBER("nodes", nodes, EXPLORE_NODES_MAX),
    NUMBER("terms", terms, EXPLORE_TERMS_MAX),
    NUMBER("entries", entries, EXPLORE_ENTRIES_MAX),
    NUMBER("crashes", crashes, 3),
    NUMBER("reads", reads, EXPLORE_READS_MAX),
    NUMBER("rounds", rounds, 8),
    NUMBER("time-gaps", time_gaps, 8),
    NUMBER("transfers", transfers, 8),
    NUMBER("changes", changes, 3),
    NUMBER("entries-sent", entries_sent, EXPLORE_ENTRIES_MAX),
    NUMBER("inflight", inflight, 4),
    FLAG("prevote", prevote),
    FLAG("heartbeats", heartbeats),
    FLAG("asks", asks),
    FLAG("silence", silence),
    FLAG("leader-lost", leader_lost),
    FLAG("votes-at-once", votes_at_once),
    FLAG("log-at-once", log_at_once),
};
#define BOUNDS_COUNT (sizeof bounds / sizeof bounds[0])

#define PLANS_MAX 32u

struct wishes {
    const char *plans[PLANS_MAX];
    uint32_t plans_count;
    bool states_set;
    uint64_t states;
    uint64_t seconds;
    bool controls;
    bool assumptions;
    bool list;
    enum explore_bug bug;
    bool bound_set[BOUNDS_COUNT];
    uint32_t bound[BOUNDS_COUNT];
};

/* ---- one plan ------------------------------------------------------------------------------------- */

static void print_result(const struct explore_plan *plan, const struct search_result *result)
{
    printf("%-9s %" PRIu64 " distinct states, depth %u, %s; %" PRIu64
           " events, %.1f s, %.0f states/s\n",
           plan->name, result->states, result->depth,
           result->exhausted ? "space exhausted" : "space not exhausted", result->events,
           result->seconds, (double)result->states / (result->seconds + 1e-9));
    printf("          %u local states, %u messages, %" PRIu64
           " steps of the core; reached term %u led, "
           "%u committed, %" PRIu64 " crashes, %" PRIu64 " cuts, %" PRIu64 " reads ended\n",
           result->locals, result->letters, result->steps, result->terms_led, result->committed,
           result->crashes, result->cuts, result->reads_answered);
    (void)fflush(stdout);
}

static void apply_wishes(const struct wishes *wishes, struct explore_plan *plan)
{
    plan->bug = wishes->bug;
    for (uint32_t i = 0; i < BOUNDS_COUNT; i++) {
        if (!wishes->bound_set[i]) continue;
        void *field = (char *)plan + bounds[i].at;
        if (bounds[i].is_flag) {
            *(bool *)field = wishes->bound[i] != 0;
        } else {
            *(uint32_t *)field = wishes->bound[i];
        }
    }
}

static bool plan_is_possible(const struct explore_plan *plan)
{
    return plan->nodes >= 1 && plan->terms >= 1 && plan->entries_sent >= 1 && plan->inflight >= 1 &&
           plan->founders <= plan->nodes && plan->target >> plan->nodes == 0;
}

static int explore(const struct explore_preset *preset, const struct wishes *wishes,
                   uint64_t *states_sum)
{
    struct explore_plan plan = preset->plan;
    apply_wishes(wishes, &plan);
    if (!plan_is_possible(&plan)) {
        fprintf(stderr, "plan %s cannot be explored within these bounds\n", plan.name);
        return 2;
    }
    struct search_limits limits = {.states = preset->states_quick, .seconds = wishes->seconds};
    if (wishes->states_set) limits.states = wishes->states == 0 ? UINT64_MAX : wishes->states;
    struct search_result result;
    search_run(&plan, &limits, &result);
    print_result(&plan, &result);
    *states_sum += result.states;
    return result.broken != NULL ? 1 : 0;
}

static bool is_wished(const struct wishes *wishes, const char *name)
{
    if (wishes->plans_count == 0) return true;
    for (uint32_t i = 0; i < wishes->plans_count; i++) {
        if (strcmp(wishes->plans[i], name) == 0) return true;
    }
    return false;
}

static int explore_all(const struct wishes *wishes)
{
    uint32_t count;
    const struct explore_preset *presets = explore_presets(&count);
    uint64_t states = 0;
    uint32_t explored = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_wished(wishes, presets[i].plan.name)) continue;
        explored++;
        int status = explore(&presets[i], wishes, &states);
        if (status != 0) return status;
    }
    if (explored == 0 || (wishes->plans_count > 0 && explored != wishes->plans_count)) {
        fprintf(stderr, "no such plan: see --list\n");
        return 2;
    }
    printf("%" PRIu64 " distinct states in %u plans, every promise held\n", states, explored);
    return 0;
}

/* ---- negative controls ---------------------------------------------------------------------------- */

struct control {
    enum explore_bug bug;
    const char *broken; /* what it must break, and nothing less direct */
    struct explore_plan plan;
};

#define CONTROL_BASE                                                                    \
    .name = "control", .nodes = 3, .terms = 2, .entries = 2, .crashes = 1, .rounds = 2, \
    .entries_sent = EXPLORE_ENTRIES_MAX, .inflight = 2

static const struct control controls[] = {
    {EXPLORE_BUG_VOTE_BEFORE_SYNC,
     "election safety: a term has one leader, once",
     {CONTROL_BASE, .log_at_once = true}},
    {EXPLORE_BUG_VOTE_FORGOTTEN,
     "election safety: a term has one leader, once",
     {CONTROL_BASE, .votes_at_once = true, .log_at_once = true}},
    {EXPLORE_BUG_TERM_FORGOTTEN,
     "election safety: a term has one leader, once",
     {CONTROL_BASE, .votes_at_once = true, .log_at_once = true}},
    {EXPLORE_BUG_ACK_BEFORE_SYNC,
     "committed is durable on a majority",
     {CONTROL_BASE, .votes_at_once = true}},
    {EXPLORE_BUG_SYNC_LOST,
     "committed is durable on a majority",
     {CONTROL_BASE, .votes_at_once = true, .log_at_once = true}},
};

/* A search that cannot find these would find nothing. */
static int run_controls(void)
{
    int status = 0;
    for (uint32_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        struct explore_plan plan = controls[i].plan;
        plan.bug = controls[i].bug;
        struct search_limits limits = {.states = 3000000, .quiet = true};
        struct search_result result;
        search_run(&plan, &limits, &result);
        bool found = result.broken != NULL && strcmp(result.broken, controls[i].broken) == 0;
        printf("%s - %s (%s): %s, %u events, %" PRIu64 " states\n", found ? "ok" : "not ok",
               explore_bug_word(plan.bug), explore_bug_text(plan.bug),
               result.broken == NULL ? "NOT FOUND" : result.broken, result.path_length,
               result.states);
        if (!found) status = 1;
    }
    return status;
}

/* ---- what is taken for granted -------------------------------------------------------------------- */

static int check_assumptions(const struct wishes *wishes)
{
    uint32_t count;
    const struct explore_preset *presets = explore_presets(&count);
    int status = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_wished(wishes, presets[i].plan.name)) continue;
        struct explore_plan plan = presets[i].plan;
        apply_wishes(wishes, &plan);
        const char *wrong;
        uint64_t states = wishes->states_set ? wishes->states : 30000;
        uint64_t compared = search_check_assumptions(&plan, states, &wrong);
        printf("%s - %s: %" PRIu64 " comparisons%s%s\n", compared > 0 ? "ok" : "not ok", plan.name,
               compared, wrong == NULL ? "" : ", wrong: ", wrong == NULL ? "" : wrong);
        if (compared == 0) status = 1;
    }
    return status;
}

/* ---- the command line ----------------------------------------------------------------------------- */

static void list_all(void)
{
    uint32_t count;
    const struct explore_preset *presets = explore_presets(&count);
    for (uint32_t i = 0; i < count; i++) {
        printf("plan  %-9s %s\n", presets[i].plan.name, presets[i].plan.goal);
    }
    for (int bug = EXPLORE_BUG_NONE + 1; bug < EXPLORE_BUGS_COUNT; bug++) {
        printf("fault %-17s %s\n", explore_bug_word((enum explore_bug)bug),
               explore_bug_text((enum explore_bug)bug));
    }
}

static bool read_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    char *end;
    uint64_t number = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || *text == '-' || number > max) return false;
    *ret_number = number;
    return true;
}

static bool read_bug(const char *text, enum explore_bug *ret_bug)
{
    for (int bug = 0; bug < EXPLORE_BUGS_COUNT; bug++) {
        if (strcmp(text, explore_bug_word((enum explore_bug)bug)) != 0) continue;
        *ret_bug = (enum explore_bug)bug;
        return true;
    }
    return false;
}

static bool take_option(struct wishes *wishes, int option, const char *argument)
{
    uint64_t number;
    switch (option) {
    case OPTION_PLAN:
        if (wishes->plans_count == PLANS_MAX) return false;
        wishes->plans[wishes->plans_count++] = argument;
        return true;
    case OPTION_STATES:
        wishes->states_set = true;
        return read_number(argument, UINT32_MAX, &wishes->states);
    case OPTION_SECONDS:
        return read_number(argument, UINT32_MAX, &wishes->seconds);
    case OPTION_CONTROLS:
        wishes->controls = true;
        return true;
    case OPTION_ASSUMPTIONS:
        wishes->assumptions = true;
        return true;
    case OPTION_BUG:
        return read_bug(argument, &wishes->bug);
    case OPTION_LIST:
        wishes->list = true;
        return true;
    default:
        break;
    }
    if (option < OPTION_BOUND) return false;
    const struct bound *bound = &bounds[option - OPTION_BOUND];
    if (!read_number(argument, bound->max, &number)) return false;
    wishes->bound_set[option - OPTION_BOUND] = true;
    wishes->bound[option - OPTION_BOUND] = (uint32_t)number;
    return true;
}

int main(int argc, char **argv)
{
    struct option options[BOUNDS_COUNT + 9] = {
        {"plan", required_argument, NULL, OPTION_PLAN},
        {"states", required_argument, NULL, OPTION_STATES},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"controls", no_argument, NULL, OPTION_CONTROLS},
        {"assumptions", no_argument, NULL, OPTION_ASSUMPTIONS},
        {"bug", required_argument, NULL, OPTION_BUG},
        {"list", no_argument, NULL, OPTION_LIST},
        {"help", no_argument, NULL, OPTION_HELP},
    };
    for (uint32_t i = 0; i < BOUNDS_COUNT; i++) {
        options[8 + i] =
            (struct option){bounds[i].name, required_argument, NULL, OPTION_BOUND + (int)i};
    }
    struct wishes wishes = {.bug = EXPLORE_BUG_NONE};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return 0;
        }
        if (option == '?' || !take_option(&wishes, option, optarg)) {
            fputs(help, stderr);
            return 2;
        }
    }
    if (optind != argc) {
        fputs(help, stderr);
        return 2;
    }
    if (wishes.list) {
        list_all();
        return 0;
    }
    if (wishes.controls) return run_controls();
    return wishes.assumptions ? check_assumptions(&wishes) : explore_all(&wishes);
}
