/* The nodes of a tree, shared by tree.c (changes) and tree_visit.c (walks). Private to snapshot/.
 *
 * A B+tree: pairs stand in the leaves, inner nodes hold separators. Invariants, checked by tree__is_sound():
 *   1. Leaves have height 0, every child of a node has the node's height - 1.
 *   2. Every node has 1..TREE_FANOUT slots; a root above height 0 has at least 2.
 *   3. items[] of a leaf are pairs in ascending order. items[i] of an inner node, i >= 1, is a key without a value:
 *      every key below children[i - 1] is smaller, none below children[i] is. items[0] is NULL.
 *   4. pairs and bytes are the sums of the subtree.
 *   5. prefix_bytes is a number of first bytes that all items of the node share; heads[i] is the next 8 bytes of
 *      item i as a big-endian number, zero-filled. So heads order as keys do as long as they differ, and a search
 *      reads one array instead of one allocation per comparison.
 *   6. refs counts the parents and the holders of references. A node with refs = 1 that is reached only through
 *      nodes with refs = 1 belongs to one version alone and may be changed in place; all others are immutable.
 *
 * There is no lower bound on the slots of a node but 1: a removal merges a node that fell under TREE_MERGE_BELOW with
 * a neighbour when both fit well in one, which keeps two neighbours above TREE_MERGED_MAX slots together and so the
 * height logarithmic. */
#ifndef SNAPSHOT_TREE_NODE_H
#define SNAPSHOT_TREE_NODE_H

#include <snapshot/tree.h>

#define TREE_FANOUT      32u
#define TREE_MERGE_BELOW (TREE_FANOUT / 4u)
#define TREE_MERGED_MAX  (TREE_FANOUT * 3u / 4u)

/* One pair, or one separator (value_bytes = 0): the key, then the value. Shared by the nodes that point at it. */
struct tree_item {
    uint32_t refs;
    uint32_t value_bytes;
    uint16_t key_bytes;
    uint8_t data[];
};

struct tree {
    uint32_t refs;
    uint16_t count;
    uint16_t height;
    uint16_t prefix_bytes;
    uint64_t pairs;
    uint64_t bytes;
    uint64_t heads[TREE_FANOUT];
    struct tree_item *items[TREE_FANOUT];
    struct tree *children[]; /* TREE_FANOUT of them, in inner nodes only */
};

/* <0, 0, >0 as memcmp, a shorter key before a longer one with the same beginning. */
int tree__compare(struct tree_slice key, const struct tree_item *item);

/* Position of the first item of a leaf that is not below `key`. */
uint32_t tree__leaf_position(const struct tree *leaf, struct tree_slice key, bool *ret_found);
/* Position of the child of an inner node that holds `key` if any does. */
uint32_t tree__child_position(const struct tree *node, struct tree_slice key);

/* Restore invariant 5: after any change of the items, or after the item at `position` alone was put in. */
void tree__set_heads(struct tree *node);
void tree__set_head(struct tree *node, uint32_t position);

static inline struct tree_slice tree__item_key(const struct tree_item *item)
{
    return (struct tree_slice){.data = item->data, .bytes = item->key_bytes};
}

static inline struct tree_slice tree__item_value(const struct tree_item *item)
{
    return (struct tree_slice){.data = item->data + item->key_bytes, .bytes = item->value_bytes};
}

/* All invariants of every node. O(n); for tests. */
bool tree__is_sound(const struct tree *tree);

#endif
