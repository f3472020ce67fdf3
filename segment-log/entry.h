/* What the log's own files need of the entry format beyond the public header. */
#ifndef SEGMENT_LOG_ENTRY_INTERNAL_H
#define SEGMENT_LOG_ENTRY_INTERNAL_H

#include <segment_log/entry.h>

/* The fields as they stand, unchecked: for bytes that entry_decode() has passed before. */
void entry__parse(const uint8_t *buffer, struct entry_header *ret_header);

/* The payload against a checked header. buffer[entry_bytes(header->payload_bytes)] is the whole entry. */
bool entry__payload_matches(const uint8_t *buffer, const struct entry_header *header);

/* The 16 bytes that the broker stamps into a DATA payload agree with offset, term and length. */
bool entry__stamp_matches(const uint8_t *payload, uint32_t payload_bytes, uint64_t base_offset,
                          uint64_t term);

/* Types, sizes and counts that no header may break. */
bool entry__fields_are_valid(const struct entry_header *header);

#endif
