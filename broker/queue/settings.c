/* Settings of a topic: their ranges and their one encoding, which is the payload of a SETTINGS entry, the value in the
 * state of a partition, and a part of the records of meta. */
#include "settings.h"

#include "codec.h"
#include "partition_state.h"

#include <assert.h>

#define SETTINGS_VERSION           1u
#define SETTINGS_VERSION_CHANGED   2u /* with what came later; written only when it says something */
#define FLAG_LOCAL_READS           0x01u
#define FLAG_UNTIL_CONSUMED        0x02u
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

void meta_settings_merge(struct meta_settings *settings, const struct meta_settings *wanted,
                         uint32_t fields)
{
    if (fields & META_SET_RETENTION_MS) settings->retention_ms = wanted->retention_ms;
    if (fields & META_SET_RETENTION_BYTES) settings->retention_bytes = wanted->retention_bytes;
    if (fields & META_SET_UNTIL_CONSUMED) settings->until_consumed = wanted->until_consumed;
    if (fields & META_SET_MESSAGE_BYTES_MAX)
        settings->message_bytes_max = wanted->message_bytes_max;
    if (fields & META_SET_LOCAL_READS) settings->local_reads = wanted->local_reads;
}

bool settings__is_equal(const struct meta_settings *a, const struct meta_settings *b)
{
    return a->message_bytes_max == b->message_bytes_max && a->retention_ms == b->retention_ms &&
           a->retention_bytes == b->retention_bytes && a->local_reads == b->local_reads &&
           a->until_consumed == b->until_consumed;
}

static bool needs_changed(const struct meta_settings *settings)
{
    return settings->until_consumed || settings->changed_index > 0;
}

static size_t encoded_bytes(const struct meta_settings *settings)
{
    return needs_changed(settings) ? PARTITION_SETTINGS_BYTES_MAX : PARTITION_SETTINGS_BYTES;
}

size_t settings__encode(const struct meta_settings *settings, uint8_t *buffer, size_t buffer_bytes)
{
    if (meta_settings_problem(settings)) return 0;
    struct writer writer = writer_of(buffer, buffer_bytes);
    const bool changed = needs_changed(settings);
    writer_u16(&writer, changed ? SETTINGS_VERSION_CHANGED : SETTINGS_VERSION);
    writer_u8(&writer, (uint8_t)((settings->local_reads ? FLAG_LOCAL_READS : 0u) |
                                 (settings->until_consumed ? FLAG_UNTIL_CONSUMED : 0u)));
    writer_u8(&writer, 0);
    writer_u32(&writer, settings->message_bytes_max);
    writer_i64(&writer, settings->retention_ms);
    writer_i64(&writer, settings->retention_bytes);
    if (changed) writer_u64(&writer, settings->changed_index);
    assert(writer.bytes == encoded_bytes(settings));
    return writer.bytes;
}

bool settings__read(struct reader *reader, struct meta_settings *ret_settings)
{
    const uint16_t version = reader_u16(reader);
    const uint8_t flags = reader_u8(reader);
    const uint8_t zero = reader_u8(reader);
    struct meta_settings settings = {
        .local_reads = (flags & FLAG_LOCAL_READS) != 0,
        .until_consumed = (flags & FLAG_UNTIL_CONSUMED) != 0,
    };
    settings.message_bytes_max = reader_u32(reader);
    settings.retention_ms = reader_i64(reader);
    settings.retention_bytes = reader_i64(reader);
    if (version == SETTINGS_VERSION_CHANGED) settings.changed_index = reader_u64(reader);
    if (reader->bad || zero != 0) return false;
    /* One form for one meaning: equal states are equal bytes. */
    const uint16_t wanted = needs_changed(&settings) ? SETTINGS_VERSION_CHANGED : SETTINGS_VERSION;
    if (version != wanted || (flags & ~(FLAG_LOCAL_READS | FLAG_UNTIL_CONSUMED)) != 0) return false;
    if (meta_settings_problem(&settings)) return false;
    *ret_settings = settings;
    return true;
}

static bool decode(const uint8_t *bytes, size_t bytes_count, struct meta_settings *ret_settings)
{
    struct reader reader = reader_of(bytes, bytes_count);
    return settings__read(&reader, ret_settings) && reader_is_done(&reader);
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
    return decode(value.data, value.bytes, &settings);
}

bool settings__apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload)
{
    struct tree_slice value = {.data = payload, .bytes = header->payload_bytes};
    struct meta_settings settings, known;
    if (!decode(payload, header->payload_bytes, &settings)) return false;
    /* A leader that had not heard of the newest yet tells nothing new. */
    if (partition_settings_get(partition, &known) && known.changed_index > settings.changed_index)
        return true;
    tree_put(&partition->state, settings_key, value);
    return true;
}

bool partition_settings_get(const struct partition *partition, struct meta_settings *ret_settings)
{
    struct tree_slice value;
    if (!tree_get(partition->state, settings_key, &value)) return false;
    bool is_sound = decode(value.data, value.bytes, ret_settings);
    assert(is_sound);
    return is_sound;
}
