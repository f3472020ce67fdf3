/* Conflict hints: two whole logs, leader and follower cores, and the number of round trips until they agree. */
#include "rig.h"

#include <criterion/criterion.h>

struct logs {
    struct raft_term_run leader[8];
    uint32_t leader_count;
    struct raft_term_run follower[8];
    uint32_t follower_count;
};

/* What the driver of the follower would read from the bytes of the APPEND. */
static void fill_runs(const struct rig *leader, struct raft_message *m)
{
    m->append.runs_count = 0;
    for (raft_index i = m->append.first; i <= m->append.last; i++) {
        raft_term term = raft_term_at(leader->node, i);
        if (m->append.runs_count > 0 && m->append.runs[m->append.runs_count - 1].term == term) {
            m->append.runs[m->append.runs_count - 1].count++;
            continue;
        }
        cr_assert_lt(m->append.runs_count, RAFT_MESSAGE_RUNS_MAX);
        m->append.runs[m->append.runs_count++] = (struct raft_term_run){i, 1, term};
    }
}

static raft_term last_term(const struct raft_term_run *runs, uint32_t count)
{
    return count == 0 ? 0 : runs[count - 1].term;
}

/* Round trips of APPEND until the follower has the leader's whole log, the first probe included. */
static uint32_t round_trips(const struct logs *logs)
{
    raft_term term = last_term(logs->leader, logs->leader_count);
    raft_term follower_term = last_term(logs->follower, logs->follower_count);
    if (follower_term > term) term = follower_term;
    struct rig leader;
    struct rig follower;
    rig_open(&leader, &(struct rig_setup){.id = 1,
                                          .voters = 3,
                                          .runs = logs->leader,
                                          .runs_count = logs->leader_count,
                                          .hard = {.term = term},
                                          .append_entries_max = 1000000});
    rig_open(&follower, &(struct rig_setup){.id = 2,
                                            .voters = 3,
                                            .runs = logs->follower,
                                            .runs_count = logs->follower_count,
                                            .hard = {.term = term}});
    rig_lead(&leader);
    uint32_t trips = 0;
    const struct raft_message *sent = rig_sent(&leader, RAFT_MESSAGE_APPEND, 2);
    while (sent != NULL && trips < 100) {
        struct raft_message append = *sent;
        fill_runs(&leader, &append);
        rig_receive(&follower, &append);
        if (follower.update->hard_state_changed) {
            struct raft_message reply = {0};
            const struct raft_message *held =
                rig_sent_after_sync(&follower, RAFT_MESSAGE_APPEND_REPLY, 1);
            bool has_reply = held != NULL;
            if (has_reply) reply = *held;
            rig_sync_vote(&follower);
            if (has_reply) {
                trips++;
                rig_receive(&leader, &reply);
                sent = rig_sent(&leader, RAFT_MESSAGE_APPEND, 2);
                continue;
            }
        }
        if (rig_sent(&follower, RAFT_MESSAGE_APPEND_REPLY, 1) == NULL) {
            rig_durable(&follower, rig_view(&follower).last_index);
        }
        const struct raft_message *reply = rig_sent(&follower, RAFT_MESSAGE_APPEND_REPLY, 1);
        cr_assert_not_null(reply);
        struct raft_message copy = *reply;
        trips++;
        rig_receive(&leader, &copy);
        sent = rig_sent(&leader, RAFT_MESSAGE_APPEND, 2);
    }
    struct raft_view view = rig_view(&leader);
    cr_assert_eq(view.members[1].match, view.last_index, "the logs are equal in the end");
    cr_assert_eq(rig_view(&follower).last_index, view.last_index);
    rig_close(&leader);
    rig_close(&follower);
    return trips;
}

/* DESIGN §4: a follower 100,000 entries off over 3 terms converges in at most 5 round trips. */
Test(raft_hint, a_follower_100000_entries_off_over_3_terms_converges_in_5_round_trips)
{
    struct logs cases[] = {
        /* extra entries of three older terms where the leader has three newer ones */
        {.leader = {{1, 10, 1}, {11, 30000, 5}, {30011, 30000, 6}, {60011, 40000, 7}},
         .leader_count = 4,
         .follower = {{1, 10, 1}, {11, 30000, 2}, {30011, 30000, 3}, {60011, 40000, 4}},
         .follower_count = 4},
        /* interleaved terms */
        {.leader = {{1, 10, 1}, {11, 30000, 3}, {30011, 30000, 5}, {60011, 40000, 7}},
         .leader_count = 4,
         .follower = {{1, 10, 1}, {11, 30000, 2}, {30011, 30000, 4}, {60011, 40000, 6}},
         .follower_count = 4},
        /* the follower is short by three terms */
        {.leader = {{1, 10, 1}, {11, 30000, 2}, {30011, 30000, 3}, {60011, 40000, 4}},
         .leader_count = 4,
         .follower = {{1, 10, 1}},
         .follower_count = 1},
        /* the follower has far too much of three terms */
        {.leader = {{1, 10, 1}, {11, 1, 9}},
         .leader_count = 2,
         .follower = {{1, 10, 1}, {11, 30000, 2}, {30011, 30000, 4}, {60011, 40000, 6}},
         .follower_count = 4},
        /* agreement ends in the middle of a run on both sides */
        {.leader = {{1, 50000, 1}, {50001, 50000, 4}, {100001, 10, 6}},
         .leader_count = 3,
         .follower = {{1, 70000, 1}, {70001, 50000, 2}, {120001, 30000, 3}},
         .follower_count = 3},
        /* nothing in common but the beginning */
        {.leader = {{1, 100000, 8}},
         .leader_count = 1,
         .follower = {{1, 30000, 2}, {30001, 30000, 4}, {60001, 40000, 6}},
         .follower_count = 3},
        /* an empty follower */
        {.leader = {{1, 40000, 1}, {40001, 30000, 2}, {70001, 30000, 3}}, .leader_count = 3},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t trips = round_trips(&cases[i]);
        cr_expect_leq(trips, 5, "case %u took %u round trips", i, trips);
    }
}

Test(raft_hint, an_equal_follower_needs_one_round_trip)
{
    struct logs equal = {.leader = {{1, 1000, 3}},
                         .leader_count = 1,
                         .follower = {{1, 1000, 3}},
                         .follower_count = 1};
    cr_assert_eq(round_trips(&equal), 1);
}

/* One round trip per term at worst, whatever the lengths: random pairs of logs. */
Test(raft_hint, random_logs_converge_in_a_round_trip_per_term)
{
    uint64_t random = 7;
    for (uint32_t round = 0; round < 500; round++) {
        struct logs logs = {0};
        raft_index leader_next = 1;
        raft_index follower_next = 1;
        raft_term term = 0;
        for (uint32_t i = 0; i < 5; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t count = 1 + (random >> 33) % 50;
            uint64_t kind = (random >> 20) % 3;
            bool still_equal =
                leader_next == follower_next && logs.leader_count == i && logs.follower_count == i;
            term++;
            if (kind == 0 && still_equal) { /* both have it */
                logs.leader[logs.leader_count++] = (struct raft_term_run){leader_next, count, term};
                logs.follower[logs.follower_count++] =
                    (struct raft_term_run){follower_next, count, term};
                leader_next += count;
                follower_next += count;
            } else if (kind == 1) {
                logs.follower[logs.follower_count++] =
                    (struct raft_term_run){follower_next, count, term};
                follower_next += count;
            } else {
                logs.leader[logs.leader_count++] = (struct raft_term_run){leader_next, count, term};
                leader_next += count;
            }
        }
        cr_assert_leq(round_trips(&logs), 7);
    }
}
