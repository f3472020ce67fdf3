/* Reads of entries from the files, as jobs of a replica. */
#ifndef BROKER_NODE_READ_H
#define BROKER_NODE_READ_H

#include "group.h"

struct segment_log_read_job;

/* A read of entries from the files. First member of what its user keeps with it, in one allocation (read.c). */
struct group_read {
    struct group_job base;
    struct segment_log_read_job *read;
    /* On OK the view is the callee's. The read is freed when it returns. Not called when the node is stopped. */
    void (*done)(struct group_read *read, enum segment_log_status status,
                 struct segment_log_view *view, const struct segment_log_problem *problem);
};

/* Takes over `read` (malloc'ed), with `done` set. Not OK: nothing was started, and it is freed. */
enum segment_log_status read__start(struct group *group, struct group_read *read,
                                    enum segment_log_key key, uint64_t value, uint64_t last_index,
                                    size_t bytes_max);
/* The files cannot be read: the node stops. */
void read__fatal(struct group *group, enum segment_log_status status,
                 const struct segment_log_problem *problem);

/* Start the job that `read` holds already. */
void read__submit(struct group *group, struct group_read *read);

#endif
