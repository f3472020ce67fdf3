/* A persistent, reference-counted, copy-on-write ordered map from byte strings to byte strings.
 *
 * A `struct tree *` is an immutable version of the map: taking another reference is O(1) and freezes it for ever, which
 * is how a snapshot is taken (PROTOCOL S1). tree_put and tree_remove replace the caller's reference by one to a new
 * version, copying only the path that they change, and change nodes in place that no other version shares.
 *
 * The empty map is NULL. Keys are ordered by memcmp, a shorter key before a longer one with the same beginning.
 * Only the thread that owns the state changes reference counts; a frozen version may be *read* from another thread as
 * long as the owner keeps a reference for it. */
#ifndef SNAPSHOT_TREE_H
#define SNAPSHOT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree;

#define TREE_KEY_BYTES_MAX   1024u
#define TREE_VALUE_BYTES_MAX (1024u * 1024u)

struct tree_slice {
    const void *data;
    uint32_t bytes;
};

struct tree *tree_ref(struct tree *tree); /* NULL in, NULL out */
void tree_unref(struct tree *tree);

/* Borrowed until the version is unreferenced or changed in place by its only owner. O(log n). */
bool tree_get(const struct tree *tree, struct tree_slice key, struct tree_slice *ret_value);

/* Copies key and value. O(log n). Aborts when there is no memory. */
void tree_put(struct tree **tree, struct tree_slice key, struct tree_slice value);
bool tree_remove(struct tree **tree, struct tree_slice key); /* false: there was none */

uint64_t tree_count(const struct tree *tree); /* O(1) */
uint64_t tree_bytes(const struct tree *tree); /* keys and values, O(1) */

/* Call cb for every pair with key >= from (and beginning with `prefix` when prefix.bytes > 0), in order, until it
 * returns false. */
typedef bool (*tree_visit_cb)(void *data, struct tree_slice key, struct tree_slice value);
void tree_visit(const struct tree *tree, struct tree_slice from, struct tree_slice prefix,
                tree_visit_cb cb, void *data);

/* Order-independent content digest of a version: equal maps, equal digests. O(n). */
uint64_t tree_digest(const struct tree *tree);

#endif
