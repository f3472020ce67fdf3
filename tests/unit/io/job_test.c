/* Job queues: order, parallelism, and the way back to the loop. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "io_fixture.h"

TestSuite(io_job, .init = fixture_setup, .fini = fixture_teardown);

#define QUEUES_COUNT 7u
#define JOBS_COUNT   10000u

struct line {
    struct io_job_queue *queue;
    atomic_int running;
    uint32_t run_next; /* written by jobs of this queue alone: the queue is the lock */
    uint32_t done_next;
};

struct numbered_job {
    struct io_job job;
    struct line *line;
    uint32_t number; /* in its line */
    bool ran_in_order;
};

static struct line lines[QUEUES_COUNT];
static struct numbered_job jobs[JOBS_COUNT];
static uint32_t done_count;
static pthread_t loop_thread;

static void run_numbered(struct io_job *job)
{
    struct numbered_job *numbered = job->data;
    struct line *line = numbered->line;
    bool is_alone = atomic_fetch_add(&line->running, 1) == 0;
    numbered->ran_in_order = is_alone && line->run_next == numbered->number;
    line->run_next++;
    atomic_fetch_sub(&line->running, 1);
}

static void done_numbered(struct io_job *job)
{
    struct numbered_job *numbered = job->data;
    cr_assert(pthread_equal(pthread_self(), loop_thread));
    cr_assert(numbered->ran_in_order);
    cr_assert_eq(numbered->line->done_next, numbered->number);
    numbered->line->done_next++;
    if (++done_count == JOBS_COUNT) io_uv_stop(fixture_io);
}

Test(io_job, ten_thousand_jobs_run_and_end_first_in_first_out_per_queue)
{
    loop_thread = pthread_self();
    uint32_t counts[QUEUES_COUNT] = {0};
    for (uint32_t i = 0; i < QUEUES_COUNT; i++) {
        lines[i].queue = io_job_queue_create(fixture_io);
    }
    for (uint32_t i = 0; i < JOBS_COUNT; i++) {
        uint32_t at = (i * 31u + i / 100u) % QUEUES_COUNT;
        jobs[i] = (struct numbered_job){
            .job = {.run = run_numbered, .done = done_numbered, .data = &jobs[i]},
            .line = &lines[at],
            .number = counts[at]++};
        io_job_submit(fixture_io, lines[at].queue, &jobs[i].job);
    }
    fixture_run(30);
    for (uint32_t i = 0; i < QUEUES_COUNT; i++) {
        cr_assert_eq(lines[i].done_next, counts[i]);
        io_job_queue_destroy(fixture_io, lines[i].queue);
    }
}

static sem_t meeting[2];
static bool has_met[2];

static bool wait_5_s(sem_t *semaphore)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 5;
    return sem_timedwait(semaphore, &end) == 0;
}

static void run_meeting(struct io_job *job)
{
    int own = *(int *)job->data;
    sem_post(&meeting[own]);
    has_met[own] = wait_5_s(&meeting[1 - own]);
}

static void done_meeting(struct io_job *job)
{
    (void)job;
    if (++done_count == 2) io_uv_stop(fixture_io);
}

Test(io_job, queues_run_beside_each_other)
{
    int own[2] = {0, 1};
    struct io_job pair[2];
    struct io_job_queue *queues[2];
    sem_init(&meeting[0], 0, 0);
    sem_init(&meeting[1], 0, 0);
    for (int i = 0; i < 2; i++) {
        queues[i] = io_job_queue_create(fixture_io);
        pair[i] = (struct io_job){.run = run_meeting, .done = done_meeting, .data = &own[i]};
        io_job_submit(fixture_io, queues[i], &pair[i]);
    }
    fixture_run(20);
    cr_assert(has_met[0]);
    cr_assert(has_met[1]);
    io_job_queue_destroy(fixture_io, queues[0]);
    io_job_queue_destroy(fixture_io, queues[1]);
}

static bool second_has_run;

static void run_until_second(struct io_job *job)
{
    (void)job;
    sem_post(&meeting[0]);
    second_has_run = wait_5_s(&meeting[1]);
}

static void run_second(struct io_job *job)
{
    (void)job;
    sem_post(&meeting[1]);
}

/* One worker is busy and the others sleep: a second queue must wake one of them. */
Test(io_job, busy_worker_does_not_hold_up_another_queue)
{
    sem_init(&meeting[0], 0, 0);
    sem_init(&meeting[1], 0, 0);
    struct io_job_queue *queues[2] = {io_job_queue_create(fixture_io),
                                      io_job_queue_create(fixture_io)};
    struct io_job first = {.run = run_until_second, .done = done_meeting};
    struct io_job second = {.run = run_second, .done = done_meeting};
    fixture_run_for_ms(20); /* the workers are asleep */
    io_job_submit(fixture_io, queues[0], &first);
    cr_assert(wait_5_s(&meeting[0]));
    io_job_submit(fixture_io, queues[1], &second);
    fixture_run(20);
    cr_assert(second_has_run);
    io_job_queue_destroy(fixture_io, queues[0]);
    io_job_queue_destroy(fixture_io, queues[1]);
}

static int background_nice;

static void run_in_background(struct io_job *job)
{
    background_nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    run_until_second(job);
}

/* A long job of the background does not hold up others, and gives way to them. */
Test(io_job, background_job_runs_beside_all_others_with_lower_priority)
{
    sem_init(&meeting[0], 0, 0);
    sem_init(&meeting[1], 0, 0);
    struct io_job_queue *queues[2] = {io_job_queue_create_background(fixture_io),
                                      io_job_queue_create(fixture_io)};
    struct io_job first = {.run = run_in_background, .done = done_meeting};
    struct io_job second = {.run = run_second, .done = done_meeting};
    io_job_submit(fixture_io, queues[0], &first);
    cr_assert(wait_5_s(&meeting[0]));
    io_job_submit(fixture_io, queues[1], &second);
    fixture_run(20);
    cr_assert(second_has_run);
    cr_assert_gt(background_nice, getpriority(PRIO_PROCESS, 0));
    io_job_queue_destroy(fixture_io, queues[0]);
    io_job_queue_destroy(fixture_io, queues[1]);
}

struct repeated {
    struct io_job job;
    struct io_job_queue *queue;
    int left;
};

static void run_nothing(struct io_job *job)
{
    (void)job;
}

static void done_again(struct io_job *job)
{
    struct repeated *repeated = job->data;
    if (--repeated->left > 0) {
        io_job_submit(fixture_io, repeated->queue, job);
        return;
    }
    io_job_queue_destroy(fixture_io, repeated->queue);
    free(repeated);
    io_uv_stop(fixture_io);
}

/* One job in flight: each completion must wake the loop, or the watchdog ends the test. */
Test(io_job, done_may_submit_the_job_again_and_at_last_free_job_and_queue)
{
    struct repeated *repeated = malloc(sizeof(*repeated));
    *repeated = (struct repeated){.job = {.run = run_nothing, .done = done_again, .data = repeated},
                                  .queue = io_job_queue_create(fixture_io),
                                  .left = 2000};
    io_job_submit(fixture_io, repeated->queue, &repeated->job);
    fixture_run(20);
}

static bool sees_signals;

static void run_look_at_mask(struct io_job *job)
{
    (void)job;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    sees_signals = !sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGINT);
}

static void done_stop(struct io_job *job)
{
    (void)job;
    io_uv_stop(fixture_io);
}

Test(io_job, workers_do_not_see_signals)
{
    struct io_job_queue *queue = io_job_queue_create(fixture_io);
    struct io_job job = {.run = run_look_at_mask, .done = done_stop};
    sees_signals = true;
    io_job_submit(fixture_io, queue, &job);
    fixture_run(10);
    cr_assert(!sees_signals);
    io_job_queue_destroy(fixture_io, queue);
}

static void run_order(struct io_job *job)
{
    (void)job;
}

static int order[3];
static int order_count;

static void done_order(struct io_job *job)
{
    order[order_count++] = *(int *)job->data;
}

static void post_order(struct io_timer *timer)
{
    (void)timer;
    order[order_count++] = 100;
    io_uv_stop(fixture_io);
}

static struct io_timer batch_post = {.fire = post_order};

static void done_order_and_post(struct io_job *job)
{
    done_order(job);
    io_post(fixture_io, &batch_post);
}

/* A batch of completions is followed by one post: what they brought can be answered at once. */
Test(io_job, post_runs_after_the_completions_of_the_turn)
{
    int numbers[2] = {0, 1};
    struct io_job_queue *queue = io_job_queue_create(fixture_io);
    struct io_job pair[2] = {{.run = run_order, .done = done_order_and_post, .data = &numbers[0]},
                             {.run = run_order, .done = done_order, .data = &numbers[1]}};
    io_job_submit(fixture_io, queue, &pair[0]);
    io_job_submit(fixture_io, queue, &pair[1]);
    struct timespec nap = {.tv_nsec = 50000000};
    nanosleep(&nap, NULL); /* on the loop's thread: both complete before its first turn */
    fixture_run(10);
    cr_assert_eq(order_count, 3);
    cr_assert_eq(order[0], 0);
    cr_assert_eq(order[1], 1);
    cr_assert_eq(order[2], 100);
    io_job_queue_destroy(fixture_io, queue);
}

static atomic_bool slow_has_ended;

static void run_slow(struct io_job *job)
{
    sem_post(job->data);
    struct timespec nap = {.tv_nsec = 100000000};
    nanosleep(&nap, NULL);
    atomic_store(&slow_has_ended, true);
}

Test(io_job, destroy_waits_for_a_running_job_and_drops_the_waiting_ones)
{
    sem_t started;
    sem_init(&started, 0, 0);
    struct io_job_queue *queue = io_job_queue_create(fixture_io);
    struct io_job slow = {.run = run_slow, .done = done_stop, .data = &started};
    struct io_job waiting = {.run = run_nothing, .done = done_stop};
    io_job_submit(fixture_io, queue, &slow);
    io_job_submit(fixture_io, queue, &waiting);
    sem_wait(&started);
    io_uv_destroy(fixture_io);
    fixture_io = NULL;
    cr_assert(atomic_load(&slow_has_ended));
}
