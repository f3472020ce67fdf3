#include "heartbeat.h"

#include "group.h"

#include <broker/raft_codec.h>
#include <broker/wire_cursor.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <segment_log/checksum.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_LIST_WANTED 1u
#define FLAG_FULL        2u
#define CLOCK_BYTES      8u
#define SECTION_BYTES    20u
#define NAMED_BYTES      12u

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
    books->greets = false;
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
    struct wire_writer writer = {.buffer = key, .capacity = sizeof(key)};
    wire_put_u64(&writer, line->group);
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

static uint32_t named_count(const struct heartbeat_book *book, bool by_digest)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < book->count; i++) {
        const struct heartbeat_line *line = &book->lines[i];
        if (line->named || (line->repeated && !by_digest)) count++;
    }
    return count;
}

static void build_section(struct heartbeat_book *book, uint32_t flags, struct wire_writer *writer)
{
    uint32_t covered = 0;
    uint64_t digest = 0;
    if (book->touched) forget_idle_lines(book);
    const bool by_digest = book->touched && digest_covers(book, &covered, &digest);
    if (!by_digest) {
        covered = 0;
        digest = 0;
    }
    wire_put_u32(writer, flags);
    wire_put_u32(writer, covered);
    wire_put_u64(writer, digest);
    wire_put_u32(writer, named_count(book, by_digest));
    for (uint32_t i = 0; i < book->count; i++) {
        struct heartbeat_line *line = &book->lines[i];
        if (line->named || (line->repeated && !by_digest)) {
            wire_put_u64(writer, line->group);
            wire_put_u32(writer, line->bytes);
            wire_put(writer, line->message, line->bytes);
        }
        line->named = false;
        line->repeated = false;
    }
    book->touched = false;
}

bool heartbeat_wants_frame(const struct heartbeat_books *books)
{
    if (books->greets) return true;
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        if (books->out[kind].touched || books->in[kind].want_list) return true;
    }
    return false;
}

uint8_t *heartbeat_build(struct heartbeat_books *books, const struct heartbeat_head *head,
                         size_t *ret_bytes)
{
    if (!heartbeat_wants_frame(books)) return NULL;
    books->greets = false;
    size_t bytes = CLOCK_BYTES;
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        bytes +=
            SECTION_BYTES + books->out[kind].count * (NAMED_BYTES + RAFT_CODEC_MESSAGE_BYTES_MAX);
    }
    uint8_t *buffer = malloc(bytes);
    if (!buffer) abort();
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u64(&writer, (uint64_t)head->wall_ms);
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        uint32_t flags = books->in[kind].want_list ? FLAG_LIST_WANTED : 0u;
        if (kind == 0 && head->is_full) flags |= FLAG_FULL;
        books->in[kind].want_list = false;
        build_section(&books->out[kind], flags, &writer);
    }
    assert(writer.bytes <= bytes);
    *ret_bytes = writer.bytes;
    return buffer;
}

/* ---- receiving ------------------------------------------------------------------------------------------------------ */

static bool read_named(struct heartbeat_book *book, struct wire_reader *reader, heartbeat_cb cb,
                       void *data)
{
    const uint64_t group = wire_get_u64(reader);
    const uint32_t bytes = wire_get_u32(reader);
    if (bytes == 0 || bytes > RAFT_CODEC_MESSAGE_BYTES_MAX) return false;
    const uint8_t *message = wire_get(reader, bytes);
    if (!message) return false;
    struct heartbeat_line *line = line_of(book, group);
    if (!line) return false;
    line->bytes = (uint16_t)bytes;
    line->repeated = true;
    memcpy(line->message, message, bytes);
    cb(data, group, message, bytes);
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
    if (RARELY(DIGEST_IS_UNKNOWN)) return false;
    return PLANTED(C6_DIGEST_IS_NOT_COMPARED) || (lines == covered && digest == expected);
}

static void act_on_lines(struct heartbeat_book *book, heartbeat_cb cb, void *data)
{
    for (uint32_t i = 0; i < book->count; i++) {
        const struct heartbeat_line line =
            book->lines[i]; /* cb may end the process of the sender's book, not ours */
        if (!line.repeated) cb(data, line.group, line.message, line.bytes);
    }
}

/* The other side has lost its book: what comes next is named, also what waits for the next frame already. */
static void name_everything(struct heartbeat_book *book)
{
    for (uint32_t i = 0; i < book->count; i++) {
        struct heartbeat_line *line = &book->lines[i];
        if (line->repeated) line->named = true;
        if (!line->named) line->bytes = 0; /* equal to nothing that is offered */
    }
}

static bool read_section(struct heartbeat_books *books, enum heartbeat_kind kind,
                         struct wire_reader *reader, heartbeat_cb cb, void *data)
{
    struct heartbeat_book *book = &books->in[kind];
    const uint32_t flags = wire_get_u32(reader);
    const uint32_t covered = wire_get_u32(reader);
    const uint64_t digest = wire_get_u64(reader);
    const uint32_t named = wire_get_u32(reader);
    if (reader->failed) return false;
    if (flags & FLAG_LIST_WANTED) name_everything(&books->out[kind]);
    for (uint32_t i = 0; i < book->count; i++) {
        book->lines[i].repeated = false;
    }
    for (uint32_t i = 0; i < named; i++) {
        if (!read_named(book, reader, cb, data)) return false;
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

bool heartbeat_read_head(const uint8_t *body, size_t bytes, struct heartbeat_head *ret_head)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    ret_head->wall_ms = (int64_t)wire_get_u64(&reader);
    ret_head->is_full = (wire_get_u32(&reader) & FLAG_FULL) != 0;
    return !reader.failed;
}

bool heartbeat_read(struct heartbeat_books *books, const uint8_t *body, size_t bytes,
                    heartbeat_cb cb, void *data)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    (void)wire_get_u64(&reader); /* the clock */
    for (uint32_t kind = 0; kind < HEARTBEAT_KINDS; kind++) {
        if (!read_section(books, (enum heartbeat_kind)kind, &reader, cb, data)) return false;
    }
    return wire_is_complete(&reader);
}
