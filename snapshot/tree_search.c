/* Finding a place in a node: by the heads first, by whole keys only among equal heads (tree_node.h, invariant 5). */
#include "tree_node.h"

#include <assert.h>
#include <string.h>

int tree__compare(struct tree_slice key, const struct tree_item *item)
{
    uint32_t common = key.bytes < item->key_bytes ? key.bytes : item->key_bytes;
    int order = common > 0 ? memcmp(key.data, item->data, common) : 0;
    if (order != 0) return order;
    return key.bytes < item->key_bytes ? -1 : key.bytes > item->key_bytes;
}

/* First slot of `node` that carries an item: separators start at 1. */
static uint32_t first_slot(const struct tree *node)
{
    return node->height > 0 ? 1 : 0;
}

/* The 8 bytes of a key behind its first prefix_bytes, as a number (invariant 5). */
static uint64_t head_of(struct tree_slice key, uint32_t prefix_bytes)
{
    uint8_t bytes[8] = {0};
    if (key.bytes > prefix_bytes) {
        uint32_t left = key.bytes - prefix_bytes;
        memcpy(bytes, (const uint8_t *)key.data + prefix_bytes, left < 8 ? left : 8);
    }
    uint64_t head;
    memcpy(&head, bytes, sizeof head);
    return __builtin_bswap64(head);
}

/* The first slot at or above first_slot() whose item is >= key (`after_equal` = false) or > key (true). */
static uint32_t bound(const struct tree *node, struct tree_slice key, bool after_equal)
{
    uint32_t low = first_slot(node), high = node->count;
    if (low == high) return low;

    /* The shared beginning is read from any one item; a key that differs there is outside of them all. */
    uint32_t prefix = node->prefix_bytes;
    uint32_t common = key.bytes < prefix ? key.bytes : prefix;
    int order = common > 0 ? memcmp(key.data, node->items[low]->data, common) : 0;
    if (order > 0) return high;
    if (order < 0 || key.bytes < prefix) return low;

    uint64_t head = head_of(key, prefix);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int item_order; /* of the key against the item */
        if (head != node->heads[middle]) {
            item_order = head < node->heads[middle] ? -1 : 1;
        } else {
            item_order = tree__compare(key, node->items[middle]);
        }
        if (item_order > 0 || (item_order == 0 && after_equal)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t tree__leaf_position(const struct tree *leaf, struct tree_slice key, bool *ret_found)
{
    assert(leaf->height == 0);
    uint32_t position = bound(leaf, key, /* after_equal= */ false);
    *ret_found = position < leaf->count && tree__compare(key, leaf->items[position]) == 0;
    return position;
}

uint32_t tree__child_position(const struct tree *node, struct tree_slice key)
{
    assert(node->height > 0);
    return bound(node, key, /* after_equal= */ true) - 1;
}

/* The bytes that the first and the last item share; what stands between them shares them as well. */
static uint32_t shared_bytes(const struct tree *node)
{
    uint32_t first = first_slot(node);
    if (first >= node->count) return 0;
    const struct tree_item *a = node->items[first], *b = node->items[node->count - 1];
    uint32_t bytes_max = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    uint32_t bytes = 0;
    while (bytes < bytes_max && a->data[bytes] == b->data[bytes])
        bytes++;
    return bytes;
}

void tree__set_heads(struct tree *node)
{
    node->prefix_bytes = (uint16_t)shared_bytes(node);
    for (uint32_t i = first_slot(node); i < node->count; i++) {
        node->heads[i] = head_of(tree__item_key(node->items[i]), node->prefix_bytes);
    }
}

void tree__set_head(struct tree *node, uint32_t position)
{
    uint32_t first = first_slot(node), last = node->count - 1u;
    const struct tree_item *item = node->items[position];
    if (position == first || position == last) {
        /* A new outermost item may share less than the others do among themselves. */
        const struct tree_item *other = node->items[position == first ? last : first];
        if (item->key_bytes < node->prefix_bytes ||
            memcmp(item->data, other->data, node->prefix_bytes) != 0) {
            tree__set_heads(node);
            return;
        }
    }
    node->heads[position] = head_of(tree__item_key(item), node->prefix_bytes);
}

/* ---- the invariants, for tests ------------------------------------------------------------------------------ */

static bool has_sound_heads(const struct tree *node)
{
    uint32_t first = first_slot(node);
    for (uint32_t i = first; i < node->count; i++) {
        const struct tree_item *item = node->items[i];
        if (item->refs == 0) return false;
        if (item->key_bytes < node->prefix_bytes) return false;
        if (memcmp(item->data, node->items[first]->data, node->prefix_bytes) != 0) return false;
        if (node->heads[i] != head_of(tree__item_key(item), node->prefix_bytes)) return false;
    }
    return true;
}

static bool is_below(const struct tree_item *a, const struct tree_item *b)
{
    return tree__compare(tree__item_key(a), b) < 0;
}

/* `low` and `high` are the separators around the node, NULL at the edges of the tree. */
static bool is_sound(const struct tree *node, const struct tree_item *low,
                     const struct tree_item *high)
{
    uint32_t first = first_slot(node);
    if (node->refs == 0 || node->count == 0 || node->count > TREE_FANOUT) return false;
    if (node->height > 0 && node->items[0] != NULL) return false;
    if (!has_sound_heads(node)) return false;
    for (uint32_t i = first; i < node->count; i++) {
        if (low && is_below(node->items[i], low)) return false;
        if (high && !is_below(node->items[i], high)) return false;
        if (i > first && !is_below(node->items[i - 1], node->items[i])) return false;
    }

    uint64_t pairs = 0, bytes = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        if (node->height == 0) {
            pairs++;
            bytes += (uint64_t)node->items[i]->key_bytes + node->items[i]->value_bytes;
            continue;
        }
        const struct tree *child = node->children[i];
        if (child->height + 1u != node->height) return false;
        const struct tree_item *child_low = i == 0 ? low : node->items[i];
        const struct tree_item *child_high = i + 1u == node->count ? high : node->items[i + 1];
        if (!is_sound(child, child_low, child_high)) return false;
        pairs += child->pairs;
        bytes += child->bytes;
    }
    return pairs == node->pairs && bytes == node->bytes;
}

bool tree__is_sound(const struct tree *tree)
{
    if (!tree) return true;
    if (tree->height > 0 && tree->count < 2) return false;
    return is_sound(tree, NULL, NULL);
}
