/* raftmq-sim: runs seeds. Each is a cluster of real nodes in a simulated world, under faults, judged (run.h). */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crew.h"

static const char usage[] =
    "usage: raftmq-sim [--seed N] [--seeds COUNT | --file PATH] [options]\n"
    "\n"
    "  --seed N          first seed, decimal or 0x...; default 1\n"
    "  --seeds COUNT     run seeds N, N+1, ...; default 1\n"
    "  --file PATH       run the seeds of a file: one per line, # begins a comment\n"
    "  --jobs COUNT      worker processes; default 1\n"
    "  --until-ms MS     length of the phase with faults; default: drawn, 58 to 68 s\n"
    "  --nodes COUNT     size of the cluster at first, 1 to 5; default: drawn\n"
    "  --producers COUNT not more of them than this; default: drawn\n"
    "  --topics COUNT    the same of topics\n"
    "  --without KIND    switch a kind of faults or clients off; may be repeated, or a list with "
    "commas\n"
    "  --with FAULT      switch a kind of faults on in every seed that can have it\n"
    "  --rare            take rare paths of the nodes on purpose; a build with planted bugs only.\n"
    "                    Their names go behind --with and --without, too\n"
    "  --trace           tell what happens: faults, requests, the nodes' logs\n"
    "  --trace-events    and every event of the simulated world\n"
    "  --hashes          print the trace hash of each seed\n"
    "  --keep-going      do not stop at the first seed that fails\n"
    "  --shrink          when the seed fails: find the smallest run that fails in the same way\n"
    "  --canary FAULT    fail at its third strike: a test of what handles failures\n"
    "  --list-faults     the kinds of faults and of clients, and the rare paths\n";

static bool parse_number(const char *text, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    *ret_number = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0';
}

static uint64_t number_of(const char *option, const char *text)
{
    uint64_t number;
    if (parse_number(text, &number)) return number;
    fprintf(stderr, "raftmq-sim: --%s wants a number, not \"%s\"\n", option, text);
    exit(2);
}

static void read_seeds(struct crew_options *options, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "raftmq-sim: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    char line[256];
    uint32_t capacity = 0;
    while (fgets(line, sizeof(line), file)) {
        char word[64];
        line[strcspn(line, "#\n")] = '\0';
        if (sscanf(line, "%63s", word) != 1) continue;
        if (options->seeds_count == capacity) {
            capacity = capacity ? 2u * capacity : 64u;
            options->seeds = realloc(options->seeds, capacity * sizeof(*options->seeds));
            if (!options->seeds) abort();
        }
        options->seeds[options->seeds_count++] = number_of("file", word);
    }
    fclose(file);
}

static void no_such_kind(const char *name)
{
    fprintf(stderr, "raftmq-sim: there is no \"%s\"; see --list-faults\n", name);
    exit(2);
}

static void add_without(struct plan_wishes *wishes, char *list)
{
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        enum fault fault;
        enum client client;
        enum rare_point point;
        if (rare_find(name, &point)) {
            wishes->rare.without[point] = true;
        } else if (fault_find(name, &fault)) {
            wishes->without[fault] = true;
        } else if (client_find(name, &client)) {
            wishes->without_client[client] = true;
        } else {
            no_such_kind(name);
        }
    }
}

static void add_with(struct plan_wishes *wishes, const char *name)
{
    enum fault fault;
    enum rare_point point;
    if (rare_find(name, &point)) {
        wishes->rare.with[point] = true;
    } else if (fault_find(name, &fault)) {
        wishes->with[fault] = true;
    } else {
        no_such_kind(name);
    }
}

static void switch_rare_on(struct plan_wishes *wishes)
{
    wishes->rare.is_on = rare_set_hook(NULL, NULL);
    if (wishes->rare.is_on) return;
    fprintf(stderr, "raftmq-sim: this build has no rare paths; cmake --preset planted makes one\n");
    exit(2);
}

static enum fault fault_of(const char *name)
{
    enum fault fault;
    if (!fault_find(name, &fault)) no_such_kind(name);
    return fault;
}

static void list_faults(void)
{
    for (int i = 0; i < FAULTS_COUNT; i++) {
        printf("%-14s %s\n", fault_name((enum fault)i), fault_meaning((enum fault)i));
    }
    for (int i = 0; i < CLIENTS_COUNT; i++) {
        printf("%-14s %s\n", client_name((enum client)i), client_meaning((enum client)i));
    }
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        printf("%-28s %s\n", rare_name((enum rare_point)i), rare_meaning((enum rare_point)i));
    }
}

enum option_code {
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_FILE,
    OPTION_JOBS,
    OPTION_UNTIL,
    OPTION_NODES,
    OPTION_PRODUCERS,
    OPTION_TOPICS,
    OPTION_WITHOUT,
    OPTION_WITH,
    OPTION_RARE,
    OPTION_TRACE,
    OPTION_TRACE_EVENTS,
    OPTION_HASHES,
    OPTION_KEEP_GOING,
    OPTION_SHRINK,
    OPTION_CANARY,
    OPTION_LIST,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"seed", required_argument, NULL, OPTION_SEED},
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {"file", required_argument, NULL, OPTION_FILE},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"until-ms", required_argument, NULL, OPTION_UNTIL},
    {"nodes", required_argument, NULL, OPTION_NODES},
    {"producers", required_argument, NULL, OPTION_PRODUCERS},
    {"topics", required_argument, NULL, OPTION_TOPICS},
    {"without", required_argument, NULL, OPTION_WITHOUT},
    {"with", required_argument, NULL, OPTION_WITH},
    {"rare", no_argument, NULL, OPTION_RARE},
    {"trace", no_argument, NULL, OPTION_TRACE},
    {"trace-events", no_argument, NULL, OPTION_TRACE_EVENTS},
    {"hashes", no_argument, NULL, OPTION_HASHES},
    {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
    {"shrink", no_argument, NULL, OPTION_SHRINK},
    {"canary", required_argument, NULL, OPTION_CANARY},
    {"list-faults", no_argument, NULL, OPTION_LIST},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static void take_option(struct crew_options *options, int code, char *value, const char **ret_file)
{
    switch ((enum option_code)code) {
    case OPTION_SEED:
        options->first_seed = number_of("seed", value);
        return;
    case OPTION_SEEDS:
        options->count = number_of("seeds", value);
        return;
    case OPTION_FILE:
        *ret_file = value;
        return;
    case OPTION_JOBS:
        options->jobs = (uint32_t)number_of("jobs", value);
        return;
    case OPTION_UNTIL:
        options->wishes.until_ms = number_of("until-ms", value);
        return;
    case OPTION_NODES:
        options->wishes.nodes_count = (uint32_t)number_of("nodes", value);
        return;
    case OPTION_PRODUCERS:
        options->wishes.producers_count = (uint32_t)number_of("producers", value);
        return;
    case OPTION_TOPICS:
        options->wishes.topics_count = (uint32_t)number_of("topics", value);
        return;
    case OPTION_WITHOUT:
        add_without(&options->wishes, value);
        return;
    case OPTION_WITH:
        add_with(&options->wishes, value);
        return;
    case OPTION_RARE:
        switch_rare_on(&options->wishes);
        return;
    case OPTION_TRACE_EVENTS:
        options->traces_events = true;
        options->tells = true;
        return;
    case OPTION_TRACE:
        options->tells = true;
        return;
    case OPTION_HASHES:
        options->prints_hashes = true;
        return;
    case OPTION_KEEP_GOING:
        options->keeps_going = true;
        return;
    case OPTION_SHRINK:
        options->shrinks = true;
        return;
    case OPTION_CANARY:
        options->wishes.canary[fault_of(value)] = true;
        return;
    case OPTION_LIST:
        list_faults();
        exit(0);
    case OPTION_HELP:
        fputs(usage, stdout);
        exit(0);
    }
    fputs(usage, stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    struct crew_options options = {.first_seed = 1, .count = 1, .jobs = 1};
    const char *file = NULL;
    int code;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        take_option(&options, code, optarg, &file);
    }
    if (optind < argc || options.wishes.nodes_count > PLAN_FOUNDERS_MAX || options.jobs < 1 ||
        options.jobs > CREW_JOBS_MAX) {
        fputs(usage, stderr);
        return 2;
    }
    if (file) {
        read_seeds(&options, file);
        options.count = options.seeds_count;
    }
    if (options.tells) setvbuf(stdout, NULL, _IOLBF, 0); /* a crash loses nothing of the story */
    const int status = options.shrinks ? crew_shrink(&options) : crew_run(&options);
    free(options.seeds);
    return status;
}
