/* Changes of a tree: path copying, splits on the way down, merges on the way up (invariants in tree_node.h).
 *
 * Every change descends from the root and first makes each node of its path its own: a shared node is copied, its
 * items and children get one more reference, and the caller's reference moves to the copy. Nodes that no other version
 * shares are changed where they stand, so a tree that nobody froze is an ordinary B+tree. */
#include "tree_node.h"

#include <planted/planted.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(TREE_KEY_BYTES_MAX <= UINT16_MAX, "key_bytes of an item is 16 bits");
static_assert(TREE_MERGED_MAX > TREE_MERGE_BELOW, "a merged node must not ask for another merge");

/* There is no state to fall back to when apply() finds no memory: half an entry applied is worse than a restart. */
static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) {
        fprintf(stderr, "tree: out of memory for %zu bytes\n", bytes);
        abort();
    }
    return memory;
}

/* ---- items ---------------------------------------------------------------------------------------------------- */

static struct tree_item *item_create(struct tree_slice key, struct tree_slice value)
{
    struct tree_item *item = allocate(sizeof *item + key.bytes + value.bytes);
    item->refs = 1;
    item->key_bytes = (uint16_t)key.bytes;
    item->value_bytes = value.bytes;
    if (key.bytes > 0) memcpy(item->data, key.data, key.bytes);
    if (value.bytes > 0) memcpy(item->data + key.bytes, value.data, value.bytes);
    return item;
}

static void item_unref(struct tree_item *item)
{
    assert(item->refs > 0);
    if (--item->refs == 0) free(item);
}

static uint64_t item_bytes(const struct tree_item *item)
{
    return (uint64_t)item->key_bytes + item->value_bytes;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------- */

static size_t node_bytes(uint32_t height)
{
    return sizeof(struct tree) + (height > 0 ? TREE_FANOUT * sizeof(struct tree *) : 0);
}

static struct tree *node_create(uint32_t height)
{
    struct tree *node = allocate(node_bytes(height));
    memset(node, 0, sizeof *node);
    node->refs = 1;
    node->height = (uint16_t)height;
    return node;
}

struct tree *tree_ref(struct tree *tree)
{
    if (!tree) return NULL;
    assert(tree->refs > 0);
    assert(tree->refs < UINT32_MAX);
    tree->refs++;
    return tree;
}

void tree_unref(struct tree *tree)
{
    if (!tree) return;
    assert(tree->refs > 0);
    if (--tree->refs > 0) return;
    for (uint32_t i = 0; i < tree->count; i++) {
        if (tree->items[i]) item_unref(tree->items[i]);
        if (tree->height > 0) tree_unref(tree->children[i]);
    }
    free(tree);
}

/* Replace a shared node in *slot by a copy of the caller's own. */
static struct tree *make_own(struct tree **slot)
{
    struct tree *node = *slot;
    if (node->refs == 1 || PLANTED(S1_FROZEN_STATE_IS_CHANGED)) return node;
    struct tree *copy = allocate(node_bytes(node->height));
    memcpy(copy, node, node_bytes(node->height));
    copy->refs = 1;
    for (uint32_t i = 0; i < copy->count; i++) {
        if (copy->items[i]) {
            assert(copy->items[i]->refs < UINT32_MAX);
            copy->items[i]->refs++;
        }
        if (copy->height > 0) tree_ref(copy->children[i]);
    }
    node->refs--;
    *slot = copy;
    return copy;
}

/* Open a gap of one slot at `position`. */
static void open_slot(struct tree *node, uint32_t position)
{
    assert(node->count < TREE_FANOUT);
    assert(position <= node->count);
    uint32_t moved = node->count - position;
    memmove(&node->items[position + 1], &node->items[position], moved * sizeof node->items[0]);
    memmove(&node->heads[position + 1], &node->heads[position], moved * sizeof node->heads[0]);
    if (node->height > 0) {
        memmove(&node->children[position + 1], &node->children[position],
                moved * sizeof node->children[0]);
    }
    node->count++;
}

/* Forget the slot at `position`; what it pointed at is the caller's. The heads stay right: what the remaining items
 * share can only have become more. */
static void close_slot(struct tree *node, uint32_t position)
{
    assert(position < node->count);
    uint32_t moved = node->count - position - 1u;
    memmove(&node->items[position], &node->items[position + 1], moved * sizeof node->items[0]);
    memmove(&node->heads[position], &node->heads[position + 1], moved * sizeof node->heads[0]);
    if (node->height > 0) {
        memmove(&node->children[position], &node->children[position + 1],
                moved * sizeof node->children[0]);
    }
    node->count--;
}

static void sum_up(struct tree *node)
{
    node->pairs = 0;
    node->bytes = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        if (node->height > 0) {
            node->pairs += node->children[i]->pairs;
            node->bytes += node->children[i]->bytes;
        } else {
            node->pairs++;
            node->bytes += item_bytes(node->items[i]);
        }
    }
}

/* ---- put ------------------------------------------------------------------------------------------------------ */

/* Split the full child at `position` in two, giving the parent, which has room, one more slot behind it. */
static void split_child(struct tree *parent, uint32_t position, struct tree_slice key)
{
    struct tree *left = make_own(&parent->children[position]);
    struct tree *right = node_create(left->height);
    assert(left->count == TREE_FANOUT);

    /* Keys that arrive in order, as from a snapshot or behind a growing index, would leave half-empty nodes behind
     * them. */
    bool is_appending =
        position + 1u == parent->count && tree__compare(key, left->items[left->count - 1u]) > 0;
    uint32_t kept = is_appending ? TREE_FANOUT - TREE_FANOUT / 8u : TREE_FANOUT / 2u;

    right->count = (uint16_t)(left->count - kept);
    memcpy(right->items, &left->items[kept], right->count * sizeof right->items[0]);
    struct tree_item *separator;
    if (left->height > 0) {
        memcpy(right->children, &left->children[kept], right->count * sizeof right->children[0]);
        separator = right->items[0]; /* moves up */
        right->items[0] = NULL;
    } else {
        separator = item_create(tree__item_key(right->items[0]), (struct tree_slice){0});
    }
    left->count = (uint16_t)kept;
    sum_up(right);
    left->pairs -= right->pairs;
    left->bytes -= right->bytes;
    tree__set_heads(left);
    tree__set_heads(right);

    open_slot(parent, position + 1u);
    parent->items[position + 1u] = separator;
    parent->children[position + 1u] = right;
    tree__set_head(parent, position + 1u);
}

struct put {
    struct tree_slice key, value;
    uint64_t pairs_added;   /* 1, or 0 when the key was there */
    uint64_t bytes_removed; /* of the value that was replaced */
    uint64_t bytes_added;
};

static void put_in_leaf(struct tree *leaf, struct put *put)
{
    bool found;
    uint32_t position = tree__leaf_position(leaf, put->key, &found);
    if (!found) {
        struct tree_item *item = item_create(put->key, put->value);
        open_slot(leaf, position);
        leaf->items[position] = item;
        tree__set_head(leaf, position);
        put->pairs_added = 1;
        put->bytes_added = item_bytes(item);
        return;
    }
    struct tree_item *old = leaf->items[position];
    put->bytes_removed = old->value_bytes;
    put->bytes_added = put->value.bytes;
    if (old->refs == 1 && old->value_bytes == put->value.bytes) {
        /* memmove: the value may be borrowed from this very item. */
        if (put->value.bytes > 0) {
            memmove(old->data + old->key_bytes, put->value.data, put->value.bytes);
        }
        return;
    }
    leaf->items[position] = item_create(put->key, put->value);
    item_unref(old);
}

/* The node in *slot has room for one more slot. */
static void put_in_node(struct tree **slot, struct put *put)
{
    struct tree *node = make_own(slot);
    assert(node->height == 0 || node->count < TREE_FANOUT);
    if (node->height == 0) {
        put_in_leaf(node, put);
    } else {
        uint32_t position = tree__child_position(node, put->key);
        if (node->children[position]->count == TREE_FANOUT) {
            split_child(node, position, put->key);
            position = tree__child_position(node, put->key);
        }
        put_in_node(&node->children[position], put);
    }
    node->pairs += put->pairs_added;
    node->bytes = node->bytes - put->bytes_removed + put->bytes_added;
}

static void grow_root(struct tree **tree, struct tree_slice key)
{
    struct tree *root = node_create((*tree)->height + 1u);
    root->count = 1;
    root->children[0] = *tree;
    root->pairs = (*tree)->pairs;
    root->bytes = (*tree)->bytes;
    *tree = root;
    split_child(root, 0, key);
}

void tree_put(struct tree **tree, struct tree_slice key, struct tree_slice value)
{
    assert(tree);
    assert(key.bytes <= TREE_KEY_BYTES_MAX);
    assert(value.bytes <= TREE_VALUE_BYTES_MAX);
    if (!*tree) *tree = node_create(0);
    if ((*tree)->count == TREE_FANOUT) grow_root(tree, key);
    struct put put = {.key = key, .value = value};
    put_in_node(tree, &put);
}

/* ---- remove --------------------------------------------------------------------------------------------------- */

/* Move everything of the child behind `position` into the child at `position`. */
static void merge_children(struct tree *parent, uint32_t position)
{
    struct tree *left = make_own(&parent->children[position]);
    struct tree *right = make_own(&parent->children[position + 1u]);
    assert(left->height == right->height);
    assert(left->count + right->count <= TREE_FANOUT);

    struct tree_item *separator = parent->items[position + 1u];
    memcpy(&left->items[left->count], right->items, right->count * sizeof left->items[0]);
    if (left->height > 0) {
        memcpy(&left->children[left->count], right->children,
               right->count * sizeof left->children[0]);
        left->items[left->count] = separator; /* moves down */
    } else {
        item_unref(separator);
    }
    left->count = (uint16_t)(left->count + right->count);
    left->pairs += right->pairs;
    left->bytes += right->bytes;
    tree__set_heads(left);
    free(right);
    close_slot(parent, position + 1u);
}

/* The child at `position` lost its last slot. */
static void drop_child(struct tree *parent, uint32_t position)
{
    assert(parent->children[position]->refs == 1);
    free(parent->children[position]);
    /* The first child has no separator of its own: the next one's goes. */
    uint32_t separator = position > 0 ? position : 1u;
    if (separator < parent->count) {
        item_unref(parent->items[separator]);
        parent->items[separator] = NULL;
    }
    close_slot(parent, position);
    if (parent->count > 0) parent->items[0] = NULL;
}

static void shrink_child(struct tree *parent, uint32_t position)
{
    uint32_t count = parent->children[position]->count;
    if (count == 0) {
        drop_child(parent, position);
        return;
    }
    if (count >= TREE_MERGE_BELOW) return;
    if (position > 0 && parent->children[position - 1u]->count + count <= TREE_MERGED_MAX) {
        merge_children(parent, position - 1u);
    } else if (position + 1u < parent->count &&
               parent->children[position + 1u]->count + count <= TREE_MERGED_MAX) {
        merge_children(parent, position);
    }
}

/* The key is there. Returns the bytes of its pair. */
static uint64_t remove_from_node(struct tree **slot, struct tree_slice key)
{
    struct tree *node = make_own(slot);
    uint64_t bytes;
    if (node->height == 0) {
        bool found;
        uint32_t position = tree__leaf_position(node, key, &found);
        assert(found);
        struct tree_item *item = node->items[position];
        bytes = item_bytes(item);
        close_slot(node, position);
        item_unref(item);
    } else {
        uint32_t position = tree__child_position(node, key);
        bytes = remove_from_node(&node->children[position], key);
        shrink_child(node, position);
    }
    node->pairs--;
    node->bytes -= bytes;
    return bytes;
}

bool tree_remove(struct tree **tree, struct tree_slice key)
{
    assert(tree);
    struct tree_slice value;
    /* Asked first, so that a key that is not there copies nothing. */
    if (!tree_get(*tree, key, &value)) return false;
    remove_from_node(tree, key);
    while (*tree && (*tree)->count <= 1u) {
        struct tree *root = *tree;
        if (root->height == 0) {
            if (root->count > 0) break;
            *tree = NULL;
        } else {
            assert(root->count == 1);
            *tree = root->children[0];
        }
        assert(root->refs == 1);
        free(root);
    }
    return true;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

bool tree_get(const struct tree *tree, struct tree_slice key, struct tree_slice *ret_value)
{
    if (!tree) return false;
    while (tree->height > 0)
        tree = tree->children[tree__child_position(tree, key)];
    bool found;
    uint32_t position = tree__leaf_position(tree, key, &found);
    if (!found) return false;
    *ret_value = tree__item_value(tree->items[position]);
    return true;
}

uint64_t tree_count(const struct tree *tree)
{
    return tree ? tree->pairs : 0;
}

uint64_t tree_bytes(const struct tree *tree)
{
    return tree ? tree->bytes : 0;
}
