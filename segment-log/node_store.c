/* Term, vote and replica record of every group in the file `votes` (PROTOCOL V, M4).
 *
 *         0  slot A: header block, records        each slot: SLOT_BYTES
 *    266240  slot B: the same
 *
 *   header block  pos bytes field
 *                   0     4 magic "RMQV"
 *                   4     2 version (1)    6  2 zero
 *                   8     8 checksum       XXH3-64 over bytes 0..7 and 16..4095 of the block, then the records
 *                  16    16 cluster id    32  8 node id
 *                  40     8 sequence      48  4 records count
 *   record        64 bytes: group, epoch, meta index, term, vote node, vote epoch (8 each), state (4), zero (12)
 *
 * Invariant: the two slots are written one after the other, each synced, so one of them is whole at every instant; an
 * update is reported only when both hold it, so either slot alone is then provably the newest (V1). */
#include <segment_log/inspect.h>
#include <segment_log/node_store.h>

#include "bytes.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include "problem.h"
#include "salvage.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define STORE_MAGIC   0x56514d52u /* "RMQV" */
#define STORE_VERSION 1u
#define HEADER_BYTES  4096u
#define HEADER_END    52u /* zeros from here on */
#define RECORD_BYTES  64u
#define RECORD_END    52u
#define SLOT_BYTES    (HEADER_BYTES + NODE_STORE_GROUPS_MAX * RECORD_BYTES)
#define FILE_BYTES    (2u * SLOT_BYTES)
static_assert(SLOT_BYTES % 4096u == 0, "slots stand in blocks of their own");

#define NAME_VOTES "votes"
#define NAME_NEW   "votes.new"

struct node_store_job {
    struct node_store *store;
    uint64_t sequence;
    size_t bytes;
    bool is_check; /* of what both slots say; written only when one does not */
    uint32_t mended_slots;
    bool has_written;
    int error;
};

struct node_store {
    struct disk *disk;
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    struct cluster_id cluster;
    uint64_t node_id;
    struct node_record *records; /* sorted by group */
    uint32_t records_count, records_capacity;
    uint64_t sequence;         /* of the newest put */
    uint64_t durable_sequence; /* both slots hold it */
    uint64_t written_sequence; /* number in the slots: goes up with every write, also of a repair */
    bool broken;
    bool job_outstanding;
    bool check_wanted;
    uint64_t mended_total;
    struct node_store_job job;
    uint8_t *image; /* SLOT_BYTES: the slot as the job writes it */
};

/* ---- format ----------------------------------------------------------------------------------------- */

static uint64_t slot_checksum(const uint8_t *slot, uint32_t records_count)
{
    const struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)slot, .iov_len = 8},
        {.iov_base = (void *)(uintptr_t)(slot + 16),
         .iov_len = HEADER_BYTES - 16 + (size_t)records_count * RECORD_BYTES},
    };
    return checksum64_parts(parts, 2, 0);
}

static void encode_record(const struct node_record *record, uint8_t *bytes)
{
    memset(bytes, 0, RECORD_BYTES);
    put_u64(bytes, record->group);
    put_u64(bytes + 8, record->epoch);
    put_u64(bytes + 16, record->meta_index);
    put_u64(bytes + 24, record->term);
    put_u64(bytes + 32, record->vote_node);
    put_u64(bytes + 40, record->vote_epoch);
    put_u32(bytes + 48, (uint32_t)record->state);
}

/* False: what a newer version has to say of a replica. */
static bool decode_record(const uint8_t *bytes, struct node_record *ret_record)
{
    uint32_t state = get_u32(bytes + 48);
    if (state > NODE_REPLICA_DROPPED) return false;
    if (!bytes_are_zero(bytes + RECORD_END, RECORD_BYTES - RECORD_END)) return false;
    *ret_record = (struct node_record){
        .group = get_u64(bytes),
        .epoch = get_u64(bytes + 8),
        .meta_index = get_u64(bytes + 16),
        .term = get_u64(bytes + 24),
        .vote_node = get_u64(bytes + 32),
        .vote_epoch = get_u64(bytes + 40),
        .state = (enum node_replica_state)state,
    };
    return true;
}

/* The store as one slot; returns its bytes, whole 4 KiB blocks. */
static size_t encode_slot(const struct node_store *store, uint64_t sequence, uint8_t *slot)
{
    size_t bytes = align_up(HEADER_BYTES + (uint64_t)store->records_count * RECORD_BYTES, 4096u);
    memset(slot, 0, bytes);
    put_u32(slot, STORE_MAGIC);
    put_u16(slot + 4, STORE_VERSION);
    memcpy(slot + 16, store->cluster.bytes, sizeof store->cluster.bytes);
    put_u64(slot + 32, store->node_id);
    put_u64(slot + 40, sequence);
    put_u32(slot + 48, store->records_count);
    for (uint32_t i = 0; i < store->records_count; i++) {
        encode_record(&store->records[i], slot + HEADER_BYTES + i * RECORD_BYTES);
    }
    put_u64(slot + 8, slot_checksum(slot, store->records_count));
    return bytes;
}

/* What is wrong with a slot; NULL: nothing. */
static const char *slot_problem(const uint8_t *slot)
{
    if (get_u32(slot) != STORE_MAGIC) return "no slot stands here";
    uint32_t records_count = get_u32(slot + 48);
    if (records_count > NODE_STORE_GROUPS_MAX) return "too many records";
    if (get_u64(slot + 8) != slot_checksum(slot, records_count)) {
        return "the checksum does not match";
    }
    return NULL;
}

/* Both, zeros where the disk cannot read: a sector that it lost of one slot says nothing against the other, nor against its own
 * slot, where that needs no more of it. */
static int read_slots(struct disk_file *file, uint8_t *slots)
{
    bool is_unreadable = false;
    memset(slots, 0, FILE_BYTES);
    const ssize_t got = salvage__read(file, slots, FILE_BYTES, 0, &is_unreadable);
    return got < 0 ? (int)got : 0;
}

/* Of a slot whose checksum is right: it was written as it stands, and this version reads all of it. */
static bool is_understood(const uint8_t *slot)
{
    return get_u16(slot + 4) == STORE_VERSION && get_u16(slot + 6) == 0 &&
           bytes_are_zero(slot + HEADER_END, HEADER_BYTES - HEADER_END);
}

/* ---- records ---------------------------------------------------------------------------------------- */

/* Position of the group, or where it would stand. */
static uint32_t find_position(const struct node_store *store, uint64_t group)
{
    uint32_t low = 0, high = store->records_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (store->records[middle].group < group) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool node_store_get(const struct node_store *store, uint64_t group, struct node_record *ret_record)
{
    uint32_t position = find_position(store, group);
    if (position == store->records_count || store->records[position].group != group) return false;
    *ret_record = store->records[position];
    return true;
}

static bool reserve_record(struct node_store *store)
{
    if (store->records_count == NODE_STORE_GROUPS_MAX) return false;
    if (store->records_count < store->records_capacity) return true;
    uint32_t capacity = store->records_capacity ? 2 * store->records_capacity : 16;
    struct node_record *records = realloc(store->records, capacity * sizeof *records);
    if (!records) return false;
    store->records = records;
    store->records_capacity = capacity;
    return true;
}

uint64_t node_store_put(struct node_store *store, const struct node_record *record)
{
    uint32_t position = find_position(store, record->group);
    bool known = position < store->records_count && store->records[position].group == record->group;
    if (!known) {
        if (!reserve_record(store)) return 0;
        memmove(&store->records[position + 1], &store->records[position],
                (store->records_count - position) * sizeof *store->records);
        store->records_count++;
    }
    store->records[position] = *record;
    return ++store->sequence;
}

void node_store_forget(struct node_store *store, uint64_t group)
{
    uint32_t position = find_position(store, group);
    if (position == store->records_count || store->records[position].group != group) return;
    store->records_count--;
    memmove(&store->records[position], &store->records[position + 1],
            (store->records_count - position) * sizeof *store->records);
    store->sequence++;
}

uint64_t node_store_durable_sequence(const struct node_store *store)
{
    return store->durable_sequence;
}

uint32_t node_store_count(const struct node_store *store)
{
    return store->records_count;
}

bool node_store_at(const struct node_store *store, uint32_t position,
                   struct node_record *ret_record)
{
    if (position >= store->records_count) return false;
    *ret_record = store->records[position];
    return true;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static int write_slot(struct disk_file *file, uint32_t slot, const uint8_t *image, size_t bytes)
{
    int error = disk_pwrite(file, image, bytes, (uint64_t)slot * SLOT_BYTES);
    return error || PLANTED(V1_VOTE_IS_NOT_SYNCED) ? error : disk_datasync(file);
}

void node_store_check_begin(struct node_store *store)
{
    store->check_wanted = true;
}

bool node_store_is_checking(const struct node_store *store)
{
    return store->check_wanted && !store->broken;
}

uint64_t node_store_mended_total(const struct node_store *store)
{
    return store->mended_total;
}

struct node_store_job *node_store_next_job(struct node_store *store)
{
    if (store->broken || store->job_outstanding) return NULL;
    const bool is_durable = store->durable_sequence == store->sequence;
    if (is_durable && !store->check_wanted) return NULL;
    store->job_outstanding = true;
    store->job = (struct node_store_job){
        .store = store,
        .sequence = store->sequence,
        .is_check = is_durable,
        .bytes = encode_slot(store, store->written_sequence + 1, store->image),
    };
    return &store->job;
}

/* What stands there is what was written last. */
static bool slot_is_current(const struct node_store *store, const uint8_t *slot)
{
    return !slot_problem(slot) && get_u64(slot + 40) == store->written_sequence;
}

static void run_check(struct node_store_job *job)
{
    const struct node_store *store = job->store;
    uint8_t *slots = calloc(1, FILE_BYTES);
    bool is_bad[2] = {false, false};
    if (!slots) return; /* the next time */
    job->error = disk_drop_cache(store->file);
    for (uint32_t i = 0; i < 2 && !job->error; i++) {
        uint8_t *slot = slots + (size_t)i * SLOT_BYTES;
        bool is_unreadable = false;
        const ssize_t got =
            salvage__read(store->file, slot, SLOT_BYTES, (uint64_t)i * SLOT_BYTES, &is_unreadable);
        if (got < 0) job->error = (int)got;
        is_bad[i] = !slot_is_current(store, slot);
        job->mended_slots += is_bad[i];
    }
    free(slots);
    const bool is_needless = job->mended_slots == 0 && !RARELY(VOTES_ARE_WRITTEN_AGAIN);
    if (job->error || is_needless || PLANTED(V2_BAD_SLOT_STAYS)) return;
    /* The bad one first: as long as it is in flight the other one is whole. */
    const uint32_t first = is_bad[0] ? 0 : 1;
    job->error = write_slot(store->file, first, store->image, job->bytes);
    if (!job->error) job->error = write_slot(store->file, 1 - first, store->image, job->bytes);
    job->has_written = true;
}

void node_store_job_run(struct node_store_job *job)
{
    if (job->is_check) {
        run_check(job);
        return;
    }
    const struct node_store *store = job->store;
    job->has_written = true;
    uint32_t first = 0, end = 2;
    if (PLANTED(V1_SLOTS_ALTERNATE)) {
        first = (uint32_t)(store->written_sequence & 1u);
        end = first + 1;
    }
    for (uint32_t slot = first; slot < end && !job->error; slot++) {
        job->error = write_slot(store->file, slot, store->image, job->bytes);
    }
}

int node_store_job_finish(struct node_store *store, struct node_store_job *job,
                          struct segment_log_problem *ret_problem)
{
    assert(store->job_outstanding);
    assert(job == &store->job);
    store->job_outstanding = false;
    if (job->error) {
        store->broken = true;
        problem__set(ret_problem, store->path, 0, 0, job->error, "writing the votes failed");
        return job->error;
    }
    if (job->has_written) store->written_sequence++;
    store->durable_sequence = job->sequence;
    if (job->is_check) {
        store->check_wanted = false;
        if (job->has_written) store->mended_total += job->mended_slots;
    }
    return 0;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

/* A store appears whole, by a rename: a half-made one would look like a lost vote. */
static int make_file(struct node_store *store, const char *directory)
{
    char temporary[DISK_PATH_MAX];
    if (!path__join(temporary, directory, NAME_NEW)) return -ENAMETOOLONG;
    int error = disk_unlink(store->disk, temporary);
    if (error && error != -ENOENT) return error;
    struct disk_file *file = NULL;
    error = disk_open(store->disk, temporary, DISK_CREATE_NEW, &file);
    size_t bytes = encode_slot(store, 1, store->image);
    if (!error) error = disk_pwrite(file, store->image, bytes, 0);
    if (!error) error = disk_pwrite(file, store->image, bytes, SLOT_BYTES);
    if (!error) error = disk_datasync(file);
    disk_close(file);
    if (!error) error = disk_rename(store->disk, temporary, store->path);
    if (!error) error = disk_sync_directory(store->disk, directory);
    return error;
}

static enum segment_log_status load_records(struct node_store *store, const uint8_t *slot,
                                            struct segment_log_problem *problem)
{
    if (!is_understood(slot)) {
        problem__set(problem, store->path, 0, 0, 0, "the votes have another format version");
        return SEGMENT_LOG_BAD_VERSION;
    }
    if (memcmp(slot + 16, store->cluster.bytes, sizeof store->cluster.bytes) != 0 ||
        get_u64(slot + 32) != store->node_id) {
        problem__set(problem, store->path, 0, 0, 0, "the votes are of another cluster or node");
        return SEGMENT_LOG_FOREIGN;
    }
    uint32_t count = get_u32(slot + 48);
    for (uint32_t i = 0; i < count; i++) {
        struct node_record record;
        if (!decode_record(slot + HEADER_BYTES + i * RECORD_BYTES, &record) ||
            (i > 0 && record.group <= store->records[i - 1].group)) {
            /* Under a right checksum this is no damage: it is never thrown away. */
            problem__set(problem, store->path, HEADER_BYTES + (uint64_t)i * RECORD_BYTES, 0, 0,
                         "a record of a newer version");
            return SEGMENT_LOG_BAD_VERSION;
        }
        if (node_store_put(store, &record) == 0) {
            problem__set(problem, store->path, 0, 0, -ENOMEM, "out of memory");
            return SEGMENT_LOG_IO;
        }
    }
    store->written_sequence = get_u64(slot + 40);
    return SEGMENT_LOG_OK;
}

/* Both slots from the newest, the other one first, so that the only good copy is never the one in flight (V2). */
static int repair(struct node_store *store, uint32_t newest)
{
    size_t bytes = encode_slot(store, ++store->written_sequence, store->image);
    int error = write_slot(store->file, 1 - newest, store->image, bytes);
    return error ? error : write_slot(store->file, newest, store->image, bytes);
}

/* One of them is not bad. */
static uint32_t newest_slot(const uint8_t *slots, const char *const bad[2])
{
    if (bad[0] || bad[1]) return bad[0] ? 1 : 0;
    return get_u64(slots + SLOT_BYTES + 40) > get_u64(slots + 40) ? 1 : 0;
}

static enum segment_log_status load(struct node_store *store, uint8_t *slots,
                                    struct segment_log_problem *problem)
{
    int error = disk_drop_cache(store->file);
    if (!error) error = read_slots(store->file, slots);
    if (error) {
        problem__set(problem, store->path, 0, 0, error, "reading the votes failed");
        return SEGMENT_LOG_IO;
    }
    const char *bad[2] = {slot_problem(slots), slot_problem(slots + SLOT_BYTES)};
    if (bad[0] && bad[1]) {
        problem__set(problem, store->path, 0, 0, 0, "both slots are bad: %s; %s", bad[0], bad[1]);
        return SEGMENT_LOG_DAMAGED;
    }
    const uint32_t newest = newest_slot(slots, bad);
    enum segment_log_status status =
        load_records(store, slots + (size_t)newest * SLOT_BYTES, problem);
    if (status != SEGMENT_LOG_OK) return status;
    error = PLANTED(V2_BAD_SLOT_STAYS) ? 0 : repair(store, newest);
    if (error) {
        problem__set(problem, store->path, 0, 0, error, "rewriting the votes failed");
        return SEGMENT_LOG_IO;
    }
    store->sequence = store->durable_sequence = 1;
    return SEGMENT_LOG_OK;
}

static enum segment_log_status open_file(struct node_store *store, const char *directory,
                                         bool create, struct segment_log_problem *problem)
{
    int error = disk_sync_directory(store->disk, directory);
    if (!error) error = disk_open(store->disk, store->path, DISK_WRITE, &store->file);
    if (error == -ENOENT && !create) {
        problem__set(problem, store->path, 0, 0, error, "there are no votes");
        return SEGMENT_LOG_MISSING;
    }
    if (error == -ENOENT) {
        error = make_file(store, directory);
        if (!error) error = disk_open(store->disk, store->path, DISK_WRITE, &store->file);
    }
    if (!error) return SEGMENT_LOG_OK;
    problem__set(problem, store->path, 0, 0, error, "opening the votes failed");
    return SEGMENT_LOG_IO;
}

enum segment_log_status node_store_open(struct disk *disk, const char *directory,
                                        const struct cluster_id *cluster, uint64_t node_id,
                                        bool create, struct node_store **ret_store,
                                        struct segment_log_problem *ret_problem)
{
    struct node_store *store = calloc(1, sizeof *store);
    uint8_t *slots = calloc(1, FILE_BYTES);
    enum segment_log_status status = SEGMENT_LOG_IO;
    if (!store || !slots) goto out_of_memory;
    store->disk = disk;
    store->cluster = *cluster;
    store->node_id = node_id;
    store->image = malloc(SLOT_BYTES);
    if (!store->image || !path__join(store->path, directory, NAME_VOTES)) goto out_of_memory;
    status = open_file(store, directory, create, ret_problem);
    if (status == SEGMENT_LOG_OK) status = load(store, slots, ret_problem);
    goto out;
out_of_memory:
    problem__set(ret_problem, directory, 0, 0, -ENOMEM, "out of memory, or the name is too long");
out:
    free(slots);
    if (status == SEGMENT_LOG_OK) {
        *ret_store = store;
    } else {
        node_store_close(store);
    }
    return status;
}

void node_store_close(struct node_store *store)
{
    if (!store) return;
    assert(!store->job_outstanding);
    disk_close(store->file);
    free(store->image);
    free(store->records);
    free(store);
}

/* ---- inspection ------------------------------------------------------------------------------------- */

/* Slots of the file, to be freed. NULL: there is none that can be read. */
static uint8_t *read_file(struct disk *disk, const char *path, uint64_t *ret_file_bytes)
{
    uint8_t *slots = calloc(1, FILE_BYTES);
    struct disk_file *file = NULL;
    int error = slots ? disk_open(disk, path, DISK_READ, &file) : -ENOMEM;
    if (!error) error = disk_size(file, ret_file_bytes);
    if (!error) error = read_slots(file, slots);
    disk_close(file);
    if (!error) return slots;
    free(slots);
    return NULL;
}

bool node_store_peek(struct disk *disk, const char *directory,
                     void (*cb)(void *data, const struct node_record *record), void *data)
{
    char path[DISK_PATH_MAX];
    uint64_t file_bytes;
    if (!path__join(path, directory, NAME_VOTES)) return false;
    uint8_t *slots = read_file(disk, path, &file_bytes);
    if (!slots) return false;
    const char *bad[2] = {slot_problem(slots), slot_problem(slots + SLOT_BYTES)};
    const uint8_t *slot = slots;
    bool is_read = !bad[0] || !bad[1];
    if (is_read) slot += (size_t)newest_slot(slots, bad) * SLOT_BYTES;
    is_read = is_read && get_u16(slot + 4) == STORE_VERSION;
    for (uint32_t i = 0; is_read && i < get_u32(slot + 48); i++) {
        struct node_record record;
        is_read = decode_record(slot + HEADER_BYTES + (size_t)i * RECORD_BYTES, &record);
        if (is_read) cb(data, &record);
    }
    free(slots);
    return is_read;
}

static void inspect_records(const uint8_t *slot, uint64_t slot_pos, const struct inspect_sink *sink)
{
    static const char *const states[] = {"none", "made", "dropped"};
    sink->begin(sink->data, "replicas", true);
    for (uint32_t i = 0; i < get_u32(slot + 48); i++) {
        struct node_record record;
        uint64_t pos = HEADER_BYTES + (uint64_t)i * RECORD_BYTES;
        if (!decode_record(slot + pos, &record)) {
            sink->problem(sink->data, slot_pos + pos, "a record of a newer version");
            continue;
        }
        sink->begin(sink->data, NULL, false);
        sink->number(sink->data, "group", record.group);
        sink->number(sink->data, "epoch", record.epoch);
        sink->text(sink->data, "state", states[record.state]);
        sink->number(sink->data, "meta_index", record.meta_index);
        sink->number(sink->data, "term", record.term);
        sink->number(sink->data, "vote_node", record.vote_node);
        sink->number(sink->data, "vote_epoch", record.vote_epoch);
        sink->end(sink->data);
    }
    sink->end(sink->data);
}

static void inspect_slot(const uint8_t *slot, uint64_t slot_pos, const struct inspect_sink *sink)
{
    const char *reason = slot_problem(slot);
    sink->begin(sink->data, NULL, false);
    sink->number(sink->data, "pos", slot_pos);
    sink->flag(sink->data, "valid", !reason);
    if (!reason) {
        inspect_bytes(sink, "cluster", slot + 16, sizeof(struct cluster_id));
        sink->number(sink->data, "node", get_u64(slot + 32));
        sink->number(sink->data, "sequence", get_u64(slot + 40));
        inspect_records(slot, slot_pos, sink);
    }
    sink->end(sink->data);
    if (!reason && !is_understood(slot)) reason = "the slot is of another format version";
    if (reason) sink->problem(sink->data, slot_pos, reason);
}

void node_store_inspect(struct disk *disk, const char *path, const struct inspect_sink *sink)
{
    uint64_t file_bytes = 0;
    uint8_t *slots = read_file(disk, path, &file_bytes);
    if (!slots) {
        sink->problem(sink->data, 0, "reading the file failed");
    } else {
        sink->number(sink->data, "bytes", file_bytes);
        sink->begin(sink->data, "slots", true);
        inspect_slot(slots, 0, sink);
        inspect_slot(slots + SLOT_BYTES, SLOT_BYTES, sink);
        sink->end(sink->data);
    }
    free(slots);
}
