/* --peers: all the ways to write it, and each mistake named. */
#include <criterion/criterion.h>
#include <string.h>

#include "peers.h"

static struct peer_config peers[PEER_NODES_MAX];
static uint32_t count;
static char error[PEERS_ERROR_BYTES];

Test(cli_peers, a_bare_name_is_its_own_host_on_port_7071)
{
    cr_assert(peers_parse("n1,n2,n3", peers, &count, error), "%s", error);
    cr_assert_eq(count, 3);
    cr_assert_eq(peers[2].node_id, 3);
    cr_assert_str_eq(peers[2].address, "n3:7071");
}

Test(cli_peers, the_list_is_sorted_by_id_so_that_all_nodes_have_the_same)
{
    cr_assert(peers_parse("n3=c:1,1=a:2,n2=[::1]:3", peers, &count, error), "%s", error);
    cr_assert_eq(peers[0].node_id, 1);
    cr_assert_str_eq(peers[0].address, "a:2");
    cr_assert_str_eq(peers[1].address, "[::1]:3");
    cr_assert_eq(peers[2].node_id, 3);
}

static void expect_refused(const char *list, const char *word)
{
    error[0] = '\0';
    count = 77;
    cr_assert_not(peers_parse(list, peers, &count, error), "'%s'", list);
    cr_assert(strstr(error, word), "'%s': '%s' does not say '%s'", list, error, word);
    cr_assert_eq(count, 77);
}

Test(cli_peers, each_mistake_is_refused_by_name)
{
    expect_refused("", "empty");
    expect_refused("n1,,n2", "empty");
    expect_refused("n1,", "empty");
    expect_refused("x1=a:1", "x1");
    expect_refused("n0=a:1", "n0");
    expect_refused("n1=a:1,n1=b:1", "twice");
    expect_refused("n1=a:1,1=b:1", "twice");
    expect_refused("n1=a:1,n2=a:1", "same address");
    expect_refused("n1=a", "host:port");
    expect_refused("n1=a:0", "port");
    expect_refused("n1=a:65536", "port");
    expect_refused("n1=::1:7071", "brackets");
    expect_refused("n1=http://a:7071", "URL");
    expect_refused("n1,n2,n3,n4,n5,n6,n7,n8,n9,n10,n11,n12,n13,n14,n15,n16,n17", "at most");
}

Test(cli_peers, node_ids_are_1_to_65535_with_or_without_the_n)
{
    uint64_t id = 0;
    cr_assert(peers_parse_node_id("n65535", &id));
    cr_assert_eq(id, 65535);
    cr_assert(peers_parse_node_id("7", &id));
    cr_assert_eq(id, 7);
    static const char *const wrong[] = {"",   "n",   "0",  "n0",  "65536",
                                        "-1", "n1x", "N1", "nn1", " 1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not(peers_parse_node_id(wrong[i], &id), "'%s'", wrong[i]);
    }
}
