/* Consumer offsets: the payload of OFFSETS entries, their place in the state, and the rules of P5. */
#include "partition_state.h"

#include <planted/planted.h>

#include "codec.h"

#include <assert.h>

#define OFFSETS_VERSION         1u
#define OFFSETS_VERSION_DURABLE 2u /* a commit says whether its group is durable */
#define OFFSETS_HEADER_BYTES    8u
#define OFFSETS_COMMIT_BYTES    20u
#define OFFSETS_FLAG_REMOVE     1u
#define OFFSETS_FLAG_DURABLE    2u
#define OFFSETS_FLAG_FLEETING   4u

#define RECORD_VERSION         1u
#define RECORD_VERSION_TRIMMED 2u /* of a group that is durable, or that trimming has to do with */
#define RECORD_FIXED_BYTES     36u
#define RECORD_TRIMMED_BYTES   24u
#define RECORD_FLAG_DURABLE    1u

/* The kept commit of a group. The fence outlives a commit without a generation: else one simple consumer would let
 * the members of a past generation commit again. */
struct record {
    uint64_t offset;
    int64_t generation;
    int64_t fence; /* the highest generation that ever committed; -1: none */
    int64_t timestamp_ms;
    bool durable;
    /* The first message that was there and not consumed when it was committed: what is trimmed from there on expired. */
    uint64_t unread_from;
    uint64_t expired;        /* before it was committed */
    const uint8_t *metadata; /* borrowed from the state */
    uint32_t metadata_bytes;
};

/* ---- records of the state ----------------------------------------------------------------------------------------- */

#define OFFSET_KEY_BYTES_MAX (1u + PARTITION_GROUP_NAME_BYTES_MAX + 1u)

static struct tree_slice offset_key(uint8_t buffer[OFFSET_KEY_BYTES_MAX], const char *group,
                                    size_t group_bytes)
{
    assert(group_bytes <= PARTITION_GROUP_NAME_BYTES_MAX);
    buffer[0] = STATE_OFFSET;
    memcpy(buffer + 1, group, group_bytes);
    return (struct tree_slice){.data = buffer, .bytes = (uint32_t)(1u + group_bytes)};
}

static bool needs_trimmed(const struct record *record)
{
    return record->durable || record->expired > 0 || record->unread_from != record->offset;
}

static bool decode_record(struct tree_slice value, struct record *ret_record)
{
    struct reader reader = reader_of(value.data, value.bytes);
    uint16_t version = reader_u16(&reader);
    struct record record = {.metadata_bytes = reader_u16(&reader)};
    record.offset = reader_u64(&reader);
    record.generation = reader_i64(&reader);
    record.fence = reader_i64(&reader);
    record.timestamp_ms = reader_i64(&reader);
    record.unread_from = record.offset;
    if (version == RECORD_VERSION_TRIMMED) {
        const uint32_t flags = reader_u32(&reader);
        const uint32_t zero = reader_u32(&reader);
        record.durable = flags == RECORD_FLAG_DURABLE;
        record.unread_from = reader_u64(&reader);
        record.expired = reader_u64(&reader);
        if (flags > RECORD_FLAG_DURABLE || zero != 0) return false;
        if (record.unread_from < record.offset || record.unread_from > INT64_MAX) return false;
    }
    record.metadata = reader_take(&reader, record.metadata_bytes);
    const uint16_t wanted = needs_trimmed(&record) ? RECORD_VERSION_TRIMMED : RECORD_VERSION;
    if (!reader_is_done(&reader) || version != wanted) return false;
    if (record.metadata_bytes > PARTITION_METADATA_BYTES_MAX) return false;
    if (record.offset > INT64_MAX || record.generation < -1) return false;
    if (record.fence < record.generation) return false;
    *ret_record = record;
    return true;
}

static bool load(const struct partition *partition, const char *group, size_t group_bytes,
                 struct record *ret_record)
{
    uint8_t buffer[OFFSET_KEY_BYTES_MAX];
    struct tree_slice value;
    if (!tree_get(partition->state, offset_key(buffer, group, group_bytes), &value)) return false;
    bool is_sound = decode_record(value, ret_record);
    assert(is_sound);
    return is_sound;
}

static void store(struct partition *partition, struct tree_slice key, const struct record *record)
{
    uint8_t buffer[RECORD_FIXED_BYTES + RECORD_TRIMMED_BYTES + PARTITION_METADATA_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    const bool trimmed = needs_trimmed(record);
    writer_u16(&writer, trimmed ? RECORD_VERSION_TRIMMED : RECORD_VERSION);
    writer_u16(&writer, (uint16_t)record->metadata_bytes);
    writer_u64(&writer, record->offset);
    writer_i64(&writer, record->generation);
    writer_i64(&writer, record->fence);
    writer_i64(&writer, record->timestamp_ms);
    assert(writer.bytes == RECORD_FIXED_BYTES);
    if (trimmed) {
        writer_u32(&writer, record->durable ? RECORD_FLAG_DURABLE : 0);
        writer_u32(&writer, 0);
        writer_u64(&writer, record->unread_from);
        writer_u64(&writer, record->expired);
    }
    writer_bytes(&writer, record->metadata, record->metadata_bytes);
    assert(writer.bytes <= sizeof buffer);
    tree_put(&partition->state, key,
             (struct tree_slice){.data = buffer, .bytes = (uint32_t)writer.bytes});
}

bool offsets__is_sound(struct tree_slice key, struct tree_slice value, bool *ret_durable)
{
    struct record record;
    if (key.bytes < 2 || key.bytes > 1u + PARTITION_GROUP_NAME_BYTES_MAX) return false;
    if (memchr(key.data, 0, key.bytes)) return false;
    if (!decode_record(value, &record)) return false;
    *ret_durable = record.durable;
    return true;
}

/* ---- durable groups by their offset ---------------------------------------------------------------------------------- */

#define DURABLE_KEY_BYTES_MAX (STATE_NUMBER_KEY_BYTES + PARTITION_GROUP_NAME_BYTES_MAX)

static struct tree_slice durable_key(uint8_t buffer[DURABLE_KEY_BYTES_MAX], uint64_t offset,
                                     const char *group, size_t group_bytes)
{
    assert(group_bytes <= PARTITION_GROUP_NAME_BYTES_MAX);
    (void)state__number_key(buffer, STATE_DURABLE, offset);
    memcpy(buffer + STATE_NUMBER_KEY_BYTES, group, group_bytes);
    return (struct tree_slice){.data = buffer,
                               .bytes = (uint32_t)(STATE_NUMBER_KEY_BYTES + group_bytes)};
}

/* `old` is what was stored of the group; either may be not durable. */
static void move_durable(struct partition *partition, const char *group, size_t group_bytes,
                         const struct record *old, const struct record *record)
{
    static const uint8_t nothing[1] = {0};
    uint8_t buffer[DURABLE_KEY_BYTES_MAX];
    if (old->durable) {
        tree_remove(&partition->state, durable_key(buffer, old->offset, group, group_bytes));
    }
    if (record->durable) {
        tree_put(&partition->state, durable_key(buffer, record->offset, group, group_bytes),
                 (struct tree_slice){.data = nothing, .bytes = sizeof nothing});
    }
}

bool offsets__is_durable_key_sound(const struct tree *state, struct tree_slice key,
                                   struct tree_slice value)
{
    struct record record;
    struct tree_slice stored;
    uint8_t buffer[OFFSET_KEY_BYTES_MAX];
    if (key.bytes <= STATE_NUMBER_KEY_BYTES || key.bytes > DURABLE_KEY_BYTES_MAX) return false;
    if (value.bytes != 1 || ((const uint8_t *)value.data)[0] != 0) return false;
    const uint8_t *bytes = key.data;
    const char *group = (const char *)bytes + STATE_NUMBER_KEY_BYTES;
    if (!tree_get(state, offset_key(buffer, group, key.bytes - STATE_NUMBER_KEY_BYTES), &stored)) {
        return false;
    }
    return decode_record(stored, &record) && record.durable &&
           record.offset == get_u64_big(bytes + 1);
}

static bool take_lowest(void *data, struct tree_slice key, struct tree_slice value)
{
    (void)value;
    *(uint64_t *)data = get_u64_big((const uint8_t *)key.data + 1);
    return false;
}

bool partition_durable_lowest(const struct partition *partition, uint64_t *ret_offset)
{
    uint8_t tag = STATE_DURABLE;
    const struct tree_slice prefix = {.data = &tag, .bytes = 1};
    uint64_t lowest = UINT64_MAX;
    tree_visit(partition->state, prefix, prefix, take_lowest, &lowest);
    if (lowest == UINT64_MAX) return false;
    *ret_offset = lowest;
    return true;
}

/* ---- the payload ---------------------------------------------------------------------------------------------------- */

static bool is_encodable(const struct partition_commit *commit)
{
    size_t group_bytes = strnlen(commit->group, PARTITION_GROUP_NAME_BYTES_MAX + 1u);
    return group_bytes > 0 && group_bytes <= PARTITION_GROUP_NAME_BYTES_MAX &&
           commit->metadata_bytes <= PARTITION_METADATA_BYTES_MAX && commit->offset <= INT64_MAX &&
           commit->generation >= -1;
}

static uint8_t commit_flags(const struct partition_commit *commit)
{
    if (commit->remove) return OFFSETS_FLAG_REMOVE;
    switch (commit->durable) {
    case PARTITION_DURABLE_KEEP:
        return 0;
    case PARTITION_DURABLE_SET:
        return OFFSETS_FLAG_DURABLE;
    case PARTITION_DURABLE_CLEAR:
        return OFFSETS_FLAG_FLEETING;
    }
    return 0;
}

size_t partition_encode_offsets(const struct partition_commit *commits, uint32_t commits_count,
                                uint8_t *buffer, size_t buffer_bytes)
{
    if (commits_count == 0 || commits_count > PARTITION_COMMITS_MAX) return 0;
    struct writer writer = writer_of(buffer, buffer_bytes);
    bool tells_durable = false;
    for (uint32_t i = 0; i < commits_count; i++)
        tells_durable = tells_durable || commit_flags(&commits[i]) > OFFSETS_FLAG_REMOVE;
    writer_u16(&writer, tells_durable ? OFFSETS_VERSION_DURABLE : OFFSETS_VERSION);
    writer_u16(&writer, 0);
    writer_u32(&writer, commits_count);
    assert(writer.bytes == OFFSETS_HEADER_BYTES);
    for (uint32_t i = 0; i < commits_count; i++) {
        const struct partition_commit *commit = &commits[i];
        if (!is_encodable(commit)) return 0;
        size_t group_bytes = strlen(commit->group);
        uint32_t metadata_bytes = commit->remove ? 0 : commit->metadata_bytes;
        writer_u8(&writer, commit_flags(commit));
        writer_u8(&writer, (uint8_t)group_bytes);
        writer_u16(&writer, (uint16_t)metadata_bytes);
        writer_u64(&writer, commit->remove ? 0 : commit->offset);
        writer_i64(&writer, commit->generation);
        writer_bytes(&writer, commit->group, group_bytes);
        writer_bytes(&writer, commit->metadata, metadata_bytes);
    }
    return writer.bytes;
}

/* One commit as it stands in a payload, borrowed from there. */
struct commit {
    bool remove;
    enum partition_durable durable;
    const char *group; /* not terminated */
    size_t group_bytes;
    uint64_t offset;
    int64_t generation;
    const uint8_t *metadata;
    uint32_t metadata_bytes;
};

static bool read_commit(struct reader *reader, uint16_t version, struct commit *ret_commit)
{
    uint8_t flags = reader_u8(reader);
    struct commit commit = {.remove = flags == OFFSETS_FLAG_REMOVE};
    if (flags == OFFSETS_FLAG_DURABLE) commit.durable = PARTITION_DURABLE_SET;
    if (flags == OFFSETS_FLAG_FLEETING) commit.durable = PARTITION_DURABLE_CLEAR;
    commit.group_bytes = reader_u8(reader);
    commit.metadata_bytes = reader_u16(reader);
    commit.offset = reader_u64(reader);
    commit.generation = reader_i64(reader);
    commit.group = (const char *)reader_take(reader, commit.group_bytes);
    commit.metadata = reader_take(reader, commit.metadata_bytes);
    if (reader->bad || (flags & (flags - 1u)) != 0) return false; /* one at most */
    if (flags > (version == OFFSETS_VERSION ? OFFSETS_FLAG_REMOVE : OFFSETS_FLAG_FLEETING))
        return false;
    if (commit.group_bytes < 1 || commit.group_bytes > PARTITION_GROUP_NAME_BYTES_MAX) return false;
    if (memchr(commit.group, 0, commit.group_bytes)) return false;
    if (commit.metadata_bytes > PARTITION_METADATA_BYTES_MAX) return false;
    if (commit.offset > INT64_MAX || commit.generation < -1) return false;
    if (commit.remove && (commit.offset != 0 || commit.metadata_bytes != 0)) return false;
    *ret_commit = commit;
    return true;
}

static bool read_count(struct reader *reader, uint16_t *ret_version, uint32_t *ret_count)
{
    const uint16_t version = *ret_version = reader_u16(reader);
    uint16_t zero = reader_u16(reader);
    *ret_count = reader_u32(reader);
    if (version != OFFSETS_VERSION && version != OFFSETS_VERSION_DURABLE) return false;
    return !reader->bad && zero == 0 && *ret_count > 0 && *ret_count <= PARTITION_COMMITS_MAX;
}

static bool is_payload_sound(const uint8_t *payload, size_t bytes)
{
    struct reader reader = reader_of(payload, bytes);
    struct commit commit;
    uint16_t version;
    uint32_t count;
    if (!read_count(&reader, &version, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_commit(&reader, version, &commit)) return false;
    }
    return reader_is_done(&reader);
}

/* ---- apply ---------------------------------------------------------------------------------------------------------- */

static bool is_fenced(int64_t generation, int64_t fence)
{
    return generation >= 0 && generation < fence && !PLANTED(P5_COMMIT_IS_NOT_FENCED);
}

static bool is_durable(enum partition_durable wanted, bool was)
{
    return wanted == PARTITION_DURABLE_KEEP ? was : wanted == PARTITION_DURABLE_SET;
}

/* What was trimmed since the commit and stood behind it. */
static uint64_t expired_of(const struct partition *partition, const struct record *record)
{
    const uint64_t start = partition->log_start_offset;
    return record->expired + (start > record->unread_from ? start - record->unread_from : 0);
}

static void apply_commit(struct partition *partition, const struct commit *commit,
                         int64_t timestamp_ms, struct partition_counters *counters)
{
    uint8_t buffer[OFFSET_KEY_BYTES_MAX];
    struct tree_slice key = offset_key(buffer, commit->group, commit->group_bytes);
    struct record old = {.fence = -1};
    bool is_known = load(partition, commit->group, commit->group_bytes, &old);
    /* The leader checked this against what was applied then; a newer generation may have come in between. */
    if (is_known && is_fenced(commit->generation, old.fence)) return;

    if (commit->remove) {
        if (!is_known) return;
        const struct record none = {.durable = false};
        move_durable(partition, commit->group, commit->group_bytes, &old, &none);
        tree_remove(&partition->state, key);
        counters->groups_count--;
        return;
    }
    struct record record = {
        .offset = commit->offset,
        .generation = commit->generation,
        .fence = commit->generation > old.fence ? commit->generation : old.fence,
        .timestamp_ms = timestamp_ms,
        .durable = is_durable(commit->durable, old.durable),
        .unread_from = partition->log_start_offset > commit->offset ? partition->log_start_offset
                                                                    : commit->offset,
        .expired = is_known ? expired_of(partition, &old) : 0,
        .metadata = commit->metadata,
        .metadata_bytes = commit->metadata_bytes,
    };
    move_durable(partition, commit->group, commit->group_bytes, &old, &record);
    store(partition, key, &record);
    if (!is_known) counters->groups_count++;
}

bool offsets__apply(struct partition *partition, const struct entry_header *header,
                    const uint8_t *payload)
{
    /* All of it is checked before any of it is applied. */
    if (!is_payload_sound(payload, header->payload_bytes)) return false;
    struct reader reader = reader_of(payload, header->payload_bytes);
    struct partition_counters counters;
    counters__load(partition, &counters);
    uint16_t version;
    uint32_t count, groups_count = counters.groups_count;
    bool is_sound = read_count(&reader, &version, &count);
    for (uint32_t i = 0; is_sound && i < count; i++) {
        struct commit commit;
        is_sound = read_commit(&reader, version, &commit);
        if (is_sound) apply_commit(partition, &commit, header->timestamp_ms, &counters);
    }
    assert(is_sound);
    if (counters.groups_count != groups_count) counters__store(partition, &counters);
    return true;
}

/* ---- queries -------------------------------------------------------------------------------------------------------- */

static bool is_name(const char *group)
{
    size_t bytes = strnlen(group, PARTITION_GROUP_NAME_BYTES_MAX + 1u);
    return bytes > 0 && bytes <= PARTITION_GROUP_NAME_BYTES_MAX;
}

static void fill_offset(const struct partition *partition, struct partition_offset *offset,
                        const char *group, size_t group_bytes, const struct record *record)
{
    memcpy(offset->group, group, group_bytes);
    offset->group[group_bytes] = '\0';
    offset->offset = record->offset;
    offset->generation = record->generation;
    offset->timestamp_ms = record->timestamp_ms;
    offset->durable = record->durable;
    offset->expired = expired_of(partition, record);
    offset->metadata_bytes = record->metadata_bytes;
    if (record->metadata_bytes > 0) {
        memcpy(offset->metadata, record->metadata, record->metadata_bytes);
    }
}

bool partition_offset_get(const struct partition *partition, const char *group,
                          struct partition_offset *ret_offset)
{
    struct record record;
    if (!is_name(group)) return false;
    if (!load(partition, group, strlen(group), &record)) return false;
    fill_offset(partition, ret_offset, group, strlen(group), &record);
    return true;
}

struct list {
    const struct partition *partition;
    struct partition_offset *offsets;
    uint32_t count;
    uint32_t max;
};

static bool add_to_list(void *data, struct tree_slice key, struct tree_slice value)
{
    struct list *list = data;
    struct record record;
    bool is_sound = decode_record(value, &record);
    assert(is_sound);
    (void)is_sound;
    fill_offset(list->partition, &list->offsets[list->count++], (const char *)key.data + 1,
                key.bytes - 1u, &record);
    return list->count < list->max;
}

uint32_t partition_offset_list(const struct partition *partition, const char *after,
                               struct partition_offset *ret_offsets, uint32_t max)
{
    if (max == 0) return 0;
    uint8_t tag = STATE_OFFSET, buffer[OFFSET_KEY_BYTES_MAX];
    struct tree_slice prefix = {.data = &tag, .bytes = 1}, from = prefix;
    if (after) {
        /* The first key above a name is the name with a zero byte, which no name holds. A longer name than any group
         * has is cut to the longest: none stands between the two. */
        from = offset_key(buffer, after, strnlen(after, PARTITION_GROUP_NAME_BYTES_MAX));
        buffer[from.bytes++] = 0;
    }
    struct list list = {.partition = partition, .offsets = ret_offsets, .max = max};
    tree_visit(partition->state, from, prefix, add_to_list, &list);
    return list.count;
}

uint32_t partition_offsets_count(const struct partition *partition)
{
    struct partition_counters counters;
    counters__load(partition, &counters);
    return counters.groups_count;
}

bool partition_offsets_are_full(const struct partition *partition)
{
    return partition_offsets_count(partition) >= PARTITION_GROUPS_MAX ||
           tree_bytes(partition->state) >= PARTITION_STATE_BYTES_MAX;
}

bool partition_commit_is_noop(const struct partition *partition,
                              const struct partition_commit *commit)
{
    if (!is_name(commit->group)) return false;
    if (overlay__has_commit(partition->overlay, commit->group, partition->applied_index))
        return false;
    struct record record;
    if (!load(partition, commit->group, strlen(commit->group), &record)) return commit->remove;
    if (commit->remove) return false;
    return record.offset == commit->offset && record.generation == commit->generation &&
           record.durable == is_durable(commit->durable, record.durable) &&
           record.metadata_bytes == commit->metadata_bytes &&
           (record.metadata_bytes == 0 ||
            memcmp(record.metadata, commit->metadata, record.metadata_bytes) == 0);
}

bool partition_commit_is_fenced(const struct partition *partition,
                                const struct partition_commit *commit)
{
    struct record record;
    if (!is_name(commit->group)) return false;
    if (!load(partition, commit->group, strlen(commit->group), &record)) return false;
    return is_fenced(commit->generation, record.fence);
}
