/* Timers and posts on the real clock. */
#include <criterion/criterion.h>

#include "io_fixture.h"

TestSuite(io_timer, .init = fixture_setup, .fini = fixture_teardown);
TestSuite(io_post, .init = fixture_setup, .fini = fixture_teardown);

#define ORDER_MAX 64
static int order[ORDER_MAX];
static int order_count;
static int order_wanted;

struct numbered {
    struct io_timer timer;
    int number;
};

static void note_number(struct io_timer *timer)
{
    struct numbered *numbered = timer->data;
    cr_assert_lt(order_count, ORDER_MAX);
    order[order_count++] = numbered->number;
    if (order_count == order_wanted) io_uv_stop(fixture_io);
}

static void numbered_init(struct numbered *numbered, int number)
{
    *numbered =
        (struct numbered){.timer = {.fire = note_number, .data = numbered}, .number = number};
}

Test(io_timer, fires_in_the_order_of_the_deadlines)
{
    struct numbered timers[3];
    static const uint64_t delays_us[3] = {30000, 10000, 20000};
    order_wanted = 3;
    for (int i = 0; i < 3; i++) {
        numbered_init(&timers[i], i);
        io_timer_start(fixture_io, &timers[i].timer, delays_us[i]);
    }
    fixture_run(10);
    cr_assert_eq(order[0], 1);
    cr_assert_eq(order[1], 2);
    cr_assert_eq(order[2], 0);
}

struct pulse {
    struct io_timer timer;
    uint64_t due_us;
    uint64_t late_us_min;
    int left;
};

static void pulse_start(struct pulse *pulse)
{
    pulse->due_us = io_now_us(fixture_io) + 300u;
    io_timer_start(fixture_io, &pulse->timer, 300);
}

static void pulse_fired(struct io_timer *timer)
{
    struct pulse *pulse = timer->data;
    uint64_t now_us = io_now_us(fixture_io);
    cr_assert_geq(now_us, pulse->due_us);
    if (now_us - pulse->due_us < pulse->late_us_min) pulse->late_us_min = now_us - pulse->due_us;
    if (--pulse->left == 0) {
        io_uv_stop(fixture_io);
    } else {
        pulse_start(pulse);
    }
}

Test(io_timer, resolution_is_better_than_a_millisecond_and_never_early)
{
    struct pulse pulse = {
        .timer = {.fire = pulse_fired, .data = &pulse}, .late_us_min = UINT64_MAX, .left = 100};
    pulse_start(&pulse);
    fixture_run(10);
    /* The best of a hundred, since this machine may be busy. With a clock of milliseconds it would be 700. */
    cr_assert_lt(pulse.late_us_min, 500u);
}

static void post_again(struct io_timer *timer)
{
    io_post(fixture_io, timer);
}

/* A loop that never sleeps looks at the clock many times around each deadline. */
Test(io_timer, is_never_early_in_a_busy_loop)
{
    struct pulse pulse = {
        .timer = {.fire = pulse_fired, .data = &pulse}, .late_us_min = UINT64_MAX, .left = 200};
    struct io_timer busy = {.fire = post_again};
    io_post(fixture_io, &busy);
    pulse_start(&pulse);
    fixture_run(10);
    io_timer_stop(fixture_io, &busy);
}

Test(io_timer, stopped_timer_does_not_fire)
{
    struct numbered stopped, other;
    numbered_init(&stopped, 1);
    numbered_init(&other, 2);
    order_wanted = 1;
    io_timer_start(fixture_io, &stopped.timer, 1000);
    io_timer_start(fixture_io, &other.timer, 5000);
    io_timer_stop(fixture_io, &stopped.timer);
    io_timer_stop(fixture_io, &stopped.timer);
    fixture_run(10);
    cr_assert_eq(order_count, 1);
    cr_assert_eq(order[0], 2);
}

static struct numbered victims[2];

static void stop_victims(struct io_timer *timer)
{
    (void)timer;
    io_timer_stop(fixture_io, &victims[0].timer);
    io_timer_stop(fixture_io, &victims[1].timer);
}

Test(io_timer, may_be_stopped_by_another_that_is_due_in_the_same_turn)
{
    struct io_timer killer = {.fire = stop_victims};
    numbered_init(&victims[0], 0);
    numbered_init(&victims[1], 1);
    io_timer_start(fixture_io, &killer, 0);
    io_timer_start(fixture_io, &victims[0].timer, 0);
    io_post(fixture_io, &victims[1].timer);
    fixture_run_for_ms(5);
    cr_assert_eq(order_count, 0);
}

Test(io_timer, restart_moves_the_deadline_in_both_directions)
{
    struct numbered first, second;
    numbered_init(&first, 1);
    numbered_init(&second, 2);
    order_wanted = 2;
    io_timer_start(fixture_io, &first.timer, 1000);
    io_timer_start(fixture_io, &second.timer, 60000000);
    io_timer_start(fixture_io, &first.timer, 20000);
    io_timer_start(fixture_io, &second.timer, 5000);
    fixture_run(10);
    cr_assert_eq(order[0], 2);
    cr_assert_eq(order[1], 1);
}

Test(io_timer, longest_delay_is_no_delay_that_wraps)
{
    struct numbered never;
    numbered_init(&never, 1);
    io_timer_start(fixture_io, &never.timer, UINT64_MAX);
    fixture_run_for_ms(5);
    cr_assert_eq(order_count, 0);
    io_timer_stop(fixture_io, &never.timer);
}

static void restart_at_once(struct io_timer *timer)
{
    io_timer_start(fixture_io, timer, 0);
}

static void count_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)data;
    cr_assert_eq(bytes, 1);
    (void)stream;
    io_uv_stop(fixture_io);
}

Test(io_timer, endless_restart_without_delay_does_not_starve_streams)
{
    static const struct io_stream_callbacks callbacks = {.read = count_read};
    struct fixture_pair pair;
    fixture_connect(&pair);
    struct io_timer busy = {.fire = restart_at_once};
    io_timer_start(fixture_io, &busy, 0);
    io_stream_start(pair.server, &callbacks, NULL);
    io_stream_write(pair.client, &(struct io_buffer){.data = "x", .bytes = 1}, 1);
    fixture_run(10);
    io_timer_stop(fixture_io, &busy);
    io_stream_close(pair.client, false);
    io_stream_close(pair.server, false);
}

/* ---- posts ---------------------------------------------------------------------------------------------- */

static struct numbered posted, timed;

static void post_the_other(struct io_timer *timer)
{
    (void)timer;
    io_post(fixture_io, &posted.timer);
    io_post(fixture_io, &posted.timer);
}

Test(io_post, runs_once_after_the_callbacks_that_are_ready)
{
    struct io_timer poster = {.fire = post_the_other};
    numbered_init(&posted, 1);
    numbered_init(&timed, 2);
    order_wanted = 2;
    io_timer_start(fixture_io, &poster, 0);
    io_timer_start(fixture_io, &timed.timer, 0); /* due in the same turn as the poster */
    fixture_run(10);
    fixture_run_for_ms(2);
    cr_assert_eq(order_count, 2);
    cr_assert_eq(order[0], 2);
    cr_assert_eq(order[1], 1);
}

struct chain {
    struct io_timer timer;
    struct io_timer tick;
    int left;
    int ticks;
};

static void chain_fired(struct io_timer *timer)
{
    struct chain *chain = timer->data;
    if (--chain->left == 0) {
        io_uv_stop(fixture_io);
    } else {
        io_post(fixture_io, timer);
    }
}

static void chain_tick(struct io_timer *timer)
{
    struct chain *chain = timer->data;
    chain->ticks++;
    io_timer_start(fixture_io, timer, 0);
}

Test(io_post, made_by_a_post_runs_in_the_next_turn_and_the_loop_does_not_block)
{
    struct chain chain = {.timer = {.fire = chain_fired, .data = &chain},
                          .tick = {.fire = chain_tick, .data = &chain},
                          .left = 1000};
    io_post(fixture_io, &chain.timer);
    io_timer_start(fixture_io, &chain.tick, 0);
    fixture_run(10); /* nothing but the watchdog would wake a loop that blocks */
    cr_assert_geq(chain.ticks, 900, "the chain ran in %d turns", chain.ticks);
    io_timer_stop(fixture_io, &chain.tick);
}

Test(io_post, stop_takes_it_back)
{
    numbered_init(&posted, 1);
    io_post(fixture_io, &posted.timer);
    io_timer_stop(fixture_io, &posted.timer);
    fixture_run_for_ms(5);
    cr_assert_eq(order_count, 0);
}

Test(io_post, does_not_touch_the_timer_of_the_same_struct)
{
    numbered_init(&posted, 1);
    order_wanted = 2;
    io_timer_start(fixture_io, &posted.timer, 3000);
    io_post(fixture_io, &posted.timer);
    fixture_run(10);
    cr_assert_eq(order_count, 2);
}
