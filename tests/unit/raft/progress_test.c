#include "progress.h"

#include <criterion/criterion.h>

static struct raft_progress replicating(raft_index match)
{
    struct raft_progress progress = {0};
    raft__progress_reset(&progress, match, 0);
    raft__progress_accepted(&progress, match, match);
    cr_assert_eq(progress.state, RAFT_PROGRESS_REPLICATE);
    return progress;
}

Test(raft_progress, a_new_leader_probes_from_its_own_end)
{
    struct raft_progress progress = {0};
    raft__progress_reset(&progress, 10, 0);
    cr_expect_eq(progress.state, RAFT_PROGRESS_PROBE);
    cr_expect_eq(progress.match, 0);
    cr_expect_eq(progress.next, 11);
}

Test(raft_progress, an_answer_below_the_probe_does_not_end_it)
{
    struct raft_progress progress = {0};
    raft__progress_reset(&progress, 10, 0);
    raft__progress_sent(&progress, 10);
    raft__progress_accepted(&progress, 4, 4);
    cr_expect_eq(progress.state, RAFT_PROGRESS_PROBE);
    cr_expect(progress.probe_sent);
    raft__progress_accepted(&progress, 4, 10);
    cr_expect_eq(progress.state, RAFT_PROGRESS_REPLICATE);
    cr_expect_eq(progress.next, 11);
}

Test(raft_progress, acks_free_the_window_in_order)
{
    struct raft_progress progress = replicating(0);
    raft__progress_sent(&progress, 10);
    raft__progress_sent(&progress, 20);
    raft__progress_sent(&progress, 30);
    cr_expect_eq(progress.window_count, 3);
    raft__progress_accepted(&progress, 15, 30);
    cr_expect_eq(progress.window_count, 2, "half an APPEND keeps its place");
    raft__progress_accepted(&progress, 30, 30);
    cr_expect_eq(progress.window_count, 0);
    cr_expect_eq(progress.next, 31);
}

Test(raft_progress, an_old_ack_takes_nothing_back)
{
    struct raft_progress progress = replicating(0);
    raft__progress_sent(&progress, 10);
    raft__progress_accepted(&progress, 10, 10);
    cr_expect_not(raft__progress_accepted(&progress, 3, 3));
    cr_expect_eq(progress.match, 10);
}

Test(raft_progress, a_partial_send_goes_on_at_once)
{
    struct raft_progress progress = replicating(0);
    raft__progress_sent(&progress, 10);
    raft__progress_sent(&progress, 20);
    raft__progress_sent(&progress, 30);
    raft__progress_cut(&progress, 14);
    cr_expect_eq(progress.next, 15);
    cr_expect_eq(progress.window_count, 2);
    cr_expect_not(progress.cut_off);
}

Test(raft_progress, a_send_of_nothing_waits)
{
    struct raft_progress progress = replicating(0);
    raft__progress_sent(&progress, 10);
    raft__progress_sent(&progress, 20);
    raft__progress_cut(&progress, 10);
    cr_expect_eq(progress.next, 11);
    cr_expect_eq(progress.window_count, 1);
    cr_expect(progress.cut_off);
}

Test(raft_progress, a_cut_probe_is_sent_again)
{
    struct raft_progress progress = {0};
    raft__progress_reset(&progress, 10, 0);
    raft__progress_sent(&progress, 12);
    raft__progress_cut(&progress, 11);
    cr_expect(progress.probe_sent, "a part of it left");
    raft__progress_cut(&progress, 10);
    cr_expect_not(progress.probe_sent);
    cr_expect(progress.cut_off);
}

Test(raft_progress, a_cut_below_what_arrived_is_raised_to_it)
{
    struct raft_progress progress = replicating(0);
    raft__progress_sent(&progress, 10);
    raft__progress_accepted(&progress, 0, 10);
    raft__progress_cut(&progress, 3);
    cr_expect_eq(progress.next, 11);
    cr_expect_eq(progress.received, 10);
}

Test(raft_progress, going_back_empties_the_window)
{
    struct raft_progress progress = replicating(5);
    raft__progress_sent(&progress, 10);
    raft__progress_accepted(&progress, 5, 10);
    raft__progress_probe(&progress, 7);
    cr_expect_eq(progress.state, RAFT_PROGRESS_PROBE);
    cr_expect_eq(progress.next, 7);
    cr_expect_eq(progress.received, 5);
    cr_expect_eq(progress.window_count, 0);
}
