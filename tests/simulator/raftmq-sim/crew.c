#include "crew_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Below this many seeds chance may leave a fault out, or make a thin run. */
#define SEEDS_FOR_ALL_FAULTS 40u
#define SEEDS_FOR_ALL_RARE   300u
/* What a run must be to count as a test, on average but for the time. */
#define SEED_US_MIN         60000000u
#define OPS_PER_SECOND_MIN  50u
#define OPS_PER_SECOND_RARE 25u /* where much is refused and put off on purpose */
#define FAULTS_PER_SEED_MIN 10u

/* What a worker writes into its pipe for each seed. */
struct report {
    uint64_t position; /* of the seed in the run */
    struct run_totals totals;
    bool fault_is_on[FAULTS_COUNT];
    bool rare_is_on[RARE_POINTS_COUNT];
};

struct worker {
    pid_t pid;
    int pipe;
    uint64_t next; /* position of the seed that it runs */
};

struct sums {
    struct run_totals totals;
    uint64_t runs_on[FAULTS_COUNT];
    uint64_t rare_runs_on[RARE_POINTS_COUNT];
    uint64_t shortest_us;
    uint64_t seeds_count;
    uint64_t failed_count;
    uint64_t failed_seeds[16];
};

uint64_t crew__seed_at(const struct crew_options *options, uint64_t position)
{
    return options->seeds ? options->seeds[position] : options->first_seed + position;
}

/* ---- one seed -------------------------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    assert(bytes >= 0 && (size_t)bytes < text->left);
    text->at += bytes;
    text->left -= (size_t)bytes;
}

void crew__write_replay(const struct crew_options *options, uint64_t seed, char *replay)
{
    struct text text = {.at = replay, .left = CREW_REPLAY_BYTES};
    const struct plan_wishes *wishes = &options->wishes;
    append(&text, "raftmq-sim --seed 0x%" PRIx64, seed);
    if (wishes->until_ms) append(&text, " --until-ms %" PRIu64, wishes->until_ms);
    if (wishes->nodes_count) append(&text, " --nodes %u", wishes->nodes_count);
    if (wishes->producers_count) append(&text, " --producers %u", wishes->producers_count);
    if (wishes->topics_count) append(&text, " --topics %u", wishes->topics_count);
    const char *separator = " --without ";
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (!wishes->without[i]) continue;
        append(&text, "%s%s", separator, fault_name((enum fault)i));
        separator = ",";
    }
    for (int i = 0; i < CLIENTS_COUNT; i++) {
        if (!wishes->without_client[i]) continue;
        append(&text, "%s%s", separator, client_name((enum client)i));
        separator = ",";
    }
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (wishes->with[i]) append(&text, " --with %s", fault_name((enum fault)i));
        if (wishes->canary[i]) append(&text, " --canary %s", fault_name((enum fault)i));
    }
    if (wishes->rare.is_on) append(&text, " --rare");
    separator = " --without ";
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        if (!wishes->rare.without[i]) continue;
        append(&text, "%s%s", separator, rare_name((enum rare_point)i));
        separator = ",";
    }
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        if (wishes->rare.with[i]) append(&text, " --with %s", rare_name((enum rare_point)i));
    }
    append(&text, " --trace");
}

void crew__run_one(const struct crew_options *options, uint64_t seed, struct run_totals *ret_totals)
{
    char replay[CREW_REPLAY_BYTES];
    crew__write_replay(options, seed, replay);
    const struct run_options run = {.seed = seed,
                                    .wishes = options->wishes,
                                    .story = options->tells ? stdout : NULL,
                                    .trace = options->traces_events ? stdout : NULL,
                                    .replay = replay};
    run_seed(&run, ret_totals);
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

static void write_report(int pipe, const struct report *report)
{
    const uint8_t *bytes = (const uint8_t *)report;
    size_t left = sizeof(*report);
    while (left > 0) {
        const ssize_t written = write(pipe, bytes, left);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) _exit(3);
        bytes += written;
        left -= (size_t)written;
    }
}

static bool read_report(int pipe, struct report *report)
{
    uint8_t *bytes = (uint8_t *)report;
    size_t left = sizeof(*report);
    while (left > 0) {
        const ssize_t got = read(pipe, bytes, left);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        bytes += got;
        left -= (size_t)got;
    }
    return true;
}

/* Seeds `from`, from + jobs, ... */
static void work(const struct crew_options *options, uint64_t from, int pipe)
{
    for (uint64_t position = from; position < options->count; position += options->jobs) {
        struct report report = {.position = position};
        struct plan plan;
        const uint64_t seed = crew__seed_at(options, position);
        plan_draw(&plan, seed, &options->wishes);
        memcpy(report.fault_is_on, plan.fault_is_on, sizeof(report.fault_is_on));
        memcpy(report.rare_is_on, plan.rare.is_on, sizeof(report.rare_is_on));
        crew__run_one(options, seed, &report.totals);
        fflush(stdout);
        write_report(pipe, &report);
    }
}

static void start_worker(const struct crew_options *options, struct worker *worker, uint64_t from)
{
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) abort();
    worker->pid = fork();
    if (worker->pid < 0) abort();
    if (worker->pid == 0) {
        close(ends[0]);
        work(options, from, ends[1]);
        exit(0); /* not _exit: a leak check wants its turn */
    }
    close(ends[1]);
    worker->pipe = ends[0];
    worker->next = from;
}

/* ---- sums --------------------------------------------------------------------------------------------------------- */

static void add(struct sums *sums, const struct report *report)
{
    struct run_totals *total = &sums->totals;
    const struct run_totals *one = &report->totals;
    total->events += one->events;
    total->simulated_us += one->simulated_us;
    total->cpu_us += one->cpu_us;
    total->acked_batches += one->acked_batches;
    total->acked_messages += one->acked_messages;
    total->reads += one->reads;
    total->read_messages += one->read_messages;
    total->other_ops += one->other_ops;
    total->refused_ops += one->refused_ops;
    total->unknown_ops += one->unknown_ops;
    total->leaders += one->leaders;
    total->bases_installed += one->bases_installed;
    total->trimmed_messages += one->trimmed_messages;
    total->changes += one->changes;
    total->images += one->images;
    total->ack_checks += one->ack_checks;
    total->damage_found += one->damage_found;
    total->lies_believed += one->lies_believed;
    total->returns += one->returns;
    for (int i = 0; i < FAULTS_COUNT; i++) {
        total->faults[i] += one->faults[i];
        if (report->fault_is_on[i]) sums->runs_on[i]++;
    }
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        total->rare.reached[i] += one->rare.reached[i];
        total->rare.taken[i] += one->rare.taken[i];
        if (report->rare_is_on[i]) sums->rare_runs_on[i]++;
    }
    if (sums->seeds_count == 0 || one->simulated_us < sums->shortest_us) {
        sums->shortest_us = one->simulated_us;
    }
    sums->seeds_count++;
}

static uint64_t per(uint64_t amount, uint64_t us)
{
    return us ? amount * 1000000u / us : 0;
}

static uint64_t ops_of(const struct run_totals *total)
{
    return total->acked_batches + total->reads + total->other_ops;
}

static uint64_t faults_of(const struct run_totals *total)
{
    uint64_t faults = 0;
    for (int i = 0; i < FAULTS_COUNT; i++) {
        faults += total->faults[i];
    }
    return faults;
}

static void print_sums(const struct sums *sums)
{
    const struct run_totals *total = &sums->totals;
    const uint64_t ops = ops_of(total);
    printf("seeds %" PRIu64 ", failed %" PRIu64 "; %" PRIu64 " s simulated, at least %" PRIu64
           " s each, in %" PRIu64 " s of CPU; %" PRIu64 " events, %" PRIu64 " per CPU second\n",
           sums->seeds_count, sums->failed_count, total->simulated_us / 1000000u,
           sums->shortest_us / 1000000u, total->cpu_us / 1000000u, total->events,
           per(total->events, total->cpu_us));
    printf("operations %" PRIu64 " (%" PRIu64 " a second): %" PRIu64 " batches of %" PRIu64
           " messages acked, %" PRIu64 " fetches of %" PRIu64 " messages, %" PRIu64
           " others; refused %" PRIu64 ", unknown %" PRIu64 "\n",
           ops, per(ops, total->simulated_us), total->acked_batches, total->acked_messages,
           total->reads, total->read_messages, total->other_ops, total->refused_ops,
           total->unknown_ops);
    printf("leaders %" PRIu64 ", bases installed %" PRIu64 ", messages trimmed %" PRIu64
           ", changes of members %" PRIu64 ", disks opened as after a power cut %" PRIu64
           ", acks looked up on disks %" PRIu64 ", damaged disks that were found %" PRIu64
           ", nodes that came back with an empty one %" PRIu64
           ", or with what a lying one had left %" PRIu64 "\n",
           total->leaders, total->bases_installed, total->trimmed_messages, total->changes,
           total->images, total->ack_checks, total->damage_found, total->returns,
           total->lies_believed);
    const uint64_t faults = faults_of(total);
    printf("faults %" PRIu64 " (%" PRIu64 " a seed):", faults,
           sums->seeds_count ? faults / sums->seeds_count : 0);
    for (int i = 0; i < FAULTS_COUNT; i++) {
        printf(" %s %" PRIu64 "%s", fault_name((enum fault)i), total->faults[i],
               i + 1 < FAULTS_COUNT ? "," : "\n");
    }
}

static void print_rare(const struct sums *sums)
{
    const struct rare_counts *counts = &sums->totals.rare;
    printf("rare paths, in how many seeds on, how often reached and taken:");
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        printf(" %s %" PRIu64 " %" PRIu64 " %" PRIu64 "%s", rare_name((enum rare_point)i),
               sums->rare_runs_on[i], counts->reached[i], counts->taken[i],
               i + 1 < RARE_POINTS_COUNT ? "," : "\n");
    }
}

/* A point that no run comes to is a dead one, and one that is never taken shows nothing. Some are where a run seldom comes to: a few
 * seeds need not take them, but come to them they must. */
static bool all_rare_paths_were_taken(const struct sums *sums)
{
    const struct rare_counts *counts = &sums->totals.rare;
    bool all = true;
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        if (sums->seeds_count < SEEDS_FOR_ALL_FAULTS || sums->rare_runs_on[i] == 0) continue;
        if (counts->taken[i] > 0) continue;
        if (counts->reached[i] > 0 && sums->seeds_count < SEEDS_FOR_ALL_RARE) continue;
        printf("FAILED rare path %s was on in %" PRIu64 " seeds, reached %" PRIu64
               " times in all, and never taken\n",
               rare_name((enum rare_point)i), sums->rare_runs_on[i], counts->reached[i]);
        all = false;
    }
    return all;
}

/* A fault that was on in some seeds and struck in none tests nothing. */
static bool all_faults_struck(const struct sums *sums)
{
    bool all = true;
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (sums->seeds_count < SEEDS_FOR_ALL_FAULTS || sums->runs_on[i] == 0) continue;
        if (sums->totals.faults[i] > 0) continue;
        printf("FAILED fault %s was switched on in %" PRIu64 " seeds and never struck\n",
               fault_name((enum fault)i), sums->runs_on[i]);
        all = false;
    }
    return all;
}

/* A run in which little happens finds little: the draws are made so that much does, unless the caller took some away. */
static bool is_dense(const struct crew_options *options, const struct sums *sums)
{
    if (sums->seeds_count < SEEDS_FOR_ALL_FAULTS || options->wishes.until_ms) return true;
    const struct run_totals *total = &sums->totals;
    const bool is_long = sums->shortest_us >= SEED_US_MIN;
    const uint64_t least = options->wishes.rare.is_on ? OPS_PER_SECOND_RARE : OPS_PER_SECOND_MIN;
    const bool is_busy = per(ops_of(total), total->simulated_us) >= least;
    const bool is_hard = faults_of(total) >= FAULTS_PER_SEED_MIN * sums->seeds_count;
    bool is_whole = true;
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (options->wishes.without[i]) is_whole = false;
    }
    if (is_long && is_busy && (is_hard || !is_whole)) return true;
    printf("FAILED density: each seed is to last %u s and more, with %" PRIu64
           " operations a second and %u faults on average\n",
           SEED_US_MIN / 1000000u, least, FAULTS_PER_SEED_MIN);
    return false;
}

/* ---- the crew ------------------------------------------------------------------------------------------------------ */

/* False: the worker is at its end, or was. */
static bool take_reports(const struct crew_options *options, struct worker *worker,
                         struct sums *sums)
{
    struct report report;
    if (!read_report(worker->pipe, &report)) return false;
    if (options->prints_hashes) {
        printf("0x%" PRIx64 " %016" PRIx64 "\n", crew__seed_at(options, report.position),
               report.totals.trace_hash);
    }
    worker->next = report.position + options->jobs;
    add(sums, &report);
    return true;
}

/* The worker has closed its pipe. True when it has done all its seeds. */
static bool end_worker(const struct crew_options *options, struct worker *worker, struct sums *sums)
{
    int status = 0;
    close(worker->pipe);
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR) {
    }
    worker->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (sums->failed_count < 16u) {
        const uint64_t position =
            worker->next < options->count ? worker->next : options->count - 1u;
        sums->failed_seeds[sums->failed_count] = crew__seed_at(options, position);
    }
    sums->failed_count++;
    return false;
}

static void stop_all(struct worker *workers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (workers[i].pid == 0) continue;
        kill(workers[i].pid, SIGKILL);
        close(workers[i].pipe);
        (void)waitpid(workers[i].pid, NULL, 0);
        workers[i].pid = 0;
    }
}

/* Round and round, a report from each: they are about equally long. */
static void watch(const struct crew_options *options, struct worker *workers, struct sums *sums)
{
    uint32_t live = options->jobs;
    while (live > 0) {
        live = 0;
        for (uint32_t i = 0; i < options->jobs; i++) {
            struct worker *worker = &workers[i];
            if (worker->pid == 0) continue;
            if (take_reports(options, worker, sums)) {
                live++;
                continue;
            }
            if (end_worker(options, worker, sums)) continue;
            if (!options->keeps_going) {
                stop_all(workers, options->jobs);
                return;
            }
            const uint64_t next = worker->next + options->jobs;
            if (next >= options->count) continue;
            start_worker(options, worker, next);
            live++;
        }
    }
}

int crew_run(const struct crew_options *options)
{
    struct worker workers[CREW_JOBS_MAX] = {0};
    struct sums sums = {0};
    if (options->count == 1) { /* in this process: a debugger sees it */
        struct plan plan;
        struct report report = {0};
        plan_draw(&plan, crew__seed_at(options, 0), &options->wishes);
        if (!options->tells) plan_print(&plan, stdout);
        crew__run_one(options, crew__seed_at(options, 0), &report.totals);
        add(&sums, &report);
        printf("trace hash %016" PRIx64 "\n", report.totals.trace_hash);
        print_sums(&sums);
        if (options->wishes.rare.is_on) print_rare(&sums);
        return 0;
    }
    for (uint32_t i = 0; i < options->jobs && i < options->count; i++) {
        start_worker(options, &workers[i], i);
    }
    watch(options, workers, &sums);
    print_sums(&sums);
    if (options->wishes.rare.is_on) print_rare(&sums);
    const bool all_struck = all_faults_struck(&sums);
    const bool all_taken = all_rare_paths_were_taken(&sums);
    const bool dense = is_dense(options, &sums);
    for (uint64_t i = 0; i < sums.failed_count && i < 16u; i++) {
        printf("FAILED seed 0x%" PRIx64 "\n", sums.failed_seeds[i]);
    }
    return sums.failed_count > 0 || !all_struck || !all_taken || !dense ? 1 : 0;
}
