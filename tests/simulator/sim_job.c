/* Jobs: run() happens whole at a drawn time, done() at a later one, both first in, first out per queue. A crash between
 * the two leaves work that is done and that nobody was told of. */
#include <stdlib.h>

#include "sim_private.h"

#define DONE_DELAY_US   60u
#define SLOW_JOB_IN     64u
#define SLOW_JOB_FACTOR 20u

struct io_job_queue *sim__job_queue_create(struct io *base, bool is_background)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_queue *queue = sim__allocate(sizeof(*queue));
    queue->io = io;
    queue->is_background = is_background;
    queue->next = io->queues;
    queue->previous = &io->queues;
    if (queue->next) queue->next->previous = &queue->next;
    io->queues = queue;
    return (struct io_job_queue *)queue;
}

void sim__job_queue_destroy(struct io *base, struct io_job_queue *base_queue)
{
    struct sim_queue *queue = (struct sim_queue *)base_queue;
    if (sim_io_of(base)->is_dead) return; /* goes with its io */
    assert(!queue->io->is_in_job);
    assert(queue->pending_count == 0);
    *queue->previous = queue->next;
    if (queue->next) queue->next->previous = queue->previous;
    free(queue);
}

static void jobs_append(struct io_job **head, struct io_job **tail, struct io_job *job)
{
    job->io_next = NULL;
    if (*tail) {
        (*tail)->io_next = job;
    } else {
        *head = job;
    }
    *tail = job;
}

static struct io_job *jobs_take(struct io_job **head, struct io_job **tail)
{
    struct io_job *job = *head;
    assert(job);
    *head = job->io_next;
    if (!*head) *tail = NULL;
    return job;
}

static void add_event(struct sim_queue *queue, enum sim_event_kind kind, uint64_t time_us)
{
    struct sim *sim = queue->io->sim;
    struct sim_event *event = sim__event_add(sim, kind, time_us - sim->now_us);
    event->io = queue->io;
    event->queue = queue;
}

void sim__job_submit(struct io *base, struct io_job_queue *base_queue, struct io_job *job)
{
    struct sim_io *io = sim_io_of(base);
    struct sim_queue *queue = (struct sim_queue *)base_queue;
    struct sim *sim = io->sim;
    if (io->is_dead) return;
    assert(!io->is_in_job);
    assert(job->run && job->done);
    uint64_t job_us = sim__draw_between(sim, sim->options.job_us_min, sim->options.job_us_max);
    if (sim_draw(sim, SLOW_JOB_IN) == 0) job_us *= SLOW_JOB_FACTOR;
    job_us *= sim->nodes[io->node].job_factor;
    if (queue->is_background) job_us *= sim->nodes[io->node].background_factor;
    if (queue->run_us < sim->now_us) queue->run_us = sim->now_us;
    queue->run_us += job_us;
    queue->pending_count++;
    jobs_append(&queue->waiting_head, &queue->waiting_tail, job);
    add_event(queue, SIM_EVENT_JOB_RUN, queue->run_us);
}

static void run_job(struct sim_queue *queue)
{
    struct sim_io *io = queue->io;
    struct sim *sim = io->sim;
    struct io_job *job = jobs_take(&queue->waiting_head, &queue->waiting_tail);
    sim__trace(sim, "job-run", io->node, 0, queue->pending_count, 0);
    io->is_in_job = true;
    job->run(job);
    io->is_in_job = false;
    if (io->is_dead) return;
    jobs_append(&queue->complete_head, &queue->complete_tail, job);
    if (queue->done_us < sim->now_us) queue->done_us = sim->now_us;
    queue->done_us += sim_draw(sim, DONE_DELAY_US);
    add_event(queue, SIM_EVENT_JOB_DONE, queue->done_us);
}

static void finish_job(struct sim_queue *queue)
{
    struct io_job *job = jobs_take(&queue->complete_head, &queue->complete_tail);
    sim__trace(queue->io->sim, "job-done", queue->io->node, 0, queue->pending_count, 0);
    assert(queue->pending_count > 0);
    queue->pending_count--;
    job->done(job); /* may free the queue */
}

void sim__job_event(struct sim_io *io, struct sim_event *event)
{
    assert(event->queue->io == io);
    if (event->kind == SIM_EVENT_JOB_RUN) {
        run_job(event->queue);
    } else {
        finish_job(event->queue);
    }
}

void sim__jobs_rescale(struct sim_io *io, uint64_t factor, uint64_t old_factor)
{
    const uint64_t now_us = io->sim->now_us;
    sim__events_rescale(io->sim, io, SIM_EVENT_JOB_RUN, factor, old_factor);
    for (struct sim_queue *queue = io->queues; queue; queue = queue->next) {
        if (queue->run_us <= now_us) continue;
        queue->run_us = now_us + (queue->run_us - now_us) * factor / old_factor;
    }
}
