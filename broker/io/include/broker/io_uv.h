/* The real world: libuv for clock, timers and streams, and worker threads for blocking jobs. */
#ifndef BROKER_IO_UV_H
#define BROKER_IO_UV_H

#include <broker/io.h>

/* workers_count threads run the job queues (1..16). Returns NULL when threads or the loop cannot be made. Sets SIGPIPE
 * to be ignored in this process: a write to a closed connection is an error of that stream. */
struct io *io_uv_create(uint32_t workers_count);

/* Could io_listen() have this address now? 0, or its error. Blocks while a name is resolved. */
int io_uv_try_address(const char *address);

/* Run the loop until io_uv_stop(). Returns 0. */
int io_uv_run(struct io *io);
void io_uv_stop(struct io *io);

/* Call cb on the loop when one of these signals arrives (SIGTERM, SIGINT, ...). */
void io_uv_on_signal(struct io *io, int signal, void (*cb)(void *data, int signal), void *data);

/* Wait for running jobs (those that wait in a queue are dropped, done() is called for none), close every handle, free
 * everything. The loop must have been stopped. NULL is accepted.
 *
 * Streams and listeners that the owner left open are closed without callbacks, but their buffers are released; streams
 * that it closed get their closed(), so what that callback touches must live until this returns. Timers and posts
 * never fire; job queues need not be destroyed before. */
void io_uv_destroy(struct io *io);

#endif
