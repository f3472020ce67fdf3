/* Settings of a topic: their ranges and their one encoding, which is the payload of a SETTINGS entry, the value in the
 * state of a partition, and a part of the records of meta. */
#include "settings.h"

#include "codec.h"
#include "partition_state.h"

#include <assert.h>

#define SETTINGS_VERSION           1u
#define SETTINGS_MESSAGE_BYTES_MIN 128u /* a batch header of 61 bytes and one small record */

const char *meta_settings_problem(const struct meta_settings *settings)
{
    if (settings->message_bytes_max < SETTINGS_MESSAGE_BYTES_MIN) {
        return "message_bytes_max is below 128";
    }
    if (settings->message_bytes_max > ENTRY_PAYLOAD_BYTES_MAX) {
        return "message_bytes_max is above 17 MiB, the largest entry";
    }
    if (settings->retention_ms < -1) return "retention_ms is below -1, which means for ever";
    if (settings->retention_bytes < -1) return "retention_bytes is below -1, which means no limit";
    return NULL;
}

bool settings__is_equal(const struct meta_settings *a, const struct meta_settings *b)
{
    return a->message_bytes_max == b->message_bytes_max && a->retention_ms == b->retention_ms &&
           a->retention_bytes == b->retention_bytes && a->local_reads == b->local_reads;
}

size_t settings__encode(const struct meta_settings *settings, uint8_t *buffer, size_t buffer_bytes)
{
    if (meta_settings_problem(settings)) return 0;
    struct writer writer = writer_of(buffer, buffer_bytes);
    writer_u16(&writer, SETTINGS_VERSION);
    writer_u8(&writer, settings->local_reads ? 1 : 0);
    writer_u8(&writer, 0);
    writer_u32(&writer, settings->message_bytes_max);
    writer_i64(&writer, settings->retention_ms);
    writer_i64(&writer, settings->retention_bytes);
    assert(writer.bytes == PARTITION_SETTINGS_BYTES);
    return writer.bytes;
}

bool settings__decode(const uint8_t *bytes, size_t bytes_count, struct meta_settings *ret_settings)
{
    struct reader reader = reader_of(bytes, bytes_count);
    uint16_t version = reader_u16(&reader);
    uint8_t local_reads = reader_u8(&reader);
    uint8_t zero = reader_u8(&reader);
    struct meta_settings settings = {.local_reads = local_reads == 1};
    settings.message_bytes_max = reader_u32(&reader);
    settings.retention_ms = reader_i64(&reader);
    settings.retention_bytes = reader_i64(&reader);
    if (!reader_is_done(&reader)) return false;
    if (version != SETTINGS_VERSION || local_reads > 1 || zero != 0) return false;
    if (meta_settings_problem(&settings)) return false;
    *ret_settings = settings;
    return true;
}

/* ---- in the state of a partition ------------------------------------------------------------------------------ */

static const struct tree_slice settings_key = {.data = (const uint8_t[]){STATE_SETTINGS},
                                               .bytes = 1};

size_t partition_encode_settings(const struct meta_settings *settings, uint8_t *buffer,
                                 size_t buffer_bytes)
{
    return settings__encode(settings, buffer, buffer_bytes);
}

bool settings__is_sound(struct tree_slice value)
{
    struct meta_settings settings;
    return settings__decode(value.data, value.bytes, &settings);
}

bool settings__apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload)
{
    struct tree_slice value = {.data = payload, .bytes = header->payload_bytes};
    if (!settings__is_sound(value)) return false;
    tree_put(&partition->state, settings_key, value);
    return true;
}

bool partition_settings_get(const struct partition *partition, struct meta_settings *ret_settings)
{
    struct tree_slice value;
    if (!tree_get(partition->state, settings_key, &value)) return false;
    bool is_sound = settings__decode(value.data, value.bytes, ret_settings);
    assert(is_sound);
    return is_sound;
}
