/* States that wait for their turn, first in first out, in chunks that go as they are read. */
#ifndef EXPLORE_QUEUE_H
#define EXPLORE_QUEUE_H

#include "world.h"

#define QUEUE_CHUNK_BYTES (4u << 20)

struct queue_chunk {
    struct queue_chunk *next;
    size_t end;
    uint8_t bytes[QUEUE_CHUNK_BYTES];
};

struct queue {
    struct queue_chunk *first;
    struct queue_chunk *last;
    size_t read_at;
    uint64_t count;
};

void queue_push(struct queue *queue, const struct world *world);
/* Valid until the next queue_pop(). */
const struct world *queue_pop(struct queue *queue);
void queue_clear(struct queue *queue);

#endif
