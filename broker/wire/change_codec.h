/* Private to wire/: one change inside of a larger body. */
#ifndef BROKER_WIRE_CHANGE_CODEC_H
#define BROKER_WIRE_CHANGE_CODEC_H

#include <broker/node_request.h>
#include <broker/wire_cursor.h>

/* The smallest encoding, to judge a count before it is believed. */
#define CHANGE_CODEC_BYTES_MIN 36u

void change_codec_put(struct wire_writer *writer, const struct node_change *change);
void change_codec_get(struct wire_reader *reader, struct node_change *change);

/* Text that may hold what a client sent; the other side takes no control characters. */
void change_codec_put_text(struct wire_writer *writer, const char *text, size_t capacity);

#endif
