/* What a command says in the end: the newest reason that a node gave, and "unknown" only where it is. */
#include <criterion/criterion.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "script_node.h"

#define PROBLEM(status, slug, title, detail)                              \
    "HTTP/1.1 " status " X\r\nContent-Type: application/problem+json\r\n" \
    "Connection: close\r\n\r\n"                                           \
    "{\"type\":\"urn:raftmq:problem:" slug "\",\"title\":\"" title "\",\"detail\":\"" detail "\"}"
#define NO_QUORUM                                                                 \
    PROBLEM("503", "no-leader", "no leader could be reached; nothing was stored", \
            "no quorum: 1 of 3 voters are reached from here")
#define OK_AND_KEPT \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
#define HANGS_MS 60000u

static struct script_node node;
static struct client client;
static struct reply reply;

static void start(const struct script_step *steps, int steps_count, uint64_t timeout_us)
{
    script_node_start(&node, steps, steps_count);
    client_init_for(&client, node.address, timeout_us);
}

static void end(void)
{
    reply_close(&reply);
    client_close(&client);
    script_node_stop(&node);
}

static enum exit_code put(bool repeatable)
{
    return client_request(&client, "PUT", "/v1/topics/a", NULL, repeatable, &reply);
}

Test(cli_client, a_read_that_runs_out_of_time_tells_the_newest_reason_of_a_node, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = NO_QUORUM}, {.after_ms = HANGS_MS}};
    start(steps, 2, 500000);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_UNAVAILABLE);
    cr_assert_eq(reply.status, 503);
    cr_assert_str_eq(reply.slug, "no-leader");
    cr_assert(strstr(reply.detail, "1 of 3 voters"), "%s", reply.detail);
    cr_assert_geq(node.requests_count, 2);
    end();
}

Test(cli_client, a_reason_of_one_node_outlives_the_silence_of_another, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = NO_QUORUM}};
    start(steps, 1, 300000);
    servers_add(&client.servers, "127.0.0.1:1");
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_UNAVAILABLE);
    cr_assert(strstr(reply.detail, "1 of 3 voters"), "%s", reply.detail);
    reply_close(&reply);
    cr_assert_eq(put(true), EXIT_CODE_UNAVAILABLE, "nobody has got it who did not refuse it");
    end();
}

Test(cli_client, where_nobody_listens_nobody_is_reached_and_nothing_is_unknown, .timeout = 120)
{
    client_init_for(&client, "127.0.0.1:1", 200000);
    cr_assert_eq(put(true), EXIT_CODE_UNAVAILABLE);
    cr_assert_eq(reply.status, 0);
    cr_assert_not(reply.reached);
    cr_assert(strstr(reply.detail, "refused"), "%s", reply.detail);
    reply_close(&reply);
    client_close(&client);
}

Test(cli_client, a_node_that_hangs_is_reached, .timeout = 120)
{
    static const struct script_step steps[] = {{.after_ms = HANGS_MS}};
    start(steps, 1, 200000);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_UNAVAILABLE);
    cr_assert_eq(reply.status, 0);
    cr_assert(reply.reached);
    reply_close(&reply);
    cr_assert_eq(put(true), EXIT_CODE_UNKNOWN);
    end();
}

/* No attempt is begun that the timeout would cut off, or what was refused each time would end as unknown. */
Test(cli_client, a_write_that_every_attempt_refused_is_known_not_to_be_carried_out, .timeout = 120)
{
    static const struct script_step steps[] = {{.after_ms = 220, .answer = NO_QUORUM}};
    const uint64_t began_us = clock_monotonic_us();
    start(steps, 1, 1000000);
    cr_assert_eq(put(true), EXIT_CODE_UNAVAILABLE, "%s", reply.detail);
    cr_assert(strstr(reply.detail, "nothing was stored"), "%s", reply.detail);
    cr_assert_geq(node.requests_count, 2, "it is tried again while there is time");
    cr_assert_lt(clock_monotonic_us() - began_us, 8000000u);
    end();
}

Test(cli_client, a_refusal_says_nothing_of_an_attempt_that_was_lost_before, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = NULL}, {.answer = NO_QUORUM}};
    start(steps, 2, 300000);
    cr_assert_eq(put(true), EXIT_CODE_UNKNOWN);
    cr_assert(strstr(reply.detail, "no answer from"), "%s", reply.detail);
    cr_assert(strstr(reply.newest, "1 of 3 voters"), "%s", reply.newest);
    end();
}

Test(cli_client, what_may_not_be_repeated_is_not_once_an_attempt_was_lost, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = NO_QUORUM}, {.answer = NULL}};
    start(steps, 2, 2000000);
    cr_assert_eq(put(false), EXIT_CODE_UNKNOWN);
    cr_assert_eq(node.requests_count, 2);
    end();
}

Test(cli_client, a_write_that_is_lost_and_then_done_is_done, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = NULL}, {.answer = OK_AND_KEPT}};
    start(steps, 2, 2000000);
    cr_assert_eq(put(true), EXIT_CODE_OK);
    end();
}

/* A kept connection breaks under the request, and then nobody listens: that is no "could not connect". */
Test(cli_client, a_write_that_a_dying_node_has_read_is_unknown, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = OK_AND_KEPT, .keeps = true},
                                               {.answer = NULL, .dies = true}};
    start(steps, 2, 300000);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_OK);
    reply_close(&reply);
    cr_assert_eq(put(true), EXIT_CODE_UNKNOWN, "%s", reply.detail);
    end();
}

/* ---- of several servers the first hangs: it takes connections and says nothing -------------------------------------------- */

static struct script_node hung;

/* `node` answers by the steps, and stands behind one that hangs. */
static void start_behind_hung(const struct script_step *steps, int steps_count, uint64_t timeout_us)
{
    static const struct script_step hangs[] = {{.after_ms = HANGS_MS}};
    script_node_start(&hung, hangs, 1);
    script_node_start(&node, steps, steps_count);
    client_init_for(&client, hung.address, timeout_us);
    servers_add(&client.servers, node.address);
}

static void end_both(void)
{
    end();
    script_node_stop(&hung);
}

Test(cli_client, a_server_that_hangs_costs_a_read_a_second_and_not_its_time, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = OK_AND_KEPT}};
    const uint64_t began_us = clock_monotonic_us();
    start_behind_hung(steps, 1, 10000000);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_OK, "%s", reply.detail);
    cr_assert_lt(clock_monotonic_us() - began_us, 8000000u);
    reply_close(&reply);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_OK);
    cr_assert_eq(hung.requests_count, 1, "it is not asked again while the other serves");
    end_both();
}

/* It would carry it out when it wakes, behind whatever was done meanwhile. */
Test(cli_client, a_server_that_hangs_gets_no_write_and_nothing_is_unknown, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = OK_AND_KEPT}};
    const uint64_t began_us = clock_monotonic_us();
    start_behind_hung(steps, 1, 10000000);
    cr_assert_eq(put(false), EXIT_CODE_OK, "%s", reply.detail);
    cr_assert_lt(clock_monotonic_us() - began_us, 8000000u);
    cr_assert_not(hung.got_write);
    cr_assert(node.got_write);
    end_both();
}

Test(cli_client, a_short_timeout_leaves_time_for_the_second_server, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = OK_AND_KEPT}};
    start_behind_hung(steps, 1, 500000);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_OK, "%s", reply.detail);
    end_both();
}

/* A request that takes long, such as one that waits for leaders, is neither cut short nor asked for twice. */
Test(cli_client, a_server_that_works_on_a_request_is_waited_for, .timeout = 120)
{
    static const struct script_step steps[] = {{.answer = OK_AND_KEPT, .keeps = true},
                                               {.after_ms = 2500, .answer = OK_AND_KEPT}};
    static const struct script_step idle[] = {{.answer = OK_AND_KEPT}};
    script_node_start(&hung, idle, 1);
    start(steps, 2, 10000000);
    servers_add(&client.servers, hung.address);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_OK, "%s", reply.detail);
    cr_assert_eq(node.requests_count, 2);
    cr_assert_eq(hung.requests_count, 0);
    end_both();
}

/* What refuses a write so late would be cut off by the end of the time on the next server: that is not asked any more. */
Test(cli_client, a_late_refusal_stays_known_though_another_server_was_not_asked, .timeout = 120)
{
    static const struct script_step steps[] = {
        {.answer = OK_AND_KEPT}, {.after_ms = 1300, .answer = NO_QUORUM}, {.after_ms = HANGS_MS}};
    start(steps, 3, 1500000);
    script_node_start(&hung, steps, 3);
    servers_add(&client.servers, hung.address);
    cr_assert_eq(put(true), EXIT_CODE_UNAVAILABLE, "%s", reply.detail);
    cr_assert(strstr(reply.detail, "1 of 3 voters"), "%s", reply.detail);
    cr_assert_eq(hung.requests_count, 0);
    end_both();
}

static void expect_unknown(const char *answer)
{
    const struct script_step steps[] = {{.answer = answer}};
    start(steps, 1, 300000);
    cr_assert_eq(put(false), EXIT_CODE_UNKNOWN, "%s", answer);
    cr_assert_eq(node.requests_count, 1, "%s", answer);
    reply_close(&reply);
    cr_assert_eq(client_get(&client, "/v1/topics", &reply), EXIT_CODE_UNAVAILABLE, "%s", answer);
    end();
}

Test(cli_client, only_a_refusal_in_a_nodes_own_words_says_that_nothing_was_done, .timeout = 120)
{
    expect_unknown(PROBLEM("504", "outcome-unknown", "unknown", "not confirmed in time"));
    expect_unknown(PROBLEM("503", "timeout", "not confirmed", "n2 was told to lead"));
    expect_unknown("HTTP/1.1 503 X\r\nConnection: close\r\n\r\n");
    expect_unknown("HTTP/1.1 502 X\r\nConnection: close\r\n\r\n<html>Bad Gateway</html>");
}
