/* Goal: the nodes that a hub knows change at run time, and it never holds more than it promised. Method: hubs in the fake
 * world, whose owner admits, moves and removes nodes. */
#include "party.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US 1000000u

static struct fake_io io;
static struct party n1;
static struct party n2;
static struct party n3;

static const char *refuse_nobody(const struct peer_hello *hello)
{
    (void)hello;
    return NULL;
}

static const char *refuse_joining(const struct peer_hello *hello)
{
    return hello->is_joining ? "this node was not admitted" : NULL;
}

static void open_party(struct party *party, uint64_t node_id, uint32_t nodes_count,
                       const char *(*refuse)(const struct peer_hello *hello))
{
    party_open(party, &io,
               &(struct party_options){
                   .node_id = node_id, .cluster = 7, .nodes_count = nodes_count, .refuse = refuse});
}

static bool are_connected(const struct party *a, const struct party *b)
{
    return peer_is_up(a->hub, b->node_id, PEER_CONTROL) &&
           peer_is_up(a->hub, b->node_id, PEER_BULK) &&
           peer_is_up(b->hub, a->node_id, PEER_CONTROL) &&
           peer_is_up(b->hub, a->node_id, PEER_BULK);
}

static void close_all(void)
{
    if (n1.hub) party_close(&n1);
    if (n2.hub) party_close(&n2);
    if (n3.hub) party_close(&n3);
    fake_io_run(&io, SECOND_US);
    fake_io_close(&io);
}

Test(peer_nodes, a_node_that_the_owner_names_is_dialed)
{
    fake_io_init(&io);
    open_party(&n1, 1, 2, NULL);
    open_party(&n3, 3, 3, NULL);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_not(are_connected(&n1, &n3));
    cr_assert(peer_hub_set_node(n1.hub, 3, "n3:7071"));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(are_connected(&n1, &n3));
    cr_assert_not_null(strstr(party_news(&n1), "up n3 process 103"));
    close_all();
}

/* Whoever dials knows the old address only; whoever moved knows the others. */
Test(peer_nodes, a_node_at_a_new_address_is_found_by_naming_it_or_comes_by_itself)
{
    for (int named = 0; named < 2; named++) {
        fake_io_init(&io);
        open_party(&n1, 1, 2, refuse_nobody);
        party_open(&n2, &io,
                   &(struct party_options){
                       .node_id = 2, .cluster = 7, .nodes_count = 2, .address = "elsewhere:7071"});
        fake_io_run(&io, SECOND_US);
        cr_assert_not(are_connected(&n1, &n2));
        if (named) cr_assert(peer_hub_set_node(n1.hub, 2, "elsewhere:7071"));
        fake_io_run(&io, named ? SECOND_US / 2 : 2 * SECOND_US);
        cr_assert(are_connected(&n1, &n2), "%s", named ? "named" : "by itself");
        close_all();
    }
}

Test(peer_nodes, both_addresses_are_tried_in_turn)
{
    fake_io_init(&io);
    open_party(&n1, 1, 2, NULL);
    open_party(&n2, 2, 2, NULL);
    cr_assert(peer_hub_set_node(n1.hub, 2, "nowhere:7071"));
    fake_io_run(&io, SECOND_US);
    cr_assert(are_connected(&n1, &n2));
    close_all();
}

Test(peer_nodes, a_removed_node_is_told_why_then_down_then_forgotten)
{
    fake_io_init(&io);
    open_party(&n1, 1, 2, NULL);
    open_party(&n2, 2, 2, NULL);
    fake_io_run(&io, SECOND_US / 10);
    party_news(&n1);
    party_news(&n2);
    peer_hub_remove_node(n1.hub, 2, "n2 was removed");
    cr_assert_str_eq(party_news(&n1), "", "not from inside the call");
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_str_eq(party_news(&n1), "bulk n2 closed\ndown n2 process 102\nforgotten n2\n");
    cr_assert_not_null(strstr(party_news(&n2), "trouble n1: n1 refuses n2: n2 was removed\n"));
    cr_assert_null(peer_hello_of(n1.hub, 2));
    fake_io_run(&io, 10 * SECOND_US);
    cr_assert_not(are_connected(&n1, &n2), "neither dials it nor takes its dials");
    cr_assert_not_null(strstr(party_news(&n2), "n2 is not in the list of peers of n1"));
    cr_assert(peer_hub_set_node(n1.hub, 2, "n2:7071"));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(are_connected(&n1, &n2), "it may come back");
    close_all();
}

Test(peer_nodes, a_node_that_is_named_again_before_it_is_forgotten_stays)
{
    fake_io_init(&io);
    open_party(&n1, 1, 2, NULL);
    open_party(&n2, 2, 2, NULL);
    fake_io_run(&io, SECOND_US / 10);
    party_news(&n1);
    peer_hub_remove_node(n1.hub, 2, "n2 was removed");
    cr_assert(peer_hub_set_node(n1.hub, 2, "n2:7071"));
    fake_io_run(&io, SECOND_US);
    const char *news = party_news(&n1);
    cr_assert_null(strstr(news, "forgotten"), "%s", news);
    cr_assert_not_null(strstr(news, "up n2"), "%s", news);
    close_all();
}

Test(peer_nodes, a_dismissed_node_is_judged_anew)
{
    fake_io_init(&io);
    open_party(&n1, 1, 2, refuse_nobody);
    open_party(&n2, 2, 2, NULL);
    fake_io_run(&io, SECOND_US / 10);
    n1.refuse = refuse_joining;
    peer_hub_set_membership(n2.hub, &(struct cluster_id){.bytes = {7}}, 0, true);
    fake_io_run(&io, SECOND_US);
    cr_assert_not(are_connected(&n1, &n2));
    cr_assert_not_null(strstr(party_news(&n2), "n1 refuses n2: this node was not admitted"));
    n1.refuse = refuse_nobody;
    fake_io_run(&io, SECOND_US);
    cr_assert(are_connected(&n1, &n2));
    peer_hub_dismiss(n1.hub, 2, "come again");
    fake_io_run(&io, SECOND_US);
    cr_assert_not_null(strstr(party_news(&n2), "n1 refuses n2: come again"));
    cr_assert(are_connected(&n1, &n2));
    close_all();
}

Test(peer_nodes, a_guest_is_heard_and_forgotten_with_its_last_connection)
{
    fake_io_init(&io);
    open_party(&n2, 2, 2, refuse_nobody);
    open_party(&n1, 1, 2, NULL);
    open_party(&n3, 3, 3, NULL);
    fake_io_run(&io, 4 * SECOND_US);
    cr_assert(are_connected(&n2, &n3), "n3 dials when nobody dialed it");
    cr_assert_not_null(strstr(party_news(&n2), "up n3 process 103"));
    party_close(&n3);
    fake_io_run(&io, SECOND_US);
    cr_assert_not_null(strstr(party_news(&n2), "down n3 process 103\nforgotten n3\n"));
    close_all();
}

/* Founders that are gone stay in the list. */
Test(peer_nodes, a_cluster_of_other_nodes_has_room_beside_the_list)
{
    fake_io_init(&io);
    open_party(&n1, 1, PEER_NODES_MAX, refuse_nobody);
    for (uint64_t id = 101; id < 101 + PEER_NODES_MAX - 1u; id++) {
        cr_assert(peer_hub_set_node(n1.hub, id, "nowhere:7071"), "n%lu", (unsigned long)id);
    }
    close_all();
}

/* Bounded: 32 nodes, this one included. */
Test(peer_nodes, no_more_nodes_than_the_limit_are_known)
{
    fake_io_init(&io);
    open_party(&n1, 1, 2, refuse_nobody);
    for (uint64_t id = 3; id <= PEER_KNOWN_MAX; id++) {
        cr_assert(peer_hub_set_node(n1.hub, id, "nowhere:7071"), "n%lu", (unsigned long)id);
    }
    cr_assert_not(peer_hub_set_node(n1.hub, 33, "nowhere:7071"));
    cr_assert_not(peer_hub_set_node(n1.hub, 1, "nowhere:7071"), "itself");
    struct stranger stranger;
    struct hello_message hello = stranger_hello();
    hello.hello.node_id = 99;
    stranger_dial(&stranger, &io, "n1:7071");
    stranger_send_hello(&stranger, &hello);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_not_null(strstr(stranger_goodbye(&stranger), "n1 knows 32 nodes already"));
    stranger_close(&stranger);
    peer_hub_remove_node(n1.hub, 32, "removed");
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(peer_hub_set_node(n1.hub, 33, "nowhere:7071"));
    close_all();
}
