/* The real world: libuv for clock, timers and streams, and worker threads for blocking jobs. */
#ifndef BROKER_IO_UV_H
#define BROKER_IO_UV_H

#include <broker/io.h>

/* workers_count threads run the job queues (1..16). Returns NULL when threads or the loop cannot be made. */
struct io *io_uv_create(uint32_t workers_count);

/* Run the loop until io_uv_stop(). Returns 0. */
int io_uv_run(struct io *io);
void io_uv_stop(struct io *io);

/* Call cb on the loop when one of these signals arrives (SIGTERM, SIGINT, ...). */
void io_uv_on_signal(struct io *io, int signal, void (*cb)(void *data, int signal), void *data);

/* Close every handle, wait for running jobs, free everything. The loop must have been stopped. */
void io_uv_destroy(struct io *io);

#endif
