/* Random work on the tree, compared step by step with a sorted array, while older versions are held: goal is that no
 * change is ever seen through an older reference, and that the shape of the tree never shows. */
#include "tree_model.h"

#include "tree_node.h"

#include <stdio.h>

#define VERSIONS_MAX 16u

struct world {
    struct tree *tree;
    struct model model;
    struct tree *held[VERSIONS_MAX];
    struct model *held_models[VERSIONS_MAX];
    uint64_t random;
    uint32_t keys_max;
    uint32_t style;
};

static uint64_t draw(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

/* Keys of three styles: a long shared beginning; binary numbers; short strings of few letters, many of which are the
 * beginning of others. */
static uint32_t draw_key(struct world *world, uint8_t *key)
{
    uint64_t number = draw(world) % world->keys_max;
    if (world->style == 0)
        return (uint32_t)snprintf((char *)key, MODEL_KEY_MAX, "group/%05u", (unsigned)number);
    if (world->style == 1) {
        uint64_t swapped = __builtin_bswap64(number * UINT64_C(0x9e3779b97f4a7c15));
        memcpy(key, &swapped, sizeof swapped);
        return sizeof swapped;
    }
    uint32_t bytes = 0;
    for (; number > 0 && bytes < MODEL_KEY_MAX; number /= 3) {
        key[bytes++] = (uint8_t) "\0a\xff"[number % 3];
    }
    return bytes;
}

static void step(struct world *world, uint32_t removes_percent)
{
    uint8_t key_bytes[MODEL_KEY_MAX], value_bytes[MODEL_VALUE_MAX];
    struct tree_slice key = {.data = key_bytes, .bytes = draw_key(world, key_bytes)};
    if (draw(world) % 100 < removes_percent) {
        cr_assert_eq(tree_remove(&world->tree, key), model_remove(&world->model, key));
        return;
    }
    for (uint32_t i = 0; i < MODEL_VALUE_MAX; i++)
        value_bytes[i] = (uint8_t)draw(world);
    struct tree_slice value = {.data = value_bytes,
                               .bytes = (uint32_t)(draw(world) % (MODEL_VALUE_MAX + 1))};
    tree_put(&world->tree, key, value);
    model_put(&world->model, key, value);
}

static void hold_version(struct world *world)
{
    uint32_t place = (uint32_t)(draw(world) % VERSIONS_MAX);
    if (world->held_models[place]) {
        model_expect_same(world->held_models[place], world->held[place]);
        cr_assert(tree__is_sound(world->held[place]));
        tree_unref(world->held[place]);
    } else {
        world->held_models[place] = malloc(sizeof(struct model));
    }
    world->held[place] = tree_ref(world->tree);
    *world->held_models[place] = world->model;
}

static void expect_lookups(struct world *world)
{
    uint8_t key_bytes[MODEL_KEY_MAX];
    struct tree_slice key = {.data = key_bytes, .bytes = draw_key(world, key_bytes)}, value;
    bool found;
    uint32_t position = model_find(&world->model, key, &found);
    cr_assert_eq(tree_get(world->tree, key, &value), found);
    if (found) {
        cr_assert_eq(value.bytes, world->model.pairs[position].value_bytes);
        cr_assert_eq(memcmp(value.data, world->model.pairs[position].value, value.bytes), 0);
    }

    /* A walk from anywhere, ended by the callback after a few pairs. */
    struct model_cursor cursor = {.model = &world->model, .position = position, .visits_max = 5};
    tree_visit(world->tree, key, (struct tree_slice){0}, model_expect_next, &cursor);
    uint32_t left = world->model.count - position;
    cr_assert_eq(cursor.visited, left < 5 ? left : 5);

    /* A walk over one prefix meets exactly the keys that have it. */
    struct tree_slice prefix = {.data = key_bytes,
                                .bytes = key.bytes > 2 ? key.bytes - 2 : key.bytes};
    uint32_t first = model_find(&world->model, prefix, &found), expected = 0;
    for (uint32_t i = first; i < world->model.count && prefix.bytes > 0; i++) {
        const struct model_pair *pair = &world->model.pairs[i];
        if (pair->key_bytes < prefix.bytes || memcmp(pair->key, prefix.data, prefix.bytes) != 0)
            break;
        expected++;
    }
    if (prefix.bytes == 0) expected = world->model.count;
    cursor =
        (struct model_cursor){.model = &world->model, .position = first, .visits_max = UINT32_MAX};
    tree_visit(world->tree, (struct tree_slice){0}, prefix, model_expect_next, &cursor);
    cr_assert_eq(cursor.visited, expected);
}

static void run(uint64_t seed, uint32_t style, uint32_t keys_max, uint32_t steps)
{
    struct world *world = calloc(1, sizeof *world);
    world->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world->style = style;
    world->keys_max = keys_max;
    for (uint32_t i = 0; i < steps; i++) {
        /* Waves: mostly growing, then mostly shrinking down to nothing. */
        step(world, i / (steps / 4) % 2 == 0 ? 20 : 85);
        if (draw(world) % 7 == 0) expect_lookups(world);
        if (draw(world) % 50 == 0) hold_version(world);
        if (i % 64 == 0) {
            cr_assert(tree__is_sound(world->tree));
            model_expect_same(&world->model, world->tree);
        }
    }
    for (uint32_t i = 0; i < VERSIONS_MAX; i++) {
        if (!world->held_models[i]) continue;
        model_expect_same(world->held_models[i], world->held[i]);
        tree_unref(world->held[i]);
        free(world->held_models[i]);
    }
    while (world->model.count > 0) {
        struct model_pair *pair = &world->model.pairs[world->model.count / 2];
        uint8_t key[MODEL_KEY_MAX];
        memcpy(key, pair->key, pair->key_bytes);
        struct tree_slice slice = {.data = key, .bytes = pair->key_bytes};
        cr_assert(tree_remove(&world->tree, slice));
        cr_assert(model_remove(&world->model, slice));
    }
    cr_assert_null(world->tree);
    free(world);
}

Test(tree_model, every_version_reads_as_it_was_with_readable_keys)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(seed, 0, 1500, 6000);
}

Test(tree_model, every_version_reads_as_it_was_with_scattered_numbers)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(seed, 1, 1500, 6000);
}

Test(tree_model, every_version_reads_as_it_was_with_keys_that_begin_others)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(seed, 2, 1500, 6000);
}

Test(tree_model, a_small_key_space_that_empties_again_and_again_stays_exact)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        run(seed, (uint32_t)(seed % 3), 40, 2000);
}

Test(tree_model, the_digest_depends_on_the_content_and_not_on_the_history)
{
    struct world *world = calloc(1, sizeof *world);
    world->random = 99;
    world->keys_max = 800;
    for (uint32_t i = 0; i < 4000; i++)
        step(world, 40);

    /* The same pairs, put in falling order into a fresh tree. */
    struct tree *other = NULL;
    for (uint32_t i = world->model.count; i > 0; i--) {
        const struct model_pair *pair = &world->model.pairs[i - 1];
        tree_put(&other, (struct tree_slice){.data = pair->key, .bytes = pair->key_bytes},
                 (struct tree_slice){.data = pair->value, .bytes = pair->value_bytes});
    }
    cr_assert_eq(tree_digest(world->tree), tree_digest(other));
    step(world, 0);
    cr_assert_neq(tree_digest(world->tree), tree_digest(other));
    tree_unref(world->tree);
    tree_unref(other);
    free(world);
}
