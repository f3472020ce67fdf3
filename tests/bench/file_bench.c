/* What the state of a file costs the one who appends to it and syncs: the measurement behind docs/decisions on zero-filled and
 * recycled segments.
 *
 *   bench_file DIRECTORY [--rounds 5] [--bytes 64M]
 *
 *   growing      every write makes the file longer
 *   zero-filled  zeros are written ahead in steps of 1 MiB, synced, and then overwritten, as the log does
 *   recycled     the file holds old bytes and is only overwritten
 *
 * Kinds take turns, so that a neighbour on the disk disturbs all alike. Prints medians over the rounds. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum kind { GROWING, ZERO_FILLED, RECYCLED, KINDS };
static const char *const kind_names[KINDS] = {"growing", "zero-filled", "recycled"};

#define FILL_BYTES (1u << 20)
#define ROUNDS_MAX 32

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void check(bool good, const char *what)
{
    if (good) return;
    perror(what);
    exit(1);
}

static void write_at(int fd, const void *bytes, size_t count, uint64_t pos)
{
    check(pwrite(fd, bytes, count, (off_t)pos) == (ssize_t)count, "pwrite");
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

struct outcome {
    double p50_us, p99_us, mb_per_s, cpu_ns_per_byte;
};

static int make_file(const char *path, enum kind kind, uint64_t bytes)
{
    static uint8_t old[FILL_BYTES];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0, path);
    memset(old, 0x5a, sizeof old);
    for (uint64_t pos = 0; kind == RECYCLED && pos < bytes; pos += sizeof old) {
        write_at(fd, old, sizeof old, pos);
    }
    check(fsync(fd) == 0, "fsync");
    return fd;
}

/* Appends of `step` bytes until the file is full. What is filled ahead counts, as work of the same process and disk, but not
 * into the latency of an append: the log does it between appends. */
static struct outcome measure(const char *path, enum kind kind, uint64_t bytes, size_t step)
{
    static const uint8_t zeros[FILL_BYTES];
    int fd = make_file(path, kind, bytes);
    uint8_t *data = malloc(step);
    uint32_t count = (uint32_t)(bytes / step);
    double *took = calloc(count, sizeof *took);
    check(data && took, "malloc");
    memset(data, 0xa5, step);
    uint64_t filled = 0, start = now_us(), cpu = cpu_us();
    for (uint32_t i = 0; i < count; i++) {
        uint64_t pos = (uint64_t)i * step;
        if (kind == ZERO_FILLED && pos + step > filled) {
            write_at(fd, zeros, sizeof zeros, filled);
            check(fdatasync(fd) == 0, "fdatasync");
            filled += sizeof zeros;
        }
        uint64_t append_start = now_us();
        write_at(fd, data, step, pos);
        check(fdatasync(fd) == 0, "fdatasync");
        took[i] = (double)(now_us() - append_start);
    }
    uint64_t all_us = now_us() - start;
    cpu = cpu_us() - cpu;
    struct outcome outcome = {
        .mb_per_s = (double)bytes / (double)all_us,
        .cpu_ns_per_byte = (double)cpu * 1000.0 / (double)bytes,
    };
    outcome.p50_us = median(took, (int)count);
    outcome.p99_us = took[count - 1 - count / 100];
    free(took);
    free(data);
    close(fd);
    unlink(path);
    return outcome;
}

static void compare_kinds(const char *path, const char *what, uint64_t bytes, size_t step,
                          int rounds)
{
    static struct outcome outcomes[KINDS][ROUNDS_MAX];
    for (int round = 0; round < rounds; round++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            outcomes[kind][round] = measure(path, kind, bytes, step);
        }
    }
    for (enum kind kind = 0; kind < KINDS; kind++) {
        double p50[ROUNDS_MAX], p99[ROUNDS_MAX], rate[ROUNDS_MAX], cpu[ROUNDS_MAX];
        for (int round = 0; round < rounds; round++) {
            p50[round] = outcomes[kind][round].p50_us;
            p99[round] = outcomes[kind][round].p99_us;
            rate[round] = outcomes[kind][round].mb_per_s;
            cpu[round] = outcomes[kind][round].cpu_ns_per_byte;
        }
        printf("%-8s %-12s p50 %6.0f us  p99 %6.0f us  %7.1f MB/s  CPU %5.2f ns per byte\n", what,
               kind_names[kind], median(p50, rounds), median(p99, rounds), median(rate, rounds),
               median(cpu, rounds));
    }
}

int main(int argc, char **argv)
{
    int rounds = 5;
    uint64_t bytes = 64u << 20;
    const char *directory = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--bytes") == 0 && i + 1 < argc) {
            bytes = strtoull(argv[++i], NULL, 10) << 20;
        } else {
            directory = argv[i];
        }
    }
    if (!directory || rounds < 1 || rounds > ROUNDS_MAX || bytes < FILL_BYTES) {
        fprintf(stderr, "usage: bench_file DIRECTORY [--rounds 5] [--bytes 64M]\n");
        return 2;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/bench_file.tmp", directory);
    compare_kinds(path, "4 KiB", bytes / 16, 4096, rounds);
    compare_kinds(path, "256 KiB", bytes, 256u << 10, rounds);
    return 0;
}
