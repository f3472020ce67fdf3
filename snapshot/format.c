/* Encoding and decoding of the parts of a snapshot file, and the names of the files. No I/O. */
#include "format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC_HEADER  "RMQS"
#define MAGIC_BLOCK   "RMQB"
#define MAGIC_TRAILER "RMQF"
#define MAGIC_BYTES   4u

const char *snapshot_status_text(enum snapshot_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        SNAPSHOT_STATUSES(X)
#undef X
    }
    return "unknown status";
}

/* ---- numbers -------------------------------------------------------------------------------------------------------- */

static void put(uint8_t *bytes, uint64_t value, size_t bytes_count)
{
    for (size_t i = 0; i < bytes_count; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *bytes, size_t bytes_count)
{
    uint64_t value = 0;
    for (size_t i = bytes_count; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static bool is_zero(const uint8_t *bytes, size_t bytes_count)
{
    for (size_t i = 0; i < bytes_count; i++) {
        if (bytes[i] != 0) return false;
    }
    return true;
}

/* ---- checksums -------------------------------------------------------------------------------------------------------- */

uint64_t snapshot__checksum(const uint8_t *first, size_t first_bytes, const void *second,
                            size_t second_bytes, uint64_t seed)
{
    const size_t behind = SNAPSHOT_CHECKSUM_POS + SNAPSHOT_CHECKSUM_BYTES;
    assert(first_bytes >= behind);
    struct iovec parts[3] = {
        {.iov_base = (void *)(uintptr_t)first, .iov_len = SNAPSHOT_CHECKSUM_POS},
        {.iov_base = (void *)(uintptr_t)(first + behind), .iov_len = first_bytes - behind},
        {.iov_base = (void *)(uintptr_t)second, .iov_len = second_bytes},
    };
    return checksum64_parts(parts, second_bytes > 0 ? 3 : 2, seed);
}

void snapshot__set_checksum(uint8_t *buffer, uint64_t checksum)
{
    put(buffer + SNAPSHOT_CHECKSUM_POS, checksum, SNAPSHOT_CHECKSUM_BYTES);
}

static uint64_t stored_checksum(const uint8_t *buffer)
{
    return get(buffer + SNAPSHOT_CHECKSUM_POS, SNAPSHOT_CHECKSUM_BYTES);
}

/* ---- header ------------------------------------------------------------------------------------------------------------ */

static_assert(SNAPSHOT_CONFIGURATION_BYTES_MAX % 8 == 0, "the padded maximum is the maximum");

uint32_t snapshot__header_bytes(uint32_t configuration_bytes)
{
    return SNAPSHOT_HEADER_FIXED_BYTES + ((configuration_bytes + 7u) & ~7u);
}

uint32_t snapshot__encode_header(const struct snapshot_header *header,
                                 const struct snapshot_extent *extent, uint8_t *buffer,
                                 uint64_t *ret_checksum)
{
    assert(header->configuration_bytes <= SNAPSHOT_CONFIGURATION_BYTES_MAX);
    uint32_t header_bytes = snapshot__header_bytes(header->configuration_bytes);
    memset(buffer, 0, header_bytes);
    memcpy(buffer, MAGIC_HEADER, MAGIC_BYTES);
    put(buffer + 4, SNAPSHOT_VERSION, 2);
    put(buffer + 6, (uint64_t)header->kind, 2);
    put(buffer + 16, header_bytes, 4);
    put(buffer + 20, header->configuration_bytes, 4);
    memcpy(buffer + 24, header->cluster.bytes, sizeof header->cluster.bytes);
    put(buffer + 40, header->group, 8);
    put(buffer + 48, header->point.index, 8);
    put(buffer + 56, header->point.term, 8);
    put(buffer + 64, header->point.chain, 8);
    put(buffer + 72, header->point.next_offset, 8);
    put(buffer + 80, (uint64_t)header->point.timestamp_ms, 8);
    put(buffer + 88, header->log_start_offset, 8);
    put(buffer + 96, header->configuration_index, 8);
    put(buffer + 104, extent->pairs_count, 8);
    put(buffer + 112, extent->pairs_bytes, 8);
    memcpy(buffer + SNAPSHOT_HEADER_FIXED_BYTES, header->configuration,
           header->configuration_bytes);
    *ret_checksum = snapshot__checksum(buffer, header_bytes, NULL, 0, 0);
    snapshot__set_checksum(buffer, *ret_checksum);
    return header_bytes;
}

const char *snapshot__header_extent(const uint8_t *buffer, uint32_t *ret_header_bytes)
{
    if (memcmp(buffer, MAGIC_HEADER, MAGIC_BYTES) != 0) return "no snapshot header";
    uint64_t header_bytes = get(buffer + 16, 4);
    if (header_bytes < SNAPSHOT_HEADER_FIXED_BYTES || header_bytes > SNAPSHOT_HEADER_BYTES_MAX) {
        return "header length out of range";
    }
    *ret_header_bytes = (uint32_t)header_bytes;
    return NULL;
}

const char *snapshot__decode_header(const uint8_t *buffer, uint32_t header_bytes,
                                    struct snapshot_header *ret_header,
                                    struct snapshot_extent *ret_extent, uint64_t *ret_checksum,
                                    enum snapshot_status *ret_status)
{
    uint64_t checksum = snapshot__checksum(buffer, header_bytes, NULL, 0, 0);
    *ret_status = SNAPSHOT_DAMAGED;
    if (checksum != stored_checksum(buffer)) return "header checksum does not match";
    if (get(buffer + 4, 2) != SNAPSHOT_VERSION) {
        /* Whole, so the version is true: magic, version, checksum and length keep their places in all of them. */
        *ret_status = SNAPSHOT_BAD_VERSION;
        return "another format version";
    }
    uint64_t kind = get(buffer + 6, 2);
    uint32_t configuration_bytes = (uint32_t)get(buffer + 20, 4);
    if ((kind != SNAPSHOT_BASE && kind != SNAPSHOT_CHECKPOINT) || !is_zero(buffer + 120, 8)) {
        *ret_status = SNAPSHOT_BAD_VERSION;
        return "a kind or a field of a newer version";
    }
    if (configuration_bytes > SNAPSHOT_CONFIGURATION_BYTES_MAX ||
        snapshot__header_bytes(configuration_bytes) != header_bytes) {
        return "configuration length does not fit the header";
    }
    const uint8_t *configuration = buffer + SNAPSHOT_HEADER_FIXED_BYTES;
    if (!is_zero(configuration + configuration_bytes,
                 header_bytes - SNAPSHOT_HEADER_FIXED_BYTES - configuration_bytes)) {
        *ret_status = SNAPSHOT_BAD_VERSION;
        return "padding is not zero";
    }
    struct snapshot_header header = {
        .kind = (enum snapshot_kind)kind,
        .group = get(buffer + 40, 8),
        .point = {.index = get(buffer + 48, 8),
                  .term = get(buffer + 56, 8),
                  .chain = get(buffer + 64, 8),
                  .next_offset = get(buffer + 72, 8),
                  .timestamp_ms = (int64_t)get(buffer + 80, 8)},
        .log_start_offset = get(buffer + 88, 8),
        .configuration_index = get(buffer + 96, 8),
        .configuration_bytes = configuration_bytes,
    };
    memcpy(header.cluster.bytes, buffer + 24, sizeof header.cluster.bytes);
    memcpy(header.configuration, configuration, configuration_bytes);
    if (header.log_start_offset > header.point.next_offset)
        return "log start above the next offset";
    if (header.configuration_index > header.point.index) return "configuration above the index";
    *ret_header = header;
    *ret_extent = (struct snapshot_extent){.pairs_count = get(buffer + 104, 8),
                                           .pairs_bytes = get(buffer + 112, 8)};
    *ret_checksum = checksum;
    return NULL;
}

/* ---- blocks, pairs, trailer ---------------------------------------------------------------------------------------------- */

void snapshot__encode_block(const struct snapshot_block *block, uint8_t *buffer)
{
    memset(buffer, 0, SNAPSHOT_BLOCK_HEADER_BYTES);
    memcpy(buffer, MAGIC_BLOCK, MAGIC_BYTES);
    put(buffer + 4, block->pairs_count, 4);
    put(buffer + 16, block->payload_bytes, 4);
}

const char *snapshot__decode_block(const uint8_t *buffer, struct snapshot_block *ret_block)
{
    if (memcmp(buffer, MAGIC_BLOCK, MAGIC_BYTES) != 0) return "no block starts here";
    struct snapshot_block block = {
        .pairs_count = (uint32_t)get(buffer + 4, 4),
        .payload_bytes = (uint32_t)get(buffer + 16, 4),
        .checksum = stored_checksum(buffer),
    };
    if (!is_zero(buffer + 20, 4)) return "block header padding is not zero";
    if (block.payload_bytes > SNAPSHOT_PAYLOAD_BYTES_MAX) return "block length out of range";
    if (block.pairs_count == 0 ||
        block.pairs_count > block.payload_bytes / SNAPSHOT_PAIR_HEADER_BYTES) {
        return "number of pairs does not fit the block";
    }
    *ret_block = block;
    return NULL;
}

void snapshot__encode_pair(uint16_t key_bytes, uint32_t value_bytes, uint8_t *buffer)
{
    put(buffer, key_bytes, 2);
    put(buffer + 2, 0, 2);
    put(buffer + 4, value_bytes, 4);
}

size_t snapshot__decode_pair(const uint8_t *bytes, size_t bytes_count, struct tree_slice *ret_key,
                             struct tree_slice *ret_value)
{
    if (bytes_count < SNAPSHOT_PAIR_HEADER_BYTES) return 0;
    uint32_t key_bytes = (uint32_t)get(bytes, 2);
    uint32_t value_bytes = (uint32_t)get(bytes + 4, 4);
    if (!is_zero(bytes + 2, 2)) return 0;
    if (key_bytes > TREE_KEY_BYTES_MAX || value_bytes > TREE_VALUE_BYTES_MAX) return 0;
    size_t pair_bytes = SNAPSHOT_PAIR_HEADER_BYTES + (size_t)key_bytes + value_bytes;
    if (pair_bytes > bytes_count) return 0;
    const uint8_t *key = bytes + SNAPSHOT_PAIR_HEADER_BYTES;
    *ret_key = (struct tree_slice){.data = key, .bytes = key_bytes};
    *ret_value = (struct tree_slice){.data = key + key_bytes, .bytes = value_bytes};
    return pair_bytes;
}

bool snapshot__is_trailer(const uint8_t *buffer)
{
    return memcmp(buffer, MAGIC_TRAILER, MAGIC_BYTES) == 0;
}

void snapshot__encode_trailer(struct snapshot_trailer *trailer, uint64_t seed, uint8_t *buffer)
{
    memset(buffer, 0, SNAPSHOT_TRAILER_BYTES);
    memcpy(buffer, MAGIC_TRAILER, MAGIC_BYTES);
    put(buffer + 16, trailer->blocks_count, 8);
    put(buffer + 24, trailer->file_bytes, 8);
    trailer->checksum = snapshot__checksum(buffer, SNAPSHOT_TRAILER_BYTES, NULL, 0, seed);
    snapshot__set_checksum(buffer, trailer->checksum);
}

const char *snapshot__decode_trailer(const uint8_t *buffer, uint64_t seed,
                                     struct snapshot_trailer *ret_trailer)
{
    uint64_t checksum = snapshot__checksum(buffer, SNAPSHOT_TRAILER_BYTES, NULL, 0, seed);
    if (checksum != stored_checksum(buffer)) return "trailer checksum does not match";
    if (!is_zero(buffer + 4, 4)) return "trailer padding is not zero";
    *ret_trailer = (struct snapshot_trailer){.blocks_count = get(buffer + 16, 8),
                                             .file_bytes = get(buffer + 24, 8),
                                             .checksum = checksum};
    return NULL;
}

/* ---- names and problems -------------------------------------------------------------------------------------------------- */

#define NAME_DIGITS 20u /* of 2^64, so that names sort as their indexes do */
#define NAME_SUFFIX ".snap"

static const char *kind_prefix(enum snapshot_kind kind)
{
    return kind == SNAPSHOT_BASE ? "base-" : "checkpoint-";
}

bool snapshot__path(const char *directory, enum snapshot_kind kind, uint64_t index,
                    const char *suffix, char ret_path[DISK_PATH_MAX])
{
    int bytes = snprintf(ret_path, DISK_PATH_MAX, "%s/%s%020" PRIu64 NAME_SUFFIX "%s", directory,
                         kind_prefix(kind), index, suffix);
    return bytes > 0 && (unsigned)bytes < DISK_PATH_MAX;
}

/* Exactly 20 digits, not above 2^64 - 1. */
static bool parse_digits(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < NAME_DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static const char *form_suffix(enum snapshot_form form)
{
    switch (form) {
    case SNAPSHOT_COPY:
        return SNAPSHOT_COPY_SUFFIX;
    case SNAPSHOT_FINAL:
        return "";
    case SNAPSHOT_TEMPORARY:
        return SNAPSHOT_TEMPORARY_SUFFIX;
    }
    assert(false);
    return "";
}

bool snapshot__file_path(const char *directory, const struct snapshot_file *file,
                         char ret_path[DISK_PATH_MAX])
{
    return snapshot__path(directory, file->kind, file->index, form_suffix(file->form), ret_path);
}

bool snapshot__parse_name(const char *name, struct snapshot_file *ret_file)
{
    static const enum snapshot_form forms[] = {SNAPSHOT_COPY, SNAPSHOT_FINAL, SNAPSHOT_TEMPORARY};
    static const enum snapshot_kind kinds[] = {SNAPSHOT_BASE, SNAPSHOT_CHECKPOINT};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *prefix = kind_prefix(kinds[i]);
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        const char *digits = name + strlen(prefix);
        if (!parse_digits(digits, &ret_file->index)) return false;
        const char *suffix = digits + NAME_DIGITS;
        ret_file->kind = kinds[i];
        if (strncmp(suffix, NAME_SUFFIX, strlen(NAME_SUFFIX)) != 0) return false;
        for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
            if (forms[k] == SNAPSHOT_COPY && kinds[i] != SNAPSHOT_BASE) continue;
            if (strcmp(suffix + strlen(NAME_SUFFIX), form_suffix(forms[k])) != 0) continue;
            ret_file->form = forms[k];
            return true;
        }
        return false;
    }
    return false;
}

enum snapshot_status snapshot__problem(struct segment_log_problem *problem,
                                       enum snapshot_status status, const char *path, uint64_t pos,
                                       uint64_t index, int error, const char *reason)
{
    if (!problem) return status;
    *problem = (struct segment_log_problem){.pos = pos, .index = index, .error = -error};
    snprintf(problem->path, sizeof problem->path, "%s", path);
    if (error != 0) {
        snprintf(problem->reason, sizeof problem->reason, "%s: %s", reason, strerror(-error));
    } else {
        snprintf(problem->reason, sizeof problem->reason, "%s", reason);
    }
    return status;
}
