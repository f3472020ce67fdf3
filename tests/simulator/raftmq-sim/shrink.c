/* Makes the run of a failing seed smaller while it goes on to fail in the same way: a shorter time first, since that makes
 * every later attempt cheap, then kinds of faults, rare paths, clients, topics and nodes, and the time again; nodes once more in a run
 * that may take longer. Each attempt runs in a process of its own. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crew_private.h"

#define LINE_MARK "FAILED "

/* How a run ended. */
struct ending {
    char invariant[64]; /* "": it did not fail; "?": without telling why */
    uint64_t time_us;
};

struct shrink {
    struct crew_options options; /* the smallest so far */
    struct ending ending;        /* how that one fails */
    uint32_t attempts_count;
};

/* ---- one attempt ------------------------------------------------------------------------------------------------- */

static void run_quietly(const struct crew_options *options, int errors)
{
    struct run_totals totals;
    if (!freopen("/dev/null", "w", stdout) || dup2(errors, STDERR_FILENO) < 0) _exit(3);
    crew__run_one(options, crew__seed_at(options, 0), &totals);
    _exit(0);
}

/* The line of failure.h is the last that a run writes, among what may be much. */
static void read_ending(int errors, struct ending *ret_ending)
{
    FILE *file = fdopen(errors, "r");
    if (!file) abort();
    char line[2048];
    *ret_ending = (struct ending){.invariant = "?"};
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, LINE_MARK, strlen(LINE_MARK)) != 0) continue;
        struct ending ending = {0};
        const char *time = strstr(line, " time_us=");
        if (!time || sscanf(line, LINE_MARK "%63s", ending.invariant) != 1 ||
            sscanf(time, " time_us=%" SCNu64, &ending.time_us) != 1) {
            continue;
        }
        *ret_ending = ending;
    }
    fclose(file);
}

static void attempt(const struct crew_options *options, struct ending *ret_ending)
{
    int ends[2];
    int status = 0;
    fflush(NULL);
    if (pipe(ends) != 0) abort();
    const pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) {
        close(ends[0]);
        run_quietly(options, ends[1]);
    }
    close(ends[1]);
    read_ending(ends[0], ret_ending);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) *ret_ending = (struct ending){0};
}

/* Keeps the smaller run when it fails as the larger one does. */
static bool try_smaller(struct shrink *shrink, const struct crew_options *smaller, const char *what)
{
    struct ending ending;
    shrink->attempts_count++;
    attempt(smaller, &ending);
    const bool is_same = strcmp(ending.invariant, shrink->ending.invariant) == 0;
    if (is_same) {
        shrink->options = *smaller;
        shrink->ending = ending;
    }
    printf("%-28s %s\n", what, is_same ? "fails still" : "is needed");
    return is_same;
}

/* ---- what is made smaller ---------------------------------------------------------------------------------------- */

static uint64_t until_ms_of(const struct crew_options *options, struct plan *ret_plan)
{
    plan_draw(ret_plan, crew__seed_at(options, 0), &options->wishes);
    return ret_plan->safety_us / 1000u;
}

static bool try_until(struct shrink *shrink, uint64_t until_ms)
{
    struct plan plan;
    struct crew_options smaller = shrink->options;
    if (until_ms == 0 || until_ms >= until_ms_of(&shrink->options, &plan)) return false;
    char what[64];
    snprintf(what, sizeof(what), "shorter: %" PRIu64 " ms", until_ms);
    smaller.wishes.until_ms = until_ms;
    return try_smaller(shrink, &smaller, what);
}

/* What fails before the end of the faults is the same run without what comes after it. */
static void shorten(struct shrink *shrink)
{
    struct plan plan;
    (void)try_until(shrink, shrink->ending.time_us / 1000u + 1u);
    while (try_until(shrink, until_ms_of(&shrink->options, &plan) / 2u)) {
    }
    (void)try_until(shrink, until_ms_of(&shrink->options, &plan) * 3u / 4u);
}

static bool drop_faults(struct shrink *shrink)
{
    bool any = false;
    for (int i = 0; i < FAULTS_COUNT; i++) {
        struct plan plan;
        (void)until_ms_of(&shrink->options, &plan);
        if (!plan.fault_is_on[i]) continue;
        struct crew_options smaller = shrink->options;
        smaller.wishes.without[i] = true;
        char what[64];
        snprintf(what, sizeof(what), "without %s", fault_name((enum fault)i));
        if (try_smaller(shrink, &smaller, what)) any = true;
    }
    return any;
}

/* Without all of them at once, or else without as many as can be, one by one. */
static void drop_rare(struct shrink *shrink)
{
    struct crew_options smaller = shrink->options;
    if (!smaller.wishes.rare.is_on) return;
    smaller.wishes.rare = (struct rare_wishes){.is_on = false};
    if (try_smaller(shrink, &smaller, "without rare paths")) return;
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        struct plan plan;
        (void)until_ms_of(&shrink->options, &plan);
        if (!plan.rare.is_on[i]) continue;
        smaller = shrink->options;
        smaller.wishes.rare.without[i] = true;
        smaller.wishes.rare.with[i] = false;
        char what[64];
        snprintf(what, sizeof(what), "without %s", rare_name((enum rare_point)i));
        (void)try_smaller(shrink, &smaller, what);
    }
}

static bool has_client(const struct plan *plan, enum client client)
{
    switch (client) {
    case CLIENT_CONSUMERS:
        return plan->consumers_count > 0;
    case CLIENT_COMMITTERS:
        return plan->committers_count > 0;
    case CLIENT_ADMIN:
        return plan->has_admin;
    }
    return false;
}

static void drop_clients(struct shrink *shrink)
{
    for (int i = 0; i < CLIENTS_COUNT; i++) {
        struct plan plan;
        (void)until_ms_of(&shrink->options, &plan);
        if (!has_client(&plan, (enum client)i)) continue;
        struct crew_options smaller = shrink->options;
        smaller.wishes.without_client[i] = true;
        char what[64];
        snprintf(what, sizeof(what), "without %s", client_name((enum client)i));
        (void)try_smaller(shrink, &smaller, what);
    }
}

/* The smallest number that fails still, from 1 on: of producers, topics or nodes. */
static void lower(struct shrink *shrink, const char *what, uint32_t count, size_t wish)
{
    for (uint32_t fewer = 1; fewer < count; fewer++) {
        struct crew_options smaller = shrink->options;
        memcpy((char *)&smaller.wishes + wish, &fewer, sizeof(fewer));
        char text[64];
        snprintf(text, sizeof(text), "%s: %u of %u", what, fewer, count);
        if (try_smaller(shrink, &smaller, text)) return;
    }
}

static void lower_counts(struct shrink *shrink)
{
    struct plan plan;
    (void)until_ms_of(&shrink->options, &plan);
    lower(shrink, "topics", plan.topics_count, offsetof(struct plan_wishes, topics_count));
    lower(shrink, "producers", plan.producers_count, offsetof(struct plan_wishes, producers_count));
    lower(shrink, "nodes", plan.founders_count, offsetof(struct plan_wishes, nodes_count));
}

/* Fewer nodes have another history, in which the same thing may take longer than the time that is left. With the faults that
 * are left a long run is cheap. */
static bool lower_nodes_in_longer_run(struct shrink *shrink, const struct crew_options *original)
{
    struct plan plan;
    (void)until_ms_of(&shrink->options, &plan);
    for (uint32_t fewer = 1; fewer < plan.founders_count; fewer++) {
        struct crew_options smaller = shrink->options;
        smaller.wishes.nodes_count = fewer;
        smaller.wishes.until_ms = original->wishes.until_ms;
        char text[64];
        snprintf(text, sizeof(text), "longer, nodes: %u of %u", fewer, plan.founders_count);
        if (try_smaller(shrink, &smaller, text)) return true;
    }
    return false;
}

int crew_shrink(const struct crew_options *original)
{
    struct shrink shrink = {.options = *original};
    shrink.options.tells = shrink.options.traces_events = false;
    attempt(&shrink.options, &shrink.ending);
    const uint64_t seed = crew__seed_at(&shrink.options, 0);
    if (!shrink.ending.invariant[0]) {
        printf("seed 0x%" PRIx64 " does not fail\n", seed);
        return 0;
    }
    printf("seed 0x%" PRIx64 " fails: %s, after %" PRIu64 " ms\n", seed, shrink.ending.invariant,
           shrink.ending.time_us / 1000u);
    shorten(&shrink);
    (void)drop_faults(&shrink);
    drop_rare(&shrink);
    drop_clients(&shrink);
    lower_counts(&shrink);
    shorten(&shrink);
    if (drop_faults(&shrink)) shorten(&shrink); /* what was needed may not be in the smaller run */
    if (lower_nodes_in_longer_run(&shrink, original)) {
        shorten(&shrink);
        (void)drop_faults(&shrink);
    }
    char replay[CREW_REPLAY_BYTES];
    crew__write_replay(&shrink.options, seed, replay);
    printf("%s still, after %" PRIu64 " ms, found in %u attempts: %s\n", shrink.ending.invariant,
           shrink.ending.time_us / 1000u, shrink.attempts_count, replay);
    return 1;
}
