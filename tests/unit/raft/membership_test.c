/* Changes of the group by its leader (thesis chapter 4, PROTOCOL C1). */
#include "rig.h"

#include <criterion/criterion.h>

#define N(id) RIG_NODE(id)

static void ack(struct rig *rig, raft_node_id from, raft_index match)
{
    struct raft_message m = rig_ack(rig, from, rig_view(rig).term, match);
    rig_receive(rig, &m);
}

static void configure(struct rig *rig, uint32_t voters, uint32_t learners)
{
    struct raft_configuration target = rig_configuration(voters, learners);
    cr_assert_eq(rig_configure(rig, &target), RAFT_OK);
    cr_assert_eq(rig->update->append.source, RAFT_APPEND_CONFIGURATION);
}

static const struct raft_member *member(const struct raft_configuration *configuration,
                                        raft_node_id node)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node) return &configuration->members[i];
    }
    return NULL;
}

static bool steps_down(const struct rig *rig, enum raft_step_down reason)
{
    for (uint32_t i = 0; i < rig->update->traces_count; i++) {
        const struct raft_trace *trace = &rig->update->traces[i];
        if (trace->type == RAFT_TRACE_STEP_DOWN && trace->c == reason) return true;
    }
    return false;
}

/* ---- when ------------------------------------------------------------------------------------------ */

Test(raft_membership, only_a_leader_changes_the_group)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct raft_configuration target = rig_configuration(N(1) | N(2), 0);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_NOT_LEADER);
    rig_close(&rig);
}

Test(raft_membership, no_change_before_an_entry_of_the_own_term_is_committed)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead(&rig);
    struct raft_configuration target = rig_configuration(N(1) | N(2) | N(3) | N(4), 0);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_NOT_READY);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    rig_durable(&rig, 1);
    ack(&rig, 2, 1);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_OK);
    rig_close(&rig);
}

Test(raft_membership, one_change_at_a_time)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(1) | N(2) | N(3) | N(4), 0);
    cr_assert(rig_view(&rig).change_in_progress);
    struct raft_configuration target = rig_configuration(N(1) | N(2), 0);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_CHANGE_IN_PROGRESS);
    rig_durable(&rig, 2);
    ack(&rig, 2, 2);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_CHANGE_IN_PROGRESS,
                 "two of four are no majority");
    ack(&rig, 3, 2);
    cr_assert_not(rig_view(&rig).change_in_progress);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_OK);
    rig_close(&rig);
}

Test(raft_membership, no_change_while_leadership_is_handed_over)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_TRANSFER, .node = 2});
    struct raft_configuration target = rig_configuration(N(1) | N(2), 0);
    cr_assert_eq(rig_configure(&rig, &target), RAFT_TRANSFERRING);
    rig_close(&rig);
}

Test(raft_membership, the_present_group_is_no_change)
{
    struct rig rig = rig_open_leader(3, 1);
    struct raft_configuration target = rig_configuration(N(1) | N(2) | N(3), N(4));
    struct raft_member first = target.members[0];
    target.members[0] = target.members[3]; /* the order says nothing */
    target.members[3] = first;
    cr_assert_eq(rig_configure(&rig, &target), RAFT_OK);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    cr_assert_not(rig_view(&rig).change_in_progress);
    rig_close(&rig);
}

Test(raft_membership, what_no_group_can_be_is_refused)
{
    struct rig rig = rig_open_leader(3, 0);
    struct raft_configuration target = rig_configuration(0, N(1) | N(2));
    cr_expect_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION, "nobody votes");
    target = rig_configuration(0, 0);
    cr_expect_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION, "nobody at all");
    target = rig_configuration(N(1) | N(2), 0);
    target.joint = true;
    target.members[0].voter_old = true;
    cr_expect_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION,
                 "a joint phase is not a wish");
    target = rig_configuration(N(1) | N(2), N(3));
    target.members[2].id = (struct raft_replica_id){.node = 2, .epoch = 9};
    cr_expect_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION, "a node has one replica");
    target = rig_configuration(N(1) | N(2), 0);
    target.members[1].id.node = 0;
    cr_expect_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION, "nobody as a member");
    target.members_count = RAFT_MEMBERS_MAX + 1;
    cr_expect_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION, "too many");
    rig_close(&rig);
}

Test(raft_membership, two_groups_that_do_not_fit_into_one_configuration_are_refused)
{
    struct rig rig = rig_open_leader(3, 0);
    struct raft_configuration target = {.members_count = 0};
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX - 2; i++) {
        target.members[target.members_count++] =
            (struct raft_member){.id = rig_replica(4 + i), .voter = true};
    }
    cr_assert_eq(rig_configure(&rig, &target), RAFT_BAD_CONFIGURATION);
    target.members_count--;
    cr_assert_eq(rig_configure(&rig, &target), RAFT_OK);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, RAFT_MEMBERS_MAX);
    rig_close(&rig);
}

/* ---- one at a time --------------------------------------------------------------------------------- */

Test(raft_membership, one_more_voter_is_one_entry_that_is_used_at_once)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(1) | N(2) | N(3) | N(4), 0);
    cr_assert_eq(rig.update->append.first, 2);
    cr_assert_eq(rig.update->append.last, 2);
    cr_assert_eq(rig.update->append.term, 1);
    cr_assert_not(rig.update->append.configuration.joint);
    cr_assert_eq(rig.update->append.configuration.members_count, 4);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 4);
    cr_assert_eq(rig_view(&rig).configuration_index, 2);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 4),
                       "the newcomer hears whom to follow");
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_APPEND, 4));
    rig_close(&rig);
}

Test(raft_membership, a_voter_that_leaves_counts_no_more_from_the_append_on)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(1) | N(2), 0);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_APPEND, 3));
    rig_durable(&rig, 2);
    ack(&rig, 3, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 1);
    ack(&rig, 2, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 2);
    rig_close(&rig);
}

Test(raft_membership, learners_come_go_and_are_promoted_without_a_joint_phase)
{
    struct rig rig = rig_open_leader(3, 1);
    configure(&rig, N(1) | N(2) | N(3) | N(4), N(5) | N(6));
    cr_assert_not(rig.update->append.configuration.joint);
    cr_assert(member(raft_configuration_of(rig.node), 4)->voter);
    cr_assert_not(member(raft_configuration_of(rig.node), 6)->voter);
    rig_close(&rig);
}

Test(raft_membership, what_is_known_of_those_who_stay_is_kept)
{
    struct rig rig = rig_open_leader(3, 1);
    rig_propose(&rig, 3);
    ack(&rig, 4, 4);
    ack(&rig, 3, 2);
    rig_durable(&rig, 4);
    configure(&rig, N(1) | N(3), N(4)); /* 3 and 4 move to other positions */
    struct raft_view view = rig_view(&rig);
    cr_assert_eq(view.members_count, 3);
    cr_assert_eq(view.members[1].id.node, 3);
    cr_assert_eq(view.members[1].match, 2);
    cr_assert_eq(view.members[2].match, 4);
    cr_assert_eq(view.commit_index, 2, "and counted by the new majority");
    rig_close(&rig);
}

Test(raft_membership, a_new_voter_that_was_never_heard_does_not_end_leadership)
{
    struct rig rig = rig_open_leader(1, 0);
    rig.now_ms += 5000;
    configure(&rig, N(1) | N(2), 0);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX - 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_tick(&rig, 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER, "but one timeout is all it gets");
    rig_close(&rig);
}

/* ---- joint ----------------------------------------------------------------------------------------- */

Test(raft_membership, two_voters_that_differ_need_a_joint_phase)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(1) | N(2) | N(4), 0);
    const struct raft_configuration *joint = &rig.update->append.configuration;
    cr_assert(joint->joint);
    cr_assert_eq(joint->members_count, 4);
    cr_assert(member(joint, 1)->voter && member(joint, 1)->voter_old);
    cr_assert(member(joint, 2)->voter && member(joint, 2)->voter_old);
    cr_assert(!member(joint, 3)->voter && member(joint, 3)->voter_old);
    cr_assert(member(joint, 4)->voter && !member(joint, 4)->voter_old);
    rig_close(&rig);
}

Test(raft_membership, a_joint_phase_commits_by_both_majorities_and_then_ends_by_itself)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(1) | N(4) | N(5), 0);
    rig_durable(&rig, 2);
    ack(&rig, 4, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 1, "1 and 4 are a majority of the new half only");
    ack(&rig, 3, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 2);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_CONFIGURATION);
    cr_assert_eq(rig.update->append.first, 3);
    cr_assert_not(rig.update->append.configuration.joint);
    cr_assert_eq(rig.update->append.configuration.members_count, 3);
    cr_assert_null(member(raft_configuration_of(rig.node), 3));
    cr_assert(rig_view(&rig).change_in_progress);
    rig_durable(&rig, 3);
    ack(&rig, 5, 3);
    cr_assert_not(rig_view(&rig).change_in_progress);
    rig_close(&rig);
}

Test(raft_membership, a_joint_phase_may_be_asked_for)
{
    struct rig rig = rig_open_leader(3, 0);
    struct raft_configuration target = rig_configuration(N(1) | N(2) | N(3) | N(4), 0);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_CONFIGURE,
                                       .configure = {.target = &target, .always_joint = true}});
    cr_assert(rig.update->append.configuration.joint);
    rig_close(&rig);
}

Test(raft_membership, a_voter_may_change_places_with_a_learner)
{
    struct rig rig = rig_open_leader(3, 1);
    configure(&rig, N(1) | N(2) | N(4), N(3));
    const struct raft_member *leaving = member(raft_configuration_of(rig.node), 3);
    cr_assert(leaving->voter_old && !leaving->voter && leaving->learner_after);
    rig_durable(&rig, 2);
    ack(&rig, 2, 2);
    cr_assert_not(raft_configuration_of(rig.node)->joint);
    leaving = member(raft_configuration_of(rig.node), 3);
    cr_assert_not_null(leaving);
    cr_assert(!leaving->voter && !leaving->voter_old && !leaving->learner_after);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 4);
    rig_close(&rig);
}

Test(raft_membership, a_replica_made_again_on_its_node_is_another_voter)
{
    struct rig rig = rig_open_leader(3, 0);
    struct raft_configuration target = rig_configuration(N(1) | N(2) | N(3), 0);
    target.members[2].id.epoch = 99;
    cr_assert_eq(rig_configure(&rig, &target), RAFT_OK);
    cr_assert(raft_configuration_of(rig.node)->joint);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 4);
    rig_close(&rig);
}

/* A leader that wins in the middle of a joint phase ends it, from the entry alone. */
Test(raft_membership, the_next_leader_ends_the_joint_phase)
{
    struct raft_configuration joint = rig_configuration(N(1) | N(2) | N(3) | N(4), 0);
    joint.joint = true;
    joint.members[0].voter_old = joint.members[1].voter_old = joint.members[2].voter_old = true;
    joint.members[2].voter = false;
    struct raft_indexed_configuration before = {
        .index = 0, .configuration = rig_configuration(N(1) | N(2) | N(3), 0)};
    struct raft_term_run run = {1, 2, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.configuration = &joint,
                                       .configuration_index = 2,
                                       .history = &before,
                                       .history_count = 1,
                                       .hard = {.term = 1},
                                       .runs = &run,
                                       .runs_count = 1});
    rig_lead(&rig);
    rig_durable(&rig, 3);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    ack(&rig, 2, 3);
    cr_assert_eq(rig_view(&rig).commit_index, 3);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_CONFIGURATION);
    cr_assert_eq(rig.update->append.first, 4);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 3);
    rig_close(&rig);
}

/* ---- a leader that leaves -------------------------------------------------------------------------- */

Test(raft_membership, a_removed_leader_leads_on_without_counting_itself)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(2) | N(3), 0);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_durable(&rig, 2);
    ack(&rig, 2, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 1, "one of two is no majority");
    ack(&rig, 3, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 2);
    rig_close(&rig);
}

Test(raft_membership, a_removed_leader_hands_over_when_the_change_is_committed)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(2) | N(3), 0);
    ack(&rig, 2, 2);
    ack(&rig, 3, 2);
    cr_assert(rig_view(&rig).transferring);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 0));
    struct raft_event propose = {.type = RAFT_EVENT_PROPOSE, .propose = {.count = 1}};
    cr_assert_eq(rig_try(&rig, propose), RAFT_TRANSFERRING);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX - 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    struct raft_message m = rig_heartbeat_reply(&rig, 2, 1, 0, 2);
    rig_receive(&rig, &m);
    m = rig_heartbeat_reply(&rig, 3, 1, 0, 2);
    rig_receive(&rig, &m);
    rig_tick(&rig, 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER, "and steps down when nobody takes it");
    cr_assert(steps_down(&rig, RAFT_STEP_DOWN_REMOVED));
    rig_close(&rig);
}

Test(raft_membership, a_leader_that_becomes_a_learner_leaves_too)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(2) | N(3), N(1));
    rig_durable(&rig, 2);
    ack(&rig, 2, 2);
    cr_assert_eq(rig_view(&rig).commit_index, 1);
    ack(&rig, 3, 2);
    cr_assert(rig_view(&rig).transferring);
    rig_close(&rig);
}

Test(raft_membership, a_replica_outside_of_its_committed_group_does_not_stand)
{
    struct raft_configuration others = rig_configuration(N(2) | N(3), 0);
    struct raft_indexed_configuration before = {
        .index = 0, .configuration = rig_configuration(N(1) | N(2) | N(3), 0)};
    struct raft_term_run run = {1, 3, 1};
    struct rig_setup setup = {.configuration = &others,
                              .configuration_index = 2,
                              .history = &before,
                              .history_count = 1,
                              .hard = {.term = 1},
                              .runs = &run,
                              .runs_count = 1,
                              .commit_index = 2};
    struct rig rig;
    rig_open(&rig, &setup);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

/* {1,2} becomes {2}; 1 led, is the only one that has the entry, and restarts. 2 cannot win, for its log is behind; so
 * 1 must be able to (thesis §4.2.2). */
Test(raft_membership, a_voter_whose_removal_may_not_be_committed_stands_in_the_new_group)
{
    struct raft_configuration other = rig_configuration(N(2), 0);
    struct raft_indexed_configuration before = {.index = 0,
                                                .configuration = rig_configuration(N(1) | N(2), 0)};
    struct raft_term_run run = {1, 3, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.configuration = &other,
                                       .configuration_index = 3,
                                       .history = &before,
                                       .history_count = 1,
                                       .hard = {.term = 1},
                                       .runs = &run,
                                       .runs_count = 1,
                                       .commit_index = 2});
    rig_lead(&rig);
    rig_durable(&rig, 4);
    cr_assert_eq(rig_view(&rig).commit_index, 2, "it counts for nothing");
    ack(&rig, 2, 4);
    cr_assert_eq(rig_view(&rig).commit_index, 4);
    cr_assert(rig_view(&rig).transferring, "and now it leaves");
    rig_close(&rig);
}

/* ---- who counts ------------------------------------------------------------------------------------ */

Test(raft_membership, the_votes_of_strangers_and_of_former_members_count_for_nothing)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 4, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, 1);
    m.from.epoch++;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    m.from.epoch--;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_close(&rig);
}

Test(raft_membership, a_read_round_starts_anew_in_the_new_group)
{
    struct rig rig = rig_open_leader(2, 0);
    rig_read(&rig, 7);
    uint64_t round = rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 2)->heartbeat.round;
    configure(&rig, N(1), 0);
    cr_assert_eq(rig.update->reads_count, 1, "a sole voter confirms itself");
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NOT);
    cr_assert_gt(round, 0);
    rig_close(&rig);
}

Test(raft_membership, a_confirmation_in_the_old_group_does_not_count_in_the_new_one)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_read(&rig, 7);
    uint64_t round = rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 2)->heartbeat.round;
    configure(&rig, N(1) | N(2) | N(3) | N(4), 0);
    struct raft_message m = rig_heartbeat_reply(&rig, 2, 1, round, 1);
    rig_receive(&rig, &m);
    m = rig_heartbeat_reply(&rig, 3, 1, round, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->reads_count, 0);
    m = rig_heartbeat_reply(&rig, 2, 1, round + 1, 1);
    rig_receive(&rig, &m);
    m = rig_heartbeat_reply(&rig, 3, 1, round + 1, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->reads_count, 1);
    rig_close(&rig);
}

Test(raft_membership, a_request_of_a_member_that_leaves_is_refused)
{
    struct rig rig = rig_open_leader(3, 0);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_READ_INDEX, 3, 1);
    m.read_index.process = 5;
    m.read_index.number = 1;
    rig_receive(&rig, &m);
    configure(&rig, N(1) | N(2), 0);
    const struct raft_message *reply = rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 3);
    cr_assert_not_null(reply);
    cr_assert_eq(reply->refusal, RAFT_REFUSED_WRONG_IDENTITY);
    rig_close(&rig);
}

Test(raft_membership, the_configuration_of_an_index_can_be_asked)
{
    struct rig rig = rig_open_leader(3, 0);
    configure(&rig, N(1) | N(2), 0);
    cr_assert_eq(raft_configuration_at(rig.node, 1)->index, 0);
    cr_assert_eq(raft_configuration_at(rig.node, 1)->configuration.members_count, 3);
    cr_assert_eq(raft_configuration_at(rig.node, 2)->index, 2);
    cr_assert_eq(raft_configuration_at(rig.node, 9)->configuration.members_count, 2);
    rig_close(&rig);
}
