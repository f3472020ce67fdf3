/* The simulated world: N nodes in one thread, over one virtual clock and one heap of events, from one seed.
 *
 *   struct sim ─┬─ node n1: struct io (clock, timers, posts, jobs, streams) ─ struct disk ─ the program under test
 *               ├─ node n2: ...                                                  (the same code as in the real broker)
 *               └─ links n1 ─► n2, n2 ─► n1, ...
 *
 * The same seed, options and calls give the same run: every draw comes from the seed, events are ordered by (time,
 * sequence), and nothing depends on an address in memory. sim_trace_hash() is the proof: it covers every event, with
 * the bytes of each read and of each disk call.
 *
 * What is drawn: the delay of each message, how a stream's bytes are cut into reads, whether the kernel takes a write
 * at once, the time a job takes and the time until its completion is seen, how many callbacks one post follows.
 *
 * Nodes are named n1, n2, ... (node 0 is n1); "n2:7071" is an address. A node that only a test drives, say a client,
 * is a node like any other.
 *
 * Not modelled: CPU time (a callback takes no time), name servers, and a job's disk calls being interleaved with those
 * of another job; a crash between two disk calls of one job is (sim_crash_at_disk_call). */
#ifndef SIMULATOR_SIM_H
#define SIMULATOR_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <broker/io.h>
#include <segment_log/disk.h>

#define SIM_NODES_MAX 32u

struct sim;

/* ---- the world ---------------------------------------------------------------------------------------------- */

struct sim_options {
    uint64_t seed;
    uint32_t nodes_count; /* 1..SIM_NODES_MAX */
    /* One-way delay of what crosses a link. */
    uint64_t link_us_min;
    uint64_t link_us_max;
    /* From the moment a job may start to its run(), which ends at that instant. One in 64 takes 20 times as long. */
    uint64_t job_us_min;
    uint64_t job_us_max;
    /* Bytes that one direction of a stream holds between a write and the peer's read. */
    size_t window_bytes;
    /* Called after each event; the place for invariants. May be NULL. */
    void (*after_event)(struct sim *sim, void *data);
    void *data;
    FILE *trace; /* one line per event; NULL: none */
};

/* Values that fit a fast network and disk: 50-500 us a message, 100-2000 us a job. */
void sim_options_init(struct sim_options *options, uint64_t seed, uint32_t nodes_count);

/* Copies the options. Aborts when out of memory, as everything here does. */
struct sim *sim_create(const struct sim_options *options);

/* Ends all nodes as sim_crash(SIM_CRASH_KILL) does, then frees the world. NULL is accepted. */
void sim_destroy(struct sim *sim);

/* ---- running -------------------------------------------------------------------------------------------------- */

uint64_t sim_now_us(const struct sim *sim); /* virtual, from 0 */

/* Let the next event happen. False: there is none. */
bool sim_step(struct sim *sim);

/* Let all events up to that time happen; the clock then stands at it. */
void sim_run_until(struct sim *sim, uint64_t time_us);
void sim_run_for(struct sim *sim, uint64_t us);

/* Run until is_true(data) after some event, at most for `us`. False: it did not become true in time. */
bool sim_run_until_true(struct sim *sim, uint64_t us, bool (*is_true)(void *data), void *data);

/* XXH3-64 over all events so far. */
uint64_t sim_trace_hash(const struct sim *sim);
/* Make something of the test's own part of the hash, such as the state a node shows. */
void sim_trace_note(struct sim *sim, const void *data, size_t bytes);
uint64_t sim_events_count(const struct sim *sim);

/* The node whose process ran in the last event; SIM_NODES_MAX: it was a kernel's or the test's. */
uint32_t sim_event_node(const struct sim *sim);

/* Draws of the test, from the same seed: [0, end), end > 0. */
uint64_t sim_draw(struct sim *sim, uint64_t end);

/* ---- calls of the test ------------------------------------------------------------------------------------------ */

/* Call back after that time, outside of every node. */
void sim_call_after(struct sim *sim, uint64_t delay_us, void (*call)(void *data), void *data);

/* Call back after that time in the process that runs on the node now, as its loop would: it waits while the process is
 * paused, and never comes when the process has died (destroy() tells). What reaches into a program goes this way. */
void sim_call_in(struct sim *sim, uint32_t node, uint64_t delay_us, void (*call)(void *data),
                 void *data);

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

/* The program that runs on a node. */
struct sim_program {
    /* A process starts. Returns the instance. io is new with each start; the disk is the node's for the whole run. */
    void *(*create)(void *data, struct sim *sim, uint32_t node, struct io *io, struct disk *disk);
    /* The process is gone: free its memory. Calls of its io and disk are accepted and do nothing: timers do not fire, a
     * closed stream gives back its buffers, job queues need not be empty. */
    void (*destroy)(void *instance);
};

/* program NULL: the node is a bare io that the test drives. The node must not be running. Returns its io, or NULL when
 * the node crashed in create(). Not from inside of a callback. */
struct io *sim_start(struct sim *sim, uint32_t node, const struct sim_program *program, void *data);

bool sim_is_running(const struct sim *sim, uint32_t node);
bool sim_is_paused(const struct sim *sim, uint32_t node);
/* Both NULL while the node does not run. */
struct io *sim_io(struct sim *sim, uint32_t node);
void *sim_instance(struct sim *sim, uint32_t node);
/* Always there; its calls change something only while the node runs. */
struct disk *sim_disk(struct sim *sim, uint32_t node);
/* "n1" for node 0. */
const char *sim_host(uint32_t node);

enum sim_crash {
    SIM_CRASH_KILL, /* kill -9: the kernel lives on. What was written is in the page cache; streams end in order */
    SIM_CRASH_POWER, /* a power cut: unsynced sectors are kept, lost or torn; streams are reset some time later */
};

/* End a running node now: its events, streams, timers and jobs are gone, no callback of it is ever called again but
 * these. Then the disk crashes, then destroy() is called, then, as io_uv_destroy() does it, closed() of each stream
 * that its owner had closed (so the struct behind it can be freed), and release() of buffers that are still queued.
 * Must not be called from a callback of that node. */
void sim_crash(struct sim *sim, uint32_t node, enum sim_crash mode);

/* The same from inside: io and disk are dead at once, the rest follows when the running callback returns. What a
 * node's fatal() is made of. */
void sim_crash_soon(struct sim *sim, uint32_t node, enum sim_crash mode);

/* The process is dead, by sim_crash_soon() or at a disk call, and the callback in which it died still runs: what it says is of no account. */
bool sim_is_dying(const struct sim *sim, uint32_t node);

/* Crash right before the calls_count-th disk call from now that would change something (0: the next). That call and
 * all later ones return -EIO and do nothing, its io is dead at once (no message of the same callback leaves), and the
 * crash follows when the running callback or job returns. UINT64_MAX: never. */
void sim_crash_at_disk_call(struct sim *sim, uint32_t node, uint64_t calls_count,
                            enum sim_crash mode);

/* The memory disk (tests/support/memory_disk.h) below the node's: for its faults, its capacity, damage at rest. */
struct disk *sim_memory_disk(struct sim *sim, uint32_t node);

/* SIGSTOP and SIGCONT: nothing of the process runs, its kernel answers. What was due happens on resume. */
void sim_pause(struct sim *sim, uint32_t node);
void sim_resume(struct sim *sim, uint32_t node);

/* Jobs take `factor` times as long as drawn (1: as drawn), those that wait already in what is left of their time. Survives
 * restarts, as a disk does. */
void sim_set_job_factor(struct sim *sim, uint32_t node, uint64_t factor);
/* Jobs of background queues that are submitted from now on take so many times as long beside that, as those do that give way to
 * others on a busy device. Survives restarts. */
void sim_set_background_factor(struct sim *sim, uint32_t node, uint64_t factor);
/* No job runs until the disk is let go; then those that were due run at once, in order. Survives restarts. */
void sim_hang_disk(struct sim *sim, uint32_t node, bool hangs);
/* Somebody put an empty disk in its place. The node must not be running. */
void sim_wipe_disk(struct sim *sim, uint32_t node);
/* The same with this memory disk, an old copy; it is the world's from now on. */
void sim_restore_disk(struct sim *sim, uint32_t node, struct disk *memory);
/* Syncs that failed with an error since the process started. */
uint64_t sim_failed_syncs(const struct sim *sim, uint32_t node);

/* Difference of the node's Unix time to the world's. 0 at first. */
void sim_set_wall_skew_ms(struct sim *sim, uint32_t node, int64_t skew_ms);

/* ---- links ------------------------------------------------------------------------------------------------------- */

enum sim_link {
    SIM_LINK_UP,
    SIM_LINK_STALLED, /* what is sent waits until the link is up again: packets are lost, TCP repeats them */
    SIM_LINK_CUT, /* streams are reset at both ends, connecting fails with -EHOSTUNREACH */
};

/* The direction from one node to another. A cut of one direction resets the streams between the two. */
void sim_set_link(struct sim *sim, uint32_t from, uint32_t to, enum sim_link link);
/* Both directions between `node` and each other node. */
void sim_isolate(struct sim *sim, uint32_t node, enum sim_link link);
/* Other limits of the delay for what is sent from now on (sim_options). */
void sim_set_link_us(struct sim *sim, uint64_t min_us, uint64_t max_us);
/* All links up. */
void sim_heal(struct sim *sim);

#endif
