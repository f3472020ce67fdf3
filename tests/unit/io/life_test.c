/* The loop itself: clock, randomness, signals, and its end with things still open. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "io_fixture.h"

TestSuite(io_life, .init = fixture_setup, .fini = fixture_teardown);

Test(io_life, clocks_agree_with_the_system)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t before_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    uint64_t now_us = io_now_us(fixture_io);
    cr_assert_geq(now_us, before_us);
    cr_assert_lt(now_us - before_us, 5000000u);
    cr_assert_leq(llabs(io_wall_ms(fixture_io) - (int64_t)time(NULL) * 1000), 2000);
}

Test(io_life, random_fills_the_whole_buffer_and_never_repeats)
{
    uint8_t first[1000] = {0}, second[1000] = {0};
    io_random(fixture_io, first, sizeof(first));
    io_random(fixture_io, second, sizeof(second));
    cr_assert_neq(memcmp(first, second, sizeof(first)), 0);
    for (size_t i = 0; i + 16 <= sizeof(first); i += 16) {
        static const uint8_t zero[16];
        cr_assert_neq(memcmp(first + i, zero, 16), 0);
    }
}

/* Below RLIMIT_FSIZE the kernel sends a signal with the error. */
static int write_over_the_limit(void)
{
    static uint8_t bytes[8192];
    const struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    FILE *file = tmpfile();
    const int fd = file ? fileno(file) : -1;
    if (fd < 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    if (pwrite(fd, bytes, sizeof(bytes), 0) != 4096) return 2;
    if (pwrite(fd, bytes, 1, 4096) != -1 || errno != EFBIG) return 3;
    return ftruncate(fd, 4097) == -1 && errno == EFBIG ? 0 : 4;
}

Test(io_life, a_file_that_may_not_grow_is_an_error_of_that_write_and_not_the_end)
{
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) _exit(write_over_the_limit());
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}

static int signals_count;

static void note_signal(void *data, int number)
{
    cr_assert_eq(data, &signals_count);
    cr_assert_eq(number, SIGUSR1);
    signals_count++;
    io_uv_stop(fixture_io);
}

static void raise_signal(struct io_timer *timer)
{
    (void)timer;
    raise(SIGUSR1);
    cr_assert_eq(signals_count, 0, "called inside of the signal handler");
}

Test(io_life, signal_calls_back_on_the_loop)
{
    struct io_timer timer = {.fire = raise_signal};
    io_uv_on_signal(fixture_io, SIGUSR1, note_signal, &signals_count);
    io_timer_start(fixture_io, &timer, 1000);
    fixture_run(10);
    cr_assert_eq(signals_count, 1);
}

static int releases_count;
static int closed_count;

static void count_release(void *owner)
{
    (void)owner;
    releases_count++;
}

static void count_closed(struct io_stream *stream)
{
    (void)stream;
    closed_count++;
}

static void read_never(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)stream;
    (void)data;
    cr_assert_fail("read %zd", bytes);
}

static void accept_nothing(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    (void)stream;
}

static void never_fires(struct io_timer *timer)
{
    (void)timer;
    cr_assert_fail("fired after the loop");
}

/* What is still open at the end is closed without a word, but no buffer is forgotten; who closed a stream before still
 * hears of it. */
Test(io_life, destroy_closes_what_is_open)
{
    enum { BYTES = 8 * 1024 * 1024 };
    static const struct io_stream_callbacks callbacks = {.read = read_never,
                                                         .closed = count_closed};
    uint8_t *data = calloc(1, BYTES);
    struct fixture_pair open, closing;
    struct io_listener *listener;
    static struct io_timer timer = {.fire = never_fires}, posted = {.fire = never_fires};
    fixture_connect(&open);
    fixture_connect(&closing);
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_nothing, NULL, &listener), 0);
    struct io_buffer buffer = {.data = data, .bytes = BYTES, .release = count_release};
    io_stream_start(open.client, &callbacks, NULL);
    io_stream_write(open.client, &buffer, 1);
    io_stream_start(closing.client, &callbacks, NULL);
    io_stream_write(closing.client, &buffer, 1);
    io_stream_close(closing.client, true);
    io_timer_start(fixture_io, &timer, 0);
    io_post(fixture_io, &posted);
    io_uv_stop(fixture_io); /* a stop that nobody ran must not keep destroy from its work */
    io_uv_destroy(fixture_io);
    fixture_io = NULL;
    cr_assert_eq(releases_count, 2);
    cr_assert_eq(closed_count, 1);
    free(data);
}

Test(io_life, destroy_accepts_null_and_a_loop_that_never_ran)
{
    io_uv_destroy(NULL);
    struct io *idle = io_uv_create(16);
    cr_assert_not_null(idle);
    io_uv_destroy(idle);
}
