#include "log_messages.h"

#include "format.h"

#define INFLATED_BYTES_MAX (64u * 1024u * 1024u)

const char *log_print_messages(const struct segment_log_walk_item *item)
{
    if (item->header->type != ENTRY_DATA) return NULL;
    struct record_batch_reader reader;
    struct record_batch_header header;
    enum record_batch_status status =
        record_batch_check(item->payload, item->header->payload_bytes, &header);
    if (status != RECORD_BATCH_OK) return record_batch_status_text(status);
    status = record_batch_reader_open(&reader, item->payload, item->header->payload_bytes,
                                      INFLATED_BYTES_MAX);
    if (status != RECORD_BATCH_OK) return record_batch_status_text(status);
    struct record_view record;
    bool end = false;
    while ((status = record_batch_reader_next(&reader, &record, &end)) == RECORD_BATCH_OK && !end) {
        const struct format_message message = {
            .group = item->group,
            .index = item->header->index,
            .batch = &header,
            .record = &record,
        };
        format_print_json(&message, stdout);
    }
    record_batch_reader_close(&reader);
    return status == RECORD_BATCH_OK ? NULL : record_batch_status_text(status);
}
