/* What a test does to a world that runs: its own calls, disks that are slow or hang, syncs that fail, other latencies. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include <memory_disk.h>

#include "sim.h"

#define DAY_US UINT64_C(86400000000)

static struct sim *sim;
static struct io *io;

static void setup(void)
{
    struct sim_options options;
    sim_options_init(&options, 7, 2);
    sim = sim_create(&options);
    io = sim_start(sim, 0, NULL, NULL);
}

static void teardown(void)
{
    sim_destroy(sim);
}

TestSuite(sim_call, .init = setup, .fini = teardown);

struct called {
    int count;
    uint64_t at_us;
    uint32_t event_node;
};

static void note_call(void *data)
{
    struct called *called = data;
    called->count++;
    called->at_us = sim_now_us(sim);
    called->event_node = sim_event_node(sim);
}

Test(sim_call, a_call_of_the_test_comes_at_its_time_though_no_node_runs)
{
    struct called called = {0};
    sim_crash(sim, 0, SIM_CRASH_KILL);
    sim_call_after(sim, 700, note_call, &called);
    sim_run_for(sim, 699);
    cr_assert_eq(called.count, 0);
    sim_run_for(sim, 1);
    cr_assert_eq(called.count, 1);
    cr_assert_eq(called.at_us, 700);
    cr_assert_eq(called.event_node, SIM_NODES_MAX);
}

Test(sim_call, a_call_in_a_process_waits_while_it_is_paused)
{
    struct called called = {0};
    sim_call_in(sim, 0, 100, note_call, &called);
    sim_pause(sim, 0);
    cr_assert(sim_is_paused(sim, 0));
    sim_run_for(sim, 5000);
    cr_assert_eq(called.count, 0);
    sim_resume(sim, 0);
    sim_run_for(sim, 1);
    cr_assert_eq(called.count, 1);
    cr_assert_eq(called.at_us, 5000);
    cr_assert_eq(called.event_node, 0);
}

Test(sim_call, a_call_in_a_process_goes_with_it)
{
    struct called called = {0};
    sim_call_in(sim, 0, 100, note_call, &called);
    sim_crash(sim, 0, SIM_CRASH_POWER);
    sim_start(sim, 0, NULL, NULL);
    sim_run_for(sim, 5000);
    cr_assert_eq(called.count, 0);
}

struct timed_job {
    struct io_job job;
    int runs_count;
    uint64_t done_us;
};

static void run_timed(struct io_job *job)
{
    ((struct timed_job *)job->data)->runs_count++;
}

static void done_timed(struct io_job *job)
{
    ((struct timed_job *)job->data)->done_us = sim_now_us(sim);
}

static void submit(struct io_job_queue *queue, struct timed_job *timed)
{
    memset(timed, 0, sizeof(*timed));
    timed->job = (struct io_job){.run = run_timed, .done = done_timed, .data = timed};
    io_job_submit(io, queue, &timed->job);
}

Test(sim_call, a_slow_disk_takes_longer_and_is_fast_again)
{
    struct io_job_queue *queue = io_job_queue_create(io);
    struct timed_job job;
    sim_set_job_factor(sim, 0, 1000);
    submit(queue, &job);
    sim_run_for(sim, 100000 - 1);
    cr_assert_eq(job.runs_count, 0, "a job of at least 100 us took less than 1000 times that");
    sim_run_for(sim, DAY_US);
    cr_assert_eq(job.runs_count, 1);
    sim_set_job_factor(sim, 0, 1);
    submit(queue, &job);
    sim_run_for(sim, 50000);
    cr_assert_gt(job.done_us, 0);
    io_job_queue_destroy(io, queue);
}

Test(sim_call, what_gives_way_to_others_alone_takes_longer)
{
    struct io_job_queue *queue = io_job_queue_create(io);
    struct io_job_queue *background = io_job_queue_create_background(io);
    struct timed_job first, second;
    sim_set_background_factor(sim, 0, 1000);
    submit(queue, &first);
    submit(background, &second);
    sim_run_for(sim, 50000);
    cr_assert_gt(first.done_us, 0);
    cr_assert_eq(second.runs_count, 0);
    sim_run_for(sim, DAY_US);
    cr_assert_eq(second.runs_count, 1);
    io_job_queue_destroy(io, queue);
    io_job_queue_destroy(io, background);
}

Test(sim_call, jobs_that_wait_for_a_slow_disk_run_soon_and_in_order_when_it_is_fast_again)
{
    struct io_job_queue *queue = io_job_queue_create(io);
    struct timed_job jobs[3];
    sim_set_job_factor(sim, 0, 100000);
    for (int i = 0; i < 3; i++) {
        submit(queue, &jobs[i]);
    }
    sim_run_for(sim, 1000000);
    cr_assert_eq(jobs[0].runs_count, 0);
    sim_set_job_factor(sim, 0, 1);
    sim_run_for(sim, 3 * 50000);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(jobs[i].runs_count, 1);
        if (i > 0) cr_assert_geq(jobs[i].done_us, jobs[i - 1].done_us);
    }
    io_job_queue_destroy(io, queue);
}

Test(sim_call, jobs_on_a_hanging_disk_run_in_order_when_it_is_let_go)
{
    struct io_job_queue *queue = io_job_queue_create(io);
    struct timed_job jobs[3];
    sim_hang_disk(sim, 0, true);
    for (int i = 0; i < 3; i++) {
        submit(queue, &jobs[i]);
    }
    sim_run_for(sim, DAY_US);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(jobs[i].runs_count, 0);
    }
    sim_hang_disk(sim, 0, false);
    sim_run_for(sim, 1000000);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(jobs[i].runs_count, 1);
        cr_assert_gt(jobs[i].done_us, 0);
        if (i > 0) cr_assert_geq(jobs[i].done_us, jobs[i - 1].done_us);
    }
    io_job_queue_destroy(io, queue);
}

Test(sim_call, jobs_on_a_hanging_disk_go_with_their_process)
{
    struct timed_job job;
    sim_hang_disk(sim, 0, true);
    submit(io_job_queue_create(io), &job);
    sim_run_for(sim, 100000);
    sim_crash(sim, 0, SIM_CRASH_KILL);
    io = sim_start(sim, 0, NULL, NULL);
    sim_hang_disk(sim, 0, false);
    sim_run_for(sim, 1000000);
    cr_assert_eq(job.runs_count, 0);
}

Test(sim_call, failed_syncs_are_counted_for_each_process)
{
    struct disk *disk = sim_disk(sim, 0);
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, "/f", DISK_CREATE_NEW, &file), 0);
    cr_assert_eq(disk_pwrite(file, "x", 1, 0), 0);
    memory_disk_fail_sync(sim_memory_disk(sim, 0), 1);
    cr_assert_eq(sim_failed_syncs(sim, 0), 0);
    cr_assert_eq(disk_datasync(file), -EIO);
    cr_assert_eq(sim_failed_syncs(sim, 0), 1);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(sim_failed_syncs(sim, 0), 1);
    disk_close(file);
    sim_crash(sim, 0, SIM_CRASH_KILL);
    io = sim_start(sim, 0, NULL, NULL);
    cr_assert_eq(sim_failed_syncs(sim, 0), 0);
}

Test(sim_call, a_wiped_disk_is_empty_and_works)
{
    struct disk_file *file;
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/f", DISK_CREATE_NEW, &file), 0);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(sim_disk(sim, 0), "/"), 0);
    sim_crash(sim, 0, SIM_CRASH_KILL);
    sim_wipe_disk(sim, 0);
    io = sim_start(sim, 0, NULL, NULL);
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/f", DISK_READ, &file), -ENOENT);
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/f", DISK_CREATE_NEW, &file), 0);
    disk_close(file);
}

Test(sim_call, a_restored_disk_is_as_it_was_when_it_was_copied)
{
    struct disk_file *file;
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/f", DISK_CREATE_NEW, &file), 0);
    struct disk *copy = memory_disk_clone(sim_memory_disk(sim, 0), 1);
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/g", DISK_CREATE_NEW, &file), 0);
    sim_crash(sim, 0, SIM_CRASH_KILL);
    sim_restore_disk(sim, 0, copy);
    io = sim_start(sim, 0, NULL, NULL);
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/g", DISK_READ, &file), -ENOENT);
    cr_assert_eq(disk_open(sim_disk(sim, 0), "/f", DISK_READ, &file), 0);
    disk_close(file);
}

static uint64_t connected_us;

static void on_connected(struct io_stream *stream, int status)
{
    cr_assert_eq(status, -ECONNREFUSED);
    connected_us = sim_now_us(sim);
    io_stream_close(stream, false);
}

Test(sim_call, the_latency_of_links_may_change_while_the_world_runs)
{
    sim_start(sim, 1, NULL, NULL);
    sim_set_link_us(sim, 20000, 21000);
    (void)io_connect(io, "n2:7071", on_connected, NULL);
    sim_run_for(sim, 39999);
    cr_assert_eq(connected_us, 0);
    sim_run_for(sim, 3000);
    cr_assert_geq(connected_us, 40000);
}
