/* The implementations behind crc32c(); a test compares them. They take and return the bare register, without the
 * inversions at both ends. */
#ifndef WIRE_CRC32C_H
#define WIRE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crc32c_implementation {
    const char *name;
    bool (*is_usable)(void); /* on this processor */
    uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t bytes);
};

/* Fastest first; the last one is usable everywhere. */
extern const struct crc32c_implementation crc32c__implementations[];
extern const uint32_t crc32c__implementations_count;

#endif
