/* How fast a long log opens, and how little of it is read. The log is written by its own append, sealed, and forgotten by the
 * page cache; then it is opened.
 *
 *   bench_log_open DIRECTORY [--bytes 10G] [--segment-bytes 64M] [--read-bytes-max N] [--keep | --opens N]
 *
 * DIRECTORY is made, must not exist, and is removed unless --keep. With --opens a log that was kept is opened, N times. With --read-bytes-max it is a test: exit status 1 when
 * opening read more bytes than that. Time is printed, never judged. */
#include <segment_log/segment_log.h>

#include "counting_disk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_BYTES   65536u
#define BATCHES_FLUSH 16u

static uint64_t now_us(void)
{
    return disk_now_us(disk_posix());
}

static void die(const char *what, const struct segment_log_problem *problem)
{
    fprintf(stderr, "bench_log_open: %s: %s: %s (errno %d)\n", what, problem->path, problem->reason,
            problem->error);
    exit(1);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static void put_big(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
}

static void append_batch(struct segment_log *log, uint64_t term)
{
    static uint8_t payload[BATCH_BYTES];
    struct segment_log_info info;
    segment_log_info(log, &info);
    /* Other bytes in every batch; the stamp that the broker would put in front. */
    uint64_t x = info.last_index;
    for (size_t i = 16; i + 8 <= sizeof payload; i += 512) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(payload + i, &x, sizeof x);
    }
    put_big(payload, info.next_offset, 8);
    put_big(payload + 8, sizeof payload - 12u, 4);
    put_big(payload + 12, term, 4);
    const struct segment_log_entry entry = {
        .type = ENTRY_DATA,
        .record_count = 100,
        .timestamp_ms = info.last_timestamp_ms + 1,
        .payload = payload,
        .payload_bytes = sizeof payload,
    };
    uint64_t last_index;
    if (segment_log_append(log, term, &entry, 1, &last_index) != SEGMENT_LOG_OK) {
        fprintf(stderr, "bench_log_open: an append was refused\n");
        exit(1);
    }
}

static void flush(struct segment_log *log)
{
    struct segment_log_job *job;
    while ((job = segment_log_next_job(log, /* idle= */ true)) != NULL) {
        struct segment_log_job_result result;
        segment_log_job_run(job);
        segment_log_job_finish(log, job, &result);
        if (result.status != SEGMENT_LOG_OK) die("writing", &result.problem);
    }
}

static void seal(struct segment_log *log)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    segment_log_committed(log, info.durable_index);
    struct segment_log_seal_job *job;
    while ((job = segment_log_next_seal_job(log)) != NULL) {
        struct segment_log_problem problem = {0};
        segment_log_seal_job_run(job);
        if (segment_log_seal_job_finish(log, job, &problem) != SEGMENT_LOG_OK) {
            die("sealing", &problem);
        }
    }
}

static void write_log(const struct segment_log_options *options, uint64_t bytes)
{
    struct segment_log *log;
    struct segment_log_problem problem = {0};
    const struct segment_log_point origin = {
        .chain = checksum64_group(&options->cluster, options->group)};
    if (segment_log_create(options, &origin, &log, &problem) != SEGMENT_LOG_OK) {
        die("making the log", &problem);
    }
    uint64_t start_us = now_us(), seal_us = 0, written = 0;
    for (uint64_t rounds = 0; written < bytes; rounds++) {
        for (uint32_t i = 0; i < BATCHES_FLUSH; i++) {
            append_batch(log, 1 + rounds / 100);
            written += BATCH_BYTES;
        }
        flush(log);
        uint64_t seal_start_us = now_us();
        seal(log);
        seal_us += now_us() - seal_start_us;
    }
    struct segment_log_info info;
    segment_log_info(log, &info);
    printf("written     %.1f MiB in %.1f s, of which %.2f s for footers; %" PRIu32
           " segments, %" PRIu32 " sealed; %" PRIu64 " entries\n",
           (double)segment_log_bytes(log) / 1048576.0, (double)(now_us() - start_us) / 1e6,
           (double)seal_us / 1e6, info.segments_count, segment_log_sealed_count(log),
           info.last_index);
    segment_log_close(log);
}

/* ---- forgetting ------------------------------------------------------------------------------------- */

struct pages {
    const char *directory;
    uint64_t resident_bytes;
};

static void drop_file(void *data, const char *name)
{
    struct pages *pages = data;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", pages->directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0 || about.st_size == 0) {
        if (fd >= 0) close(fd);
        return;
    }
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    size_t bytes = (size_t)about.st_size, pages_count = (bytes + 4095u) / 4096u;
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *resident = malloc(pages_count);
    if (map != MAP_FAILED && resident && mincore(map, bytes, resident) == 0) {
        for (size_t i = 0; i < pages_count; i++) {
            if (resident[i] & 1u) pages->resident_bytes += 4096u;
        }
    }
    if (map != MAP_FAILED) munmap(map, bytes);
    free(resident);
    close(fd);
}

/* What the process had the device read, as the kernel counts it. */
static uint64_t device_read_bytes(void)
{
    FILE *file = fopen("/proc/self/io", "re");
    char line[128];
    uint64_t bytes = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "read_bytes: %" SCNu64, &bytes) == 1) break;
    }
    if (file) fclose(file);
    return bytes;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

static void look_up(struct segment_log *log, struct disk *disk)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    struct segment_log_read_job *job;
    struct segment_log_view view;
    struct segment_log_problem problem = {0};
    counting_disk_reset(disk);
    uint64_t start_us = now_us();
    if (segment_log_read_job_create(log, SEGMENT_LOG_BY_OFFSET, info.next_offset / 3,
                                    info.last_index, 1, &job) != SEGMENT_LOG_OK) {
        return;
    }
    segment_log_read_job_run(job);
    if (segment_log_read_job_finish(log, job, &view, &problem) != SEGMENT_LOG_OK) {
        die("looking up", &problem);
    }
    printf("lookup      by offset, cold: %" PRIu64 " us, %" PRIu64 " bytes read\n",
           now_us() - start_us, counting_disk_read_bytes(disk));
    segment_log_view_release(&view);
}

static uint64_t open_log(const struct segment_log_options *options)
{
    struct pages pages = {.directory = options->directory};
    if (disk_list(options->disk, options->directory, drop_file, &pages) != 0) exit(1);
    counting_disk_reset(options->disk);
    uint64_t device = device_read_bytes(), start_us = now_us();
    struct segment_log *log;
    struct segment_log_problem problem = {0};
    if (segment_log_open(options, &log, &problem) != SEGMENT_LOG_OK) die("opening", &problem);
    uint64_t took_us = now_us() - start_us;
    uint64_t read_bytes = counting_disk_read_bytes(options->disk);
    printf("opened      in %.1f ms; %" PRIu64 " bytes in %" PRIu64 " reads, %" PRIu64
           " bytes from the device; %" PRIu64 " bytes had stayed in the page cache\n",
           (double)took_us / 1000.0, read_bytes, counting_disk_reads(options->disk),
           device_read_bytes() - device, pages.resident_bytes);
    look_up(log, options->disk);
    segment_log_close(log);
    return read_bytes;
}

static uint64_t parse_bytes(const char *text)
{
    char *end;
    uint64_t bytes = strtoull(text, &end, 10);
    if (*end == 'M') bytes <<= 20;
    if (*end == 'G') bytes <<= 30;
    return bytes;
}

int main(int argc, char **argv)
{
    uint64_t bytes = 10ull << 30, segment_bytes = 64u << 20, read_bytes_max = UINT64_MAX, opens = 0;
    const char *directory = NULL;
    bool keep = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bytes") == 0 && i + 1 < argc) {
            bytes = parse_bytes(argv[++i]);
        } else if (strcmp(argv[i], "--segment-bytes") == 0 && i + 1 < argc) {
            segment_bytes = parse_bytes(argv[++i]);
        } else if (strcmp(argv[i], "--opens") == 0 && i + 1 < argc) {
            opens = parse_bytes(argv[++i]);
        } else if (strcmp(argv[i], "--read-bytes-max") == 0 && i + 1 < argc) {
            read_bytes_max = parse_bytes(argv[++i]);
        } else if (strcmp(argv[i], "--keep") == 0) {
            keep = true;
        } else if (argv[i][0] != '-' && !directory) {
            directory = argv[i];
        } else {
            bytes = 0; /* what nobody knows is no directory to fill */
        }
    }
    if (!directory || bytes == 0) {
        fprintf(stderr, "usage: bench_log_open DIRECTORY [--bytes 10G] [--segment-bytes 64M]"
                        " [--read-bytes-max N] [--keep | --opens N]\n");
        return 2;
    }
    const struct segment_log_options options = {
        .disk = counting_disk_create(disk_posix()),
        .directory = directory,
        .cluster = {{1}},
        .group = 1,
        .segment_bytes_max = segment_bytes,
        .extend_bytes = 4u << 20,
        .cache_bytes_max = 8u << 20,
        .sector_bytes = 512,
    };
    if (opens == 0) write_log(&options, bytes);
    uint64_t read_bytes = open_log(&options);
    for (uint64_t i = 1; i < opens; i++) {
        (void)open_log(&options);
    }
    if (!keep && opens == 0) {
        if (segment_log_remove(options.disk, directory) != 0 || rmdir(directory) != 0) {
            fprintf(stderr, "bench_log_open: %s was not removed\n", directory);
        }
    }
    counting_disk_destroy(options.disk);
    if (read_bytes <= read_bytes_max) return 0;
    fprintf(stderr, "bench_log_open: more than %" PRIu64 " bytes read\n", read_bytes_max);
    return 1;
}
