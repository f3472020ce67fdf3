#include "thinned.h"

#include <stdlib.h>
#include <string.h>

#define STEP 3u

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED false
#endif

static bool is_thinned(void)
{
    const char *every = getenv("RAFTMQ_EVERY_POINT");
    return IS_SANITIZED && !(every && strcmp(every, "1") == 0);
}

/* splitmix64 */
static uint64_t mixed(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

bool thinned_takes(uint64_t salt, uint64_t point)
{
    return !is_thinned() || point % STEP == mixed(mixed(salt) + point / STEP) % STEP;
}

/* Both ends of the row may cut a group of three. */
uint64_t thinned_least(uint64_t count)
{
    if (!is_thinned()) return count;
    return count < 2u * STEP ? 0 : count / STEP - 1u;
}
