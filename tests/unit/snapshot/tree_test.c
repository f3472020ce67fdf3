/* Single promises of the tree's header. */
#include "tree_node.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tree_slice text(const char *string)
{
    return (struct tree_slice){.data = string, .bytes = (uint32_t)strlen(string)};
}

static struct tree *numbers(uint32_t count)
{
    struct tree *tree = NULL;
    char key[16];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof key, "k%06u", i);
        tree_put(&tree, text(key), text(key));
    }
    return tree;
}

Test(tree, null_is_the_empty_map)
{
    struct tree *tree = NULL;
    struct tree_slice value;
    cr_assert_null(tree_ref(NULL));
    tree_unref(NULL);
    cr_assert_eq(tree_count(tree), 0);
    cr_assert_eq(tree_bytes(tree), 0);
    cr_assert_not(tree_get(tree, text("a"), &value));
    cr_assert_not(tree_remove(&tree, text("a")));
    cr_assert_eq(tree_digest(tree), 0);
}

Test(tree, removing_the_last_pair_gives_null_again)
{
    struct tree *tree = NULL;
    tree_put(&tree, text("a"), text("1"));
    cr_assert_not_null(tree);
    cr_assert(tree_remove(&tree, text("a")));
    cr_assert_null(tree);
}

Test(tree, empty_keys_and_values_are_ordinary)
{
    struct tree *tree = NULL;
    struct tree_slice none = {0}, value;
    tree_put(&tree, none, text("of the empty key"));
    tree_put(&tree, text("a"), none);
    cr_assert(tree_get(tree, none, &value));
    cr_assert_eq(value.bytes, strlen("of the empty key"));
    cr_assert(tree_get(tree, text("a"), &value));
    cr_assert_eq(value.bytes, 0);
    cr_assert_eq(tree_count(tree), 2);
    tree_unref(tree);
}

Test(tree, the_largest_key_and_value_are_kept_whole)
{
    uint8_t *bytes = malloc(TREE_VALUE_BYTES_MAX);
    memset(bytes, 0xa5, TREE_VALUE_BYTES_MAX);
    struct tree *tree = numbers(100);
    struct tree_slice key = {.data = bytes, .bytes = TREE_KEY_BYTES_MAX}, value;
    tree_put(&tree, key, (struct tree_slice){.data = bytes, .bytes = TREE_VALUE_BYTES_MAX});
    cr_assert(tree_get(tree, key, &value));
    cr_assert_eq(value.bytes, TREE_VALUE_BYTES_MAX);
    cr_assert_eq(memcmp(value.data, bytes, TREE_VALUE_BYTES_MAX), 0);
    cr_assert(tree__is_sound(tree));
    tree_unref(tree);
    free(bytes);
}

Test(tree, a_key_and_a_value_may_be_borrowed_from_the_tree_that_changes)
{
    struct tree *tree = numbers(1000), *frozen = NULL;
    struct tree_slice value;
    for (uint32_t round = 0; round < 2; round++) {
        cr_assert(tree_get(tree, text("k000500"), &value));
        tree_put(&tree, text("k000500"), value); /* onto itself */
        cr_assert(tree_get(tree, text("k000500"), &value));
        tree_put(&tree, value, (struct tree_slice){.data = value.data, .bytes = 3});
        cr_assert(tree_get(tree, text("k000500"), &value));
        cr_assert_eq(value.bytes, 3);
        cr_assert_eq(memcmp(value.data, "k00", 3), 0);
        tree_put(&tree, text("k000500"), text("k000500"));
        if (round == 0) frozen = tree_ref(tree); /* once more with shared nodes */
    }
    tree_unref(frozen);
    tree_unref(tree);
}

struct first_key {
    uint8_t key[16];
    struct tree_slice borrowed;
};

static bool take_first(void *data, struct tree_slice key, struct tree_slice value)
{
    (void)value;
    ((struct first_key *)data)->borrowed = key;
    return false;
}

Test(tree, a_key_borrowed_from_a_visit_can_be_removed)
{
    struct tree *tree = numbers(5000);
    struct tree_slice none = {0};
    for (uint32_t left = 5000; left > 0; left--) {
        struct first_key first = {0};
        tree_visit(tree, none, none, take_first, &first);
        cr_assert(tree_remove(&tree, first.borrowed));
        cr_assert_eq(tree_count(tree), left - 1);
    }
    cr_assert_null(tree);
}

Test(tree, an_unshared_tree_is_changed_in_place_and_a_frozen_one_is_not)
{
    struct tree *tree = numbers(3000);
    struct tree *before = tree;
    tree_put(&tree, text("k000700"), text("other"));
    cr_assert_eq(tree, before, "the only owner keeps its root");

    struct tree *frozen = tree_ref(tree);
    uint64_t digest = tree_digest(frozen);
    tree_put(&tree, text("k000700"), text("again"));
    cr_assert_neq(tree, frozen);
    for (uint32_t i = 0; i < 3000; i += 3) {
        char key[16];
        snprintf(key, sizeof key, "k%06u", i);
        cr_assert(tree_remove(&tree, text(key)));
    }
    cr_assert_eq(tree_digest(frozen), digest);
    cr_assert_eq(tree_count(frozen), 3000);
    cr_assert_eq(tree_count(tree), 2000);
    cr_assert(tree__is_sound(frozen));
    cr_assert(tree__is_sound(tree));
    tree_unref(tree);
    cr_assert_eq(tree_digest(frozen), digest);
    tree_unref(frozen);
}

Test(tree, removing_what_is_not_there_keeps_the_shared_root)
{
    struct tree *tree = numbers(500);
    struct tree *frozen = tree_ref(tree);
    cr_assert_not(tree_remove(&tree, text("nowhere")));
    cr_assert_eq(tree, frozen);
    tree_unref(tree);
    tree_unref(frozen);
}

Test(tree, the_digest_tells_a_byte_moved_between_key_and_value)
{
    struct tree *a = NULL, *b = NULL;
    tree_put(&a, text("ab"), text("c"));
    tree_put(&b, text("a"), text("bc"));
    cr_assert_neq(tree_digest(a), tree_digest(b));
    tree_unref(a);
    tree_unref(b);
}

Test(tree, the_digest_of_known_pairs_never_changes)
{
    /* Replicas of different releases compare it: a change of the function is a change of the protocol. */
    struct tree *tree = NULL;
    tree_put(&tree, text("alpha"), text("1"));
    tree_put(&tree, text("a key longer than eight bytes"), text("and its value"));
    cr_assert_eq(tree_digest(tree), UINT64_C(0x42af48c354e28a37));
    tree_unref(tree);
}

static uint32_t height_of(const struct tree *tree)
{
    return tree ? tree->height : 0;
}

Test(tree, ascending_keys_fill_their_nodes)
{
    struct tree *tree = numbers(100000);
    /* 28 of 32 slots: 28^3 < 100,000 < 28^4, so three levels above the leaves. */
    cr_assert_leq(height_of(tree), 3);
    cr_assert(tree__is_sound(tree));
    tree_unref(tree);
}

Test(tree, the_height_falls_again_when_most_keys_go)
{
    struct tree *tree = numbers(50000);
    char key[16];
    for (uint32_t i = 0; i < 50000; i++) {
        if (i % 500 == 0) continue;
        snprintf(key, sizeof key, "k%06u", i);
        cr_assert(tree_remove(&tree, text(key)));
    }
    cr_assert_eq(tree_count(tree), 100);
    cr_assert_leq(height_of(tree), 1);
    cr_assert(tree__is_sound(tree));
    tree_unref(tree);
}
