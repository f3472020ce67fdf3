#include "attachment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct attachment {
    struct segment_log_view view;
    uint32_t parts_left;
};

/* Small parts are copied by the connection and released at once, the large ones in front of them only when they are
 * written: so none of them may stand for the others. */
static void release_part(void *owner)
{
    struct attachment *attachment = owner;
    assert(attachment->parts_left > 0);
    if (--attachment->parts_left > 0) return;
    segment_log_view_release(&attachment->view);
    free(attachment);
}

int attachment_add(struct io_buffer *parts, int count, struct segment_log_view *view)
{
    if (view->parts_count == 0) return count;
    struct attachment *attachment = malloc(sizeof(*attachment));
    if (!attachment) abort();
    attachment->view = *view;
    attachment->parts_left = view->parts_count;
    for (uint32_t i = 0; i < view->parts_count; i++) {
        parts[count++] = (struct io_buffer){.data = view->parts[i].bytes,
                                            .bytes = view->parts[i].bytes_count,
                                            .release = release_part,
                                            .owner = attachment};
    }
    memset(view, 0, sizeof(*view));
    return count;
}
