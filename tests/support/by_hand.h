/* Bytes written by hand from a page of docs/FORMATS.md: number by number, as wide as the page says. It shares nothing with
 * the code that writes the real ones, so that page and code cannot come to differ unseen. */
#ifndef BY_HAND_H
#define BY_HAND_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BY_HAND_BYTES_MAX 4096u

struct by_hand {
    uint8_t bytes[BY_HAND_BYTES_MAX];
    size_t count;
};

/* A number of so many bytes, little endian. */
static inline void by_hand_put(struct by_hand *hand, size_t bytes, uint64_t value)
{
    assert(hand->count + bytes <= BY_HAND_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++)
        hand->bytes[hand->count++] = i < sizeof(value) ? (uint8_t)(value >> 8u * i) : 0;
}

static inline void by_hand_put_bytes(struct by_hand *hand, const void *data, size_t bytes)
{
    assert(hand->count + bytes <= BY_HAND_BYTES_MAX);
    memcpy(hand->bytes + hand->count, data, bytes);
    hand->count += bytes;
}

/* Its length (2) and its bytes. */
static inline void by_hand_put_text(struct by_hand *hand, const char *text)
{
    by_hand_put(hand, 2, strlen(text));
    by_hand_put_bytes(hand, text, strlen(text));
}

static inline void by_hand_pad(struct by_hand *hand, size_t multiple)
{
    while (hand->count % multiple != 0)
        by_hand_put(hand, 1, 0);
}

#endif
