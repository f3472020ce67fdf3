/* The few configurations that a log remembers. */
#include "history.h"

#include "rig.h"

#include <criterion/criterion.h>

static struct raft_indexed_configuration at(raft_index index)
{
    return (struct raft_indexed_configuration){
        .index = index, .configuration = rig_configuration(RIG_NODE(1) | RIG_NODE(index + 2), 0)};
}

static struct raft_history history_of(raft_index count)
{
    struct raft_history history = {.count = 0};
    struct raft_indexed_configuration item = at(0);
    raft__history_reset(&history, &item);
    for (raft_index i = 1; i < count; i++) {
        item = at(i);
        raft__history_push(&history, &item);
    }
    return history;
}

Test(raft_history, the_newest_is_the_last_one_pushed)
{
    struct raft_history history = history_of(3);
    cr_assert_eq(raft__history_newest(&history)->index, 2);
    cr_assert_eq(raft__history_previous(&history)->members[1].id.node, 3);
}

Test(raft_history, a_cut_goes_back_to_the_one_before)
{
    struct raft_history history = history_of(3);
    cr_assert_not(raft__history_truncate(&history, 3),
                  "what lies above the newest changes nothing");
    cr_assert(raft__history_truncate(&history, 2));
    cr_assert_eq(raft__history_newest(&history)->index, 1);
    cr_assert(raft__history_can_truncate(&history, 1));
    cr_assert_not(raft__history_can_truncate(&history, 0));
}

Test(raft_history, the_oldest_is_forgotten_and_no_cut_reaches_below_what_is_left)
{
    struct raft_history history = history_of(RAFT_CONFIGURATIONS_MAX + 2);
    cr_assert_eq(history.count, RAFT_CONFIGURATIONS_MAX);
    cr_assert_eq(raft__history_newest(&history)->index, RAFT_CONFIGURATIONS_MAX + 1);
    cr_assert_eq(history.items[0].index, 2);
    cr_assert_not(raft__history_can_truncate(&history, 2));
    cr_assert(raft__history_can_truncate(&history, 3));
}

Test(raft_history, one_alone_has_none_before)
{
    struct raft_history history = history_of(1);
    cr_assert_null(raft__history_previous(&history));
}
