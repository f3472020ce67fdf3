/* CRC-32C: the published values, and that every implementation this processor can run agrees with the definition. */
#include "crc32c.h"

#include <broker/record_batch.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3720 §B.4, and the check value of the CRC catalogue. */
Test(crc32c, published_values)
{
    uint8_t bytes[32];
    cr_assert_eq(crc32c(0, "123456789", 9), 0xE3069283u);
    memset(bytes, 0, sizeof(bytes));
    cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), 0x8A9136AAu);
    memset(bytes, 0xff, sizeof(bytes));
    cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), 0x62A8AB43u);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), 0x46DD794Eu);
    cr_assert_eq(crc32c(0, NULL, 0), 0);
}

static uint32_t bit_by_bit(uint32_t crc, const uint8_t *data, size_t bytes)
{
    for (; bytes > 0; data++, bytes--) {
        crc ^= *data;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1u ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
        }
    }
    return crc;
}

/* Lengths around every block size, at every alignment, in a buffer of exactly that size so that the sanitizer sees a
 * read beyond it. */
Test(crc32c, every_implementation_agrees_with_the_definition)
{
    srand(1);
    uint32_t usable_count = 0;
    for (uint32_t i = 0; i < crc32c__implementations_count; i++) {
        const struct crc32c_implementation *implementation = &crc32c__implementations[i];
        if (!implementation->is_usable()) continue;
        usable_count++;
        for (int round = 0; round < 1500; round++) {
            size_t bytes = round < 800 ? (size_t)round : (size_t)rand() % 10000;
            size_t offset = (size_t)rand() % 16;
            uint8_t *memory = malloc(offset + bytes + 1);
            for (size_t k = 0; k < offset + bytes; k++) {
                memory[k] = (uint8_t)rand();
            }
            uint32_t start = (uint32_t)rand();
            uint8_t *exact = realloc(memory, offset + bytes ? offset + bytes : 1);
            cr_assert_eq(implementation->update(start, exact + offset, bytes),
                         bit_by_bit(start, exact + offset, bytes), "%s, %zu bytes at +%zu",
                         implementation->name, bytes, offset);
            free(exact);
        }
    }
    cr_assert_geq(usable_count, 1);
}

Test(crc32c, pieces_give_the_same_as_the_whole)
{
    static uint8_t bytes[9000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * i);
    }
    uint32_t whole = crc32c(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut += 37) {
        cr_assert_eq(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut), whole);
    }
}
