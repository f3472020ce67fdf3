/* A connection from n1 to n2 for tests, with counters. */
#ifndef SIMULATOR_SIM_PAIR_H
#define SIMULATOR_SIM_PAIR_H

#include "sim.h"

struct pair_end {
    struct io_stream *stream;
    uint64_t got; /* bytes, checked against the pattern */
    int reads_count;
    int ends_count;
    int end_status;
    int drained_count;
    int closed_count;
    int connected_count;
    int connected_status;
};

extern struct sim *pair_sim;
extern struct io *pair_io[2];
extern struct pair_end pair_client, pair_server;
extern int pair_releases_count;
extern struct io_listener *pair_listener;
extern const struct io_stream_callbacks pair_callbacks; /* the stream's data is its pair_end */

void pair_setup(void); /* three nodes, n2 listens on 7000 */
void pair_teardown(void);
void pair_connect(void); /* waits until both ends are there and started */
/* `bytes` of the pattern from `pos` in one owned buffer. */
void pair_write(struct io_stream *stream, uint64_t pos, size_t bytes);

#endif
