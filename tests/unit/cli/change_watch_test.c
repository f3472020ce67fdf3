/* Goal: of what the cluster tells about unfinished changes a person reads the right line. Method: documents as a node makes
 * them, read by the tool. */
#include <criterion/criterion.h>
#include <jansson.h>

#include "change_watch.h"
#include "clock.h"
#include "script_node.h"

#define MEMBER(node, role, wished, match)                                                  \
    "{\"node\":" #node ",\"role\":\"" role "\",\"wished\":" #wished ",\"connected\":true," \
    "\"match\":" #match "}"

static json_t *read_json(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    cr_assert_not_null(json, "%s", text);
    return json;
}

static void check_summary(const char *text, uint64_t node, uint32_t left, const char *wanted)
{
    char line[CHANGE_TEXT_BYTES];
    json_t *json = read_json(text);
    const struct change_filter filter = {.node = node};
    cr_assert_eq(change_summary(json, &filter, line, sizeof(line)), left);
    cr_assert_str_eq(line, wanted);
    json_decref(json);
}

static const char *const copying =
    "[{\"topic\":\"orders\",\"partition\":3,\"state\":\"copying\",\"blocked\":null,\"leader\":1,"
    "\"last_index\":5000,\"members\":[" MEMBER(1, "voter", true, 5000) "," MEMBER(
        2, "voter", false, 4000) "," MEMBER(4, "learner", true, 1200) "]}]";

Test(cli_change_watch, tells_how_many_entries_the_newcomer_has)
{
    check_summary(copying, 4, 1, "1 group left; orders/3: copying, n4 has 1,200 of 5,000 entries");
    check_summary(copying, 2, 1, "1 group left; orders/3: copying, n4 has 1,200 of 5,000 entries");
}

Test(cli_change_watch, a_change_of_other_nodes_is_none_of_this_one)
{
    check_summary(copying, 5, 0, "");
    check_summary("[]", 4, 0, "");
}

Test(cli_change_watch, a_newcomer_that_votes_already_waits_for_no_other_node)
{
    json_t *json = read_json("{\"topic\":null,\"state\":\"waiting\",\"members\":[" MEMBER(
        1, "voter", true, 9) "," MEMBER(3, "voter", true, 9) "," MEMBER(4, "absent", true,
                                                                        null) "]}");
    const struct change_filter votes = {.node = 2, .newcomer = 3},
                               comes = {.node = 2, .newcomer = 4},
                               goes = {.node = 3, .newcomer = 5};
    cr_assert_not(change_concerns(json, &votes));
    cr_assert(change_concerns(json, &comes));
    cr_assert(change_concerns(json, &goes));
    json_decref(json);
}

Test(cli_change_watch, who_is_added_does_not_wait_for_another_newcomer)
{
    json_t *json = read_json("{\"topic\":null,\"state\":\"waiting\",\"members\":[" MEMBER(
        2, "voter", true, 9) "," MEMBER(4, "absent", true, null) "]}");
    const struct change_filter is_there = {.newcomer = 2}, comes = {.newcomer = 4};
    cr_assert_not(change_concerns(json, &is_there));
    cr_assert(change_concerns(json, &comes));
    json_decref(json);
}

Test(cli_change_watch, a_node_has_gone_when_meta_has_recorded_it)
{
    json_t *json =
        read_json("[{\"topic\":null,\"state\":\"recording\",\"blocked\":null,\"members\":[" MEMBER(
            4, "voter", true, 9) "]},"
                                 "{\"topic\":\"a\",\"state\":\"recording\",\"members\":[" MEMBER(
                                     4, "voter", true, 9) "]}]");
    const struct change_filter gone = {.node = 1};
    cr_assert(change_concerns(json_array_get(json, 0), &gone));
    cr_assert_not(change_concerns(json_array_get(json, 1), &gone));
    json_decref(json);
}

Test(cli_change_watch, one_group_may_be_watched_by_its_name)
{
    char line[CHANGE_TEXT_BYTES];
    json_t *json = read_json(copying);
    const struct change_filter this = {.name = "orders/3"}, other = {.name = "orders/4"};
    cr_assert_eq(change_summary(json, &this, line, sizeof(line)), 1);
    cr_assert_eq(change_summary(json, &other, line, sizeof(line)), 0);
    json_decref(json);
}

Test(cli_change_watch, what_is_blocked_is_told_before_what_moves)
{
    check_summary("[{\"topic\":\"a\",\"partition\":0,\"state\":\"switching\",\"blocked\":null,"
                  "\"last_index\":7,\"members\":[" MEMBER(
                      4, "learner", true,
                      7) "]},"
                         "{\"topic\":null,\"partition\":0,\"state\":\"waiting\",\"blocked\":\"n4 "
                         "has not joined\","
                         "\"last_index\":9,\"members\":[" MEMBER(4, "absent", true, null) "]}]",
                  4, 2, "2 groups left; meta: waiting, n4 is not in it yet; n4 has not joined");
}

Test(cli_change_watch, a_newcomer_is_told_of_while_it_lacks_something)
{
    char text[256];
    json_t *json =
        read_json("{\"topic\":\"a\",\"partition\":0,\"last_index\":7,\"members\":[" MEMBER(
            4, "learner", true, null) "," MEMBER(5, "learner", true, 9) "," MEMBER(6, "learner",
                                                                                   false, 1) "]}");
    cr_assert_str_eq(change_progress(json, text, sizeof(text)), "n4 has not answered");
    json_decref(json);
    json = read_json("{}");
    cr_assert_str_eq(change_progress(json, text, sizeof(text)), "");
    cr_assert_str_eq(change_name(json, text, sizeof(text)), "meta");
    json_decref(json);
}

static uint64_t mark_of(const char *text, uint64_t node)
{
    json_t *json = read_json(text);
    const struct change_filter filter = {.node = node};
    const uint64_t mark = change_mark(json, &filter);
    json_decref(json);
    return mark;
}

#define WAITING(state, role, last, match)                            \
    "[{\"topic\":null,\"state\":\"" state "\",\"last_index\":" #last \
    ",\"members\":[" MEMBER(1, "voter", true, last) "," MEMBER(4, role, true, match) "]}]"

Test(cli_change_watch, only_what_gets_on_moves_the_mark)
{
    const uint64_t mark = mark_of(WAITING("copying", "learner", 500, 7), 4);
    cr_assert_eq(mark_of(WAITING("copying", "learner", 500, 7), 4), mark);
    cr_assert_eq(mark_of(WAITING("copying", "learner", 900, 7), 4), mark, "clients write");
    cr_assert_neq(mark_of(WAITING("copying", "learner", 500, 8), 4), mark);
    cr_assert_neq(mark_of(WAITING("switching", "learner", 500, 7), 4), mark);
    cr_assert_neq(mark_of(WAITING("copying", "absent", 500, 7), 4), mark);
    cr_assert_eq(mark_of(WAITING("copying", "learner", 500, 7), 9), mark_of("[]", 9));
}

#define CHANGES(changes)                                    \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" \
    "Connection: close\r\n\r\n{\"changes\":" changes "}"

static enum exit_code watch_script(struct change_watch *watch, const struct script_step *steps,
                                   int steps_count)
{
    struct script_node node;
    struct client client;
    script_node_start(&node, steps, steps_count);
    client_init_for(&client, node.address, 5000000);
    watch->client = &client;
    watch->filter = (struct change_filter){.node = 4};
    const enum exit_code code = change_watch(watch);
    client_close(&client);
    script_node_stop(&node);
    return code;
}

Test(cli_change_watch, what_stands_still_is_left, .timeout = 120)
{
    static const struct script_step steps[] = {
        {.answer = CHANGES(WAITING("waiting", "absent", 500, null))}};
    const uint64_t began_us = clock_monotonic_us();
    struct change_watch watch = {.standstill_us = 300000};
    cr_assert_eq(watch_script(&watch, steps, 1), EXIT_CODE_FAILED);
    cr_assert(watch.stood_still);
    cr_assert_lt(clock_monotonic_us() - began_us, 60000000u);
    watch = (struct change_watch){.limit_us = 300000};
    cr_assert_eq(watch_script(&watch, steps, 1), EXIT_CODE_FAILED);
    cr_assert_not(watch.stood_still, "the limit has ended it");
}

/* Each look is answered after less than the standstill, all of them take longer. */
Test(cli_change_watch, what_gets_on_is_waited_for, .timeout = 120)
{
    static const struct script_step steps[] = {
        {.answer = CHANGES("[]")}, /* who else is there? */
        {.after_ms = 600, .answer = CHANGES(WAITING("waiting", "absent", 500, null))},
        {.after_ms = 600, .answer = CHANGES(WAITING("copying", "learner", 500, 1))},
        {.after_ms = 600, .answer = CHANGES(WAITING("copying", "learner", 500, 2))},
        {.after_ms = 600, .answer = CHANGES(WAITING("copying", "learner", 500, 3))},
        {.answer = CHANGES("[]")}};
    struct change_watch watch = {.standstill_us = 2000000};
    cr_assert_eq(watch_script(&watch, steps, 6), EXIT_CODE_OK);
    cr_assert_gt(watch.took_us, watch.standstill_us);
}
