/* The encoding of topic settings, shared by the two state machines. Private to queue/. */
#ifndef BROKER_QUEUE_SETTINGS_H
#define BROKER_QUEUE_SETTINGS_H

#include "codec.h"

#include <broker/meta.h>

bool settings__is_equal(const struct meta_settings *a, const struct meta_settings *b);
/* Their encoded size; they are written when they fit. 0: out of range. */
size_t settings__encode(const struct meta_settings *settings, uint8_t *buffer, size_t buffer_bytes);
/* From the middle of something larger; they tell their own length. False: malformed. */
bool settings__read(struct reader *reader, struct meta_settings *ret_settings);

#endif
