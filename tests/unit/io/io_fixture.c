#include "io_fixture.h"

#include <inttypes.h>
#include <stdio.h>

#include <criterion/criterion.h>

struct io *fixture_io;

void fixture_setup(void)
{
    fixture_io = io_uv_create(4);
    cr_assert_not_null(fixture_io);
}

void fixture_teardown(void)
{
    io_uv_destroy(fixture_io);
    fixture_io = NULL;
}

static void watchdog_fired(struct io_timer *timer)
{
    *(bool *)timer->data = true;
    io_uv_stop(fixture_io);
}

void fixture_run(unsigned seconds_max)
{
    bool has_fired = false;
    struct io_timer watchdog = {.fire = watchdog_fired, .data = &has_fired};
    io_timer_start(fixture_io, &watchdog, seconds_max * UINT64_C(1000000));
    io_uv_run(fixture_io);
    io_timer_stop(fixture_io, &watchdog);
    cr_assert(!has_fired, "not finished after %u s", seconds_max);
}

static void time_is_over(struct io_timer *timer)
{
    (void)timer;
    io_uv_stop(fixture_io);
}

void fixture_run_for_ms(uint64_t ms)
{
    struct io_timer end = {.fire = time_is_over};
    io_timer_start(fixture_io, &end, ms * 1000u);
    io_uv_run(fixture_io);
    io_timer_stop(fixture_io, &end);
}

static void pair_ready(struct fixture_pair *pair)
{
    if (pair->client && pair->server) io_uv_stop(fixture_io);
}

static void pair_accepted(struct io_listener *listener, struct io_stream *stream)
{
    struct fixture_pair *pair = listener->data;
    pair->server = stream;
    pair_ready(pair);
}

static void pair_connected(struct io_stream *stream, int status)
{
    struct fixture_pair *pair = stream->data;
    cr_assert_eq(status, 0);
    pair->client = stream;
    pair_ready(pair);
}

void fixture_connect(struct fixture_pair *pair)
{
    *pair = (struct fixture_pair){0};
    int status = io_listen(fixture_io, "127.0.0.1:0", pair_accepted, pair, &pair->listener);
    cr_assert_eq(status, 0);
    io_connect(fixture_io, fixture_address(pair->listener->port), pair_connected, pair);
    fixture_run(10);
    io_listener_close(pair->listener);
    pair->listener = NULL;
}

uint8_t fixture_pattern(uint64_t pos)
{
    return (uint8_t)((pos * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

void fixture_pattern_fill(uint8_t *data, size_t bytes, uint64_t pos)
{
    for (size_t i = 0; i < bytes; i++) {
        data[i] = fixture_pattern(pos + i);
    }
}

bool fixture_pattern_matches(const uint8_t *data, size_t bytes, uint64_t pos)
{
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] != fixture_pattern(pos + i)) return false;
    }
    return true;
}

const char *fixture_address(uint16_t port)
{
    static char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "127.0.0.1:%" PRIu16, port);
    return address;
}
