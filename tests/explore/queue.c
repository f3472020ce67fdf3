#include "queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct queue_chunk *new_chunk(void)
{
    struct queue_chunk *chunk = universe_grow(NULL, 1, sizeof *chunk);
    chunk->next = NULL;
    chunk->end = 0;
    return chunk;
}

void queue_push(struct queue *queue, const struct world *world)
{
    size_t bytes = world_bytes(world);
    if (queue->last == NULL) {
        queue->first = queue->last = new_chunk();
        queue->read_at = 0;
    }
    if (queue->last->end + bytes > QUEUE_CHUNK_BYTES) {
        queue->last->next = new_chunk();
        queue->last = queue->last->next;
    }
    memcpy(queue->last->bytes + queue->last->end, world, bytes);
    queue->last->end += bytes;
    queue->count++;
}

const struct world *queue_pop(struct queue *queue)
{
    assert(queue->count > 0);
    if (queue->read_at == queue->first->end) {
        struct queue_chunk *done = queue->first;
        queue->first = done->next;
        queue->read_at = 0;
        free(done);
    }
    const struct world *world = (const struct world *)(queue->first->bytes + queue->read_at);
    queue->read_at += world_bytes(world);
    queue->count--;
    return world;
}

void queue_clear(struct queue *queue)
{
    while (queue->first != NULL) {
        struct queue_chunk *done = queue->first;
        queue->first = done->next;
        free(done);
    }
    *queue = (struct queue){0};
}
