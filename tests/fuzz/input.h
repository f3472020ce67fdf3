/* The bytes of one run of a fuzz target, taken from the front. What is missing is zero, so every input means something. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A promise of the code under test. Says which one before it ends the process, in every build. */
#define fuzz_check(condition, ...)                                                  \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                           \
            fputc('\n', stderr);                                                    \
            abort();                                                                \
        }                                                                           \
    } while (0)

struct fuzz_input {
    const uint8_t *data;
    size_t bytes;
};

static inline uint8_t fuzz_take_u8(struct fuzz_input *input)
{
    if (input->bytes == 0) return 0;
    input->bytes--;
    return *input->data++;
}

static inline uint16_t fuzz_take_u16(struct fuzz_input *input)
{
    uint16_t low = fuzz_take_u8(input);
    return (uint16_t)(low | fuzz_take_u8(input) << 8);
}

/* At most `bytes` of them; borrowed from the input. */
static inline const uint8_t *fuzz_take(struct fuzz_input *input, size_t bytes, size_t *ret_bytes)
{
    const uint8_t *start = input->data;
    *ret_bytes = bytes < input->bytes ? bytes : input->bytes;
    input->data += *ret_bytes;
    input->bytes -= *ret_bytes;
    return start;
}

#endif
