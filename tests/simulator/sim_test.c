/* The world as a whole: the same seed gives the same run, whatever happens in it. */
#include <criterion/criterion.h>

#include "chatter.h"

#define NODES_COUNT 5u

struct run {
    uint64_t hash;
    uint64_t events_count;
    struct chatter_totals totals;
};

/* One thing out of all that can happen to a world. */
static void disturb(struct sim *sim, struct chatter_totals *totals)
{
    uint32_t node = (uint32_t)sim_draw(sim, NODES_COUNT);
    uint32_t other = (node + 1u + (uint32_t)sim_draw(sim, NODES_COUNT - 1u)) % NODES_COUNT;
    enum sim_crash mode = sim_draw(sim, 2) ? SIM_CRASH_POWER : SIM_CRASH_KILL;
    if (!sim_is_running(sim, node)) {
        sim_start(sim, node, &chatter_program, totals);
        return;
    }
    switch (sim_draw(sim, 6)) {
    case 0:
        sim_crash(sim, node, mode);
        break;
    case 1:
        sim_crash_at_disk_call(sim, node, sim_draw(sim, 8), mode);
        break;
    case 2:
        sim_pause(sim, node);
        break;
    case 3:
        sim_resume(sim, node);
        break;
    case 4:
        sim_set_link(sim, node, other, (enum sim_link)sim_draw(sim, 3));
        break;
    default:
        sim_heal(sim);
        break;
    }
}

static struct run run_chatter(uint64_t seed, size_t window_bytes)
{
    struct run run = {0};
    struct sim_options options;
    sim_options_init(&options, seed, NODES_COUNT);
    options.window_bytes = window_bytes;
    struct sim *sim = sim_create(&options);
    for (uint32_t node = 0; node < NODES_COUNT; node++) {
        sim_start(sim, node, &chatter_program, &run.totals);
    }
    for (int i = 0; i < 80; i++) {
        sim_run_for(sim, 10000);
        disturb(sim, &run.totals);
    }
    run.hash = sim_trace_hash(sim);
    run.events_count = sim_events_count(sim);
    sim_destroy(sim);
    return run;
}

Test(sim_world, same_seed_gives_the_same_trace)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        size_t window_bytes = seed % 2 ? 4096 : 256 * 1024;
        struct run first = run_chatter(seed, window_bytes);
        struct run second = run_chatter(seed, window_bytes);
        cr_assert_eq(first.hash, second.hash, "seed %lu", seed);
        cr_assert_eq(first.events_count, second.events_count);
        /* The run was worth comparing. */
        cr_assert_gt(first.totals.bytes_checked, 10000u);
        cr_assert_gt(first.totals.jobs_done, 10u);
        cr_assert_gt(first.totals.connections_count, NODES_COUNT);
    }
}

Test(sim_world, other_seed_gives_another_trace)
{
    cr_assert_neq(run_chatter(1, 4096).hash, run_chatter(2, 4096).hash);
}

/* Over all kinds of crashes, each buffer is released and each closed stream is told, once. */
Test(sim_world, every_buffer_and_every_stream_comes_back_whatever_crashes)
{
    uint64_t starts_with_files = 0;
    uint64_t ends_count = 0;
    for (uint64_t seed = 100; seed < 130; seed++) {
        struct run run = run_chatter(seed, 8192);
        cr_assert_eq(run.totals.releases_owed, 0u, "seed %lu: %ld", seed,
                     (long)run.totals.releases_owed);
        cr_assert_eq(run.totals.closes_owed, 0u, "seed %lu: %ld", seed,
                     (long)run.totals.closes_owed);
        starts_with_files += run.totals.starts_with_files;
        ends_count += run.totals.ends_count;
    }
    cr_assert_gt(starts_with_files, 10u);
    cr_assert_gt(ends_count, 100u);
}

Test(sim_world, note_of_the_test_is_part_of_the_hash)
{
    struct sim_options options;
    sim_options_init(&options, 1, 1);
    struct sim *first = sim_create(&options);
    struct sim *second = sim_create(&options);
    cr_assert_eq(sim_trace_hash(first), sim_trace_hash(second));
    sim_trace_note(first, "a", 1);
    sim_trace_note(second, "b", 1);
    cr_assert_neq(sim_trace_hash(first), sim_trace_hash(second));
    sim_destroy(first);
    sim_destroy(second);
}

static void count_event(struct sim *sim, void *data)
{
    (void)sim;
    ++*(uint64_t *)data;
}

static bool never(void *data)
{
    (void)data;
    return false;
}

Test(sim_world, hook_sees_every_event_and_a_wait_ends_at_its_time)
{
    uint64_t count = 0;
    struct chatter_totals totals = {0};
    struct sim_options options;
    sim_options_init(&options, 3, NODES_COUNT);
    options.after_event = count_event;
    options.data = &count;
    struct sim *sim = sim_create(&options);
    sim_start(sim, 0, &chatter_program, &totals);
    cr_assert(!sim_run_until_true(sim, 50000, never, NULL));
    cr_assert_eq(sim_now_us(sim), 50000u);
    cr_assert_gt(count, 20u);
    cr_assert_eq(count, sim_events_count(sim));
    sim_destroy(sim);
}
