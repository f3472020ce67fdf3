/* Goal: entries that were attached to a frame stay until the last of their parts was sent. Method: a view of two parts, whose
 * parts are released in either order; under AddressSanitizer a byte that is gone is found. */
#include "attachment.h"

#include <segment_log/entry.h>

#include <criterion/criterion.h>
#include <string.h>

#define ENTRY_PAYLOAD 200u

/* A view with its own copy of one entry. */
static struct segment_log_view view_of(uint64_t index)
{
    uint8_t bytes[ENTRY_HEADER_BYTES + ENTRY_PAYLOAD] __attribute__((aligned(8)));
    struct entry_header header = {
        .type = ENTRY_META, .payload_bytes = ENTRY_PAYLOAD, .index = index, .term = 1};
    memset(bytes, (int)index, sizeof(bytes));
    header.payload_hash =
        entry_payload_hash(header.type, bytes + ENTRY_HEADER_BYTES, ENTRY_PAYLOAD);
    entry_encode_header(&header, 7, 0, bytes);
    struct segment_log_view view;
    cr_assert(segment_log_view_copy(bytes, sizeof(bytes), index, index, &view));
    return view;
}

static struct segment_log_view view_of_two(void)
{
    struct segment_log_view view = view_of(1);
    const struct segment_log_view second = view_of(2);
    view.parts[1] = second.parts[0];
    view.parts_count = 2;
    view.last_index = 2;
    view.bytes_total += second.bytes_total;
    return view;
}

static void release_in_order(int first, int second)
{
    struct segment_log_view view = view_of_two();
    struct io_buffer parts[3] = {{0}};
    cr_assert_eq(attachment_add(parts, 1, &view), 3);
    cr_assert_eq(view.parts_count, 0, "the view is moved");
    parts[first].release(parts[first].owner);
    const uint8_t *left = parts[second].data;
    for (size_t i = ENTRY_HEADER_BYTES; i < parts[second].bytes; i++) {
        cr_assert_eq(left[i], second, "the part is gone before it was sent");
    }
    parts[second].release(parts[second].owner);
}

Test(node_attachment, lives_until_the_last_part_is_released_in_any_order)
{
    release_in_order(1, 2);
    release_in_order(2, 1);
}

Test(node_attachment, of_an_empty_view_is_nothing)
{
    struct segment_log_view view = {0};
    struct io_buffer parts[1] = {{0}};
    cr_assert_eq(attachment_add(parts, 1, &view), 1);
}
