/* Consumer offsets (PROTOCOL P5): the payload, the rules, the list. */
#include "queue_support.h"

#include <stdio.h>

static struct partition_commit commit_of(const char *group, uint64_t offset, int64_t generation,
                                         const char *metadata)
{
    return (struct partition_commit){.group = group,
                                     .offset = offset,
                                     .generation = generation,
                                     .metadata = (const uint8_t *)metadata,
                                     .metadata_bytes = (uint32_t)strlen(metadata)};
}

static void apply_commits(struct partition *partition, const struct partition_commit *commits,
                          uint32_t count)
{
    size_t bytes = partition_encode_offsets(commits, count, NULL, 0);
    cr_assert_gt(bytes, 0);
    uint8_t *payload = malloc(bytes);
    cr_assert_eq(partition_encode_offsets(commits, count, payload, bytes), bytes);
    cr_assert(test_apply(partition, ENTRY_OFFSETS, payload, (uint32_t)bytes));
    free(payload);
}

static void apply_commit(struct partition *partition, struct partition_commit commit)
{
    apply_commits(partition, &commit, 1);
}

Test(offsets, a_commit_reads_back_whole)
{
    struct partition partition;
    struct partition_offset offset;
    partition_init(&partition);
    cr_assert_not(partition_offset_get(&partition, "g", &offset));
    cr_assert(test_apply(&partition, ENTRY_NOOP, NULL, 0));
    apply_commit(&partition, commit_of("g", 77, 5, "my notes"));
    cr_assert(partition_offset_get(&partition, "g", &offset));
    cr_assert_str_eq(offset.group, "g");
    cr_assert_eq(offset.offset, 77);
    cr_assert_eq(offset.generation, 5);
    cr_assert_eq(offset.timestamp_ms, 1001);
    cr_assert_eq(offset.metadata_bytes, 8);
    cr_assert_eq(memcmp(offset.metadata, "my notes", 8), 0);
    cr_assert_not(partition_offset_get(&partition, "G", &offset));
    cr_assert_not(partition_offset_get(&partition, "", &offset));
    partition_close(&partition);
}

Test(offsets, one_entry_commits_many_groups_and_the_last_of_a_group_wins)
{
    struct partition partition;
    struct partition_offset offset;
    struct partition_commit commits[PARTITION_COMMITS_MAX];
    static char names[PARTITION_COMMITS_MAX][16];
    partition_init(&partition);
    for (uint32_t i = 0; i < PARTITION_COMMITS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "g%u", i / 2);
        commits[i] = commit_of(names[i], i, -1, "");
    }
    apply_commits(&partition, commits, PARTITION_COMMITS_MAX);
    cr_assert_eq(partition_offsets_count(&partition), PARTITION_COMMITS_MAX / 2);
    cr_assert(partition_offset_get(&partition, "g100", &offset));
    cr_assert_eq(offset.offset, 201);
    partition_close(&partition);
}

Test(offsets, a_tombstone_removes)
{
    struct partition partition;
    struct partition_offset offset;
    partition_init(&partition);
    apply_commit(&partition, commit_of("g", 7, 3, "x"));
    struct partition_commit tombstone = {.group = "g", .generation = -1, .remove = true};
    cr_assert_not(partition_commit_is_noop(&partition, &tombstone));
    apply_commit(&partition, tombstone);
    cr_assert_not(partition_offset_get(&partition, "g", &offset));
    cr_assert_eq(partition_offsets_count(&partition), 0);
    cr_assert(partition_commit_is_noop(&partition, &tombstone));
    apply_commit(&partition, tombstone);
    cr_assert_eq(partition_offsets_count(&partition), 0);
    partition_close(&partition);
}

Test(offsets, what_cannot_be_decoded_cannot_be_encoded)
{
    char name[200], metadata[PARTITION_METADATA_BYTES_MAX + 2];
    uint8_t buffer[2048];
    memset(name, 'n', sizeof name);
    memset(metadata, 'm', sizeof metadata);
    name[PARTITION_GROUP_NAME_BYTES_MAX] = '\0';
    metadata[PARTITION_METADATA_BYTES_MAX] = '\0';
    struct partition_commit good = commit_of(name, INT64_MAX, INT64_MAX, metadata), bad;
    size_t bytes = partition_encode_offsets(&good, 1, buffer, sizeof buffer);
    cr_assert_gt(bytes, 0);
    struct partition partition;
    partition_init(&partition);
    cr_assert(test_apply(&partition, ENTRY_OFFSETS, buffer, (uint32_t)bytes), "the largest");
    for (uint32_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, buffer, cut);
        cr_assert_not(test_apply(&partition, ENTRY_OFFSETS, exact, cut));
        free(exact);
    }
    partition_close(&partition);

    cr_assert_eq(partition_encode_offsets(&good, 0, buffer, sizeof buffer), 0);
    cr_assert_eq(partition_encode_offsets(&good, PARTITION_COMMITS_MAX + 1, buffer, sizeof buffer),
                 0);
    bad = good;
    bad.group = "";
    cr_assert_eq(partition_encode_offsets(&bad, 1, buffer, sizeof buffer), 0);
    name[PARTITION_GROUP_NAME_BYTES_MAX] = 'n';
    name[PARTITION_GROUP_NAME_BYTES_MAX + 1] = '\0';
    cr_assert_eq(partition_encode_offsets(&good, 1, buffer, sizeof buffer), 0);
    bad = commit_of("g", 0, 0, "");
    bad.metadata_bytes = PARTITION_METADATA_BYTES_MAX + 1;
    cr_assert_eq(partition_encode_offsets(&bad, 1, buffer, sizeof buffer), 0);
    bad = commit_of("g", (uint64_t)INT64_MAX + 1, 0, "");
    cr_assert_eq(partition_encode_offsets(&bad, 1, buffer, sizeof buffer), 0);
    bad = commit_of("g", 0, -2, "");
    cr_assert_eq(partition_encode_offsets(&bad, 1, buffer, sizeof buffer), 0);
}

Test(offsets, only_an_equal_commit_is_a_noop)
{
    struct partition partition;
    partition_init(&partition);
    struct partition_commit commit = commit_of("g", 7, 3, "x");
    cr_assert_not(partition_commit_is_noop(&partition, &commit));
    apply_commit(&partition, commit);
    cr_assert(partition_commit_is_noop(&partition, &commit));
    struct partition_commit other = commit_of("g", 8, 3, "x");
    cr_assert_not(partition_commit_is_noop(&partition, &other));
    other = commit_of("g", 7, 4, "x");
    cr_assert_not(partition_commit_is_noop(&partition, &other));
    other = commit_of("g", 7, 3, "y");
    cr_assert_not(partition_commit_is_noop(&partition, &other));
    other = commit_of("g", 7, 3, "");
    cr_assert_not(partition_commit_is_noop(&partition, &other));
    partition_close(&partition);
}

Test(offsets, a_commit_equal_to_the_state_is_no_noop_while_another_is_in_flight)
{
    /* 5 applied, 9 appended, then 5 again: to drop the last one would leave the group at 9. */
    struct partition partition;
    partition_init(&partition);
    struct partition_commit five = commit_of("g", 5, -1, ""), nine = commit_of("g", 9, -1, "");
    apply_commit(&partition, five);
    cr_assert(partition_commit_is_noop(&partition, &five));
    partition_overlay_add_commits(&partition, &nine, 1, 2);
    cr_assert_not(partition_commit_is_noop(&partition, &five));
    cr_assert(partition_commits_in_flight(&partition, "g"));
    apply_commit(&partition, nine);
    cr_assert_not(partition_commits_in_flight(&partition, "g"));
    cr_assert(partition_commit_is_noop(&partition, &nine));
    cr_assert_not(partition_commit_is_noop(&partition, &five));

    partition_overlay_add_commits(&partition, &five, 1, 3);
    cr_assert_not(partition_commit_is_noop(&partition, &nine));
    partition_overlay_drop(&partition, 3);
    cr_assert(partition_commit_is_noop(&partition, &nine), "the commit in flight was cut away");
    partition_overlay_add_commits(&partition, &five, 1, 3);
    partition_overlay_drop(&partition, 0);
    cr_assert(partition_commit_is_noop(&partition, &nine));

    partition_overlay_add_commits(&partition, &five, 1, 3);
    partition_overlay_add_commits(&partition, &five, 1, 6);
    partition_overlay_drop(&partition, 5);
    cr_assert_not(partition_commit_is_noop(&partition, &nine), "the one at 3 is still in flight");
    partition_close(&partition);
}

Test(offsets, an_older_generation_is_fenced_also_when_it_was_overtaken_in_flight)
{
    struct partition partition;
    struct partition_offset offset;
    partition_init(&partition);
    struct partition_commit old = commit_of("g", 5, 3, "");
    cr_assert_not(partition_commit_is_fenced(&partition, &old));
    apply_commit(&partition, commit_of("g", 9, 4, ""));
    cr_assert(partition_commit_is_fenced(&partition, &old));
    apply_commit(&partition, old); /* was appended before 4 was applied */
    cr_assert(partition_offset_get(&partition, "g", &offset));
    cr_assert_eq(offset.offset, 9);
    cr_assert_eq(offset.generation, 4);
    struct partition_commit tombstone = {.group = "g", .generation = 3, .remove = true};
    apply_commit(&partition, tombstone);
    cr_assert(partition_offset_get(&partition, "g", &offset));
    partition_close(&partition);
}

Test(offsets, a_commit_without_a_generation_is_not_fenced_and_lifts_no_fence)
{
    struct partition partition;
    struct partition_offset offset;
    partition_init(&partition);
    apply_commit(&partition, commit_of("g", 9, 4, ""));
    struct partition_commit simple = commit_of("g", 2, -1, ""), old = commit_of("g", 5, 3, "");
    cr_assert_not(partition_commit_is_fenced(&partition, &simple));
    apply_commit(&partition, simple);
    cr_assert(partition_offset_get(&partition, "g", &offset));
    cr_assert_eq(offset.offset, 2);
    cr_assert_eq(offset.generation, -1);
    cr_assert(partition_commit_is_noop(&partition, &simple));
    cr_assert(partition_commit_is_fenced(&partition, &old));
    partition_close(&partition);
}

Test(offsets, the_list_goes_by_name_in_pages_and_shows_nothing_else)
{
    struct partition partition;
    struct partition_offset page[3];
    partition_init(&partition);
    cr_assert_eq(partition_offset_list(&partition, NULL, page, 3), 0);
    static const char *const sorted[] = {"a", "a.b", "aa", "b", "b-1", "zz"};
    static const uint32_t order[] = {3, 0, 5, 2, 4, 1};
    test_apply_batch(&partition, test_id(1, 0, 0, 1));
    for (uint32_t i = 0; i < 6; i++) {
        apply_commit(&partition, commit_of(sorted[order[i]], order[i], -1, ""));
    }
    uint32_t seen = 0, count;
    const char *after = NULL;
    char last[PARTITION_GROUP_NAME_BYTES_MAX + 1];
    while ((count = partition_offset_list(&partition, after, page, 3)) > 0) {
        cr_assert_leq(count, 3);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_lt(seen, 6);
            cr_assert_str_eq(page[i].group, sorted[seen]);
            cr_assert_eq(page[i].offset, seen);
            seen++;
        }
        strcpy(last, page[count - 1].group);
        after = last;
    }
    cr_assert_eq(seen, 6);
    cr_assert_eq(partition_offset_list(&partition, "a.c", page, 3), 3);
    cr_assert_str_eq(page[0].group, "aa");
    cr_assert_eq(partition_offset_list(&partition, NULL, page, 0), 0);
    char too_long[300];
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    cr_assert_eq(partition_offset_list(&partition, too_long, page, 3), 3);
    cr_assert_str_eq(page[0].group, "b");
    partition_close(&partition);
}
