/* Consumer offsets: the payload of OFFSETS entries, their place in the state, and the rules of P5. */
#include "partition_state.h"

#include <planted/planted.h>

#include "codec.h"

#include <assert.h>

#define OFFSETS_VERSION      1u
#define OFFSETS_HEADER_BYTES 8u
#define OFFSETS_COMMIT_BYTES 20u
#define OFFSETS_FLAG_REMOVE  1u

#define RECORD_VERSION     1u
#define RECORD_FIXED_BYTES 36u

/* The kept commit of a group. The fence outlives a commit without a generation: else one simple consumer would let
 * the members of a past generation commit again. */
struct record {
    uint64_t offset;
    int64_t generation;
    int64_t fence; /* the highest generation that ever committed; -1: none */
    int64_t timestamp_ms;
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

static bool decode_record(struct tree_slice value, struct record *ret_record)
{
    struct reader reader = reader_of(value.data, value.bytes);
    uint16_t version = reader_u16(&reader);
    struct record record = {.metadata_bytes = reader_u16(&reader)};
    record.offset = reader_u64(&reader);
    record.generation = reader_i64(&reader);
    record.fence = reader_i64(&reader);
    record.timestamp_ms = reader_i64(&reader);
    record.metadata = reader_take(&reader, record.metadata_bytes);
    if (!reader_is_done(&reader) || version != RECORD_VERSION) return false;
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
    uint8_t buffer[RECORD_FIXED_BYTES + PARTITION_METADATA_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    writer_u16(&writer, RECORD_VERSION);
    writer_u16(&writer, (uint16_t)record->metadata_bytes);
    writer_u64(&writer, record->offset);
    writer_i64(&writer, record->generation);
    writer_i64(&writer, record->fence);
    writer_i64(&writer, record->timestamp_ms);
    assert(writer.bytes == RECORD_FIXED_BYTES);
    writer_bytes(&writer, record->metadata, record->metadata_bytes);
    assert(writer.bytes <= sizeof buffer);
    tree_put(&partition->state, key,
             (struct tree_slice){.data = buffer, .bytes = (uint32_t)writer.bytes});
}

bool offsets__is_sound(struct tree_slice key, struct tree_slice value)
{
    struct record record;
    if (key.bytes < 2 || key.bytes > 1u + PARTITION_GROUP_NAME_BYTES_MAX) return false;
    if (memchr(key.data, 0, key.bytes)) return false;
    return decode_record(value, &record);
}

/* ---- the payload ---------------------------------------------------------------------------------------------------- */

static bool is_encodable(const struct partition_commit *commit)
{
    size_t group_bytes = strnlen(commit->group, PARTITION_GROUP_NAME_BYTES_MAX + 1u);
    return group_bytes > 0 && group_bytes <= PARTITION_GROUP_NAME_BYTES_MAX &&
           commit->metadata_bytes <= PARTITION_METADATA_BYTES_MAX && commit->offset <= INT64_MAX &&
           commit->generation >= -1;
}

size_t partition_encode_offsets(const struct partition_commit *commits, uint32_t commits_count,
                                uint8_t *buffer, size_t buffer_bytes)
{
    if (commits_count == 0 || commits_count > PARTITION_COMMITS_MAX) return 0;
    struct writer writer = writer_of(buffer, buffer_bytes);
    writer_u16(&writer, OFFSETS_VERSION);
    writer_u16(&writer, 0);
    writer_u32(&writer, commits_count);
    assert(writer.bytes == OFFSETS_HEADER_BYTES);
    for (uint32_t i = 0; i < commits_count; i++) {
        const struct partition_commit *commit = &commits[i];
        if (!is_encodable(commit)) return 0;
        size_t group_bytes = strlen(commit->group);
        uint32_t metadata_bytes = commit->remove ? 0 : commit->metadata_bytes;
        writer_u8(&writer, commit->remove ? OFFSETS_FLAG_REMOVE : 0);
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
    const char *group; /* not terminated */
    size_t group_bytes;
    uint64_t offset;
    int64_t generation;
    const uint8_t *metadata;
    uint32_t metadata_bytes;
};

static bool read_commit(struct reader *reader, struct commit *ret_commit)
{
    uint8_t flags = reader_u8(reader);
    struct commit commit = {.remove = flags & OFFSETS_FLAG_REMOVE};
    commit.group_bytes = reader_u8(reader);
    commit.metadata_bytes = reader_u16(reader);
    commit.offset = reader_u64(reader);
    commit.generation = reader_i64(reader);
    commit.group = (const char *)reader_take(reader, commit.group_bytes);
    commit.metadata = reader_take(reader, commit.metadata_bytes);
    if (reader->bad || flags > OFFSETS_FLAG_REMOVE) return false;
    if (commit.group_bytes < 1 || commit.group_bytes > PARTITION_GROUP_NAME_BYTES_MAX) return false;
    if (memchr(commit.group, 0, commit.group_bytes)) return false;
    if (commit.metadata_bytes > PARTITION_METADATA_BYTES_MAX) return false;
    if (commit.offset > INT64_MAX || commit.generation < -1) return false;
    if (commit.remove && (commit.offset != 0 || commit.metadata_bytes != 0)) return false;
    *ret_commit = commit;
    return true;
}

static bool read_count(struct reader *reader, uint32_t *ret_count)
{
    uint16_t version = reader_u16(reader);
    uint16_t zero = reader_u16(reader);
    *ret_count = reader_u32(reader);
    return !reader->bad && version == OFFSETS_VERSION && zero == 0 && *ret_count > 0 &&
           *ret_count <= PARTITION_COMMITS_MAX;
}

static bool is_payload_sound(const uint8_t *payload, size_t bytes)
{
    struct reader reader = reader_of(payload, bytes);
    struct commit commit;
    uint32_t count;
    if (!read_count(&reader, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_commit(&reader, &commit)) return false;
    }
    return reader_is_done(&reader);
}

/* ---- apply ---------------------------------------------------------------------------------------------------------- */

static bool is_fenced(int64_t generation, int64_t fence)
{
    return generation >= 0 && generation < fence && !PLANTED(P5_COMMIT_IS_NOT_FENCED);
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
        tree_remove(&partition->state, key);
        counters->groups_count--;
        return;
    }
    struct record record = {
        .offset = commit->offset,
        .generation = commit->generation,
        .fence = commit->generation > old.fence ? commit->generation : old.fence,
        .timestamp_ms = timestamp_ms,
        .metadata = commit->metadata,
        .metadata_bytes = commit->metadata_bytes,
    };
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
    uint32_t count, groups_count = counters.groups_count;
    bool is_sound = read_count(&reader, &count);
    for (uint32_t i = 0; is_sound && i < count; i++) {
        struct commit commit;
        is_sound = read_commit(&reader, &commit);
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

static void fill_offset(struct partition_offset *offset, const char *group, size_t group_bytes,
                        const struct record *record)
{
    memcpy(offset->group, group, group_bytes);
    offset->group[group_bytes] = '\0';
    offset->offset = record->offset;
    offset->generation = record->generation;
    offset->timestamp_ms = record->timestamp_ms;
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
    fill_offset(ret_offset, group, strlen(group), &record);
    return true;
}

struct list {
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
    fill_offset(&list->offsets[list->count++], (const char *)key.data + 1, key.bytes - 1u, &record);
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
    struct list list = {.offsets = ret_offsets, .max = max};
    tree_visit(partition->state, from, prefix, add_to_list, &list);
    return list.count;
}

uint32_t partition_offsets_count(const struct partition *partition)
{
    struct partition_counters counters;
    counters__load(partition, &counters);
    return counters.groups_count;
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
