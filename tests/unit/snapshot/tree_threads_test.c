/* A frozen version is read by a writer thread while its owner goes on changing the tree: goal is that the reader sees
 * the version as it was frozen, and that ThreadSanitizer sees no race. A plain program, because Criterion does not
 * start under ThreadSanitizer. */
#include <snapshot/tree.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 30u
#define KEYS   5000u

struct job {
    const struct tree *frozen;
    uint64_t digest;
    uint64_t bytes;
};

static bool add_bytes(void *data, struct tree_slice key, struct tree_slice value)
{
    *(uint64_t *)data += key.bytes + value.bytes;
    return true;
}

static void *read_version(void *data)
{
    struct job *job = data;
    tree_visit(job->frozen, (struct tree_slice){0}, (struct tree_slice){0}, add_bytes, &job->bytes);
    job->digest = tree_digest(job->frozen);
    return NULL;
}

static void change(struct tree **tree, uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    uint64_t number = *random % KEYS;
    struct tree_slice key = {.data = &number, .bytes = sizeof number};
    if (*random >> 60 == 0) {
        tree_remove(tree, key);
    } else {
        tree_put(tree, key,
                 (struct tree_slice){.data = random, .bytes = (uint32_t)(*random >> 61)});
    }
}

int main(void)
{
    struct tree *tree = NULL;
    uint64_t random = 12345;
    for (uint32_t i = 0; i < KEYS * 2; i++)
        change(&tree, &random);

    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct tree *frozen = tree_ref(tree);
        struct job job = {.frozen = frozen};
        uint64_t digest = tree_digest(frozen), bytes = tree_bytes(frozen);
        pthread_t thread;
        if (pthread_create(&thread, NULL, read_version, &job) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            return EXIT_FAILURE;
        }
        for (uint32_t i = 0; i < KEYS; i++)
            change(&tree, &random);
        pthread_join(thread, NULL);
        if (job.digest != digest || job.bytes != bytes) {
            fprintf(stderr, "round %u: the frozen version changed\n", round);
            return EXIT_FAILURE;
        }
        tree_unref(frozen);
    }
    tree_unref(tree);
    printf("ok - %u versions were read while the tree changed\n", ROUNDS);
    return EXIT_SUCCESS;
}
