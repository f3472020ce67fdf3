/* Small helpers that the tests of the log share. */
#ifndef LOG_FIXTURE_H
#define LOG_FIXTURE_H

#include <segment_log/repair.h>

#define FIXTURE_GROUP 7u

extern const struct cluster_id fixture_cluster;

/* Small segments and a small cache, so that a few entries reach every path. */
struct segment_log_options fixture_options(struct disk *disk, const char *directory);
/* Small segments of 8 KiB of records behind FIXTURE_DATA_POS, and a cache that holds little of them. */
#define FIXTURE_DATA_POS 12288u
struct segment_log_options fixture_small_options(struct disk *disk, const char *directory);

/* The state in front of the first entry of a new group. */
struct segment_log_point fixture_origin(void);

/* A log on `disk` in `directory`, made or opened; a failing one fails the test. */
struct segment_log *fixture_create(const struct segment_log_options *options);
struct segment_log *fixture_open(const struct segment_log_options *options);
/* The same log as it is on another disk. */
struct segment_log *fixture_open_on(const struct segment_log_options *options, struct disk *disk);
/* Open a log that must not open; returns why. */
enum segment_log_status fixture_open_fails(const struct segment_log_options *options,
                                           struct segment_log_problem *ret_problem);

/* A payload that depends on `index` and `term` alone; stamped when DATA. */
void fixture_payload(uint8_t *payload, uint32_t bytes, enum entry_type type, uint64_t index,
                     uint64_t base_offset, uint64_t term);

/* Append one entry and return the status. */
enum segment_log_status fixture_try_append(struct segment_log *log, uint64_t term,
                                           enum entry_type type, uint32_t payload_bytes);
/* Append `count` DATA entries of 3 records each. */
void fixture_append(struct segment_log *log, uint64_t term, uint32_t count, uint32_t payload_bytes);

/* Run jobs until none is left (idle ones too); the first status that is not OK, else OK. */
enum segment_log_status fixture_flush(struct segment_log *log);
/* One job. False: there was none. */
bool fixture_run_job(struct segment_log *log, bool idle, struct segment_log_job_result *ret_result);

/* Say that everything through `index` is committed and seal what can be. The first status that is not OK, else OK. */
enum segment_log_status fixture_seal(struct segment_log *log, uint64_t index);

struct segment_log_info fixture_info(const struct segment_log *log);
/* What stands in the log: the chain of every entry into chains[index], fewer than `count` of them. Returns fixture_info(). */
struct segment_log_info fixture_note_chains(struct segment_log *log, uint64_t *chains,
                                            uint64_t count);

/* The next number of a seed, below `below`. */
uint64_t fixture_draw(uint64_t *state, uint64_t below);

/* Read from memory or, when not cached, by a read job. */
enum segment_log_status fixture_read(struct segment_log *log, enum segment_log_key key,
                                     uint64_t value, uint64_t last_index, size_t bytes_max,
                                     struct segment_log_view *ret_view);
enum segment_log_status fixture_read_files(struct segment_log *log, enum segment_log_key key,
                                           uint64_t value, uint64_t last_index, size_t bytes_max,
                                           struct segment_log_view *ret_view,
                                           struct segment_log_problem *ret_problem);

/* Every entry of the log is readable, checks out and has the payload that fixture_payload() gave it. */
void fixture_check_all(struct segment_log *log);

/* What is in doubt in front of damage (repair.h) is believed: nobody is asked. */
void fixture_believe(struct segment_log *log);

/* The same of the entries beside holes; a read that begins in one tells its range, or gives what is still in memory. Returns
 * how many entries are in holes. With `chains`, by index, every entry must be the one that has that chain. */
uint64_t fixture_check_beside_holes(struct segment_log *log, const uint64_t *chains);

/* Path of a segment by its sequence. */
void fixture_segment_path(const char *directory, uint64_t sequence, char path[DISK_PATH_MAX]);

#endif
