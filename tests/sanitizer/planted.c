/* Commits the memory error named by its argument, so that net_holds.sh can see it reported. */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void plant_leak(void)
{
    void *volatile block = malloc(64);
    block = NULL; /* the only pointer to it */
    (void)block;
}

static void plant_overflow(void)
{
    uint8_t *block = malloc(16);
    if (!block) abort();
    volatile size_t past = 16;
    memset(block, 0, 16);
    ((volatile uint8_t *)block)[past] = 1;
    free(block);
}

static void plant_undefined(void)
{
    volatile int32_t highest = INT32_MAX;
    volatile int32_t wrapped = highest + 1;
    (void)wrapped;
}

int main(int argc, char **argv)
{
    const char *bug = argc == 2 ? argv[1] : "";
    if (strcmp(bug, "leak") == 0) {
        plant_leak();
    } else if (strcmp(bug, "overflow") == 0) {
        plant_overflow();
    } else if (strcmp(bug, "undefined") == 0) {
        plant_undefined();
    } else {
        fprintf(stderr, "usage: planted leak|overflow|undefined\n");
        return 2;
    }
    return 0;
}
