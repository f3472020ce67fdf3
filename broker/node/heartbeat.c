#include "heartbeat.h"

#include <segment_log/checksum.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_LIST_WANTED 1u
#define SECTION_BYTES    20u
#define NAMED_BYTES      12u

static void put_u32(uint8_t *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4u; i++) {
        at[i] = (uint8_t)(value >> (8u * i));
    }
}

static void put_u64(uint8_t *at, uint64_t value)
{
    for (uint32_t i = 0; i < 8u; i++) {
        at[i] = (uint8_t)(value >> (8u * i));
    }
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < 4u; i++) {
        value |= (uint32_t)at[i] << (8u * i);
    }
    return value;
}

static uint64_t get_u64(const uint8_t *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

/* ---- books ------------------------------------------------------------------------------------------------------ */

/* Position of the group's line, or where it belongs. */
static uint32_t find(const struct heartbeat_book *book, uint64_t group)
{
    uint32_t low = 0;
    uint32_t high = book->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2u;
        if (book->lines[middle].group < group) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct heartbeat_line *line_of(struct heartbeat_book *book, uint64_t group)
{
    const uint32_t at = find(book, group);
    if (at < book->count && book->lines[at].group == group) return &book->lines[at];
    if (book->count == HEARTBEAT_LINES_MAX) return NULL;
    if (book->count == book->capacity) {
        book->capacity = book->capacity ? book->capacity * 2u : 8u;
        book->lines = realloc(book->lines, book->capacity * sizeof(*book->lines));
        if (!book->lines) abort();
    }
    memmove(&book->lines[at + 1u], &book->lines[at], (book->count - at) * sizeof(*book->lines));
    book->count++;
    book->lines[at] = (struct heartbeat_line){.group = group};
    return &book->lines[at];
}

static void remove_line(struct heartbeat_book *book, uint32_t at)
{
    memmove(&book->lines[at], &book->lines[at + 1u],
            (book->count - at - 1u) * sizeof(*book->lines));
    book->count--;
}

void heartbeat_books_clear(struct heartbeat_books *books)
{
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        books->out[kind].count = 0;
        books->out[kind].touched = false;
        books->in[kind].count = 0;
        books->in[kind].want_list = false;
    }
}

void heartbeat_books_close(struct heartbeat_books *books)
{
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        free(books->out[kind].lines);
        free(books->in[kind].lines);
    }
    memset(books, 0, sizeof(*books));
}

static uint64_t add_to_digest(uint64_t digest, const struct heartbeat_line *line)
{
    uint8_t key[8];
    put_u64(key, line->group);
    const struct iovec parts[] = {
        {.iov_base = key, .iov_len = sizeof(key)},
        {.iov_base = (void *)(uintptr_t)line->message, .iov_len = line->bytes},
    };
    return checksum64_parts(parts, 2, digest);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

void heartbeat_offer(struct heartbeat_books *books, enum heartbeat_kind kind, uint64_t group,
                     const uint8_t *message, size_t bytes)
{
    assert(bytes > 0);
    assert(bytes <= RAFT_CODEC_MESSAGE_BYTES_MAX);
    struct heartbeat_book *book = &books->out[kind];
    struct heartbeat_line *line = line_of(book, group);
    if (!line) return; /* above the limit of groups; never with NODE_STORE_GROUPS_MAX */
    book->touched = true;
    line->idle = 0;
    if (line->bytes == bytes && memcmp(line->message, message, bytes) == 0) {
        line->repeated = true;
        return;
    }
    line->bytes = (uint16_t)bytes;
    line->named = true;
    memcpy(line->message, message, bytes);
}

static void forget_idle_lines(struct heartbeat_book *book)
{
    for (uint32_t i = book->count; i-- > 0;) {
        struct heartbeat_line *line = &book->lines[i];
        if (line->named || line->repeated) continue;
        /* A group that this node does not lead (or follow) any more. The receiver finds out by the digest. */
        if (++line->idle >= HEARTBEAT_IDLE_FRAMES) remove_line(book, i);
    }
}

/* One digest stands for all lines that are not named, if all of them were repeated; else those repeated are named. */
static bool digest_covers(const struct heartbeat_book *book, uint32_t *ret_lines,
                          uint64_t *ret_digest)
{
    *ret_lines = 0;
    *ret_digest = 0;
    for (uint32_t i = 0; i < book->count; i++) {
        const struct heartbeat_line *line = &book->lines[i];
        if (line->named) continue;
        if (!line->repeated) return false;
        (*ret_lines)++;
        *ret_digest = add_to_digest(*ret_digest, line);
    }
    return *ret_lines > 0;
}

static size_t build_section(struct heartbeat_book *book, uint32_t flags, uint8_t *buffer)
{
    uint32_t covered = 0;
    uint64_t digest = 0;
    if (book->touched) forget_idle_lines(book);
    const bool by_digest = book->touched && digest_covers(book, &covered, &digest);
    if (!by_digest) {
        covered = 0;
        digest = 0;
    }
    uint32_t named = 0;
    size_t pos = SECTION_BYTES;
    for (uint32_t i = 0; i < book->count; i++) {
        struct heartbeat_line *line = &book->lines[i];
        if (line->named || (line->repeated && !by_digest)) {
            put_u64(buffer + pos, line->group);
            put_u32(buffer + pos + 8u, line->bytes);
            memcpy(buffer + pos + NAMED_BYTES, line->message, line->bytes);
            pos += NAMED_BYTES + line->bytes;
            named++;
        }
        line->named = false;
        line->repeated = false;
    }
    put_u32(buffer, flags);
    put_u32(buffer + 4, covered);
    put_u64(buffer + 8, digest);
    put_u32(buffer + 16, named);
    book->touched = false;
    return pos;
}

bool heartbeat_wants_frame(const struct heartbeat_books *books)
{
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        if (books->out[kind].touched || books->in[kind].want_list) return true;
    }
    return false;
}

uint8_t *heartbeat_build(struct heartbeat_books *books, size_t *ret_bytes)
{
    if (!heartbeat_wants_frame(books)) return NULL;
    size_t bytes = 0;
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        bytes +=
            SECTION_BYTES + books->out[kind].count * (NAMED_BYTES + RAFT_CODEC_MESSAGE_BYTES_MAX);
    }
    uint8_t *buffer = malloc(bytes);
    if (!buffer) abort();
    size_t pos = 0;
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        const uint32_t flags = books->in[kind].want_list ? FLAG_LIST_WANTED : 0u;
        books->in[kind].want_list = false;
        pos += build_section(&books->out[kind], flags, buffer + pos);
    }
    assert(pos <= bytes);
    *ret_bytes = pos;
    return buffer;
}

/* ---- receiving ------------------------------------------------------------------------------------------------------ */

static bool read_named(struct heartbeat_book *book, const uint8_t **at, const uint8_t *end,
                       heartbeat_cb cb, void *data)
{
    if ((size_t)(end - *at) < NAMED_BYTES) return false;
    const uint64_t group = get_u64(*at);
    const uint32_t bytes = get_u32(*at + 8);
    *at += NAMED_BYTES;
    if (bytes == 0 || bytes > RAFT_CODEC_MESSAGE_BYTES_MAX || bytes > (size_t)(end - *at)) {
        return false;
    }
    struct heartbeat_line *line = line_of(book, group);
    if (!line) return false;
    line->bytes = (uint16_t)bytes;
    line->repeated = true;
    memcpy(line->message, *at, bytes);
    cb(data, group, *at, bytes);
    *at += bytes;
    return true;
}

/* The lines that the frame did not name must be the sender's, to the byte. */
static bool digest_agrees(const struct heartbeat_book *book, uint32_t covered, uint64_t expected)
{
    uint64_t digest = 0;
    uint32_t lines = 0;
    for (uint32_t i = 0; i < book->count; i++) {
        if (book->lines[i].repeated) continue;
        digest = add_to_digest(digest, &book->lines[i]);
        lines++;
    }
    return lines == covered && digest == expected;
}

static void act_on_lines(struct heartbeat_book *book, heartbeat_cb cb, void *data)
{
    for (uint32_t i = 0; i < book->count; i++) {
        const struct heartbeat_line line =
            book->lines[i]; /* cb may end the process of the sender's book, not ours */
        if (!line.repeated) cb(data, line.group, line.message, line.bytes);
    }
}

static bool read_section(struct heartbeat_books *books, enum heartbeat_kind kind,
                         const uint8_t **at, const uint8_t *end, heartbeat_cb cb, void *data)
{
    if ((size_t)(end - *at) < SECTION_BYTES) return false;
    struct heartbeat_book *book = &books->in[kind];
    const uint32_t flags = get_u32(*at);
    const uint32_t covered = get_u32(*at + 4);
    const uint64_t digest = get_u64(*at + 8);
    const uint32_t named = get_u32(*at + 16);
    *at += SECTION_BYTES;
    if (flags & FLAG_LIST_WANTED) books->out[kind].count = 0;
    for (uint32_t i = 0; i < book->count; i++) {
        book->lines[i].repeated = false;
    }
    for (uint32_t i = 0; i < named; i++) {
        if (!read_named(book, at, end, cb, data)) return false;
    }
    if (covered == 0) return true;
    if (digest_agrees(book, covered, digest)) {
        act_on_lines(book, cb, data);
    } else {
        book->count = 0;
        book->want_list = true;
    }
    return true;
}

bool heartbeat_read(struct heartbeat_books *books, const uint8_t *body, size_t bytes,
                    heartbeat_cb cb, void *data)
{
    const uint8_t *at = body;
    const uint8_t *end = body + bytes;
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        if (!read_section(books, (enum heartbeat_kind)kind, &at, end, cb, data)) return false;
    }
    return at == end;
}
