/* Walks the records of one batch, inflating a compressed one first. */
#include <broker/record_batch.h>

#include "record_batch_private.h"

#include <stdlib.h>

enum record_batch_status record_batch_reader_open(struct record_batch_reader *reader,
                                                  const uint8_t *batch, size_t bytes,
                                                  size_t inflated_bytes_max)
{
    *reader = (struct record_batch_reader){0};
    struct record_batch_header header;
    enum record_batch_status status = record_batch_decode_header(batch, bytes, &header);
    if (status != RECORD_BATCH_OK) return status;

    reader->header = header;
    reader->position = batch + RECORD_BATCH_HEADER_BYTES;
    reader->end = batch + BATCH_LENGTH_EXCLUDES + header.batch_length;
    if (header.codec == RECORD_BATCH_NONE) return RECORD_BATCH_OK;

    size_t inflated_bytes;
    status = record_batch__inflate(header.codec, reader->position,
                                   (size_t)(reader->end - reader->position), inflated_bytes_max,
                                   &reader->inflated, &inflated_bytes);
    if (status != RECORD_BATCH_OK) {
        record_batch_reader_close(reader);
        return status;
    }
    reader->position = reader->inflated;
    reader->end = reader->inflated + inflated_bytes;
    return RECORD_BATCH_OK;
}

enum record_batch_status record_batch_reader_next(struct record_batch_reader *reader,
                                                  struct record_view *ret_record, bool *ret_end)
{
    bool is_last_read = reader->index == reader->header.records_count;
    if (is_last_read != (reader->position == reader->end)) return RECORD_BATCH_BAD_COUNT;
    *ret_end = is_last_read;
    if (is_last_read) return RECORD_BATCH_OK;

    enum record_batch_status status = record_batch__walk_record(
        &reader->header, reader->index, &reader->position, reader->end, ret_record);
    if (status == RECORD_BATCH_OK) reader->index++;
    return status;
}

void record_batch_reader_close(struct record_batch_reader *reader)
{
    if (!reader) return;
    free(reader->inflated);
    *reader = (struct record_batch_reader){0};
}
