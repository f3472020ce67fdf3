/* How fast a log appends, alone on its disk. A measurement, not a test:
 *
 *   bench_segment_log DIRECTORY [extend_bytes]
 *
 *   latency     one entry of 4 KiB, append + flush, again and again: microseconds each
 *   throughput  64 entries of 4 KiB per flush: MB/s, and the CPU it takes
 *   recovery    opening that 1 GiB again: MB/s
 *   memory      append alone: ns per entry and per byte */
#include <segment_log/segment_log.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define ENTRY_BYTES 4096u

static uint64_t now_us(void)
{
    return disk_now_us(disk_posix());
}

static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void append(struct segment_log *log, uint32_t count, uint32_t payload_bytes)
{
    static uint8_t payload[ENTRY_BYTES];
    struct segment_log_entry entries[64];
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct segment_log_entry){.type = ENTRY_OFFSETS,
                                                .timestamp_ms = 1,
                                                .payload = payload,
                                                .payload_bytes = payload_bytes};
    }
    uint64_t last_index;
    if (segment_log_append(log, 1, entries, count, &last_index) != SEGMENT_LOG_OK) abort();
}

static void flush(struct segment_log *log)
{
    struct segment_log_job *job;
    while ((job = segment_log_next_job(log, false)) != NULL) {
        struct segment_log_job_result result;
        segment_log_job_run(job);
        segment_log_job_finish(log, job, &result);
        if (result.status != SEGMENT_LOG_OK) {
            fprintf(stderr, "%s: %s\n", result.problem.path, result.problem.reason);
            exit(1);
        }
    }
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void measure_latency(struct segment_log *log)
{
    enum { ROUNDS = 3000 };
    static uint64_t took[ROUNDS];
    uint64_t cpu = cpu_us();
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = now_us();
        append(log, 1, ENTRY_BYTES - 96);
        flush(log);
        took[i] = now_us() - start;
    }
    cpu = cpu_us() - cpu;
    qsort(took, ROUNDS, sizeof *took, compare);
    printf("latency     4 KiB append + sync: p50 %" PRIu64 " us, p99 %" PRIu64 " us, CPU %.1f us\n",
           took[ROUNDS / 2], took[ROUNDS * 99 / 100], (double)cpu / ROUNDS);
}

static void measure_throughput(struct segment_log *log)
{
    uint64_t bytes = 1u << 30, cpu = cpu_us(), start = now_us(), done = 0;
    while (done < bytes) {
        append(log, 64, ENTRY_BYTES);
        flush(log);
        done += 64 * ENTRY_BYTES;
    }
    uint64_t took = now_us() - start;
    cpu = cpu_us() - cpu;
    printf("throughput  256 KiB per flush: %.0f MB/s, CPU %.2f ns per byte\n",
           (double)done / (double)took, (double)cpu * 1000.0 / (double)done);
}

static void measure_memory(struct segment_log *log, uint32_t payload_bytes)
{
    enum { ROUNDS = 2000 };
    uint64_t took = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = now_us();
        for (int j = 0; j < 8; j++) {
            append(log, 64, payload_bytes);
        }
        took += now_us() - start;
        if (i % 16 == 15) flush(log);
    }
    double entries = 512.0 * ROUNDS;
    printf("memory      append of %" PRIu32 " bytes: %.0f ns per entry, %.2f ns per byte\n",
           payload_bytes, (double)took * 1000.0 / entries,
           (double)took * 1000.0 / entries / payload_bytes);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_segment_log DIRECTORY [extend_bytes]\n");
        return 2;
    }
    struct segment_log_options options = {
        .disk = disk_posix(),
        .directory = argv[1],
        .segment_bytes_max = 64u << 20,
        .extend_bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 4u << 20,
        .cache_bytes_max = 8u << 20,
        .sector_bytes = 512,
    };
    struct segment_log_point base = {.chain = checksum64_group(&options.cluster, 0)};
    struct segment_log_problem problem;
    struct segment_log *log;
    if (segment_log_create(&options, &base, &log, &problem) != SEGMENT_LOG_OK) {
        fprintf(stderr, "%s: %s (%d)\n", problem.path, problem.reason, problem.error);
        return 1;
    }
    measure_latency(log);
    measure_throughput(log);
    segment_log_close(log);
    uint64_t start = now_us();
    if (segment_log_open(&options, &log, &problem) != SEGMENT_LOG_OK) {
        fprintf(stderr, "%s: %s (%d)\n", problem.path, problem.reason, problem.error);
        return 1;
    }
    struct segment_log_info info;
    segment_log_info(log, &info);
    uint64_t took_us = now_us() - start;
    uint64_t bytes = segment_log_bytes(log);
    printf("recovery    %" PRIu64 " MB in %" PRIu32 " segments: %.0f MB/s\n", bytes / 1000000,
           info.segments_count, (double)bytes / (double)took_us);
    measure_memory(log, 100);
    measure_memory(log, 1024);
    measure_memory(log, 4096);
    segment_log_close(log);
    int error = segment_log_remove(options.disk, options.directory);
    return error ? 1 : 0;
}
