/* A process's io: clock, randomness, timers and posts. */
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"

#define WALL_MS_AT_START INT64_C(1700000000000)
#define CLOCK_OFFSET_MAX \
    UINT64_C(1000000000000) /* monotonic clocks of different nodes have nothing in common */
#define POST_DELAY_US 30u

/* Words of io_timer.io_private. */
enum {
    TIMER_EVENT,     /* the event, while started */
    TIMER_IS_POSTED, /* 0 or 1 */
};

static const struct io_vtable sim_io_vtable;

struct sim_io *sim__io_create(struct sim *sim, uint32_t node)
{
    struct sim_io *io = sim__allocate(sizeof(*io));
    io->base.vtable = &sim_io_vtable;
    io->sim = sim;
    io->node = node;
    io->clock_offset_us = sim_draw(sim, CLOCK_OFFSET_MAX);
    io->random = sim__random_next(&sim->random);
    io->next_port = 50000;
    return io;
}

void sim__io_destroy(struct sim_io *io)
{
    assert(io->is_dead);
    assert(!io->streams);
    while (io->queues) {
        struct sim_queue *queue = io->queues;
        io->queues = queue->next;
        free(queue);
    }
    while (io->listeners) {
        struct sim_listener *listener = io->listeners;
        io->listeners = listener->next;
        free(listener);
    }
    free(io->posts.items);
    free(io->posts_running.items);
    free(io);
}

/* ---- clock and randomness -------------------------------------------------------------------------------------- */

static uint64_t sim_io_now_us(struct io *base)
{
    struct sim_io *io = sim_io_of(base);
    return io->sim->now_us + io->clock_offset_us;
}

static int64_t sim_io_wall_ms(struct io *base)
{
    struct sim_io *io = sim_io_of(base);
    return WALL_MS_AT_START + (int64_t)(io->sim->now_us / 1000u) +
           io->sim->nodes[io->node].wall_skew_ms;
}

static void sim_io_random(struct io *base, void *buffer, size_t bytes)
{
    struct sim_io *io = sim_io_of(base);
    uint8_t *next = buffer;
    while (bytes > 0) {
        uint64_t word = sim__random_next(&io->random);
        size_t count = bytes < sizeof(word) ? bytes : sizeof(word);
        memcpy(next, &word, count);
        next += count;
        bytes -= count;
    }
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

static struct sim_event *timer_event(const struct io_timer *timer)
{
    return (struct sim_event *)(uintptr_t)timer->io_private[TIMER_EVENT];
}

static void timer_disarm(struct sim_io *io, struct io_timer *timer)
{
    struct sim_event *event = timer_event(timer);
    if (event) sim__event_cancel(io->sim, event);
    timer->io_private[TIMER_EVENT] = 0;
}

static void sim_io_timer_start(struct io *base, struct io_timer *timer, uint64_t delay_us)
{
    struct sim_io *io = sim_io_of(base);
    if (io->is_dead) return;
    assert(!io->is_in_job);
    assert(timer->fire);
    timer_disarm(io, timer);
    struct sim_event *event = sim__event_add(io->sim, SIM_EVENT_TIMER, delay_us);
    event->io = io;
    event->timer = timer;
    timer->io_private[TIMER_EVENT] = (uint64_t)(uintptr_t)event;
}

/* ---- posts ------------------------------------------------------------------------------------------------------- */

static void posts_forget(struct sim_timer_list *list, const struct io_timer *timer)
{
    for (size_t i = 0; i < list->items_count; i++) {
        if (list->items[i] == timer) list->items[i] = NULL;
    }
}

static void sim_io_timer_stop(struct io *base, struct io_timer *timer)
{
    struct sim_io *io = sim_io_of(base);
    if (io->is_dead) return;
    assert(!io->is_in_job);
    timer_disarm(io, timer);
    if (!timer->io_private[TIMER_IS_POSTED]) return;
    posts_forget(&io->posts, timer);
    posts_forget(&io->posts_running, timer);
    timer->io_private[TIMER_IS_POSTED] = 0;
}

static void sim_io_post(struct io *base, struct io_timer *timer)
{
    struct sim_io *io = sim_io_of(base);
    if (io->is_dead) return;
    assert(!io->is_in_job);
    assert(timer->fire);
    if (timer->io_private[TIMER_IS_POSTED]) return;
    timer->io_private[TIMER_IS_POSTED] = 1;
    struct sim_timer_list *posts = &io->posts;
    if (posts->items_count == posts->items_capacity) {
        posts->items_capacity = posts->items_capacity ? 2u * posts->items_capacity : 16u;
        posts->items =
            sim__reallocate(posts->items, posts->items_capacity * sizeof(struct io_timer *));
    }
    posts->items[posts->items_count++] = timer;
    if (io->posts_event) return;
    /* Sometimes at once, sometimes after what else becomes ready: a turn of the real loop brings one or many. */
    uint64_t delay_us = sim_draw(io->sim, 2) ? 0 : sim_draw(io->sim, POST_DELAY_US);
    io->posts_event = sim__event_add(io->sim, SIM_EVENT_POSTS, delay_us);
    io->posts_event->io = io;
}

static void run_posts(struct sim_io *io)
{
    struct sim_timer_list *running = &io->posts_running;
    struct sim_timer_list now = io->posts;
    io->posts = *running;
    *running = now;
    io->posts_event = NULL;
    for (size_t i = 0; i < running->items_count && !io->is_dead; i++) {
        struct io_timer *timer = running->items[i];
        if (!timer) continue; /* stopped */
        running->items[i] = NULL;
        timer->io_private[TIMER_IS_POSTED] = 0;
        timer->fire(timer);
    }
    running->items_count = 0;
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

void sim__io_event(struct sim_io *io, struct sim_event *event)
{
    struct io_timer *timer = event->timer;
    switch (event->kind) {
    case SIM_EVENT_NONE:
        break;
    case SIM_EVENT_TIMER:
        sim__trace(io->sim, "timer", io->node, 0, 0, 0);
        timer->io_private[TIMER_EVENT] = 0;
        timer->fire(timer);
        break;
    case SIM_EVENT_POSTS:
        sim__trace(io->sim, "posts", io->node, 0, io->posts.items_count, 0);
        run_posts(io);
        break;
    case SIM_EVENT_JOB_RUN:
    case SIM_EVENT_JOB_DONE:
        sim__job_event(io, event);
        break;
    case SIM_EVENT_CONNECTED:
    case SIM_EVENT_READ:
    case SIM_EVENT_PUMP:
    case SIM_EVENT_FAILURE:
    case SIM_EVENT_LINGER:
    case SIM_EVENT_CLOSED:
        sim__stream_event(io, event);
        break;
    case SIM_EVENT_CALL:
        sim__trace(io->sim, "call", io->node, 0, 0, 0);
        event->call(event->call_data);
        break;
    case SIM_EVENT_SYN:
    case SIM_EVENT_SYN_ANSWER:
    case SIM_EVENT_ARRIVE:
    case SIM_EVENT_FIN:
    case SIM_EVENT_RESET:
    case SIM_EVENT_TIMEOUT:
        assert(false); /* a kernel's */
        break;
    }
}

static const struct io_vtable sim_io_vtable = {
    .now_us = sim_io_now_us,
    .wall_ms = sim_io_wall_ms,
    .random = sim_io_random,
    .timer_start = sim_io_timer_start,
    .timer_stop = sim_io_timer_stop,
    .post = sim_io_post,
    .job_queue_create = sim__job_queue_create,
    .job_queue_destroy = sim__job_queue_destroy,
    .job_submit = sim__job_submit,
    .listen = sim__listen,
    .listener_close = sim__listener_close,
    .connect = sim__connect,
    .stream_start = sim__stream_start,
    .stream_pause = sim__stream_pause,
    .stream_write = sim__stream_write,
    .stream_write_queue_bytes = sim__stream_write_queue_bytes,
    .stream_unacknowledged_bytes = sim__stream_unacknowledged_bytes,
    .stream_close = sim__stream_close,
    .stream_peer_address = sim__stream_peer_address,
};
