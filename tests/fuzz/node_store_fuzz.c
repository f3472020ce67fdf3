/* libFuzzer on the hard state of a node: its identity, and the votes of its groups.
 *
 * The oracle: refused with a reason, or opened; what opened opens again with the same records, also when either slot is
 * lost afterwards; and it takes a vote that is there when it is opened again. Without sealed checksums a record is one
 * that was put.
 *
 * layout: flags (1), records (1), then per patch: file (1; even: votes, odd: identity), the patch (patch.h) */
#include "seal.h"

#include <memory_disk.h>
#include <segment_log/node_store.h>

#include <string.h>

enum {
    FLAG_SEAL = 1,  /* checksums are computed anew */
    FLAG_POWER = 4, /* the power goes before the damage is done */
};

#define DIRECTORY   "node"
#define VOTES       DIRECTORY "/votes"
#define IDENTITY    DIRECTORY "/identity"
#define NODE_ID     2u
#define RECORDS_MAX 12u
#define PATCHES_MAX 12u
#define SLOT_BYTES  266240u

static const struct cluster_id cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static struct node_record record_of(uint64_t group)
{
    return (struct node_record){
        .group = group,
        .epoch = group + 100,
        .state = NODE_REPLICA_MADE,
        .meta_index = group + 200,
        .term = group + 300,
        .vote_node = 1 + group % 3,
        .vote_epoch = group,
    };
}

static void make_durable(struct node_store *store)
{
    struct node_store_job *job;
    struct segment_log_problem problem;
    while ((job = node_store_next_job(store)) != NULL) {
        node_store_job_run(job);
        fuzz_check(node_store_job_finish(store, job, &problem) == 0, "%s", problem.reason);
    }
}

static void write_files(struct disk *disk, uint32_t records)
{
    struct segment_log_problem problem;
    struct disk_file *lock = NULL;
    struct node_store *store = NULL;
    struct node_identity identity = {
        .node_id = NODE_ID,
        .incarnation = 77,
        .cluster = cluster,
        .replicas_made = true,
        .founding_bytes = 40,
    };
    fuzz_check(node_directory_lock(disk, DIRECTORY, &lock) == 0, "no lock");
    fuzz_check(node_identity_save(disk, DIRECTORY, &identity) == 0, "no identity");
    fuzz_check(node_store_open(disk, DIRECTORY, &cluster, NODE_ID, true, &store, &problem) ==
                   SEGMENT_LOG_OK,
               "%s", problem.reason);
    for (uint64_t group = 0; group < records; group++) {
        struct node_record record = record_of(group);
        fuzz_check(node_store_put(store, &record) > 0, "no room");
    }
    make_durable(store);
    node_store_close(store);
    disk_close(lock);
}

static void damage(struct disk *disk, struct fuzz_input *input, bool is_sealed)
{
    static const uint64_t votes_starts[] = {0, 4096, SLOT_BYTES, SLOT_BYTES + 4096u};
    static const uint64_t identity_starts[] = {0, 48, 4096};
    static const struct fuzz_regions of_votes = {votes_starts, 4},
                                     of_identity = {identity_starts, 3};
    for (uint32_t i = 0; i < PATCHES_MAX && input->bytes > 0; i++) {
        bool is_votes = fuzz_take_u8(input) % 2u == 0;
        const char *path = is_votes ? VOTES : IDENTITY;
        struct fuzz_file file;
        fuzz_file_load(disk, path, &file);
        (void)fuzz_patch(&file, input, is_votes ? &of_votes : &of_identity);
        if (is_sealed && is_votes) seal_votes(&file);
        if (is_sealed && !is_votes) seal_identity(&file);
        fuzz_file_store(disk, path, &file);
        fuzz_file_close(&file);
    }
}

static void check_identity(struct disk *disk)
{
    struct node_identity identity, again;
    struct segment_log_problem problem = {.pos = 0};
    enum node_identity_status status = node_identity_load(disk, DIRECTORY, &identity, &problem);
    fuzz_check(status == NODE_IDENTITY_OK || status == NODE_IDENTITY_DAMAGED ||
                   status == NODE_IDENTITY_OTHER_VERSION,
               "an identity that was saved is %d", (int)status);
    char aside[DISK_PATH_MAX];
    (void)node_directory_find_aside(disk, "nod", NODE_ID, aside);
    if (status != NODE_IDENTITY_OK) {
        fuzz_check(problem.reason[0], "refused without a reason");
        return;
    }
    fuzz_check(identity.founding_bytes <= NODE_FOUNDING_BYTES_MAX, "founding");
    fuzz_check(node_identity_save(disk, DIRECTORY, &identity) == 0, "cannot be saved");
    fuzz_check(node_identity_load(disk, DIRECTORY, &again, &problem) == NODE_IDENTITY_OK, "%s",
               problem.reason);
    fuzz_check(again.node_id == identity.node_id && again.incarnation == identity.incarnation &&
                   again.founding_bytes == identity.founding_bytes,
               "saved, it is another one");
}

static struct node_store *open_store(struct disk *disk)
{
    struct segment_log_problem problem = {.pos = 0};
    struct node_store *store = NULL;
    enum segment_log_status status =
        node_store_open(disk, DIRECTORY, &cluster, NODE_ID, false, &store, &problem);
    fuzz_check(status == SEGMENT_LOG_OK || problem.reason[0], "refused without a reason");
    return status == SEGMENT_LOG_OK ? store : NULL;
}

static uint64_t digest_of(const struct node_store *store, bool is_sealed)
{
    uint64_t digest = node_store_count(store);
    for (uint32_t i = 0; i < node_store_count(store); i++) {
        struct node_record record, found;
        fuzz_check(node_store_at(store, i, &record), "a record that is counted");
        fuzz_check(node_store_get(store, record.group, &found) && found.group == record.group,
                   "a record that is not found by its group");
        struct node_record put = record_of(record.group);
        fuzz_check(is_sealed || (record.term == put.term && record.epoch == put.epoch &&
                                 record.vote_node == put.vote_node),
                   "a record that nobody put");
        const uint64_t fields[] = {record.group,      record.epoch, record.state,
                                   record.meta_index, record.term,  record.vote_node,
                                   record.vote_epoch};
        digest = checksum64_seeded(fields, sizeof fields, digest);
    }
    return digest;
}

/* One of the two slots is zeroed: the other one tells the same. */
static void lose_slot(struct disk *disk, uint64_t slot)
{
    struct fuzz_file file;
    fuzz_file_load(disk, VOTES, &file);
    size_t start = (size_t)slot * SLOT_BYTES; /* a slot ends with its records */
    if (start < file.count) {
        size_t left = file.count - start;
        memset(file.bytes + start, 0, left < SLOT_BYTES ? left : SLOT_BYTES);
    }
    fuzz_file_store(disk, VOTES, &file);
    fuzz_file_close(&file);
}

static void check_votes(struct disk *disk, bool is_sealed)
{
    struct node_store *store = open_store(disk);
    if (!store) return;
    uint64_t digest = digest_of(store, is_sealed);
    node_store_close(store);
    for (uint64_t slot = 0; slot < 2; slot++) {
        lose_slot(disk, slot);
        store = open_store(disk);
        fuzz_check(store, "one slot is enough");
        fuzz_check(digest_of(store, is_sealed) == digest, "either slot tells the same");
        node_store_close(store);
    }
    store = open_store(disk);
    struct node_record vote = record_of(500), found;
    bool has_room = node_store_put(store, &vote) > 0;
    make_durable(store);
    node_store_close(store);
    store = open_store(disk);
    fuzz_check(store, "it opens behind a vote");
    if (has_room) {
        fuzz_check(node_store_get(store, vote.group, &found), "the vote is gone");
        fuzz_check(found.term == vote.term, "another vote");
    }
    node_store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    uint8_t flags = fuzz_take_u8(&input);
    struct disk *disk = memory_disk_create(flags);
    write_files(disk, fuzz_take_u8(&input) % (RECORDS_MAX + 1u));
    if (flags & FLAG_POWER) memory_disk_crash(disk, MEMORY_DISK_POWER);
    damage(disk, &input, flags & FLAG_SEAL);
    check_votes(disk, flags & FLAG_SEAL);
    check_identity(disk);
    memory_disk_destroy(disk);
    return 0;
}
