/* A loop for one test, ended by the test or by a watchdog, and a pair of connected streams. */
#ifndef TESTS_IO_FIXTURE_H
#define TESTS_IO_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <broker/io.h>
#include <broker/io_uv.h>

/* Each Criterion test is a process of its own, so one loop is enough. */
extern struct io *fixture_io;

void fixture_setup(void);
/* Destroys the loop; fails the test when memory of a stream is left behind (by the leak checker). */
void fixture_teardown(void);

/* Run until io_uv_stop(); fails the test after seconds_max. */
void fixture_run(unsigned seconds_max);
/* Run for about this long. */
void fixture_run_for_ms(uint64_t ms);

/* Two ends of a connection on loopback; not started. */
struct fixture_pair {
    struct io_listener *listener;
    struct io_stream *client;
    struct io_stream *server;
};
void fixture_connect(struct fixture_pair *pair);

/* The byte at position `pos` of the endless test pattern, which has no short period. */
uint8_t fixture_pattern(uint64_t pos);
void fixture_pattern_fill(uint8_t *data, size_t bytes, uint64_t pos);
/* False when a byte differs. */
bool fixture_pattern_matches(const uint8_t *data, size_t bytes, uint64_t pos);

/* "127.0.0.1:port" */
const char *fixture_address(uint16_t port);

#endif
