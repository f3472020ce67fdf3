/* Inflates the records of a batch. The bytes come from clients: whatever a stream claims about its own size is never
 * believed, and no codec gets more memory than output_bytes_max (+ its fixed tables), so a bomb ends as an error.
 *
 * All outputs are contiguous. gzip and lz4 are streamed into a buffer that grows by doubling; snappy tells its exact
 * size first, which is checked against the limit; zstd is inflated in one shot into a buffer of a guessed size, again
 * into a larger one when that was too small: its streaming interface would allocate a window of up to 2 GiB that
 * the sender chooses. */
#include "record_batch_private.h"

#include <assert.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define OUTPUT_BYTES_FIRST  4096u
#define RATIO_GUESSED       4u
#define GZIP_WINDOW_BITS    (15 + 16) /* the largest window, gzip wrapping only */
#define XERIAL_HEADER_BYTES 16u       /* magic, version, lowest compatible version */
#define XERIAL_LENGTH_BYTES 4u

/* One byte above the limit is asked for: only who needs it is over the limit. */
struct output {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
    size_t capacity_max;
};

static bool output_grow(struct output *output, size_t capacity)
{
    if (output->capacity == output->capacity_max) return false;
    if (capacity > output->capacity_max) capacity = output->capacity_max;
    uint8_t *data = realloc(output->data, capacity);
    if (!data) return false;
    output->data = data;
    output->capacity = capacity;
    return true;
}

static bool output_init(struct output *output, size_t input_bytes, size_t bytes_max)
{
    assert(bytes_max < SIZE_MAX);
    size_t guess = input_bytes > SIZE_MAX / RATIO_GUESSED ? SIZE_MAX : input_bytes * RATIO_GUESSED;
    *output = (struct output){.capacity_max = bytes_max + 1};
    return output_grow(output, guess > OUTPUT_BYTES_FIRST ? guess : OUTPUT_BYTES_FIRST);
}

static bool output_make_room(struct output *output)
{
    if (output->bytes < output->capacity) return true;
    return output_grow(output, output->capacity * 2);
}

/* ---- gzip ------------------------------------------------------------------------------------------------------- */

static bool inflate_gzip(struct output *output, const uint8_t *input, size_t input_bytes)
{
    if (input_bytes > UINT32_MAX) return false;
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)input, .avail_in = (uInt)input_bytes};
    if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK) return false;

    int status = Z_OK;
    while (status == Z_OK && output_make_room(output)) {
        size_t room = output->capacity - output->bytes;
        uInt offered = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
        stream.next_out = output->data + output->bytes;
        stream.avail_out = offered;
        status = inflate(&stream, Z_NO_FLUSH);
        output->bytes += offered - stream.avail_out;
        /* RFC 1952 §2.2: a gzip file may have several members, one after the other. */
        if (status == Z_STREAM_END && stream.avail_in > 0) status = inflateReset(&stream);
    }
    inflateEnd(&stream);
    return status == Z_STREAM_END;
}

/* ---- lz4 frame ---------------------------------------------------------------------------------------------------- */

static bool inflate_lz4(struct output *output, const uint8_t *input, size_t input_bytes)
{
    LZ4F_dctx *context;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return false;

    size_t hint = 1; /* what the frame still wants; 0 = it is complete */
    bool moved = true;
    while (hint != 0 && moved && output_make_room(output)) {
        size_t written = output->capacity - output->bytes;
        size_t read = input_bytes;
        hint = LZ4F_decompress(context, output->data + output->bytes, &written, input, &read, NULL);
        if (LZ4F_isError(hint)) break;
        moved = written > 0 || read > 0;
        output->bytes += written;
        input += read;
        input_bytes -= read;
    }
    LZ4F_freeDecompressionContext(context);
    return hint == 0 && input_bytes == 0;
}

/* ---- zstd ----------------------------------------------------------------------------------------------------------- */

static bool inflate_zstd(struct output *output, const uint8_t *input, size_t input_bytes)
{
    /* The claimed size is only a better guess: it saves inflating twice, and the limit holds all the same. */
    unsigned long long claimed = ZSTD_getFrameContentSize(input, input_bytes);
    if (claimed < output->capacity_max && claimed > output->capacity &&
        !output_grow(output, (size_t)claimed)) {
        return false;
    }
    for (;;) {
        size_t bytes = ZSTD_decompress(output->data, output->capacity, input, input_bytes);
        if (!ZSTD_isError(bytes)) {
            output->bytes = bytes;
            return true;
        }
        if (ZSTD_getErrorCode(bytes) != ZSTD_error_dstSize_tooSmall) return false;
        if (!output_grow(output, output->capacity * 2)) return false;
    }
}

/* ---- snappy ---------------------------------------------------------------------------------------------------------- */

static bool inflate_snappy_block(struct output *output, const uint8_t *input, size_t input_bytes)
{
    size_t bytes;
    if (snappy_uncompressed_length((const char *)input, input_bytes, &bytes) != SNAPPY_OK) {
        return false;
    }
    if (bytes > output->capacity_max - output->bytes) return false;
    if (output->bytes + bytes > output->capacity) {
        size_t doubled = output->capacity * 2;
        size_t wanted = output->bytes + bytes;
        if (!output_grow(output, wanted > doubled ? wanted : doubled)) return false;
    }
    size_t written = bytes;
    if (snappy_uncompress((const char *)input, input_bytes, (char *)output->data + output->bytes,
                          &written) != SNAPPY_OK) {
        return false;
    }
    output->bytes += written;
    return written == bytes;
}

/* The framing of the Java client: a 16-byte header, then blocks, each behind its length. */
static bool inflate_snappy(struct output *output, const uint8_t *input, size_t input_bytes)
{
    static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
    if (input_bytes < XERIAL_HEADER_BYTES ||
        memcmp(input, xerial_magic, sizeof(xerial_magic)) != 0) {
        return inflate_snappy_block(output, input, input_bytes);
    }
    input += XERIAL_HEADER_BYTES;
    input_bytes -= XERIAL_HEADER_BYTES;
    while (input_bytes > 0) {
        if (input_bytes < XERIAL_LENGTH_BYTES) return false;
        size_t block_bytes = load_be32(input);
        input += XERIAL_LENGTH_BYTES;
        input_bytes -= XERIAL_LENGTH_BYTES;
        if (block_bytes > input_bytes) return false;
        if (!inflate_snappy_block(output, input, block_bytes)) return false;
        input += block_bytes;
        input_bytes -= block_bytes;
    }
    return true;
}

/* ---- choice ------------------------------------------------------------------------------------------------------------- */

static bool inflate_by_codec(enum record_batch_codec codec, struct output *output,
                             const uint8_t *input, size_t input_bytes)
{
    switch (codec) {
    case RECORD_BATCH_GZIP:
        return inflate_gzip(output, input, input_bytes);
    case RECORD_BATCH_SNAPPY:
        return inflate_snappy(output, input, input_bytes);
    case RECORD_BATCH_LZ4:
        return inflate_lz4(output, input, input_bytes);
    case RECORD_BATCH_ZSTD:
        return inflate_zstd(output, input, input_bytes);
    case RECORD_BATCH_NONE:
        break;
    }
    return false;
}

enum record_batch_status record_batch__inflate(enum record_batch_codec codec, const uint8_t *input,
                                               size_t input_bytes, size_t inflated_bytes_max,
                                               uint8_t **ret_output, size_t *ret_output_bytes)
{
    struct output output;
    if (!output_init(&output, input_bytes, inflated_bytes_max) ||
        !inflate_by_codec(codec, &output, input, input_bytes) ||
        output.bytes > inflated_bytes_max) {
        free(output.data);
        return RECORD_BATCH_CANNOT_INFLATE;
    }
    *ret_output = output.data;
    *ret_output_bytes = output.bytes;
    return RECORD_BATCH_OK;
}
