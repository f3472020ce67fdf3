/* The world: its clock, its draws, its trace, and the life and death of nodes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <memory_disk.h>

#include "sim_private.h"

/* ---- memory, draws, trace ---------------------------------------------------------------------------------------- */

void *sim__allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) abort();
    return memory;
}

void *sim__allocate_raw(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1u);
    if (!memory) abort();
    return memory;
}

void *sim__reallocate(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (!memory) abort();
    return memory;
}

uint64_t sim_draw(struct sim *sim, uint64_t end)
{
    assert(end > 0);
    /* The bias of the remainder is below 2^-24 for what a test draws. */
    return sim__random_next(&sim->random) % end;
}

uint64_t sim__draw_between(struct sim *sim, uint64_t first, uint64_t last)
{
    assert(first <= last);
    return first + sim_draw(sim, last - first + 1u);
}

void sim_trace_note(struct sim *sim, const void *data, size_t bytes)
{
    sim->trace_hash = checksum64_seeded(data, bytes, sim->trace_hash);
}

void sim__trace(struct sim *sim, const char *what, uint32_t node, uint64_t subject, uint64_t value,
                uint64_t hash)
{
    uint64_t record[6] = {sim->now_us, checksum64(what, strlen(what)), node, subject, value, hash};
    sim_trace_note(sim, record, sizeof(record));
    if (!sim->options.trace) return;
    fprintf(sim->options.trace, "%10" PRIu64 " %s %-12s %" PRIx64 " %" PRIu64 " %016" PRIx64 "\n",
            sim->now_us, node < SIM_NODES_MAX ? sim_host(node) : "--", what, subject, value, hash);
}

uint64_t sim_trace_hash(const struct sim *sim)
{
    return sim->trace_hash;
}

uint64_t sim_events_count(const struct sim *sim)
{
    return sim->events_count;
}

/* ---- life of the world --------------------------------------------------------------------------------------------- */

void sim_options_init(struct sim_options *options, uint64_t seed, uint32_t nodes_count)
{
    *options = (struct sim_options){.seed = seed,
                                    .nodes_count = nodes_count,
                                    .link_us_min = 50,
                                    .link_us_max = 500,
                                    .job_us_min = 100,
                                    .job_us_max = 2000,
                                    .window_bytes = 256u * 1024u};
}

struct sim *sim_create(const struct sim_options *options)
{
    assert(options->nodes_count >= 1 && options->nodes_count <= SIM_NODES_MAX);
    assert(options->window_bytes > 0);
    struct sim *sim = sim__allocate(sizeof(*sim));
    sim->options = *options;
    sim->random = options->seed;
    for (uint32_t node = 0; node < options->nodes_count; node++) {
        sim->nodes[node].disk = sim__disk_create(sim, node);
        sim->nodes[node].job_factor = 1;
        sim->nodes[node].background_factor = 1;
    }
    return sim;
}

void sim_destroy(struct sim *sim)
{
    if (!sim) return;
    for (uint32_t node = 0; node < sim->options.nodes_count; node++) {
        if (sim_is_running(sim, node)) sim_crash(sim, node, SIM_CRASH_KILL);
    }
    for (uint32_t node = 0; node < sim->options.nodes_count; node++) {
        sim__disk_destroy(sim->nodes[node].disk);
        sim__events_free(sim, &sim->nodes[node].parked);
        sim__events_free(sim, &sim->nodes[node].hung);
        for (uint32_t to = 0; to < sim->options.nodes_count; to++) {
            sim__events_free(sim, &sim->held[node][to]);
        }
    }
    for (struct sim_event *event; (event = sim__event_pop(sim)) != NULL;) {
        sim__event_free(sim, event);
    }
    free(sim->heap.slots);
    assert(sim->connections_live_count == 0);
    free(sim->connections);
    free(sim);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

const char *sim_host(uint32_t node)
{
    static const char *const names[SIM_NODES_MAX] = {
        "n1",  "n2",  "n3",  "n4",  "n5",  "n6",  "n7",  "n8",  "n9",  "n10", "n11",
        "n12", "n13", "n14", "n15", "n16", "n17", "n18", "n19", "n20", "n21", "n22",
        "n23", "n24", "n25", "n26", "n27", "n28", "n29", "n30", "n31", "n32"};
    assert(node < SIM_NODES_MAX);
    return names[node];
}

static struct sim_node *node_at(struct sim *sim, uint32_t node)
{
    assert(node < sim->options.nodes_count);
    return &sim->nodes[node];
}

bool sim_is_running(const struct sim *sim, uint32_t node)
{
    assert(node < sim->options.nodes_count);
    return sim->nodes[node].io != NULL;
}

bool sim_is_paused(const struct sim *sim, uint32_t node)
{
    assert(node < sim->options.nodes_count);
    return sim->nodes[node].is_paused;
}

struct io *sim_io(struct sim *sim, uint32_t node)
{
    struct sim_io *io = node_at(sim, node)->io;
    return io ? &io->base : NULL;
}

void *sim_instance(struct sim *sim, uint32_t node)
{
    return node_at(sim, node)->instance;
}

struct disk *sim_disk(struct sim *sim, uint32_t node)
{
    return &node_at(sim, node)->disk->base;
}

struct disk *sim_memory_disk(struct sim *sim, uint32_t node)
{
    return node_at(sim, node)->disk->memory;
}

void sim_set_wall_skew_ms(struct sim *sim, uint32_t node, int64_t skew_ms)
{
    node_at(sim, node)->wall_skew_ms = skew_ms;
}

void sim_set_job_factor(struct sim *sim, uint32_t index, uint64_t factor)
{
    assert(factor >= 1);
    sim__trace(sim, "job-factor", index, 0, factor, 0);
    struct sim_node *node = node_at(sim, index);
    if (node->io) sim__jobs_rescale(node->io, factor, node->job_factor);
    node->job_factor = factor;
}

void sim_set_background_factor(struct sim *sim, uint32_t index, uint64_t factor)
{
    assert(factor >= 1);
    sim__trace(sim, "background-factor", index, 0, factor, 0);
    node_at(sim, index)->background_factor = factor;
}

/* Let go what was held back, in order, now. */
static void release(struct sim *sim, struct sim_event_list *list)
{
    struct sim_event_list held = *list;
    *list = (struct sim_event_list){0};
    for (size_t i = 0; i < held.items_count; i++) {
        struct sim_event *event = held.items[i];
        if (event->kind == SIM_EVENT_NONE || (event->io && event->io->is_dead)) {
            sim__event_free(sim, event);
        } else {
            event->time_us = sim->now_us;
            sim__event_push(sim, event);
        }
    }
    free(held.items);
}

void sim_hang_disk(struct sim *sim, uint32_t index, bool hangs)
{
    struct sim_node *node = node_at(sim, index);
    sim__trace(sim, "hang-disk", index, 0, hangs, 0);
    node->is_disk_hung = hangs;
    if (!hangs) release(sim, &node->hung);
}

void sim_wipe_disk(struct sim *sim, uint32_t index)
{
    struct sim_node *node = node_at(sim, index);
    assert(!node->io);
    sim__trace(sim, "wipe-disk", index, 0, 0, 0);
    sim__disk_destroy(node->disk);
    node->disk = sim__disk_create(sim, index);
}

void sim_restore_disk(struct sim *sim, uint32_t index, struct disk *memory)
{
    struct sim_node *node = node_at(sim, index);
    assert(!node->io);
    sim__trace(sim, "restore-disk", index, 0, 0, 0);
    memory_disk_destroy(node->disk->memory);
    node->disk->memory = memory;
}

uint64_t sim_failed_syncs(const struct sim *sim, uint32_t node)
{
    assert(node < sim->options.nodes_count);
    return sim->nodes[node].failed_syncs_count;
}

static void settle(struct sim *sim);

struct io *sim_start(struct sim *sim, uint32_t index, const struct sim_program *program, void *data)
{
    struct sim_node *node = node_at(sim, index);
    assert(!node->io);
    assert(!sim->running);
    sim__trace(sim, "start", index, 0, 0, 0);
    node->io = sim__io_create(sim, index);
    node->disk->is_stopped = false;
    node->failed_syncs_count = 0;
    node->program = program;
    if (program) {
        sim->running = node->io;
        node->instance = program->create(data, sim, index, &node->io->base, &node->disk->base);
        sim->running = NULL;
        settle(sim);
    }
    return sim_io(sim, index);
}

/* What waits for a paused process: when it died its own events go with it, those of the kernel are answered without it. */
static void unpark(struct sim *sim, struct sim_node *node)
{
    node->is_paused = false;
    release(sim, &node->parked);
}

void sim_crash(struct sim *sim, uint32_t index, enum sim_crash mode)
{
    struct sim_node *node = node_at(sim, index);
    struct sim_io *io = node->io;
    assert(io);
    assert(sim->running != io); /* that is what sim_crash_soon is for */
    sim__trace(sim, mode == SIM_CRASH_POWER ? "power-cut" : "kill", index, 0, 0, 0);
    io->is_dead = true;
    node->disk->is_stopped = true;
    sim__streams_crash(io, mode);
    sim__events_drop(sim, io);
    node->io = NULL;
    node->must_crash = false;
    unpark(sim, node);
    sim__events_free_of(sim, &node->hung, io);
    void *instance = node->instance;
    node->instance = NULL;
    if (node->program) node->program->destroy(instance);
    sim__streams_free(io);
    sim__io_destroy(io);
    sim__disk_crash(node->disk, mode);
}

void sim_crash_soon(struct sim *sim, uint32_t index, enum sim_crash mode)
{
    struct sim_node *node = node_at(sim, index);
    assert(node->io);
    node->io->is_dead = true;
    node->disk->is_stopped = true;
    node->must_crash = true;
    node->crash_mode = mode;
}

bool sim_is_dying(const struct sim *sim, uint32_t index)
{
    assert(index < sim->options.nodes_count);
    return sim->nodes[index].must_crash;
}

void sim_crash_at_disk_call(struct sim *sim, uint32_t index, uint64_t calls_count,
                            enum sim_crash mode)
{
    struct sim_disk *disk = node_at(sim, index)->disk;
    disk->is_armed = true;
    disk->calls_left = calls_count;
    disk->crash_mode = mode;
}

/* Crashes that were asked for from inside of a callback. */
static void settle(struct sim *sim)
{
    assert(!sim->running);
    for (uint32_t i = 0; i < sim->options.nodes_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node->io && node->must_crash) sim_crash(sim, i, node->crash_mode);
    }
}

void sim_pause(struct sim *sim, uint32_t index)
{
    struct sim_node *node = node_at(sim, index);
    assert(node->io);
    sim__trace(sim, "pause", index, 0, 0, 0);
    node->is_paused = true;
}

void sim_resume(struct sim *sim, uint32_t index)
{
    sim__trace(sim, "resume", index, 0, 0, 0);
    unpark(sim, node_at(sim, index));
}

/* ---- calls of the test ------------------------------------------------------------------------------------------------- */

void sim_call_after(struct sim *sim, uint64_t delay_us, void (*call)(void *data), void *data)
{
    struct sim_event *event = sim__event_add(sim, SIM_EVENT_CALL, delay_us);
    event->call = call;
    event->call_data = data;
}

void sim_call_in(struct sim *sim, uint32_t node, uint64_t delay_us, void (*call)(void *data),
                 void *data)
{
    struct sim_io *io = node_at(sim, node)->io;
    assert(io);
    struct sim_event *event = sim__event_add(sim, SIM_EVENT_CALL, delay_us);
    event->io = io;
    event->call = call;
    event->call_data = data;
}

static void run_call(struct sim *sim, struct sim_event *event)
{
    void (*call)(void *data) = event->call;
    void *data = event->call_data;
    sim__event_free(sim, event);
    sim__trace(sim, "call", SIM_NODES_MAX, 0, 0, 0);
    call(data);
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

uint64_t sim_now_us(const struct sim *sim)
{
    return sim->now_us;
}

uint32_t sim_event_node(const struct sim *sim)
{
    return sim->event_node;
}

static void run_process_event(struct sim *sim, struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->io->node];
    assert(node->io == event->io); /* those of a dead process are gone */
    if (node->is_paused) {
        sim__events_append(&node->parked, event);
        return;
    }
    if (node->is_disk_hung && event->kind == SIM_EVENT_JOB_RUN) {
        sim__events_append(&node->hung, event);
        return;
    }
    sim->event_node = event->io->node;
    sim->running = event->io;
    sim__io_event(event->io, event);
    sim->running = NULL;
    sim__event_free(sim, event);
}

bool sim_step(struct sim *sim)
{
    assert(!sim->running);
    struct sim_event *event = sim__event_pop(sim);
    if (!event) return false;
    assert(event->time_us >= sim->now_us);
    sim->now_us = event->time_us;
    sim->events_count++;
    sim->event_node = SIM_NODES_MAX;
    if (event->io) {
        run_process_event(sim, event);
    } else if (event->kind == SIM_EVENT_CALL) {
        run_call(sim, event);
    } else {
        sim__network_event(sim, event);
    }
    settle(sim);
    if (sim->options.after_event) sim->options.after_event(sim, sim->options.data);
    return true;
}

static bool has_event_until(const struct sim *sim, uint64_t time_us)
{
    return sim->heap.slots_count > 0 && sim->heap.slots[0].time_us <= time_us;
}

void sim_run_until(struct sim *sim, uint64_t time_us)
{
    while (has_event_until(sim, time_us)) {
        sim_step(sim);
    }
    if (sim->now_us < time_us) sim->now_us = time_us;
}

void sim_run_for(struct sim *sim, uint64_t us)
{
    sim_run_until(sim, sim->now_us + us);
}

bool sim_run_until_true(struct sim *sim, uint64_t us, bool (*is_true)(void *data), void *data)
{
    uint64_t end_us = sim->now_us + us;
    while (!is_true(data)) {
        if (!has_event_until(sim, end_us)) {
            sim->now_us = end_us;
            return false;
        }
        sim_step(sim);
    }
    return true;
}
