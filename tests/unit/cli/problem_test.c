/* Goal: what a node refuses is told in one sentence that can be acted on. */
#include <criterion/criterion.h>
#include <string.h>

#include "problem.h"

static char slug[64], detail[512];

static void read(const char *text, int status)
{
    json_t *json = json_loads(text, 0, NULL);
    problem_read(json, status, slug, sizeof(slug), detail, sizeof(detail));
    json_decref(json);
}

Test(cli_problem, title_and_detail_make_one_sentence)
{
    read("{\"type\":\"urn:raftmq:problem:not-enough-nodes\",\"title\":\"not enough nodes\","
         "\"detail\":\"nobody can take 1 replica of n6\"}",
         422);
    cr_assert_str_eq(slug, "not-enough-nodes");
    cr_assert_str_eq(detail, "not enough nodes: nobody can take 1 replica of n6");
    read("{\"title\":\"a\",\"detail\":\"a\"}", 400);
    cr_assert_str_eq(detail, "a");
    read("[]", 418);
    cr_assert_str_eq(detail, "the server answered HTTP 418");
}

Test(cli_problem, a_title_that_says_less_than_the_detail_is_left_out)
{
    read("{\"type\":\"urn:raftmq:problem:node-exists\",\"title\":\"that node, or its address, is "
         "taken\",\"detail\":\"n4 is a member already, at a:1\"}",
         409);
    cr_assert_str_eq(detail, "n4 is a member already, at a:1");
    read("{\"type\":\"urn:raftmq:problem:unknown-node\",\"title\":\"the cluster knows no such "
         "node\","
         "\"detail\":\"n2 is no member\"}",
         404);
    cr_assert_str_eq(detail, "n2 is no member");
    read("{\"type\":\"urn:raftmq:problem:node-exists\",\"title\":\"it is taken\"}", 409);
    cr_assert_str_eq(detail, "it is taken");
}

Test(cli_problem, a_setting_is_named_by_its_flag)
{
    read("{\"type\":\"urn:raftmq:problem:invalid-json\",\"title\":\"the JSON body is not valid\","
         "\"detail\":\"\\\"max_message_bytes\\\" must be from 1 to 16777216\"}",
         400);
    cr_assert_str_eq(detail, "--max-message-bytes must be from 1 to 16777216");
    read("{\"type\":\"urn:raftmq:problem:invalid-json\",\"title\":\"the JSON body is not valid\","
         "\"detail\":\"\\\"offset\\\" must be an integer\"}",
         400);
    cr_assert_str_eq(detail, "\"offset\" must be an integer", "no flag has that name");
}
