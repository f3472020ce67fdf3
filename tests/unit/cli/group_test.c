/* `raftmq group list` against a node that answers page by page. */
#include <criterion/criterion.h>

#include "command.h"
#include "script_node.h"

#define JSON(body) \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" body
#define TOPICS JSON("{\"topics\":[{\"name\":\"orders\"}]}")
#define TOPIC                                                                                   \
    JSON("{\"name\":\"orders\",\"partition_list\":[{\"partition\":0,\"first_offset\":0,\"next_" \
         "offset\":9}]}")
#define PAGE(names) JSON("{\"topic\":\"orders\",\"partition\":0,\"groups\":[" names "]}")
#define GROUP(name) "{\"group\":\"" name "\",\"offset\":3}"

/* `raftmq group list`; its exit status, and how many requests it took. */
static int list(const struct script_step *steps, int steps_count, int *ret_requests)
{
    struct script_node node;
    char name[] = "raftmq", noun[] = "group", verb[] = "list", server[] = "--server";
    script_node_start(&node, steps, steps_count);
    char *argv[] = {name, noun, verb, server, node.address, NULL};
    const int status = command_main(5, argv);
    *ret_requests = node.requests_count;
    script_node_stop(&node);
    return status;
}

Test(cli_group, pages_are_asked_for_until_one_is_empty, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = TOPICS},
                                               {.answer = TOPIC},
                                               {.answer = PAGE(GROUP("a") "," GROUP("b"))},
                                               {.answer = PAGE(GROUP("c"))},
                                               {.answer = PAGE("")}};
    int requests;
    cr_assert_eq(list(steps, 5, &requests), 0);
    cr_assert_eq(requests, 5);
}

Test(cli_group, a_page_that_does_not_lead_on_is_an_error_and_no_loop, .timeout = 120)
{
    static const struct script_step steps[] = {
        {.answer = TOPICS}, {.answer = TOPIC}, {.answer = PAGE(GROUP("a") "," GROUP("b"))}};
    int requests;
    cr_assert_eq(list(steps, 3, &requests), 1);
    cr_assert_eq(requests, 4, "the same page twice");
}
