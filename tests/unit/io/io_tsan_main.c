/* What crosses threads, as a plain main: ThreadSanitizer reports a race by its exit status. Jobs on several queues that
 * submit each other again, names looked up by threads, and an end with both under way. */
#include <stdio.h>
#include <stdlib.h>

#include <broker/io.h>
#include <broker/io_uv.h>

#define QUEUES_COUNT   5u
#define JOBS_PER_QUEUE 16u
#define RUNS_PER_JOB   200u
#define LOOKUPS_COUNT  20u

struct task {
    struct io_job job;
    struct load *load;
    uint32_t queue;
    uint32_t number;
    uint32_t runs_left;
};

struct load {
    struct io *io;
    struct io_job_queue *queues[QUEUES_COUNT];
    uint32_t turn
        [QUEUES_COUNT]; /* touched by jobs of that queue alone, without a lock: the promise under test */
    struct task tasks[QUEUES_COUNT][JOBS_PER_QUEUE];
    uint32_t running_count;
    struct io_listener *listener;
    uint32_t lookups_left;
    bool is_in_order;
};

static void stop_when_done(struct load *load)
{
    if (load->running_count == 0 && load->lookups_left == 0) io_uv_stop(load->io);
}

static void run_task(struct io_job *job)
{
    struct task *task = job->data;
    uint32_t *turn = &task->load->turn[task->queue];
    if (*turn != task->number) task->load->is_in_order = false;
    *turn = (*turn + 1u) % JOBS_PER_QUEUE;
}

static void task_done(struct io_job *job)
{
    struct task *task = job->data;
    struct load *load = task->load;
    if (--task->runs_left > 0) {
        io_job_submit(load->io, load->queues[task->queue], job);
        return;
    }
    load->running_count--;
    stop_when_done(load);
}

static void accepted(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    io_stream_close(stream, false);
}

static void connected(struct io_stream *stream, int status)
{
    struct load *load = stream->data;
    if (status < 0) fprintf(stderr, "connect: %d\n", status);
    io_stream_close(stream, false);
    load->lookups_left--;
    stop_when_done(load);
}

static void load_start(struct load *load)
{
    for (uint32_t q = 0; q < QUEUES_COUNT; q++) {
        load->queues[q] = io_job_queue_create(load->io);
        for (uint32_t i = 0; i < JOBS_PER_QUEUE; i++) {
            struct task *task = &load->tasks[q][i];
            *task = (struct task){.job = {.run = run_task, .done = task_done, .data = task},
                                  .load = load,
                                  .queue = q,
                                  .number = i,
                                  .runs_left = RUNS_PER_JOB};
            load->running_count++;
            io_job_submit(load->io, load->queues[q], &task->job);
        }
    }
    char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "localhost:%u", load->listener->port);
    load->lookups_left = LOOKUPS_COUNT;
    for (uint32_t i = 0; i < LOOKUPS_COUNT; i++) {
        io_connect(load->io, address, connected, load);
    }
}

int main(void)
{
    struct load *load = calloc(1, sizeof(*load));
    load->is_in_order = true;
    load->io = io_uv_create(4);
    if (io_listen(load->io, "127.0.0.1:0", accepted, load, &load->listener) < 0) return 1;
    load_start(load);
    io_uv_run(load->io);
    bool is_in_order = load->is_in_order;
    load_start(load); /* and an end in the middle of it all */
    io_uv_destroy(load->io);
    is_in_order = is_in_order && load->is_in_order;
    free(load);
    if (!is_in_order) fprintf(stderr, "a queue ran its jobs out of order\n");
    return is_in_order ? 0 : 1;
}
