/* Goal: what a follower answers is as new as the question (PROTOCOL R1, R3), but for messages of a topic that allows old
 * ones, whose answers say so. Method: simulated nodes; the leader's messages are held on their way. */
#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define VALUES    5u

static struct cluster_call *new_call(uint64_t offset)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_fetch(call, "orders", offset, 0);
    return call;
}

static void expect_next_offset(struct cluster_call *call, uint64_t least)
{
    cr_assert(cluster_wait(call, 5 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cr_assert_geq(call->request.ret_next_offset, least);
    cluster_call_close(call);
    free(call);
}

static void ask_behind_an_older_question(uint64_t seed)
{
    struct cluster *cluster = founded(seed, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US / 4u); /* all three have made it */
    const uint64_t group = cluster_group(cluster, 0, "orders");
    cr_assert_neq(group, 0);
    const int found = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(found, 0);
    const uint32_t leader = (uint32_t)found;
    const uint32_t follower = (leader + 1u) % 3u;
    for (uint64_t value = 0; value < VALUES; value++) {
        cr_assert_eq(cluster_produce(cluster, leader, "orders", value, -1, 0, NULL), NODE_OK);
    }
    sim_run_for(cluster->sim, SECOND_US / 4u);

    sim_set_link(cluster->sim, leader, follower, SIM_LINK_STALLED);
    struct cluster_call *older = new_call(VALUES);
    cluster_submit(cluster, follower, older);
    sim_run_for(cluster->sim, 5000); /* its question has left, the answer is held */
    cr_assert_eq(cluster_produce(cluster, leader, "orders", VALUES, -1, 0, NULL), NODE_OK);
    struct cluster_call *newer = new_call(VALUES);
    cluster_submit(cluster, follower, newer);
    sim_run_for(cluster->sim, 5000);
    cr_assert_not(older->is_done);
    sim_heal(cluster->sim);
    expect_next_offset(newer, VALUES + 1u);
    expect_next_offset(older, VALUES);
    cluster_destroy(cluster);
}

Test(simulated_reads, a_later_question_is_not_answered_by_an_earlier_index)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ask_behind_an_older_question(seed);
    }
}

/* ---- local reads -------------------------------------------------------------------------------------------------- */

#define GROUP "billing"

/* A pair, so that what is acked is in the follower's log, too. */
struct pair {
    struct cluster *cluster;
    uint64_t group;
    uint32_t leader, follower;
};

static void ask(struct pair *pair, uint32_t node, struct cluster_call *call)
{
    cluster_submit(pair->cluster, node, call);
    cr_assert(cluster_wait(call, 5 * SECOND_US));
}

static void create_topic(struct pair *pair, bool local_reads)
{
    struct cluster_call create;
    cluster_fill_create(&create, "orders", 1, 2);
    create.request.create.settings.local_reads = local_reads;
    ask(pair, 0, &create);
    cr_assert_eq(create.request.status, NODE_OK, "%s", create.request.detail);
    cluster_call_close(&create);
    sim_run_for(pair->cluster->sim, SECOND_US / 4u);
    pair->group = cluster_group(pair->cluster, 0, "orders");
    pair->leader = founded_leader(pair->cluster, pair->group);
    pair->follower = 1u - pair->leader;
}

static struct node_group_status status_of(const struct pair *pair, uint32_t node)
{
    struct node_group_status status;
    cr_assert(cluster_group_status(pair->cluster, node, pair->group, &status));
    return status;
}

struct arrival {
    const struct pair *pair;
    uint64_t last_index;
};

static bool has_arrived(void *data)
{
    const struct arrival *arrival = data;
    return status_of(arrival->pair, arrival->pair->follower).last_index >= arrival->last_index;
}

/* Three messages and the offset 1 are known to both; three more and the offset 2 are acked, and the news that they are
 * committed is held on its way to the follower. */
static struct pair make_pair(uint64_t seed, bool local_reads)
{
    struct pair pair = {.cluster = founded(seed, 2)};
    create_topic(&pair, local_reads);
    struct cluster_call calls[4];
    for (uint64_t value = 0; value < 3; value++) {
        cluster_fill_produce(&calls[0], "orders", value, -1, 0);
        ask(&pair, pair.leader, &calls[0]);
        cr_assert_eq(calls[0].request.status, NODE_OK, "%s", calls[0].request.detail);
    }
    cluster_fill_commit(&calls[0], "orders", GROUP, 1);
    ask(&pair, pair.leader, &calls[0]);
    cr_assert_eq(calls[0].request.status, NODE_OK, "%s", calls[0].request.detail);
    sim_run_for(pair.cluster->sim, SECOND_US / 4u);

    struct arrival arrival = {&pair, status_of(&pair, pair.leader).last_index + 4u};
    cluster_fill_commit(&calls[0], "orders", GROUP, 2);
    cluster_submit(pair.cluster, pair.leader, &calls[0]);
    for (uint64_t value = 3; value < 6; value++) {
        struct cluster_call *call = &calls[value - 2u];
        cluster_fill_produce(call, "orders", value, -1, 0);
        cluster_submit(pair.cluster, pair.leader, call);
    }
    cr_assert(sim_run_until_true(pair.cluster->sim, SECOND_US, has_arrived, &arrival));
    sim_set_link(pair.cluster->sim, pair.leader, pair.follower, SIM_LINK_STALLED);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(cluster_wait(&calls[i], SECOND_US / 10u));
        cr_assert_eq(calls[i].request.status, NODE_OK, "%s", calls[i].request.detail);
        cluster_call_close(&calls[i]);
    }
    return pair;
}

static struct cluster_call *new_question(enum node_request_type type)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_commit(call, "orders", GROUP, 0);
    call->request.type = type;
    if (type != NODE_REQUEST_GROUP_FETCH) call->request.group.group = NULL;
    return call;
}

static void expect_new_answer(struct cluster_call *call)
{
    cr_assert(cluster_wait(call, 5 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    if (call->request.type == NODE_REQUEST_OFFSETS) {
        cr_assert_eq(call->request.ret_next_offset, 6);
    } else if (call->request.type == NODE_REQUEST_GROUP_FETCH) {
        cr_assert_eq(call->request.ret_offset, 2);
    } else {
        cr_assert_eq(call->request.ret_offsets_count, 1);
        cr_assert_str_eq(call->request.ret_offsets[0].group, GROUP);
        cr_assert_eq(call->request.ret_offsets[0].offset, 2);
    }
    cluster_call_close(call);
    free(call);
}

/* They have no place for a lag, and a consumer goes on from what it is told. */
Test(simulated_reads, bounds_and_group_offsets_of_a_local_topic_are_as_new_as_the_question)
{
    static const enum node_request_type types[] = {NODE_REQUEST_OFFSETS, NODE_REQUEST_GROUP_FETCH,
                                                   NODE_REQUEST_GROUP_LIST};
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct pair pair = make_pair(seed, true);
        struct cluster_call *calls[3];
        for (uint32_t i = 0; i < 3; i++) {
            calls[i] = new_question(types[i]);
            cluster_submit(pair.cluster, pair.follower, calls[i]);
        }
        sim_run_for(pair.cluster->sim, SECOND_US / 10u);
        sim_heal(pair.cluster->sim);
        for (uint32_t i = 0; i < 3; i++) {
            expect_new_answer(calls[i]);
        }
        cluster_destroy(pair.cluster);
    }
}

/* The control of all tests of new answers: in the same run a local topic shows the old end, where any other one waits. */
Test(simulated_reads, a_lagging_follower_shows_the_old_end_only_where_that_is_allowed_and_says_so)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct pair pair = make_pair(seed, seed % 2u == 0);
        const struct node_group_status before = status_of(&pair, pair.follower);
        struct cluster_call *call = new_call(3);
        cluster_submit(pair.cluster, pair.follower, call);
        sim_run_for(pair.cluster->sim, 5000);
        if (seed % 2u == 0) {
            cr_assert(call->is_done);
            cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
            cr_assert_eq(call->request.ret_next_offset, 3, "seed %lu", (unsigned long)seed);
            cr_assert_eq(call->request.ret_high_watermark, 3);
            cr_assert_eq(call->request.ret_local_lag, 4, "of three messages and a commit");
            cr_assert_eq(status_of(&pair, pair.follower).reads_local, before.reads_local + 1u);
            cluster_call_close(call);
            free(call);
        } else {
            cr_assert_not(call->is_done);
            sim_heal(pair.cluster->sim);
            expect_next_offset(call, 6);
            const struct node_group_status after = status_of(&pair, pair.follower);
            cr_assert_eq(after.reads_confirmed, before.reads_confirmed + 1u);
            cr_assert_eq(after.reads_local, 0);
        }
        cluster_destroy(pair.cluster);
    }
}

/* ---- what is behind the end that a replica knows ------------------------------------------------------------------- */

struct behind {
    enum node_fetch_from from;
    uint64_t offset;
    enum node_status status;
    uint64_t next_offset;
};

/* The follower knows of offsets 0 to 2, 3 to 5 are acked. */
static const struct behind behind[] = {
    {NODE_FROM_OFFSET, 4, NODE_OK, 6},
    {NODE_FROM_OFFSET, 6, NODE_OK, 6},
    {NODE_FROM_MESSAGE, 3, NODE_OK, 4},
    {NODE_FROM_MESSAGE, 5, NODE_OK, 6},
    {NODE_FROM_OFFSET, 7, NODE_OFFSET_OUT_OF_RANGE, 6},
    {NODE_FROM_MESSAGE, 6, NODE_OFFSET_OUT_OF_RANGE, 6},
};
#define BEHIND_COUNT (sizeof(behind) / sizeof(behind[0]))

static struct cluster_call *ask_for(struct pair *pair, enum node_fetch_from from, uint64_t offset)
{
    struct cluster_call *call = new_call(offset);
    call->request.fetch.from = from;
    if (from == NODE_FROM_MESSAGE) call->request.fetch.bytes_max = 1;
    cluster_submit(pair->cluster, pair->follower, call);
    return call;
}

static void close_call(struct cluster_call *call)
{
    cluster_call_close(call);
    free(call);
}

/* R3: a refusal has no place for a lag either, and sends away whoever asks for what was acked. */
Test(simulated_reads, what_is_behind_the_local_end_is_refused_by_the_word_of_the_leader_alone)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct pair pair = make_pair(seed, true);
        const struct node_group_status before = status_of(&pair, pair.follower);
        struct cluster_call *calls[BEHIND_COUNT];
        for (uint32_t i = 0; i < BEHIND_COUNT; i++) {
            calls[i] = ask_for(&pair, behind[i].from, behind[i].offset);
        }
        struct cluster_call *here = ask_for(&pair, NODE_FROM_MESSAGE, 2);
        sim_run_for(pair.cluster->sim, SECOND_US / 10u);
        cr_assert(here->is_done, "it is there, no round is needed");
        cr_assert_eq(here->request.status, NODE_OK, "%s", here->request.detail);
        cr_assert_eq(here->request.ret_local_lag, 4);
        close_call(here);
        for (uint32_t i = 0; i < BEHIND_COUNT; i++) {
            cr_assert_not(calls[i]->is_done, "%u: %s", i, calls[i]->request.detail);
        }
        sim_heal(pair.cluster->sim);
        for (uint32_t i = 0; i < BEHIND_COUNT; i++) {
            cr_assert(cluster_wait(calls[i], 5 * SECOND_US));
            cr_assert_eq(calls[i]->request.status, behind[i].status, "%u: %s", i,
                         calls[i]->request.detail);
            cr_assert_eq(calls[i]->request.ret_next_offset, behind[i].next_offset, "%u", i);
            cr_assert_eq(calls[i]->request.ret_local_lag, 0, "it is as new as the question");
            close_call(calls[i]);
        }
        const struct node_group_status after = status_of(&pair, pair.follower);
        cr_assert_eq(after.reads_confirmed, before.reads_confirmed + 4u);
        cr_assert_eq(after.reads_local, before.reads_local + 1u);
        cluster_destroy(pair.cluster);
    }
}

/* What nobody can tell is not called missing. */
Test(simulated_reads, a_local_replica_that_is_cut_off_refuses_nothing_that_it_cannot_know)
{
    struct pair pair = make_pair(1, true);
    struct cluster_call *call = ask_for(&pair, NODE_FROM_OFFSET, 5);
    struct cluster_call *one = ask_for(&pair, NODE_FROM_MESSAGE, 3);
    cr_assert(cluster_wait(call, 20 * SECOND_US));
    cr_assert(cluster_wait(one, 20 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_NO_LEADER, "%s", call->request.detail);
    cr_assert_eq(one->request.status, NODE_NO_LEADER, "%s", one->request.detail);
    close_call(call);
    close_call(one);
    cluster_destroy(pair.cluster);
}

/* The other way to an old answer: whoever led is cut off, and does not know yet that another one leads. */
Test(simulated_reads, a_leader_that_was_cut_off_shows_the_old_end_only_where_that_is_allowed)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        const bool local_reads = seed % 2u == 0;
        struct cluster *cluster = founded(seed, 3);
        struct pair of_leader = {.cluster = cluster};
        struct cluster_call create;
        cluster_fill_create(&create, "orders", 1, 3);
        create.request.create.settings.local_reads = local_reads;
        ask(&of_leader, 0, &create);
        cr_assert_eq(create.request.status, NODE_OK, "%s", create.request.detail);
        cluster_call_close(&create);
        sim_run_for(cluster->sim, SECOND_US / 4u);
        const uint64_t group = cluster_group(cluster, 0, "orders");
        const uint32_t old = founded_leader(cluster, group);
        cr_assert_eq(cluster_produce(cluster, old, "orders", 0, -1, 0, NULL), NODE_OK);
        sim_isolate(cluster->sim, old, SIM_LINK_CUT);
        const uint32_t other = (old + 1u) % 3u;
        cr_assert(cluster_produce_once(cluster, other, "orders", 1, -1, 0, 5 * SECOND_US, NULL));
        struct cluster_call *call = new_call(0);
        cluster_submit(cluster, old, call);
        sim_run_for(cluster->sim, 5000);
        cr_assert_eq(call->is_done, local_reads);
        if (local_reads) {
            cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
            cr_assert_eq(call->request.ret_next_offset, 1);
            cluster_call_close(call);
            free(call);
        } else {
            sim_heal(cluster->sim);
            expect_next_offset(call, 2);
        }
        cluster_destroy(cluster);
    }
}

/* That there is nothing is an answer as well; "skipped" counts those that nobody confirmed or allowed, and stays 0. */
Test(simulated_reads, a_wait_that_ends_without_a_message_is_confirmed_and_counted)
{
    struct pair pair = {.cluster = founded(1, 2)};
    create_topic(&pair, false);
    const struct node_group_status before = status_of(&pair, pair.follower);
    struct cluster_call *call = new_call(0);
    call->request.fetch.wait_ms = 300;
    ask(&pair, pair.follower, call);
    cr_assert_geq(call->done_us - call->submitted_us, 300000);
    expect_next_offset(call, 0);
    const struct node_group_status after = status_of(&pair, pair.follower);
    cr_assert_eq(after.reads_confirmed, before.reads_confirmed + 1u);
    cr_assert_eq(after.reads_skipped, 0);
    cr_assert_eq(after.reads_local, 0);
    cluster_destroy(pair.cluster);
}

/* ---- by time ---------------------------------------------------------------------------------------------------------- */

#define MESSAGES_MAX     20u
#define WALL_MS_AT_START UINT64_C(1700000000000) /* of the simulated world */

static struct cluster_call *new_call_by_time(uint64_t time_ms)
{
    struct cluster_call *call = new_call(time_ms);
    call->request.fetch.from = NODE_FROM_TIME;
    return call;
}

static void commit(struct cluster *cluster, uint64_t offset)
{
    struct cluster_call call;
    memset(&call, 0, sizeof(call));
    cluster_fill_commit(&call, "orders", GROUP, offset);
    cluster_submit(cluster, 0, &call);
    cr_assert(cluster_wait(&call, 5 * SECOND_US));
    cr_assert_eq(call.request.status, NODE_OK);
    cluster_call_close(&call);
}

/* The log starts behind its first messages. Behind the last one stand group offsets alone, more than its memory holds. So the files
 * are read for a later message, and there is none; meanwhile one comes. There is no other replica that could know more, and nothing
 * is damaged. Returns whether it came in between. */
static bool ask_by_time_while_messages_come(uint64_t seed, uint32_t wait_ms)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, 1);
    options.cache_bytes_max = 256;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 1), NODE_OK);
    const uint64_t group = cluster_group(cluster, 0, "orders");
    struct peek_group peek;
    uint64_t end = 0;
    do {
        cr_assert_eq(cluster_produce(cluster, 0, "orders", end, -1, 0, NULL), NODE_OK);
        end++;
        poke_make_base(cluster->nodes[0].node, group);
        sim_run_for(cluster->sim, SECOND_US / 2u);
        cr_assert(peek_group(cluster->nodes[0].node, group, &peek));
    } while (peek.base_next_offset == 0 && end < MESSAGES_MAX);
    cr_assert_gt(peek.base_next_offset, 0);
    const uint64_t later_ms = WALL_MS_AT_START + sim_now_us(cluster->sim) / 1000u + 1u;
    sim_run_for(cluster->sim, 2000);
    for (uint64_t i = 0; i < 100; i++)
        commit(cluster, i % end);
    struct cluster_call *fetch = new_call_by_time(later_ms);
    struct cluster_call *produce = calloc(1, sizeof(*produce));
    cr_assert_not_null(produce);
    fetch->request.fetch.wait_ms = wait_ms;
    cluster_fill_produce(produce, "orders", end, -1, 0);
    cluster_submit(cluster, 0, produce);
    sim_run_for(cluster->sim, seed * 10u);
    cluster_submit(cluster, 0, fetch);
    cr_assert(cluster_wait(produce, SECOND_US));
    cr_assert(cluster_wait(fetch, 5 * SECOND_US));
    cr_assert_eq(fetch->request.status, NODE_OK, "%s", fetch->request.detail);
    const bool is_between =
        fetch->submitted_us < produce->done_us && produce->done_us < fetch->done_us;
    cr_assert_eq(fetch->request.ret_fetch_offset, end, "the next one is not passed over");
    cluster_call_close(produce);
    cluster_call_close(fetch);
    free(produce);
    free(fetch);
    cluster_destroy(cluster);
    return is_between;
}

Test(simulated_reads, a_message_that_comes_while_a_later_one_is_looked_for_is_no_damage)
{
    uint32_t between = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        between += ask_by_time_while_messages_come(seed, 0);
        (void)ask_by_time_while_messages_come(seed, 100);
    }
    cr_assert_gt(between, 5);
}

/* ---- reads that wait -------------------------------------------------------------------------------------------------- */

static struct node_group_status leader_status(struct cluster *cluster, uint32_t node,
                                              uint64_t group)
{
    const struct pair one = {.cluster = cluster, .group = group};
    return status_of(&one, node);
}

/* R2: with the answers of both followers held the round stands at the leader's own ack. */
Test(simulated_reads, the_status_tells_of_reads_that_wait_and_of_who_confirmed_their_round)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(1, 3, "orders", 3, &group);
    const uint32_t leader = founded_leader(cluster, group);
    struct node_group_status status = leader_status(cluster, leader, group);
    cr_assert_eq(status.reads_waiting, 0);
    cr_assert_eq(status.round_index, 0);
    for (uint32_t i = 1; i < 3; i++) {
        sim_set_link(cluster->sim, (leader + i) % 3u, leader, SIM_LINK_STALLED);
    }
    sim_run_for(cluster->sim, 20000);
    struct cluster_call *call = new_call(0);
    cluster_submit(cluster, leader, call);
    sim_run_for(cluster->sim, 20000);
    status = leader_status(cluster, leader, group);
    cr_assert_str_eq(status.role, "leader");
    cr_assert_eq(status.reads_waiting, 1);
    cr_assert_eq(status.round_reads, 1);
    cr_assert_eq(status.round_index, status.commit_index);
    cr_assert_eq(status.round_acks, 1);
    cr_assert_eq(status.round_voters, 3);
    sim_heal(cluster->sim);
    cr_assert(cluster_wait(call, SECOND_US / 10u));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    status = leader_status(cluster, leader, group);
    cr_assert_eq(status.reads_waiting, 0, "it was released by the majority");
    cr_assert_eq(status.round_index, 0);
    cluster_call_close(call);

    /* And none is left when leadership ends. */
    sim_isolate(cluster->sim, leader, SIM_LINK_STALLED);
    cluster_fill_fetch(call, "orders", 0, 0);
    cluster_submit(cluster, leader, call);
    sim_run_for(cluster->sim, 20000);
    cr_assert_eq(leader_status(cluster, leader, group).reads_waiting, 1);
    sim_run_for(cluster->sim, 3 * SECOND_US);
    status = leader_status(cluster, leader, group);
    cr_assert_str_neq(status.role, "leader");
    cr_assert_eq(status.reads_waiting, 0);
    cr_assert_eq(status.round_index, 0);
    cr_assert(cluster_wait(call, 5 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_NO_LEADER, "%s", call->request.detail);
    cluster_call_close(call);
    free(call);
    cluster_destroy(cluster);
}
