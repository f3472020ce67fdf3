#include <raft_trace/trace.h>

#include <criterion/criterion.h>
#include <string.h>

static void expect_sentence(struct raft_trace trace, const char *expected)
{
    char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
    size_t length = raft_trace_format(sentence, sizeof sentence, 2, &trace);
    cr_expect_str_eq(sentence, expected);
    cr_expect_eq(length, strlen(expected));
}

Test(raft_trace, every_type_has_its_sentence)
{
    expect_sentence((struct raft_trace){.type = RAFT_TRACE_ELECTION, .a = 4},
                    "n2 starts election for term 4");
    expect_sentence((struct raft_trace){.type = RAFT_TRACE_ELECTION, .a = 4, .d = 1},
                    "n2 asks for pre-votes for term 4");
    expect_sentence((struct raft_trace){.type = RAFT_TRACE_LEADER, .a = 4, .b = 2, .c = 3},
                    "n2 leads term 4 with 2 of 3 votes");
    expect_sentence((struct raft_trace){.type = RAFT_TRACE_FOLLOW, .node = 1, .a = 4},
                    "n2 follows n1 in term 4");
    expect_sentence(
        (struct raft_trace){.type = RAFT_TRACE_APPEND, .index = 7, .a = 7, .index_term = 4},
        "n2 appends 7@4");
    expect_sentence(
        (struct raft_trace){.type = RAFT_TRACE_APPEND, .index = 7, .a = 9, .index_term = 4},
        "n2 appends 7..9@4");
    expect_sentence((struct raft_trace){.type = RAFT_TRACE_TRUNCATE, .index = 5, .a = 6},
                    "n2 drops 5..6");
    expect_sentence(
        (struct raft_trace){.type = RAFT_TRACE_READ, .a = 3, .c = RAFT_REFUSED_NOT_LEADER},
        "n2 refuses read 3: I am not the leader");
    expect_sentence(
        (struct raft_trace){.type = RAFT_TRACE_STEP_DOWN, .a = 3, .c = RAFT_STEP_DOWN_NO_QUORUM},
        "n2 gives up term 3: no quorum answers");
    for (int type = RAFT_TRACE_ROLE; type <= RAFT_TRACE_TRANSFER; type++) {
        char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
        struct raft_trace trace = {.type = (enum raft_trace_type)type};
        cr_expect_gt(raft_trace_format(sentence, sizeof sentence, 2, &trace), 4);
        cr_expect_null(strstr(sentence, "unknown"), "%s", sentence);
    }
}

Test(raft_trace, the_longest_sentence_fits)
{
    char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
    struct raft_trace trace = {.type = RAFT_TRACE_REJECT,
                               .node = UINT64_MAX,
                               .index = UINT64_MAX,
                               .index_term = UINT64_MAX,
                               .a = UINT64_MAX,
                               .c = RAFT_REFUSED_LOG_CONFLICT};
    cr_assert_lt(raft_trace_format(sentence, sizeof sentence, UINT64_MAX, &trace), sizeof sentence);
}

Test(raft_trace, a_short_buffer_is_cut_and_terminated)
{
    char sentence[8];
    struct raft_trace trace = {.type = RAFT_TRACE_LEADER, .a = 4, .b = 2, .c = 3};
    cr_assert_gt(raft_trace_format(sentence, sizeof sentence, 2, &trace), sizeof sentence);
    cr_assert_str_eq(sentence, "n2 lead");
}

Test(raft_trace, every_refusal_status_and_role_has_a_text)
{
    for (int i = RAFT_REFUSED_NOT; i <= RAFT_REFUSED_DAMAGED; i++) {
        cr_expect_null(strstr(raft_refusal_text((enum raft_refusal)i), "unknown"));
    }
    for (int i = RAFT_OK; i <= RAFT_BAD_OPTIONS; i++) {
        cr_expect_null(strstr(raft_status_text((enum raft_status)i), "unknown"));
    }
    cr_expect_str_eq(raft_role_name(RAFT_PRE_CANDIDATE), "pre-candidate");
}
