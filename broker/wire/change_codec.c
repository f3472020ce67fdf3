/* Changes of membership as bytes (docs/FORMATS.md): in the answer of CHANGES, and in what leaders of groups report. */
#include "change_codec.h"

#include <broker/request_codec.h>

#include <assert.h>

#define REPORT_VERSION 1u

#define CHANGE_META        0x01u
#define MEMBER_WISHED      0x01u
#define MEMBER_CONNECTED   0x02u
#define MEMBER_MATCH_KNOWN 0x04u
#define MEMBER_FLAGS_ALL   0x07u

/* Text that may hold what a client sent; the other side takes no control characters. */
void change_codec_put_text(struct wire_writer *writer, const char *text, size_t capacity)
{
    size_t bytes = strnlen(text, capacity - 1);
    wire_put_u16(writer, (uint16_t)bytes);
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        wire_put_u8(writer, byte < 0x20 || byte == 0x7f ? (uint8_t)' ' : byte);
    }
}

void change_codec_put(struct wire_writer *writer, const struct node_change *change)
{
    assert(change->members_count <= NODE_CHANGE_MEMBERS_MAX);
    wire_put_u64(writer, change->group);
    wire_put_u8(writer, change->meta ? CHANGE_META : 0u);
    wire_put_u8(writer, (uint8_t)change->state);
    wire_put_u16(writer, (uint16_t)change->members_count);
    wire_put_u32(writer, change->partition);
    wire_put_u64(writer, change->leader);
    wire_put_u64(writer, change->last_index);
    wire_put_string(writer, change->topic);
    change_codec_put_text(writer, change->blocked, sizeof(change->blocked));
    for (uint32_t i = 0; i < change->members_count; i++) {
        const struct node_change_member *member = &change->members[i];
        wire_put_u64(writer, member->node_id);
        wire_put_u64(writer, member->epoch);
        wire_put_u8(writer, (uint8_t)member->role);
        wire_put_u8(writer, (uint8_t)((member->wished ? MEMBER_WISHED : 0u) |
                                      (member->connected ? MEMBER_CONNECTED : 0u) |
                                      (member->match_known ? MEMBER_MATCH_KNOWN : 0u)));
        wire_put_zeros(writer, 6);
        wire_put_u64(writer, member->match);
    }
}

static void get_change_member(struct wire_reader *reader, struct node_change_member *member)
{
    member->node_id = wire_get_u64(reader);
    member->epoch = wire_get_u64(reader);
    const uint8_t role = wire_get_u8(reader);
    const uint8_t flags = wire_get_u8(reader);
    if (role > NODE_CHANGE_ABSENT || (flags & ~MEMBER_FLAGS_ALL) != 0) reader->failed = true;
    member->role = (enum node_change_role)role;
    member->wished = (flags & MEMBER_WISHED) != 0;
    member->connected = (flags & MEMBER_CONNECTED) != 0;
    member->match_known = (flags & MEMBER_MATCH_KNOWN) != 0;
    wire_get_zeros(reader, 6);
    member->match = wire_get_u64(reader);
}

void change_codec_get(struct wire_reader *reader, struct node_change *change)
{
    change->group = wire_get_u64(reader);
    const uint8_t flags = wire_get_u8(reader);
    const uint8_t state = wire_get_u8(reader);
    const uint16_t count = wire_get_u16(reader);
    change->partition = wire_get_u32(reader);
    change->leader = wire_get_u64(reader);
    change->last_index = wire_get_u64(reader);
    wire_get_string(reader, change->topic, sizeof(change->topic));
    wire_get_string(reader, change->blocked, sizeof(change->blocked));
    if ((flags & ~CHANGE_META) != 0 || state > NODE_CHANGE_RECORDING ||
        count > NODE_CHANGE_MEMBERS_MAX) {
        reader->failed = true;
    }
    if (reader->failed) return;
    change->meta = (flags & CHANGE_META) != 0;
    change->state = (enum node_change_state)state;
    change->members_count = count;
    for (uint32_t i = 0; i < count; i++) {
        get_change_member(reader, &change->members[i]);
    }
}

/* ---- reports ---------------------------------------------------------------------------------------------------- */

size_t change_report_encode(const struct change_report *report, uint8_t *buffer, size_t bytes)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u16(&writer, REPORT_VERSION);
    wire_put_zeros(&writer, 6);
    wire_put_u64(&writer, report->configuration_index);
    wire_put_u64(&writer, report->wish_index);
    change_codec_put(&writer, &report->change);
    return writer.bytes;
}

bool change_report_decode(const uint8_t *body, size_t bytes, struct change_report *ret_report)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    memset(ret_report, 0, sizeof(*ret_report));
    if (wire_get_u16(&reader) != REPORT_VERSION) return false;
    wire_get_zeros(&reader, 6);
    ret_report->configuration_index = wire_get_u64(&reader);
    ret_report->wish_index = wire_get_u64(&reader);
    change_codec_get(&reader, &ret_report->change);
    return wire_is_complete(&reader);
}
