/* A program for the tests of the simulator: each node connects to each other one, sends a running pattern, checks what
 * it gets byte by byte, writes to its disk through jobs, and starts anew after a crash from what it finds there. */
#ifndef SIMULATOR_CHATTER_H
#define SIMULATOR_CHATTER_H

#include "sim.h"

/* What all instances of a run add to; lives as long as the run. */
struct chatter_totals {
    uint64_t bytes_checked;
    uint64_t connections_count;
    uint64_t ends_count; /* streams that ended or failed */
    uint64_t releases_owed;
    uint64_t closes_owed;
    uint64_t jobs_done;
    uint64_t starts_with_files;
};

extern const struct sim_program chatter_program; /* data: struct chatter_totals */

#endif
