/* libFuzzer on the stream between two nodes: frames found in it, and what each type of frame holds.
 *
 * The oracle: the frames do not depend on how the stream is cut into reads, and a body that was taken once is taken when
 * it is written again (codec.h).
 *
 * layout: flags (1), cut (1), then the stream */
#include "codec.h"
#include "seal.h"

#include "frame.h"

#include <string.h>

enum { FLAG_SEAL = 1 /* hashes are computed anew */ };

#define BODY_BYTES_MAX 65536u

static uint64_t note_frame(uint64_t digest, const struct frame_header *header, const uint8_t *body)
{
    digest = checksum64_seeded(&header->type, sizeof header->type, digest);
    digest = checksum64_seeded(&header->group, sizeof header->group, digest);
    return checksum64_seeded(body, header->body_bytes, digest);
}

/* A digest of all frames and of how the stream ended; reads of `cut` bytes, 0: all at once. */
static uint64_t parse(const uint8_t *stream, size_t count, size_t cut, bool look_inside)
{
    struct frame_parser parser = {.buffer = NULL};
    enum frame_parse_status status = FRAME_MORE;
    uint64_t digest = 0;
    for (size_t pos = 0; pos < count && status == FRAME_MORE;) {
        size_t left = count - pos, bytes = cut && cut < left ? cut : left;
        /* A buffer of exactly these bytes: the sanitizer watches its end. */
        uint8_t *read = malloc(bytes);
        fuzz_check(read, "no memory");
        memcpy(read, stream + pos, bytes);
        pos += bytes;
        const uint8_t *at = read;
        struct frame_header header;
        const uint8_t *body;
        while ((status = frame_parser__next(&parser, &at, &bytes, BODY_BYTES_MAX, &header,
                                            &body)) == FRAME_PARSED) {
            fuzz_check((uintptr_t)body % FRAME_ALIGNMENT == 0, "the body is not aligned");
            digest = note_frame(digest, &header, body);
            if (look_inside) codec_try_frame(header.type, body, header.body_bytes);
        }
        fuzz_check(status != FRAME_MORE || bytes == 0, "bytes were left over");
        fuzz_check(parser.capacity <= frame_total_bytes(BODY_BYTES_MAX),
                   "%zu bytes are held for a body of at most %u", parser.capacity, BODY_BYTES_MAX);
        free(read);
    }
    fuzz_check(status != FRAME_NO_MEMORY, "a bounded frame needs too much memory");
    frame_parser__close(&parser);
    return checksum64_seeded(&status, sizeof status, digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2 || bytes > FUZZ_FILE_BYTES_MAX) return 0;
    size_t count = bytes - 2;
    uint8_t *stream = malloc(count + 1);
    fuzz_check(stream, "no memory");
    memcpy(stream, data + 2, count);
    if (data[0] & FLAG_SEAL) seal_frames(stream, count);
    uint64_t at_once = parse(stream, count, 0, true);
    fuzz_check(at_once == parse(stream, count, 1u + data[1], false), "the cut changes the frames");
    free(stream);
    return 0;
}
