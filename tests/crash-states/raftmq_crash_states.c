/* raftmq-crash-states: whatever instant the power goes at, the node finds everything that it promised.
 *
 * Drives the real log, snapshots, votes and identity on a disk in memory through workloads from seeds. Behind each call
 * that reaches the disk the states that a crash can leave are built, each distinct one is started from and what is found
 * is held against what was promised; then that start is crashed at each of its calls. See --help and docs/TESTING.md. */
#include "workload.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct options {
    uint64_t first, seeds, calls, states_min;
    double cpu_max;
    struct states_options states;
};

static const char help[] =
    "usage: raftmq-crash-states [OPTION]...\n"
    "  --first N          first seed (1)\n"
    "  --seeds N          workloads, one per seed (6)\n"
    "  --calls N          disk calls of each (2000)\n"
    "  --nested N         crash every n-th start at each of its calls, too; 0: none (12)\n"
    "  --goes-on N        every n-th log that was found takes an entry and loses power again (10)\n"
    "  --states-min N     fail when fewer distinct states were checked (0)\n"
    "  --cpu-max SECONDS  fail when it took more (0: no limit)\n"
    "  --long             millions of states: 24 seeds, every other start is crashed\n"
    "Exit status: 0 every state was recovered rightly, 1 one was not, 2 usage.\n";

static bool parse_number(const char *text, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != 0) return false;
    *ret_number = number;
    return true;
}

static bool parse(int argc, char **argv, struct options *options)
{
    enum { FIRST = 1, SEEDS, CALLS, NESTED, GOES_ON, STATES_MIN, CPU_MAX, LONG, HELP };
    static const struct option names[] = {
        {"first", required_argument, NULL, FIRST},
        {"seeds", required_argument, NULL, SEEDS},
        {"calls", required_argument, NULL, CALLS},
        {"nested", required_argument, NULL, NESTED},
        {"goes-on", required_argument, NULL, GOES_ON},
        {"states-min", required_argument, NULL, STATES_MIN},
        {"cpu-max", required_argument, NULL, CPU_MAX},
        {"long", no_argument, NULL, LONG},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        uint64_t number = 0;
        if (option == '?' || (optarg && !parse_number(optarg, &number))) return false;
        switch (option) {
        case FIRST:
            options->first = number;
            break;
        case SEEDS:
            options->seeds = number;
            break;
        case CALLS:
            options->calls = number;
            break;
        case NESTED:
            options->states.nested_in = (uint32_t)number;
            break;
        case GOES_ON:
            options->states.goes_on_in = (uint32_t)number;
            break;
        case STATES_MIN:
            options->states_min = number;
            break;
        case CPU_MAX:
            options->cpu_max = (double)number;
            break;
        case LONG:
            options->seeds = 24;
            options->states.nested_in = 2;
            break;
        default:
            fputs(help, stdout);
            exit(0);
        }
    }
    return optind == argc && options->seeds > 0;
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void add_figures(struct workload_result *sum, const struct workload_result *one)
{
    sum->calls += one->calls;
    sum->syncs += one->syncs;
    for (uint32_t i = 0; i < WORKLOAD_KINDS_COUNT; i++) {
        sum->kinds[i] += one->kinds[i];
    }
    struct states_figures *figures = &sum->figures;
    figures->instants += one->figures.instants;
    figures->crashes += one->figures.crashes;
    for (uint32_t i = 0; i < PARTS_COUNT; i++) {
        figures->distinct[i] += one->figures.distinct[i];
    }
    figures->nested += one->figures.nested;
    figures->nested_starts += one->figures.nested_starts;
    figures->went_on += one->figures.went_on;
    figures->files_read += one->figures.files_read;
    figures->torn_logs += one->figures.torn_logs;
    figures->bad += one->figures.bad;
}

static uint64_t states_of(const struct states_figures *figures)
{
    uint64_t states = 0;
    for (uint32_t i = 0; i < PARTS_COUNT; i++) {
        states += figures->distinct[i];
    }
    return states;
}

static void print_figures(const struct workload_result *sum, double seconds)
{
    const struct states_figures *figures = &sum->figures;
    printf("workload: %" PRIu64 " calls of the disk, %" PRIu64 " of them syncs:", sum->calls,
           sum->syncs);
    for (uint32_t i = 0; i < WORKLOAD_KINDS_COUNT; i++) {
        printf("%s %" PRIu64 " %s", i ? "," : "", sum->kinds[i],
               workload_kind_text((enum workload_kind)i));
    }
    printf("\ncrashes: %" PRIu64 " at %" PRIu64 " instants; %" PRIu64
           " starts crashed at each of their calls; %" PRIu64
           " logs went on and lost power again, %" PRIu64 " were read from their files; %" PRIu64
           " found between acked and issued\n",
           figures->crashes, figures->instants, figures->nested_starts, figures->went_on,
           figures->files_read, figures->torn_logs);
    printf("%" PRIu64 " distinct states (identity %" PRIu64 ", votes %" PRIu64 ", group %" PRIu64
           "; %" PRIu64 " by crashes of a start), %" PRIu64
           " bad, %.1f CPU seconds, %.0f a second\n",
           states_of(figures), figures->distinct[PART_IDENTITY], figures->distinct[PART_VOTES],
           figures->distinct[PART_GROUP], figures->nested, figures->bad, seconds,
           (double)states_of(figures) / seconds);
}

/* A kind of work that never came up was not checked. */
static bool is_covered(const struct workload_result *sum)
{
    bool is_good = true;
    for (uint32_t i = 0; i < WORKLOAD_KINDS_COUNT; i++) {
        if (sum->kinds[i] > 0) continue;
        printf("FAILED never happened: %s\n", workload_kind_text((enum workload_kind)i));
        is_good = false;
    }
    return is_good;
}

int main(int argc, char **argv)
{
    struct options options = {
        .first = 1,
        .seeds = 6,
        .calls = 2000,
        .states = {.nested_in = 12, .goes_on_in = 10, .files_in = 40},
    };
    if (!parse(argc, argv, &options)) {
        fputs(help, stderr);
        return 2;
    }
    /* Buffers of a quarter megabyte come and go with every start: keep them in the heap. */
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    struct workload_result *one = malloc(sizeof *one), *sum = calloc(1, sizeof *sum);
    if (!one || !sum) abort();
    const double begun = cpu_seconds();
    int status = 0;
    for (uint64_t seed = options.first; seed < options.first + options.seeds; seed++) {
        workload_run(seed, options.calls, &options.states, one);
        add_figures(sum, one);
        if (!one->problem[0]) continue;
        printf("FAILED crash-state seed %" PRIu64
               " %s\n  replay: raftmq-crash-states --first %" PRIu64 " --seeds 1 --calls %" PRIu64
               " --nested %u --goes-on %u\n",
               seed, one->problem, seed, options.calls, options.states.nested_in,
               options.states.goes_on_in);
        status = 1;
        break;
    }
    const double seconds = cpu_seconds() - begun;
    print_figures(sum, seconds);
    if (status == 0 && options.states_min > 0 && !is_covered(sum)) status = 1;
    if (status == 0 && states_of(&sum->figures) < options.states_min) {
        printf("FAILED fewer than %" PRIu64 " states\n", options.states_min);
        status = 1;
    }
    if (status == 0 && options.cpu_max > 0 && seconds > options.cpu_max) {
        printf("FAILED more than %.0f CPU seconds\n", options.cpu_max);
        status = 1;
    }
    free(one);
    free(sum);
    return status;
}
