/* Goal: damaged entries are cut only when what voters said proves that they are not committed, whoever answered when, and who
 * supplied what is disputed is known (PROTOCOL D4). Method: verdicts by hand, and every combination of them for up to five
 * voters against the definition. */
#include "repair_verdicts.h"

#include <criterion/criterion.h>
#include <string.h>

#define SELF 1u
#define TERM 5u

static struct raft_configuration voters(uint32_t count)
{
    struct raft_configuration configuration = {.members_count = count};
    for (uint32_t i = 0; i < count; i++) {
        configuration.members[i] =
            (struct raft_member){.id = {.node = SELF + i, .epoch = 7}, .voter = true};
    }
    return configuration;
}

static void tell(struct repair_verdicts *verdicts, uint64_t node_id, enum repair_answer answer,
                 uint64_t term)
{
    const struct repair_message message = {.answer = answer, .from_epoch = 7, .term = term};
    repair_verdicts_note(verdicts, node_id, &message);
    cr_assert(repair_verdicts_of(verdicts, node_id)->is_known);
}

static bool is_cut(struct repair_verdicts *verdicts, const struct raft_configuration *configuration,
                   bool configurations_known)
{
    const struct segment_log_hole hole = {.configurations_known = configurations_known};
    return repair_verdicts_are_of_uncommitted(verdicts, configuration, SELF, TERM, &hole);
}

/* What each of the others says, drawn as a digit: nothing, never held it in this term, in a later one, damaged. */
enum word {
    WORD_NONE,
    WORD_EARLY,
    WORD_LATER,
    WORD_DAMAGED,
    WORDS,
};

Test(node_repair_verdicts, so_many_voters_lack_it_that_no_majority_can_ever_have_had_it)
{
    for (uint32_t count = 1; count <= 5; count++) {
        const struct raft_configuration configuration = voters(count);
        uint32_t combinations = 1;
        for (uint32_t i = 1; i < count; i++) {
            combinations *= WORDS;
        }
        for (uint32_t combination = 0; combination < combinations; combination++) {
            struct repair_verdicts verdicts = {.count = 0};
            uint32_t early = 0, later = 0;
            for (uint32_t i = 1, rest = combination; i < count; i++, rest /= WORDS) {
                const enum word word = (enum word)(rest % WORDS);
                if (word == WORD_EARLY) tell(&verdicts, SELF + i, REPAIR_NEVER_HELD, TERM);
                if (word == WORD_LATER) tell(&verdicts, SELF + i, REPAIR_NEVER_HELD, TERM + 1u);
                if (word == WORD_DAMAGED) tell(&verdicts, SELF + i, REPAIR_DAMAGED, TERM + 1u);
                early += word == WORD_EARLY;
                later += word == WORD_LATER;
            }
            /* Who may still have it, this replica included, is no majority. */
            const bool all_lack = early + later == count - 1u;
            const uint32_t lacking = all_lack ? count - 1u : later;
            const bool expected = count - lacking < count / 2u + 1u;
            cr_assert_eq(is_cut(&verdicts, &configuration, true), expected,
                         "%u voters, combination %u", count, combination);
        }
    }
}

/* Where a configuration may be among what is lost it may differ by a voter. */
Test(node_repair_verdicts, an_unknown_configuration_asks_for_a_majority)
{
    const struct raft_configuration configuration = voters(4);
    struct repair_verdicts verdicts = {.count = 0};
    tell(&verdicts, 2, REPAIR_NEVER_HELD, TERM + 1u);
    tell(&verdicts, 3, REPAIR_NEVER_HELD, TERM + 1u);
    cr_assert(is_cut(&verdicts, &configuration, /* configurations_known= */ true));
    cr_assert_not(is_cut(&verdicts, &configuration, /* configurations_known= */ false));
    tell(&verdicts, 4, REPAIR_NEVER_HELD, TERM);
    cr_assert(is_cut(&verdicts, &configuration, /* configurations_known= */ false));
}

Test(node_repair_verdicts, both_halves_of_a_joint_configuration_have_to_lack_it)
{
    struct raft_configuration configuration = voters(6);
    configuration.joint = true;
    for (uint32_t i = 0; i < 6; i++) {
        configuration.members[i].voter = i < 3;
        configuration.members[i].voter_old = i >= 3;
    }
    struct repair_verdicts verdicts = {.count = 0};
    tell(&verdicts, 2, REPAIR_NEVER_HELD, TERM + 1u);
    tell(&verdicts, 3, REPAIR_NEVER_HELD, TERM + 1u);
    cr_assert_not(is_cut(&verdicts, &configuration, true), "the old half may have it");
    tell(&verdicts, 4, REPAIR_NEVER_HELD, TERM + 1u);
    tell(&verdicts, 5, REPAIR_NEVER_HELD, TERM + 1u);
    cr_assert(is_cut(&verdicts, &configuration, true));
}

Test(node_repair_verdicts, the_word_of_an_earlier_replica_of_a_node_counts_for_nothing)
{
    const struct raft_configuration configuration = voters(2);
    struct repair_verdicts verdicts = {.count = 0};
    tell(&verdicts, 2, REPAIR_NEVER_HELD, TERM + 1u);
    cr_assert(is_cut(&verdicts, &configuration, true));
    repair_verdicts_of(&verdicts, 2)->epoch = 6;
    cr_assert_not(is_cut(&verdicts, &configuration, true));
}

Test(node_repair_verdicts,
     what_each_member_said_is_told_and_who_is_barred_stays_so_when_the_words_are_forgotten)
{
    const struct raft_configuration configuration = voters(4);
    struct repair_verdicts verdicts = {.count = 0};
    char text[200];
    tell(&verdicts, 2, REPAIR_DAMAGED, TERM);
    repair_verdicts_bar(&verdicts, 3);
    repair_verdicts_bar(&verdicts, 3);
    repair_verdicts_describe(&verdicts, &configuration, SELF, text, sizeof(text));
    cr_assert_str_eq(text, "n2: they are damaged here, too, "
                           "n3: other entries stand there in my log: the chain differs, "
                           "n4: does not answer");
    repair_verdicts_forget(&verdicts);
    cr_assert(repair_verdicts_is_barred(&verdicts, 3));
    cr_assert_not(repair_verdicts_of(&verdicts, 2)->is_known);
    repair_verdicts_pardon_all(&verdicts);
    cr_assert_not(repair_verdicts_is_barred(&verdicts, 3));
    char small[8];
    repair_verdicts_describe(&verdicts, &configuration, SELF, small, sizeof(small));
    cr_assert_eq(strlen(small), 7, "cut, and closed");
}

/* Only what ends where the others refuse is disputed, not what this log's own entries have confirmed since. */
Test(node_repair_verdicts, the_newest_supply_is_disputed_when_somebody_has_another_entry_at_its_end)
{
    struct repair_verdicts verdicts = {.count = 0};
    char text[16];
    tell(&verdicts, 2, REPAIR_DIFFERS, TERM);
    cr_assert_not(repair_verdicts_are_disputed(&verdicts, 0), "there is none");
    repair_verdicts_note_supply(&verdicts, 3, 20);
    repair_verdicts_note_supply(&verdicts, 4, 30);
    repair_verdicts_note_supply(&verdicts, 3, 40);
    cr_assert_eq(verdicts.supplier, 3);
    cr_assert(repair_verdicts_are_disputed(&verdicts, 40));
    cr_assert_not(repair_verdicts_are_disputed(&verdicts, 41));
    cr_assert_not(repair_verdicts_are_disputed(&verdicts, 30));
    repair_verdicts_describe_suppliers(&verdicts, text, sizeof(text));
    cr_assert_str_eq(text, "n3,n4");
    tell(&verdicts, 2, REPAIR_DAMAGED, TERM);
    cr_assert_not(repair_verdicts_are_disputed(&verdicts, 40), "nobody has another one");
    tell(&verdicts, 5, REPAIR_DIFFERS, TERM);
    cr_assert(repair_verdicts_are_disputed(&verdicts, 40));
    repair_verdicts_bar(&verdicts, 3);
    repair_verdicts_end_session(&verdicts);
    cr_assert_eq(verdicts.supplier, 0);
    cr_assert_not(repair_verdicts_are_disputed(&verdicts, 40));
    cr_assert(repair_verdicts_is_barred(&verdicts, 3));
    repair_verdicts_describe_suppliers(&verdicts, text, sizeof(text));
    cr_assert_str_eq(text, "");
}

/* ---- where the logs of the others start ------------------------------------------------------------------- */

static void tell_start(struct repair_verdicts *verdicts, uint64_t node_id, uint64_t start)
{
    const struct repair_message message = {
        .answer = REPAIR_BELOW_START, .from_epoch = 7, .term = TERM, .log_start = start};
    repair_verdicts_note(verdicts, node_id, &message);
}

Test(node_repair_verdicts, the_lowest_start_of_those_that_start_later_counts)
{
    struct raft_configuration configuration = voters(4);
    struct repair_verdicts verdicts = {0};
    configuration.members[3].voter = false; /* a learner is not asked for it */
    cr_assert_eq(repair_verdicts_lowest_start(&verdicts, &configuration, SELF), 0);
    tell_start(&verdicts, SELF + 1u, 200);
    cr_assert_eq(repair_verdicts_lowest_start(&verdicts, &configuration, SELF), 0, "one is silent");
    tell_start(&verdicts, SELF + 2u, 190);
    cr_assert_eq(repair_verdicts_lowest_start(&verdicts, &configuration, SELF), 190);
    tell(&verdicts, SELF + 2u, REPAIR_DAMAGED, TERM);
    cr_assert_eq(repair_verdicts_lowest_start(&verdicts, &configuration, SELF), 200);
    tell(&verdicts, SELF + 2u, REPAIR_BUSY, TERM);
    cr_assert_eq(repair_verdicts_lowest_start(&verdicts, &configuration, SELF), 0,
                 "it may have them");
    tell(&verdicts, SELF + 2u, REPAIR_DAMAGED, TERM);
    tell(&verdicts, SELF + 1u, REPAIR_DAMAGED, TERM);
    cr_assert_eq(repair_verdicts_lowest_start(&verdicts, &configuration, SELF), 0,
                 "nobody starts later");
}
