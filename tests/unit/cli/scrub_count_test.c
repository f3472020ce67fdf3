/* Goal: a scrub tells of what it found itself, and not again of what an earlier one did. */
#include <criterion/criterion.h>

#include "scrub_count.h"

static uint64_t since(const char *before, const char *after)
{
    json_t *first = json_loads(before, 0, NULL), *second = json_loads(after, 0, NULL);
    const uint64_t count = scrub_count_since(first, second, "damage_found");
    json_decref(first);
    json_decref(second);
    return count;
}

#define LOG(topic, partition, found) \
    "{\"topic\":" topic ",\"partition\":" #partition ",\"damage_found\":" #found "}"

Test(cli_scrub_count, what_was_found_before_is_not_found_again)
{
    cr_assert_eq(since("[" LOG("null", 0, 0) "," LOG("\"a\"", 0, 1) "]",
                       "[" LOG("null", 0, 0) "," LOG("\"a\"", 0, 1) "]"),
                 0);
    cr_assert_eq(since("[" LOG("null", 0, 2) "," LOG("\"a\"", 0, 1) "]",
                       "[" LOG("null", 0, 3) "," LOG("\"a\"", 0, 5) "]"),
                 5);
}

Test(cli_scrub_count, each_log_is_compared_with_itself)
{
    cr_assert_eq(since("[" LOG("\"a\"", 0, 1) "," LOG("\"a\"", 1, 7) "," LOG("\"b\"", 1, 2) "]",
                       "[" LOG("\"b\"", 1, 2) "," LOG("\"a\"", 1, 7) "]"),
                 0);
    cr_assert_eq(since("[" LOG("\"a\"", 0, 4) "]", "[" LOG("\"a\"", 1, 3) "]"), 3, "a new log");
}

Test(cli_scrub_count, a_node_that_was_started_again_counts_from_nothing)
{
    cr_assert_eq(since("[" LOG("\"a\"", 0, 9) "]", "[" LOG("\"a\"", 0, 2) "]"), 2);
    cr_assert_eq(scrub_count_since(NULL, NULL, "damage_found"), 0);
}
