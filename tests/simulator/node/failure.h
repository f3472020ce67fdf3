/* How a run ends that found something: the details, then one line to paste, then the process is over. */
#ifndef SIMULATOR_NODE_FAILURE_H
#define SIMULATOR_NODE_FAILURE_H

#include <stdint.h>

struct sim;

/* From now on failures tell of this run; a failed assertion (SIGABRT) and a crash of the process do, too. `replay` is
 * the command that repeats it, or NULL. Both are borrowed until failure_end(). */
void failure_begin(const struct sim *sim, uint64_t seed, const char *replay);
void failure_end(void);

/* "two-leaders": what does not hold. Does not return. */
void failure(const char *invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
