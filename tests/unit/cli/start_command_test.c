/* Goal: the command that starts an admitted node can be pasted: nothing in it is another node's, or a guess. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "start_command.h"

#define MEMBER(id, http, peer, vote) \
    "{\"id\":" #id ",\"http\":\"" http "\",\"peer\":\"" peer "\",\"vote\":" vote "}"

static char text[START_COMMAND_BYTES];

static void command(uint64_t node, const char *peer_address, const char *nodes)
{
    json_t *json = json_loads(nodes, 0, NULL);
    cr_assert(json);
    memset(text, 'x', sizeof(text));
    start_command(node, peer_address, json, text);
    json_decref(json);
}

Test(cli_start_command, a_node_beside_others_has_its_own_directory_and_its_own_ports)
{
    command(4, "127.0.0.1:7101",
            "[" MEMBER(1, "127.0.0.1:7070", "127.0.0.1:7071", "\"voter\"") "," MEMBER(
                2, "127.0.0.1:7080", "127.0.0.1:7081", "\"voter\"") "]");
    cr_assert_str_eq(text, "raftmq serve --join --node-id n4 --data-dir n4-data --listen-http "
                           "127.0.0.1:7100 --listen-peer 127.0.0.1:7101 --peers "
                           "n1=127.0.0.1:7071,n2=127.0.0.1:7081");
}

Test(cli_start_command, a_port_where_the_cluster_listens_is_not_suggested)
{
    command(4, "h:7101", "[" MEMBER(1, "http://h:7100", "h:9", "\"voter\"") "]");
    cr_assert(strstr(text, "--listen-http h:7102 "), "%s", text);
    command(4, "h:7101",
            "[" MEMBER(1, "h:7100", "h:9", "\"voter\"") "," MEMBER(2, "h:8", "h:7102", "null") "]");
    cr_assert(strstr(text, "--listen-http h:PORT "), "%s", text);
    command(4, "[::1]:1", "[]");
    cr_assert(strstr(text, "--listen-http [::1]:2 "), "%s", text);
    command(4, "h:65535", "[" MEMBER(1, "h:65534", "h:9", "\"voter\"") "]");
    cr_assert(strstr(text, "--listen-http h:PORT "), "%s", text);
}

Test(cli_start_command, an_address_that_nobody_gave_is_a_blank_to_be_filled)
{
    command(8, NULL, "[" MEMBER(1, "a:7070", "a:7071", "\"voter\"") "]");
    cr_assert_str_eq(text, "raftmq serve --join --node-id n8 --data-dir n8-data --listen-http "
                           "HOST:7070 --listen-peer HOST:7071 --peers n1=a:7071");
}

Test(cli_start_command, who_has_no_vote_and_the_node_itself_are_nobody_to_ask)
{
    command(4, "h:2",
            "[" MEMBER(3, "", "c:1", "null") "," MEMBER(4, "", "h:2", "\"voter\"") "," MEMBER(
                5, "", "e:1", "\"voter\"") "]");
    cr_assert(strstr(text, "--peers n5=e:1"), "%s", text);
    cr_assert_not(strstr(text, "n3"), "%s", text);
}

Test(cli_start_command, peers_that_do_not_fit_are_left_out_whole)
{
    char nodes[8192] = "[";
    for (int i = 1; i <= 32; i++) {
        char member[256];
        snprintf(member, sizeof(member),
                 "%s{\"id\":%d,\"peer\":\"a-name-of-more-than-fifty-letters-in-all.example.org:7071"
                 "\",\"vote\":\"voter\"}",
                 i > 1 ? "," : "", i);
        strcat(nodes, member);
    }
    strcat(nodes, "]");
    command(40, "h:7071", nodes);
    cr_assert(strlen(text) < sizeof(text));
    cr_assert_str_eq(text + strlen(text) - 17, ".example.org:7071");
}
