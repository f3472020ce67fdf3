/* A sorted array with the promises of the tree, slow and obvious: what the tree is compared with. */
#ifndef TESTS_TREE_MODEL_H
#define TESTS_TREE_MODEL_H

#include <snapshot/tree.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#define MODEL_PAIRS_MAX 2048u
#define MODEL_KEY_MAX   24u
#define MODEL_VALUE_MAX 40u

struct model_pair {
    uint8_t key[MODEL_KEY_MAX];
    uint32_t key_bytes;
    uint8_t value[MODEL_VALUE_MAX];
    uint32_t value_bytes;
};

struct model {
    struct model_pair pairs[MODEL_PAIRS_MAX];
    uint32_t count;
};

static inline int model_compare(const struct model_pair *pair, struct tree_slice key)
{
    uint32_t common = pair->key_bytes < key.bytes ? pair->key_bytes : key.bytes;
    int order = memcmp(pair->key, key.data, common);
    if (order != 0) return order;
    return (int)pair->key_bytes - (int)key.bytes;
}

/* Position of the first pair that is not below `key`. */
static inline uint32_t model_find(const struct model *model, struct tree_slice key, bool *ret_found)
{
    uint32_t position = 0;
    while (position < model->count && model_compare(&model->pairs[position], key) < 0)
        position++;
    *ret_found = position < model->count && model_compare(&model->pairs[position], key) == 0;
    return position;
}

static inline void model_put(struct model *model, struct tree_slice key, struct tree_slice value)
{
    bool found;
    uint32_t position = model_find(model, key, &found);
    struct model_pair *pair = &model->pairs[position];
    if (!found) {
        cr_assert_lt(model->count, MODEL_PAIRS_MAX);
        memmove(pair + 1, pair, (model->count - position) * sizeof *pair);
        model->count++;
    }
    memset(pair, 0, sizeof *pair);
    memcpy(pair->key, key.data, key.bytes);
    pair->key_bytes = key.bytes;
    memcpy(pair->value, value.data, value.bytes);
    pair->value_bytes = value.bytes;
}

static inline bool model_remove(struct model *model, struct tree_slice key)
{
    bool found;
    uint32_t position = model_find(model, key, &found);
    if (!found) return false;
    struct model_pair *pair = &model->pairs[position];
    memmove(pair, pair + 1, (model->count - position - 1u) * sizeof *pair);
    model->count--;
    return true;
}

struct model_cursor {
    const struct model *model;
    uint32_t position;
    uint32_t visited;
    uint32_t visits_max;
};

static inline bool model_expect_next(void *data, struct tree_slice key, struct tree_slice value)
{
    struct model_cursor *cursor = data;
    cr_assert_lt(cursor->position, cursor->model->count, "a pair too many");
    const struct model_pair *pair = &cursor->model->pairs[cursor->position++];
    cr_assert_eq(model_compare(pair, key), 0, "another key at %u", cursor->position - 1);
    cr_assert_eq(pair->value_bytes, value.bytes);
    cr_assert_eq(memcmp(pair->value, value.data, value.bytes), 0);
    cursor->visited++;
    return cursor->visited < cursor->visits_max;
}

/* The version reads exactly as the model: all pairs in order, and the sums. */
static inline void model_expect_same(const struct model *model, const struct tree *tree)
{
    struct model_cursor cursor = {.model = model, .visits_max = UINT32_MAX};
    tree_visit(tree, (struct tree_slice){0}, (struct tree_slice){0}, model_expect_next, &cursor);
    cr_assert_eq(cursor.visited, model->count);
    cr_assert_eq(tree_count(tree), model->count);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        bytes += model->pairs[i].key_bytes + model->pairs[i].value_bytes;
    }
    cr_assert_eq(tree_bytes(tree), bytes);
}

#endif
