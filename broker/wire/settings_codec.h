/* Topic settings, the same 32 bytes in requests and responses. */
#ifndef WIRE_SETTINGS_CODEC_H
#define WIRE_SETTINGS_CODEC_H

#include <broker/meta.h>
#include <broker/wire_cursor.h>

static inline void settings_put(struct wire_writer *writer, const struct meta_settings *settings)
{
    wire_put_u32(writer, settings->message_bytes_max);
    wire_put_u8(writer, settings->local_reads);
    wire_put_u8(writer, settings->until_consumed);
    wire_put_zeros(writer, 2);
    wire_put_u64(writer, (uint64_t)settings->retention_ms);
    wire_put_u64(writer, (uint64_t)settings->retention_bytes);
    wire_put_u64(writer, settings->changed_index);
}

static inline void settings_get(struct wire_reader *reader, struct meta_settings *ret_settings)
{
    ret_settings->message_bytes_max = wire_get_u32(reader);
    ret_settings->local_reads = wire_get_bool(reader);
    ret_settings->until_consumed = wire_get_bool(reader);
    wire_get_zeros(reader, 2);
    ret_settings->retention_ms = (int64_t)wire_get_u64(reader);
    ret_settings->retention_bytes = (int64_t)wire_get_u64(reader);
    ret_settings->changed_index = wire_get_u64(reader);
}

#endif
