/* What the files of the crew share. */
#ifndef RAFTMQ_SIM_CREW_PRIVATE_H
#define RAFTMQ_SIM_CREW_PRIVATE_H

#include "crew.h"

#define CREW_REPLAY_BYTES 4096u

uint64_t crew__seed_at(const struct crew_options *options, uint64_t position);
/* replay: array[CREW_REPLAY_BYTES], the command that repeats the run. */
void crew__write_replay(const struct crew_options *options, uint64_t seed, char *replay);
/* In this process, which ends when something does not hold. */
void crew__run_one(const struct crew_options *options, uint64_t seed,
                   struct run_totals *ret_totals);

#endif
