/* Views that do not come from a log of this node. */
#include <segment_log/segment_log.h>

#include "cache.h"

#include <string.h>

bool segment_log_view_copy(const uint8_t *encoded, size_t bytes, uint64_t first_index,
                           uint64_t last_index, struct segment_log_view *ret_view)
{
    size_t pos = 0;
    uint64_t count = 0;
    while (bytes - pos >= ENTRY_HEADER_BYTES) {
        const uint32_t payload_bytes = entry_payload_bytes(encoded + pos);
        if (payload_bytes > ENTRY_PAYLOAD_BYTES_MAX || entry_bytes(payload_bytes) > bytes - pos) {
            return false;
        }
        pos += entry_bytes(payload_bytes);
        count++;
    }
    if (pos != bytes || count == 0 || last_index - first_index + 1u != count) return false;
    struct segment_log_chunk *chunk = chunk__create(bytes);
    if (!chunk) return false;
    memcpy(chunk->bytes, encoded, bytes);
    memset(ret_view, 0, sizeof(*ret_view));
    ret_view->parts[0].bytes = chunk->bytes;
    ret_view->parts[0].bytes_count = bytes;
    ret_view->parts[0].chunk = chunk;
    ret_view->parts_count = 1;
    ret_view->first_index = first_index;
    ret_view->last_index = last_index;
    ret_view->bytes_total = bytes;
    return true;
}
