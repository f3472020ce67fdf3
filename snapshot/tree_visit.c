/* Walks over a version: visiting pairs in order, and the digest. Nothing here changes a node or a reference count,
 * so a frozen version may be walked by another thread. */
#include "tree_node.h"

#include <assert.h>
#include <string.h>

struct visit {
    struct tree_slice from; /* bounds the first path only */
    struct tree_slice prefix;
    tree_visit_cb cb;
    void *data;
};

static bool has_prefix(const struct tree_item *item, struct tree_slice prefix)
{
    return prefix.bytes == 0 ||
           (item->key_bytes >= prefix.bytes && memcmp(item->data, prefix.data, prefix.bytes) == 0);
}

/* False ends the walk. `bounded`: the path to `from` still leads through this node. */
static bool visit_node(const struct visit *visit, const struct tree *node, bool bounded)
{
    uint32_t first = 0;
    bool found;
    if (node->height == 0) {
        if (bounded) first = tree__leaf_position(node, visit->from, &found);
        for (uint32_t i = first; i < node->count; i++) {
            const struct tree_item *item = node->items[i];
            /* The walk starts at or above the prefix: the first key without it is above all that have it. */
            if (!has_prefix(item, visit->prefix)) return false;
            if (!visit->cb(visit->data, tree__item_key(item), tree__item_value(item))) return false;
        }
        return true;
    }
    if (bounded) first = tree__child_position(node, visit->from);
    for (uint32_t i = first; i < node->count; i++) {
        if (!visit_node(visit, node->children[i], bounded && i == first)) return false;
    }
    return true;
}

static int compare_slices(struct tree_slice a, struct tree_slice b)
{
    uint32_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) return order;
    return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

void tree_visit(const struct tree *tree, struct tree_slice from, struct tree_slice prefix,
                tree_visit_cb cb, void *data)
{
    assert(cb);
    if (!tree) return;
    struct visit visit = {
        .from = compare_slices(from, prefix) < 0 ? prefix : from,
        .prefix = prefix,
        .cb = cb,
        .data = data,
    };
    visit_node(&visit, tree, visit.from.bytes > 0);
}

/* ---- digest --------------------------------------------------------------------------------------------------- */

/* The finalizer of splitmix64: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t digest_bytes(uint64_t state, struct tree_slice slice)
{
    const uint8_t *bytes = slice.data;
    /* The length first, so that moving bytes between key and value changes the digest. */
    state = mix(state + UINT64_C(0x9e3779b97f4a7c15) + slice.bytes);
    for (uint32_t pos = 0; pos < slice.bytes; pos += 8) {
        uint64_t word = 0;
        uint32_t left = slice.bytes - pos;
        memcpy(&word, bytes + pos, left < 8 ? left : 8);
        state = mix(state ^ __builtin_bswap64(word)) + UINT64_C(0x9e3779b97f4a7c15);
    }
    return state;
}

static bool add_to_digest(void *data, struct tree_slice key, struct tree_slice value)
{
    uint64_t *digest = data;
    /* A sum does not depend on the order, so neither does the digest on the shape of the tree. */
    *digest += mix(digest_bytes(digest_bytes(0, key), value));
    return true;
}

uint64_t tree_digest(const struct tree *tree)
{
    uint64_t digest = tree_count(tree);
    struct tree_slice none = {0};
    tree_visit(tree, none, none, add_to_digest, &digest);
    return digest;
}
