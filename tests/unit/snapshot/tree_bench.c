/* Cost of the tree: ns per put and bytes of memory per key, for keys like those of the partition state.
 *
 *     bench_tree [keys]
 *
 * Prints one line per phase. Memory is the growth of the resident set, so it counts the allocator's overhead too. */
#include <snapshot/tree.h>

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    uint64_t total = 0, resident = 0;
    if (file && fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) != 2) resident = 0;
    if (file) fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t scramble(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

struct phase {
    const char *name;
    uint64_t start_ns;
    uint64_t start_bytes;
};

static struct phase phase_begin(const char *name)
{
    malloc_trim(0); /* or a phase would grow into what the one before it left */
    return (struct phase){.name = name, .start_ns = now_ns(), .start_bytes = resident_bytes()};
}

static void phase_end(const struct phase *phase, uint64_t operations)
{
    double ns = (double)(now_ns() - phase->start_ns) / (double)operations;
    double grown = (double)resident_bytes() - (double)phase->start_bytes;
    printf("%-34s %9" PRIu64 " operations  %8.0f ns each  resident %+8.1f MB\n", phase->name,
           operations, ns, grown / 1e6);
}

/* A tag byte and a big-endian number, as in the producer table. */
static struct tree_slice number_key(uint8_t *buffer, uint64_t number)
{
    buffer[0] = 'p';
    uint64_t swapped = __builtin_bswap64(number);
    memcpy(buffer + 1, &swapped, sizeof swapped);
    return (struct tree_slice){.data = buffer, .bytes = 9};
}

/* A readable group name. */
static struct tree_slice name_key(char *buffer, uint64_t number)
{
    int bytes = snprintf(buffer, 40, "oconsumer-group-%08" PRIx64, number & 0xffffffffu);
    return (struct tree_slice){.data = buffer, .bytes = (uint32_t)bytes};
}

static bool count_pair(void *data, struct tree_slice key, struct tree_slice value)
{
    *(uint64_t *)data += key.bytes + value.bytes;
    return true;
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint8_t key[9], value_bytes[100] = {1};
    char name[40];
    struct tree_slice value = {.data = value_bytes, .bytes = 48};

    struct tree *tree = NULL;
    struct phase phase = phase_begin("put, new, ascending numbers");
    for (uint64_t i = 0; i < keys; i++)
        tree_put(&tree, number_key(key, i), value);
    phase_end(&phase, keys);
    tree_unref(tree);

    tree = NULL;
    phase = phase_begin("put, new, random numbers");
    for (uint64_t i = 0; i < keys; i++)
        tree_put(&tree, number_key(key, scramble(i)), value);
    phase_end(&phase, keys);

    phase = phase_begin("put, same size, in place");
    for (uint64_t i = 0; i < keys; i++)
        tree_put(&tree, number_key(key, scramble(i)), value);
    phase_end(&phase, keys);

    phase = phase_begin("get, random");
    struct tree_slice found;
    uint64_t misses = 0;
    for (uint64_t i = 0; i < keys; i++) {
        misses += !tree_get(tree, number_key(key, scramble(i)), &found);
    }
    phase_end(&phase, keys);

    struct tree *frozen = tree_ref(tree);
    phase = phase_begin("put, 1 % of keys while frozen");
    value.bytes = 49;
    for (uint64_t i = 0; i < keys / 100; i++)
        tree_put(&tree, number_key(key, scramble(i)), value);
    phase_end(&phase, keys / 100);
    tree_unref(frozen);

    phase = phase_begin("visit");
    uint64_t bytes = 0;
    tree_visit(tree, (struct tree_slice){0}, (struct tree_slice){0}, count_pair, &bytes);
    phase_end(&phase, keys);

    phase = phase_begin("digest");
    uint64_t digest = tree_digest(tree);
    phase_end(&phase, keys);

    phase = phase_begin("remove, random");
    for (uint64_t i = 0; i < keys; i++) {
        misses += !tree_remove(&tree, number_key(key, scramble(i)));
    }
    phase_end(&phase, keys);

    phase = phase_begin("put, new, random group names");
    value.bytes = 48;
    for (uint64_t i = 0; i < keys; i++)
        tree_put(&tree, name_key(name, scramble(i)), value);
    phase_end(&phase, keys);
    phase = phase_begin("unref");
    tree_unref(tree);
    phase_end(&phase, keys);

    printf("misses %" PRIu64 ", bytes visited %" PRIu64 ", digest %016" PRIx64 "\n", misses, bytes,
           digest);
    return misses == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
