/* Goal: one thread may append, cut and read while others run the log's jobs.
 * Method: a plain main, since Criterion does not start under ThreadSanitizer: a writer and a reader thread run jobs of a log
 * on the real disk; the owner goes on meanwhile and checks what it reads. Exit status 0: all well. */
#include "temp_directory.h"

#include <segment_log/segment_log.h>

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 4000

/* A mailbox for one job: the owner puts it in, the worker runs it, the owner takes it out. */
struct worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void (*run)(void *job);
    void *job;
    bool done, stop;
};

static void run_write(void *job)
{
    segment_log_job_run(job);
}

static void run_read(void *job)
{
    segment_log_read_job_run(job);
}

static void *work(void *data)
{
    struct worker *worker = data;
    pthread_mutex_lock(&worker->mutex);
    while (!worker->stop) {
        if (!worker->job || worker->done) {
            pthread_cond_wait(&worker->changed, &worker->mutex);
            continue;
        }
        void *job = worker->job;
        pthread_mutex_unlock(&worker->mutex);
        worker->run(job);
        pthread_mutex_lock(&worker->mutex);
        worker->done = true;
        pthread_cond_broadcast(&worker->changed);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

static void start(struct worker *worker, void (*run)(void *))
{
    *worker = (struct worker){.run = run};
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->changed, NULL);
    int error = pthread_create(&worker->thread, NULL, work, worker);
    assert(error == 0);
    (void)error;
}

static void submit(struct worker *worker, void *job)
{
    pthread_mutex_lock(&worker->mutex);
    worker->job = job;
    worker->done = false;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

/* The job when it is done, NULL while it runs or when there is none. */
static void *collect(struct worker *worker, bool wait)
{
    pthread_mutex_lock(&worker->mutex);
    while (wait && worker->job && !worker->done) {
        pthread_cond_wait(&worker->changed, &worker->mutex);
    }
    void *job = worker->done ? worker->job : NULL;
    if (job) worker->job = NULL;
    pthread_mutex_unlock(&worker->mutex);
    return job;
}

static void stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    worker->stop = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    pthread_mutex_destroy(&worker->mutex);
    pthread_cond_destroy(&worker->changed);
}

static uint64_t random_state = 1;
static uint64_t draw(uint64_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % below;
}

static void check_view(struct segment_log_view *view, uint64_t seed)
{
    uint64_t index = view->first_index;
    for (uint32_t i = 0; i < view->parts_count; i++) {
        for (size_t pos = 0; pos < view->parts[i].bytes_count; index++) {
            struct entry_header header;
            const uint8_t *payload;
            enum entry_decode_status status =
                entry_decode(view->parts[i].bytes + pos, view->parts[i].bytes_count - pos, seed,
                             &header, &payload);
            assert(status == ENTRY_DECODE_OK);
            (void)status;
            assert(header.index == index);
            pos += entry_bytes(header.payload_bytes);
        }
    }
    assert(index == view->last_index + 1);
    segment_log_view_release(view);
}

static void finish_write(struct segment_log *log, struct worker *writer, bool wait)
{
    struct segment_log_job *job = collect(writer, wait);
    if (!job) return;
    struct segment_log_job_result result;
    segment_log_job_finish(log, job, &result);
    assert(result.status == SEGMENT_LOG_OK);
}

static void finish_read(struct segment_log *log, struct worker *reader, uint64_t seed, bool wait)
{
    struct segment_log_read_job *job = collect(reader, wait);
    if (!job) return;
    struct segment_log_view view;
    struct segment_log_problem problem;
    enum segment_log_status status = segment_log_read_job_finish(log, job, &view, &problem);
    assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_SUPERSEDED);
    if (status == SEGMENT_LOG_OK) check_view(&view, seed);
}

static void append(struct segment_log *log, uint64_t term)
{
    static uint8_t payload[4000];
    struct segment_log_entry entries[8];
    uint32_t count = (uint32_t)(1 + draw(8));
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct segment_log_entry){.type = ENTRY_OFFSETS,
                                                .payload = payload,
                                                .payload_bytes = (uint32_t)draw(sizeof payload)};
    }
    uint64_t last_index;
    enum segment_log_status status = segment_log_append(log, term, entries, count, &last_index);
    assert(status == SEGMENT_LOG_OK);
    (void)status;
}

int main(void)
{
    struct temp_directory directory;
    temp_directory_make(&directory);
    struct segment_log_options options = {
        .disk = disk_posix(),
        .directory = directory.path,
        .segment_bytes_max = 262144,
        .extend_bytes = 65536,
        .cache_bytes_max = 65536,
        .sector_bytes = 512,
    };
    uint64_t seed = checksum64_group(&options.cluster, 0);
    struct segment_log_point base = {.chain = seed};
    struct segment_log_problem problem;
    struct segment_log *log = NULL;
    enum segment_log_status status = segment_log_create(&options, &base, &log, &problem);
    assert(status == SEGMENT_LOG_OK);
    struct worker writer, reader;
    start(&writer, run_write);
    start(&reader, run_read);
    uint64_t term = 1;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        struct segment_log_info info;
        append(log, term);
        segment_log_info(log, &info);
        if (draw(40) == 0) {
            segment_log_truncate(log, info.last_index + 1 -
                                          draw(info.last_index < 60 ? info.last_index : 60));
            term++;
        }
        finish_write(log, &writer, info.unflushed_bytes > 500000);
        struct segment_log_job *job = segment_log_next_job(log, draw(4) == 0);
        if (job) submit(&writer, job);
        finish_read(log, &reader, seed, draw(8) == 0);
        segment_log_info(log, &info);
        struct segment_log_view view;
        uint64_t index = 1 + draw(info.last_index);
        status = segment_log_read(log, SEGMENT_LOG_BY_INDEX, index, info.last_index, 20000, &view);
        if (status == SEGMENT_LOG_OK) check_view(&view, seed);
        if (status != SEGMENT_LOG_NOT_CACHED) continue;
        finish_read(log, &reader, seed, true);
        struct segment_log_read_job *read_job;
        status = segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, index, info.last_index,
                                             20000, &read_job);
        assert(status == SEGMENT_LOG_OK);
        submit(&reader, read_job);
    }
    finish_read(log, &reader, seed, true);
    finish_write(log, &writer, true);
    struct segment_log_job *job;
    while ((job = segment_log_next_job(log, true)) != NULL) {
        submit(&writer, job);
        finish_write(log, &writer, true);
    }
    stop(&writer);
    stop(&reader);
    struct segment_log_info before, after;
    segment_log_info(log, &before);
    segment_log_close(log);
    status = segment_log_open(&options, &log, &problem);
    assert(status == SEGMENT_LOG_OK);
    segment_log_info(log, &after);
    assert(after.last_index == before.last_index && after.last_chain == before.last_chain);
    printf("%lu entries, %u segments, %lu syncs\n", (unsigned long)after.last_index,
           after.segments_count, (unsigned long)before.syncs_total);
    segment_log_close(log);
    temp_directory_remove(&directory);
    return 0;
}
