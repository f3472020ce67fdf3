/* Clock, timers, posts and jobs of one simulated process. */
#include <string.h>

#include <criterion/criterion.h>

#include "sim.h"

static struct sim *sim;
static struct io *io;

static void setup(void)
{
    struct sim_options options;
    sim_options_init(&options, 42, 2);
    sim = sim_create(&options);
    io = sim_start(sim, 0, NULL, NULL);
}

static void teardown(void)
{
    sim_destroy(sim);
}

TestSuite(sim_io, .init = setup, .fini = teardown);

static int order[128];
static int order_count;

struct numbered {
    struct io_timer timer;
    struct io_job job;
    int number;
    uint64_t at_us;
};

static void note_timer(struct io_timer *timer)
{
    struct numbered *numbered = timer->data;
    order[order_count++] = numbered->number;
    numbered->at_us = io_now_us(io);
}

static void numbered_init(struct numbered *numbered, int number)
{
    memset(numbered, 0, sizeof(*numbered));
    numbered->number = number;
    numbered->timer = (struct io_timer){.fire = note_timer, .data = numbered};
}

Test(sim_io, timers_fire_at_their_virtual_time_and_equal_ones_in_the_order_of_start)
{
    struct numbered timers[4];
    static const uint64_t delays_us[4] = {500, 100, 500, 0};
    uint64_t begin_us = io_now_us(io);
    for (int i = 0; i < 4; i++) {
        numbered_init(&timers[i], i);
        io_timer_start(io, &timers[i].timer, delays_us[i]);
    }
    sim_run_for(sim, 1000);
    static const int expected[4] = {3, 1, 0, 2};
    cr_assert_eq(order_count, 4);
    cr_assert_arr_eq(order, expected, sizeof(expected));
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(timers[i].at_us, begin_us + delays_us[i]);
    }
    cr_assert_eq(sim_now_us(sim), 1000u);
    cr_assert_eq(io_now_us(io), begin_us + 1000u);
}

Test(sim_io, stop_and_restart_of_timers_hold)
{
    struct numbered stopped, moved;
    numbered_init(&stopped, 1);
    numbered_init(&moved, 2);
    io_timer_start(io, &stopped.timer, 10);
    io_timer_start(io, &moved.timer, 10);
    uint64_t begin_us = io_now_us(io);
    io_timer_start(io, &moved.timer, 700);
    io_timer_stop(io, &stopped.timer);
    sim_run_for(sim, 1000);
    cr_assert_eq(order_count, 1);
    cr_assert_eq(moved.at_us, begin_us + 700u);
    io_timer_start(io, &moved.timer, UINT64_MAX);
    sim_run_for(sim, 1000000);
    cr_assert_eq(order_count, 1);
}

static struct numbered posted;

static void post_twice(struct io_timer *timer)
{
    (void)timer;
    io_post(io, &posted.timer);
    io_post(io, &posted.timer);
    cr_assert_eq(order_count, 0, "called inside of io_post");
}

Test(sim_io, post_fires_once_and_soon_and_stop_takes_it_back)
{
    struct io_timer poster = {.fire = post_twice};
    numbered_init(&posted, 1);
    io_timer_start(io, &poster, 5);
    sim_run_for(sim, 100);
    cr_assert_eq(order_count, 1);
    io_post(io, &posted.timer);
    io_timer_stop(io, &posted.timer);
    sim_run_for(sim, 100);
    cr_assert_eq(order_count, 1);
}

static struct numbered first_post, second_post;

static void stop_second(struct io_timer *timer)
{
    (void)timer;
    io_timer_stop(io, &second_post.timer);
    io_post(io, &first_post.timer);
    first_post.timer.fire = note_timer;
}

Test(sim_io, post_may_stop_another_of_its_turn_and_post_itself_again)
{
    numbered_init(&first_post, 1);
    numbered_init(&second_post, 2);
    first_post.timer.fire = stop_second;
    io_post(io, &first_post.timer);
    io_post(io, &second_post.timer);
    sim_run_for(sim, 200);
    cr_assert_eq(order_count, 1);
    cr_assert_eq(order[0], 1);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------- */

static int runs[128];
static int runs_count;

static void run_numbered(struct io_job *job)
{
    struct numbered *numbered = job->data;
    runs[runs_count++] = numbered->number;
}

static void done_numbered(struct io_job *job)
{
    struct numbered *numbered = job->data;
    cr_assert_gt(runs_count, 0);
    order[order_count++] = numbered->number;
}

static void job_init(struct numbered *numbered, int number)
{
    numbered_init(numbered, number);
    numbered->job = (struct io_job){.run = run_numbered, .done = done_numbered, .data = numbered};
}

static void check_in_order(const int *numbers, int count, int parity)
{
    int last = -1;
    int seen = 0;
    for (int i = 0; i < count; i++) {
        if (numbers[i] % 2 != parity) continue;
        cr_assert_gt(numbers[i], last);
        last = numbers[i];
        seen++;
    }
    cr_assert_eq(seen, 30);
}

Test(sim_io, jobs_of_a_queue_run_and_end_first_in_first_out_and_queues_mix)
{
    static struct numbered jobs[60];
    struct io_job_queue *queues[2] = {io_job_queue_create(io), io_job_queue_create(io)};
    for (int i = 0; i < 60; i++) {
        job_init(&jobs[i], i);
        io_job_submit(io, queues[i % 2], &jobs[i].job);
    }
    cr_assert_eq(runs_count, 0, "run inside of io_job_submit");
    sim_run_for(sim, 10000000);
    cr_assert_eq(runs_count, 60);
    cr_assert_eq(order_count, 60);
    check_in_order(runs, 60, 0);
    check_in_order(runs, 60, 1);
    check_in_order(order, 60, 0);
    check_in_order(order, 60, 1);
    int turns = 0;
    for (int i = 1; i < 60; i++) {
        if (runs[i] % 2 != runs[i - 1] % 2) turns++;
    }
    cr_assert_gt(turns, 5, "the queues ran one after the other");
    io_job_queue_destroy(io, queues[0]);
    io_job_queue_destroy(io, queues[1]);
}

Test(sim_io, clocks_of_nodes_differ_but_run_alike)
{
    struct io *other = sim_start(sim, 1, NULL, NULL);
    uint64_t difference = io_now_us(io) - io_now_us(other);
    cr_assert_neq(difference, 0u);
    sim_run_for(sim, 12345);
    cr_assert_eq(io_now_us(io) - io_now_us(other), difference);
    cr_assert_eq(io_wall_ms(io), io_wall_ms(other));
    sim_set_wall_skew_ms(sim, 1, -5000);
    cr_assert_eq(io_wall_ms(io), io_wall_ms(other) + 5000);
}

Test(sim_io, randomness_differs_between_nodes_and_starts)
{
    struct io *other = sim_start(sim, 1, NULL, NULL);
    uint8_t a[16], b[16], c[16];
    io_random(io, a, sizeof(a));
    io_random(other, b, sizeof(b));
    sim_crash(sim, 1, SIM_CRASH_KILL);
    io_random(sim_start(sim, 1, NULL, NULL), c, sizeof(c));
    cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
    cr_assert_neq(memcmp(b, c, sizeof(b)), 0);
}
