/* The same bugs inside of Criterion tests. Criterion runs each test in a process of its own and does not look at what a
 * sanitizer says when that process ends, so a leaking test counts as passed: only the report file tells. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

Test(planted, leak)
{
    void *volatile block = malloc(64);
    block = NULL; /* the only pointer to it */
    cr_assert_null(block);
}

Test(planted, overflow)
{
    uint8_t *block = malloc(16);
    cr_assert_not_null(block);
    volatile size_t past = 16;
    memset(block, 0, 16);
    ((volatile uint8_t *)block)[past] = 1;
    free(block);
}

Test(planted, undefined)
{
    volatile int32_t highest = INT32_MAX;
    volatile int32_t wrapped = highest + 1;
    cr_assert_neq(wrapped, 0);
}
