/* A repair session (repair.h): the segment of a hole is written anew, from what is whole in the old file and from what the
 * driver supplies.
 *
 *     BUILD ──┬──> ... pieces, and supplies that are waited for ──> CHECK ──> pieces ──> READY ──> write job: rename
 *             └──> the chain does not meet the anchor, no space
 *
 * The new file has a name without meaning until it is complete, synced and read back. Only the rename is a write job, so
 * everything else runs beside writes; a truncation or drop of the segment gives the session up, and since those are write
 * jobs, too, the rename never comes behind them. */
#ifndef SEGMENT_LOG_SESSION_H
#define SEGMENT_LOG_SESSION_H

#include "mend.h"
#include "scan.h"

#include <segment_log/repair.h>

struct segment_log_job;

enum repair_phase {
    REPAIR_ROLLS, /* its segment is the last: a new one has to begin first */
    REPAIR_BUILDS,
    REPAIR_CHECKS,
    REPAIR_READY,
    REPAIR_ENDED,
};

struct repair_configuration {
    struct repair_configuration *next;
    uint64_t index;
    uint32_t payload_bytes;
    uint8_t payload[];
};

struct segment_log_repair_job {
    enum repair_phase phase;
    bool outstanding; /* a piece is out */
    bool replacing;   /* the write job that renames is out */
    bool given_up;    /* the segment was cut or dropped */
    bool forgotten;   /* by the driver: goes when nothing is out any more */
    bool wants;
    uint64_t want_last;
    uint64_t supplied_count, supplied_bytes;
    enum segment_log_status status; /* REPAIR_ENDED */
    struct segment_log_problem problem;
    segment_log_configuration_cb on_configuration;
    void *on_configuration_data;

    /* what is repaired */
    struct disk *disk;
    char directory[DISK_PATH_MAX];
    char path[DISK_PATH_MAX], new_path[DISK_PATH_MAX];
    uint64_t seed;
    struct segment_header header;
    struct segment_log_point end; /* the anchor: the base of the next segment */
    uint64_t old_limit_pos;       /* in the old file nothing is looked for from here on */
    uint64_t distrust_first,
        distrust_last; /* nothing of these is taken from the old file; 0: of none */

    struct term_run *known_terms; /* what the log knows of the terms of the segment ... */
    struct term_trail trail;

    /* BUILD */
    bool has_begun;
    struct disk_file *old_file; /* NULL: there is none */
    struct disk_file *new_file;
    struct segment_scan
        scan;         /* .at: entries through here are in the new file; .pos: in the old one */
    bool at_is_local; /* scan.at is that of an entry of the old file */
    uint64_t next_whole_index; /* none in between is whole in the old file; 0: not looked */
    uint8_t *supply;           /* checked entries that follow scan.at */
    size_t supply_bytes, supply_done;
    uint8_t *buffer; /* of the new file, in front of write_pos + buffered */
    size_t buffered;
    uint64_t write_pos;

    /* CHECK */
    struct segment_scan check;
    struct segment fresh; /* with its sparse points */
    struct term_run *terms;
    uint32_t terms_count, terms_capacity;

    /* BUILD: of the entries from the old file, for those of them that are in doubt. CHECK: of all */
    struct repair_configuration *configurations, **configurations_tail;
};

/* repair_build.c: one piece of work */
void repair__run_build(struct segment_log_repair_job *job);
void repair__run_check(struct segment_log_repair_job *job);
void repair__end_with(struct segment_log_repair_job *job, enum segment_log_status status,
                      uint64_t pos, int error, const char *reason);

void repair__forget_configurations(struct segment_log_repair_job *job);

/* repair_session.c, for the log */
bool repair__wants_roll(const struct segment_log *log);
bool repair__freeze_replace(struct segment_log *log);
void repair__run_replace(struct segment_log_job *write);
void repair__finish_replace(struct segment_log *log, struct segment_log_job *write);
/* Segments from `first` to before `end` are cut or dropped. */
void repair__give_up(struct segment_log *log, uint64_t first, uint64_t end);
void repair__close(struct segment_log *log);

#endif
