/* Who this node is: the file `identity` and the lock of the data directory (docs/FORMATS.md).
 *
 *     pos bytes field
 *       0     4 magic "RMQI"
 *       4     2 version (1)     6  2 zero
 *       8     8 checksum        XXH3-64 over bytes 0..7 and 16..8191
 *      16     8 node id        24  8 incarnation
 *      32    16 cluster id     48  4 founding bytes
 *    4096       founding, then zeros up to 8192
 *
 * Written anew as a whole: temp file, sync, rename, directory sync. So there is the old one or the new one, never none. */
#include <segment_log/node_store.h>

#include "bytes.h"
#include "problem.h"

#include <assert.h>
#include <errno.h>

#define IDENTITY_MAGIC    0x49514d52u /* "RMQI" */
#define IDENTITY_VERSION  1u
#define IDENTITY_BYTES    8192u
#define IDENTITY_FOUNDING 4096u
static_assert(IDENTITY_FOUNDING + NODE_FOUNDING_BYTES_MAX == IDENTITY_BYTES, "founding fits");

#define NAME_IDENTITY "identity"
#define NAME_NEW      "identity.new"
#define NAME_LOCK     "LOCK"

int node_directory_lock(struct disk *disk, const char *directory, struct disk_file **ret_lock)
{
    char path[DISK_PATH_MAX], parent[DISK_PATH_MAX];
    if (!path__join(path, directory, NAME_LOCK)) return -ENAMETOOLONG;
    path__parent(parent, directory);
    int error = disk_make_directory(disk, directory);
    if (!error) error = disk_sync_directory(disk, parent);
    if (!error) error = disk_lock(disk, path, ret_lock);
    return error;
}

static uint64_t identity_checksum(const uint8_t *bytes)
{
    const struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)bytes, .iov_len = 8},
        {.iov_base = (void *)(uintptr_t)(bytes + 16), .iov_len = IDENTITY_BYTES - 16},
    };
    return checksum64_parts(parts, 2, 0);
}

static void encode(const struct node_identity *identity, uint8_t *bytes)
{
    assert(identity->founding_bytes <= NODE_FOUNDING_BYTES_MAX);
    memset(bytes, 0, IDENTITY_BYTES);
    put_u32(bytes, IDENTITY_MAGIC);
    put_u16(bytes + 4, IDENTITY_VERSION);
    put_u64(bytes + 16, identity->node_id);
    put_u64(bytes + 24, identity->incarnation);
    memcpy(bytes + 32, identity->cluster.bytes, sizeof identity->cluster.bytes);
    put_u32(bytes + 48, identity->founding_bytes);
    memcpy(bytes + IDENTITY_FOUNDING, identity->founding, identity->founding_bytes);
    put_u64(bytes + 8, identity_checksum(bytes));
}

/* NULL: decoded. Otherwise what is wrong. */
static const char *decode(const uint8_t *bytes, struct node_identity *ret_identity)
{
    if (get_u32(bytes) != IDENTITY_MAGIC) return "this is no identity file";
    if (get_u64(bytes + 8) != identity_checksum(bytes)) return "the checksum does not match";
    if (get_u16(bytes + 4) != IDENTITY_VERSION) return "another format version";
    uint32_t founding_bytes = get_u32(bytes + 48);
    if (founding_bytes > NODE_FOUNDING_BYTES_MAX) return "the founding is too long";
    *ret_identity = (struct node_identity){
        .node_id = get_u64(bytes + 16),
        .incarnation = get_u64(bytes + 24),
        .founding_bytes = founding_bytes,
    };
    memcpy(ret_identity->cluster.bytes, bytes + 32, sizeof ret_identity->cluster.bytes);
    memcpy(ret_identity->founding, bytes + IDENTITY_FOUNDING, founding_bytes);
    return NULL;
}

static void note_stranger(void *data, const char *name)
{
    if (strcmp(name, NAME_LOCK) != 0 && strcmp(name, NAME_NEW) != 0) *(bool *)data = true;
}

static enum node_identity_status judge_missing(struct disk *disk, const char *directory,
                                               const char *path,
                                               struct segment_log_problem *problem)
{
    bool strangers = false;
    int error = disk_list(disk, directory, note_stranger, &strangers);
    if (error == -ENOENT || (!error && !strangers)) {
        problem__set(problem, path, 0, 0, -ENOENT, "there is no identity");
        return NODE_IDENTITY_MISSING;
    }
    if (error) {
        problem__set(problem, directory, 0, 0, error, "listing the data directory failed");
        return NODE_IDENTITY_IO;
    }
    problem__set(problem, path, 0, 0, -ENOENT, "files are here, but their node's identity is not");
    return NODE_IDENTITY_DAMAGED;
}

enum node_identity_status node_identity_load(struct disk *disk, const char *directory,
                                             struct node_identity *ret_identity,
                                             struct segment_log_problem *ret_problem)
{
    char path[DISK_PATH_MAX];
    if (!path__join(path, directory, NAME_IDENTITY)) {
        problem__set(ret_problem, directory, 0, 0, -ENAMETOOLONG, "the name is too long");
        return NODE_IDENTITY_IO;
    }
    /* A rename that only the page cache knows of must not be relied on (PROTOCOL L9, M2). */
    int error = disk_sync_directory(disk, directory);
    if (error == -ENOENT) return judge_missing(disk, directory, path, ret_problem);
    struct disk_file *file = NULL;
    if (!error) error = disk_open(disk, path, DISK_WRITE, &file);
    if (error == -ENOENT) return judge_missing(disk, directory, path, ret_problem);
    uint8_t bytes[IDENTITY_BYTES] = {0};
    ssize_t got = 0;
    if (!error) error = disk_drop_cache(file);
    if (!error) got = disk_pread(file, bytes, sizeof bytes, 0);
    if (got < 0) error = (int)got;
    disk_close(file);
    if (error) {
        problem__set(ret_problem, path, 0, 0, error, "reading the identity failed");
        return NODE_IDENTITY_IO;
    }
    const char *reason =
        (size_t)got < sizeof bytes ? "the file is too short" : decode(bytes, ret_identity);
    if (!reason) return NODE_IDENTITY_OK;
    problem__set(ret_problem, path, 0, 0, 0, "%s", reason);
    return NODE_IDENTITY_DAMAGED;
}

int node_identity_save(struct disk *disk, const char *directory,
                       const struct node_identity *identity)
{
    char path[DISK_PATH_MAX], temporary[DISK_PATH_MAX];
    if (!path__join(path, directory, NAME_IDENTITY)) return -ENAMETOOLONG;
    if (!path__join(temporary, directory, NAME_NEW)) return -ENAMETOOLONG;
    uint8_t bytes[IDENTITY_BYTES];
    encode(identity, bytes);
    int error = disk_unlink(disk, temporary); /* left by a crash */
    if (error && error != -ENOENT) return error;
    struct disk_file *file = NULL;
    error = disk_open(disk, temporary, DISK_CREATE_NEW, &file);
    if (!error) error = disk_pwrite(file, bytes, sizeof bytes, 0);
    if (!error) error = disk_datasync(file);
    disk_close(file);
    if (!error) error = disk_rename(disk, temporary, path);
    if (!error) error = disk_sync_directory(disk, directory);
    return error;
}
