/* Goal: whoever looks into a file reads who was a member, not bytes. */
#include <broker/raft_codec.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "log_members.h"

static char text[LOG_MEMBERS_BYTES];

static bool told(const struct raft_configuration *configuration)
{
    uint8_t bytes[1024];
    char hex[2 * sizeof(bytes) + 1] = "";
    const size_t count = raft_codec_encode_configuration(configuration, bytes, sizeof(bytes));
    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    return log_members_text(hex, text);
}

Test(cli_log_members, voters_and_learners_are_named)
{
    const struct raft_configuration configuration = {
        .members = {{.id = {.node = 4}, .voter = true},
                    {.id = {.node = 5, .epoch = 9}, .voter = true},
                    {.id = {.node = 7, .epoch = 12}}},
        .members_count = 3};
    cr_assert(told(&configuration));
    cr_assert_str_eq(text, "voters n4 n5, learners n7");
}

Test(cli_log_members, a_joint_configuration_has_two_halves)
{
    const struct raft_configuration configuration = {
        .members = {{.id = {.node = 1}, .voter_old = true},
                    {.id = {.node = 2}, .voter = true, .voter_old = true},
                    {.id = {.node = 4}, .voter = true}},
        .members_count = 3,
        .joint = true};
    cr_assert(told(&configuration));
    cr_assert_str_eq(text, "voters n2 n4, joint old: n1 n2");
}

Test(cli_log_members, the_largest_one_fits)
{
    struct raft_configuration configuration = {.members_count = RAFT_MEMBERS_MAX, .joint = true};
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        configuration.members[i] = (struct raft_member){
            .id = {.node = 65520 + i, .epoch = i}, .voter = true, .voter_old = true};
    }
    cr_assert(told(&configuration));
    cr_assert_str_eq(text + strlen(text) - 7, " n65535");
    cr_assert_eq(strlen(text), strlen("voters"
                                      ", joint old:") +
                                   2u * 7u * RAFT_MEMBERS_MAX);
}

Test(cli_log_members, what_is_no_configuration_is_left_as_it_is)
{
    strcpy(text, "as it was");
    cr_assert_not(log_members_text("", text));
    cr_assert_not(log_members_text("0", text));
    cr_assert_not(log_members_text("zz", text));
    cr_assert_not(log_members_text("ffffffffffffffff", text));
    cr_assert_str_eq(text, "as it was");
}
