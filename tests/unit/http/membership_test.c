/* Goal: the endpoints of membership ask the node for the right thing, refuse what is not one, and say what it answered. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node_request *send_request(struct fixture *fixture, struct fake_stream *stream,
                                         const char *method, const char *path, const char *body)
{
    char text[2048];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
             method, path, strlen(body), body);
    fixture_send(fixture, stream, text);
    return fixture->node.requests_count ? fixture->node.requests[0] : NULL;
}

/* Answer what was asked; the reply must have this status and body. */
static void expect(struct fixture *fixture, struct fake_stream *stream, enum node_status status,
                   int code, const char *body)
{
    struct reply reply;
    fake_node_answer(&fixture->node, status);
    fake_io_run(&fixture->io);
    fixture_expect(stream, code, &reply);
    if (body) cr_assert_str_eq(reply.body, body);
    reply_close(&reply);
}

Test(http_membership, leadership_of_a_partition_of_meta_and_of_a_node_is_asked_for)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = send_request(&fixture, stream, "POST", "/v1/cluster/transfer",
                                                "{\"topic\":\"orders\",\"partition\":3,\"to\":2}");
    cr_assert_eq(request->type, NODE_REQUEST_TRANSFER);
    cr_assert_str_eq(request->topic, "orders");
    cr_assert_eq(request->partition, 3);
    cr_assert_eq(request->transfer.to, 2);
    cr_assert_eq(request->transfer.from, 0);
    cr_assert_not(request->transfer.meta);
    request->ret_leader = 2;
    request->ret_term = 9;
    expect(&fixture, stream, NODE_OK, 200,
           "{\"topic\":\"orders\",\"partition\":3,\"leader\":2,\"term\":9}");

    request = send_request(&fixture, stream, "POST", "/v1/cluster/transfer", "{\"meta\":true}");
    cr_assert(request->transfer.meta);
    cr_assert_eq(request->transfer.to, 0);
    request->ret_leader = 3;
    request->ret_term = 4;
    expect(&fixture, stream, NODE_OK, 200,
           "{\"topic\":null,\"partition\":0,\"leader\":3,\"term\":4}");

    request =
        send_request(&fixture, stream, "POST", "/v1/cluster/transfer", "{\"from\":65535,\"to\":1}");
    cr_assert_eq(request->transfer.from, 65535);
    cr_assert_eq(request->transfer.to, 1);
    request->ret_count = 12;
    expect(&fixture, stream, NODE_OK, 200, "{\"from\":65535,\"groups\":12}");

    request = send_request(&fixture, stream, "POST", "/v1/cluster/transfer", "{\"from\":1}");
    strcpy(request->detail, "n2 has not caught up");
    struct reply reply;
    fake_node_answer(&fixture.node, NODE_NOT_TRANSFERRED);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 409, &reply);
    cr_assert_not_null(strstr(reply.body, "urn:raftmq:problem:not-transferred"));
    cr_assert_not_null(strstr(reply.body, "\"detail\":\"n2 has not caught up\""));
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_membership, nodes_are_added_removed_and_replaced)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (int created = 1; created >= 0; created--) {
        struct node_request *request = send_request(&fixture, stream, "POST", "/v1/cluster/members",
                                                    "{\"node\":4,\"peer\":\"n4.lan:7071\"}");
        cr_assert_eq(request->type, NODE_REQUEST_NODE_ADD);
        cr_assert_eq(request->node.id, 4);
        cr_assert_str_eq(request->node.peer_address, "n4.lan:7071");
        request->ret_created = created;
        expect(&fixture, stream, NODE_OK, created ? 201 : 200,
               "{\"node\":4,\"peer\":\"n4.lan:7071\"}");
    }
    struct node_request *request =
        send_request(&fixture, stream, "DELETE", "/v1/cluster/members/2", "");
    cr_assert_eq(request->type, NODE_REQUEST_NODE_REMOVE);
    cr_assert_eq(request->node.id, 2);
    expect(&fixture, stream, NODE_OK, 202, "{\"node\":2}");

    request =
        send_request(&fixture, stream, "POST", "/v1/cluster/members/2/replace", "{\"with\":4}");
    cr_assert_eq(request->type, NODE_REQUEST_NODE_REPLACE);
    cr_assert_eq(request->node.id, 2);
    cr_assert_eq(request->node.with, 4);
    expect(&fixture, stream, NODE_OK, 202, "{\"node\":2,\"with\":4}");

    send_request(&fixture, stream, "DELETE", "/v1/cluster/members/9", "");
    expect(&fixture, stream, NODE_UNKNOWN_NODE, 404, NULL);
    send_request(&fixture, stream, "DELETE", "/v1/cluster/members/1", "");
    expect(&fixture, stream, NODE_QUORUM_AT_RISK, 409, NULL);
    fixture_close(&fixture);
}

Test(http_membership, the_replicas_of_a_partition_are_chosen)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "PUT", "/v1/topics/orders/partitions/3/replicas",
                     "{\"nodes\":[4,1,65535]}");
    cr_assert_eq(request->type, NODE_REQUEST_PLACE);
    cr_assert_str_eq(request->topic, "orders");
    cr_assert_eq(request->partition, 3);
    cr_assert_eq(request->place.nodes_count, 3);
    cr_assert_eq(request->place.nodes[0], 4);
    cr_assert_eq(request->place.nodes[1], 1);
    cr_assert_eq(request->place.nodes[2], 65535);
    expect(&fixture, stream, NODE_OK, 202,
           "{\"topic\":\"orders\",\"partition\":3,\"nodes\":[4,1,65535]}");
    fixture_close(&fixture);
}

Test(http_membership, what_is_no_change_never_reaches_the_node)
{
    static const struct {
        const char *method, *path, *body;
        int status;
    } bad[] = {
        {"POST", "/v1/cluster/transfer", "", 400},
        {"POST", "/v1/cluster/transfer", "{\"to\":2}", 400},
        {"POST", "/v1/cluster/transfer", "{\"meta\":false}", 400},
        {"POST", "/v1/cluster/transfer", "{\"meta\":true,\"topic\":\"t\"}", 400},
        {"POST", "/v1/cluster/transfer", "{\"meta\":true,\"partition\":0}", 400},
        {"POST", "/v1/cluster/transfer", "{\"topic\":7}", 400},
        {"POST", "/v1/cluster/transfer", "{\"topic\":\"a/b\"}", 422},
        {"POST", "/v1/cluster/transfer", "{\"topic\":\"t\\u0000u\"}", 422},
        {"POST", "/v1/cluster/transfer", "{\"topic\":\"t\",\"partition\":256}", 400},
        {"POST", "/v1/cluster/transfer", "{\"topic\":\"t\",\"to\":0}", 400},
        {"POST", "/v1/cluster/transfer", "{\"from\":1,\"to\":1}", 400},
        {"POST", "/v1/cluster/transfer", "{\"from\":65536}", 400},
        {"POST", "/v1/cluster/transfer", "{\"topic\":\"t\",\"too\":2}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4}", 400},
        {"POST", "/v1/cluster/members", "{\"peer\":\"h:1\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":0,\"peer\":\"h:1\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":\"n4\",\"peer\":\"h:1\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4,\"peer\":\"h\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4,\"peer\":\":1\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4,\"peer\":\"h:0\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4,\"peer\":\"h:65536\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4,\"peer\":\"h h:1\"}", 400},
        {"POST", "/v1/cluster/members", "{\"node\":4,\"peer\":\"h:1\",\"x\":1}", 400},
        {"DELETE", "/v1/cluster/members/0", "", 400},
        {"DELETE", "/v1/cluster/members/65536", "", 400},
        {"DELETE", "/v1/cluster/members/n2", "", 400},
        {"POST", "/v1/cluster/members/2/replace", "", 400},
        {"POST", "/v1/cluster/members/2/replace", "{\"with\":2}", 400},
        {"POST", "/v1/cluster/members/2/replace", "{\"with\":-1}", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "{\"nodes\":[]}", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "{\"nodes\":1}", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "{\"nodes\":[1,2,1]}", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "{\"nodes\":[0]}", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "{\"nodes\":[\"n1\"]}", 400},
        {"PUT", "/v1/topics/t/partitions/0/replicas", "{\"nodes\":[1,2,3,4,5,6,7,8]}", 400},
        {"PUT", "/v1/topics/t/partitions/x/replicas", "{\"nodes\":[1]}", 400},
        {"GET", "/v1/cluster/members/2", "", 405},
        {"POST", "/v1/cluster/changes", "", 405},
    };
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(send_request(&fixture, stream, bad[i].method, bad[i].path, bad[i].body),
                       "%s %s %s", bad[i].method, bad[i].path, bad[i].body);
        fixture_expect(stream, bad[i].status, NULL);
    }
    fixture_close(&fixture);
}

Test(http_membership, unfinished_changes_are_listed_with_what_blocks_them)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = send_request(&fixture, stream, "GET", "/v1/cluster/changes", "");
    cr_assert_eq(request->type, NODE_REQUEST_CHANGES);
    expect(&fixture, stream, NODE_OK, 200, "{\"changes\":[]}");

    request = send_request(&fixture, stream, "GET", "/v1/cluster/changes", "");
    struct node_change *changes = calloc(2, sizeof *changes);
    changes[0] = (struct node_change){.meta = true, .state = NODE_CHANGE_UNKNOWN};
    changes[1] = (struct node_change){.group = 7,
                                      .topic = "orders",
                                      .partition = 1,
                                      .leader = 2,
                                      .last_index = 100,
                                      .state = NODE_CHANGE_COPYING,
                                      .members_count = 2,
                                      .blocked = "n4 is not connected"};
    changes[1].members[0] = (struct node_change_member){.node_id = 2,
                                                        .role = NODE_CHANGE_VOTER,
                                                        .connected = true,
                                                        .match_known = true,
                                                        .match = 100};
    changes[1].members[1] = (struct node_change_member){
        .node_id = 4, .epoch = 33, .role = NODE_CHANGE_LEARNER, .wished = true};
    request->ret_changes = changes;
    request->ret_changes_count = 2;
    expect(&fixture, stream, NODE_OK, 200,
           "{\"changes\":[{\"group\":0,\"topic\":null,\"partition\":0,\"state\":\"unknown\","
           "\"blocked\":null,\"leader\":null,\"last_index\":0,\"members\":[]},"
           "{\"group\":7,\"topic\":\"orders\",\"partition\":1,\"state\":\"copying\","
           "\"blocked\":\"n4 is not connected\",\"leader\":2,\"last_index\":100,\"members\":["
           "{\"node\":2,\"epoch\":0,\"role\":\"voter\",\"wished\":false,\"connected\":true,"
           "\"match\":100},"
           "{\"node\":4,\"epoch\":33,\"role\":\"learner\",\"wished\":true,\"connected\":false,"
           "\"match\":null}]}]}");
    fixture_close(&fixture);
}
