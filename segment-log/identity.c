/* Who this node is: the file `identity` and the lock of the data directory (docs/FORMATS.md).
 *
 *     pos bytes field
 *       0     4 magic "RMQI"
 *       4     2 version (1)     6  2 zero
 *       8     8 checksum        XXH3-64 over bytes 0..7 and 16..8191
 *      16     8 node id        24  8 incarnation
 *      32    16 cluster id     48  4 founding bytes
 *      52     4 marks           56  8 incarnation index
 *      64     8 meta epoch      72  8 votes lost below
 *    4096       founding, then zeros up to 8192
 *    8192       all of it once more: one of the two copies is whole, whatever rots in the other
 *
 * Written anew as a whole: temp file, sync, rename, directory sync. So there is the old one or the new one, never none. */
#include <segment_log/inspect.h>
#include <segment_log/node_store.h>

#include "bytes.h"
#include "directory.h"
#include "problem.h"

#include <planted/planted.h>

#include <assert.h>
#include <errno.h>

#define IDENTITY_MAGIC     0x49514d52u /* "RMQI" */
#define IDENTITY_VERSION   1u
#define IDENTITY_BYTES     8192u
#define IDENTITY_END       80u /* zeros from here on, up to the founding */
#define IDENTITY_FOUNDING  4096u
#define IDENTITY_COPIES    2u
#define MARK_JOIN_ONLY     1u
#define MARK_REPLICAS_MADE 2u
#define MARK_VOTES_LOST    4u
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
    put_u32(bytes + 52, (identity->join_only ? MARK_JOIN_ONLY : 0u) |
                            (identity->replicas_made ? MARK_REPLICAS_MADE : 0u) |
                            (identity->votes_lost ? MARK_VOTES_LOST : 0u));
    put_u64(bytes + 56, identity->incarnation_index);
    put_u64(bytes + 64, identity->meta_epoch);
    put_u64(bytes + 72, identity->votes_lost_below);
    memcpy(bytes + IDENTITY_FOUNDING, identity->founding, identity->founding_bytes);
    put_u64(bytes + 8, identity_checksum(bytes));
}

/* The checksum is right, so whoever wrote them meant something by it. */
static bool has_unknown_bytes(const uint8_t *bytes, uint32_t founding_bytes)
{
    const uint32_t end = IDENTITY_FOUNDING + founding_bytes;
    return get_u16(bytes + 6) != 0 ||
           !bytes_are_zero(bytes + IDENTITY_END, IDENTITY_FOUNDING - IDENTITY_END) ||
           !bytes_are_zero(bytes + end, IDENTITY_BYTES - end);
}

/* NULL: decoded. Otherwise what is wrong. */
static const char *decode(const uint8_t *bytes, struct node_identity *ret_identity)
{
    if (get_u32(bytes) != IDENTITY_MAGIC) return "this is no identity file";
    if (get_u64(bytes + 8) != identity_checksum(bytes)) return "the checksum does not match";
    if (get_u16(bytes + 4) != IDENTITY_VERSION) return "another format version";
    uint32_t founding_bytes = get_u32(bytes + 48);
    if (founding_bytes > NODE_FOUNDING_BYTES_MAX) return "the founding is too long";
    uint32_t marks = get_u32(bytes + 52);
    if (marks & ~(MARK_JOIN_ONLY | MARK_REPLICAS_MADE | MARK_VOTES_LOST))
        return "a mark of a newer version";
    if (has_unknown_bytes(bytes, founding_bytes)) return "a field of a newer version";
    *ret_identity = (struct node_identity){
        .node_id = get_u64(bytes + 16),
        .incarnation = get_u64(bytes + 24),
        .incarnation_index = get_u64(bytes + 56),
        .meta_epoch = get_u64(bytes + 64),
        .votes_lost_below = get_u64(bytes + 72),
        .votes_lost = (marks & MARK_VOTES_LOST) != 0,
        .join_only = (marks & MARK_JOIN_ONLY) != 0,
        .replicas_made = (marks & MARK_REPLICAS_MADE) != 0,
        .founding_bytes = founding_bytes,
    };
    memcpy(ret_identity->cluster.bytes, bytes + 32, sizeof ret_identity->cluster.bytes);
    memcpy(ret_identity->founding, bytes + IDENTITY_FOUNDING, founding_bytes);
    return NULL;
}

struct identity_copies {
    uint8_t bytes[IDENTITY_COPIES][IDENTITY_BYTES];
    const char *reasons[IDENTITY_COPIES]; /* what is wrong; NULL: it is decoded */
    struct node_identity identity;        /* of the first that is whole */
    int first_whole;                      /* -1: none */
    bool is_cut;                          /* the file ends in front of their end */
};

/* 0 or a negative errno. What the disk cannot read of one copy is damage of that one. */
static int read_copies(struct disk_file *file, struct identity_copies *ret_copies)
{
    memset(ret_copies, 0, sizeof *ret_copies);
    ret_copies->first_whole = -1;
    for (uint32_t i = 0; i < IDENTITY_COPIES; i++) {
        uint8_t *bytes = ret_copies->bytes[i];
        struct node_identity identity;
        const ssize_t got = disk_pread(file, bytes, IDENTITY_BYTES, (uint64_t)i * IDENTITY_BYTES);
        if (got < 0 && got != -EIO) return (int)got;
        if (got < (ssize_t)IDENTITY_BYTES) ret_copies->is_cut = true;
        /* Of a file that was cut the end stands for zeros, as most of it is: the checksum tells. */
        ret_copies->reasons[i] = got < 0 ? "it cannot be read" : decode(bytes, &identity);
        if (ret_copies->reasons[i] || ret_copies->first_whole >= 0) continue;
        ret_copies->first_whole = (int)i;
        ret_copies->identity = identity;
    }
    return 0;
}

/* Both are, and say the same. */
static bool copies_are_whole(const struct identity_copies *copies)
{
    return !copies->reasons[0] && !copies->reasons[1] && !copies->is_cut &&
           memcmp(copies->bytes[0], copies->bytes[1], IDENTITY_BYTES) == 0;
}

static bool any_is_of_other_version(const struct identity_copies *copies)
{
    for (uint32_t i = 0; i < IDENTITY_COPIES; i++) {
        const uint8_t *bytes = copies->bytes[i];
        if (get_u32(bytes) == IDENTITY_MAGIC && get_u64(bytes + 8) == identity_checksum(bytes)) {
            return true;
        }
    }
    return false;
}

struct names {
    bool strangers, lost_found;
};

static void note_stranger(void *data, const char *name)
{
    struct names *names = data;
    if (strcmp(name, NAME_LOCK) == 0 || strcmp(name, NAME_NEW) == 0) return;
    if (node_directory_is_aside_name(name)) return;
    if (strcmp(name, DIRECTORY_LOST_FOUND) == 0) {
        names->lost_found = true;
    } else {
        names->strangers = true;
    }
}

static enum node_identity_status judge_missing(struct disk *disk, const char *directory,
                                               const char *path,
                                               struct segment_log_problem *problem)
{
    struct names names = {0};
    int error = disk_list(disk, directory, note_stranger, &names);
    if (!error && names.lost_found && !names.strangers) {
        error = directory__lost_found_is_used(disk, directory);
        names.strangers = error > 0;
        if (error > 0) error = 0;
    }
    if (error == -ENOENT || (!error && !names.strangers)) {
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
    struct identity_copies copies;
    if (!error) error = disk_drop_cache(file);
    if (!error) error = read_copies(file, &copies);
    disk_close(file);
    if (error) {
        problem__set(ret_problem, path, 0, 0, error, "reading the identity failed");
        return NODE_IDENTITY_IO;
    }
    if (copies.first_whole < 0) {
        problem__set(ret_problem, path, 0, 0, 0, "%s", copies.reasons[0]);
        return any_is_of_other_version(&copies) ? NODE_IDENTITY_OTHER_VERSION
                                                : NODE_IDENTITY_DAMAGED;
    }
    *ret_identity = copies.identity;
    if (copies_are_whole(&copies) || PLANTED(M2_ROTTEN_IDENTITY_STAYS)) return NODE_IDENTITY_OK;
    error = node_identity_save(disk, directory, ret_identity);
    if (!error || error__is_full(error))
        return NODE_IDENTITY_OK; /* one copy is whole all the same */
    problem__set(ret_problem, path, 0, 0, error, "writing the identity again failed");
    return NODE_IDENTITY_IO;
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
    for (uint32_t i = 0; !error && i < IDENTITY_COPIES; i++) {
        error = disk_pwrite(file, bytes, sizeof bytes, (uint64_t)i * IDENTITY_BYTES);
    }
    if (!error) error = disk_datasync(file);
    disk_close(file);
    if (!error) error = disk_rename(disk, temporary, path);
    if (!error) error = disk_sync_directory(disk, directory);
    return error;
}

int node_identity_check(struct disk *disk, const char *directory,
                        const struct node_identity *identity, bool *ret_mended)
{
    char path[DISK_PATH_MAX];
    struct disk_file *file = NULL;
    struct identity_copies copies = {.first_whole = -1};
    uint8_t wanted[IDENTITY_BYTES];
    *ret_mended = false;
    if (!path__join(path, directory, NAME_IDENTITY)) return -ENAMETOOLONG;
    int error = disk_open(disk, path, DISK_WRITE, &file);
    const bool is_missing = error == -ENOENT;
    if (!error) error = disk_drop_cache(file);
    if (!error) error = read_copies(file, &copies);
    disk_close(file);
    if (error && !is_missing) return error;
    encode(identity, wanted);
    if (!is_missing && copies_are_whole(&copies) &&
        memcmp(copies.bytes[0], wanted, sizeof wanted) == 0) {
        return 0;
    }
    if (PLANTED(M2_ROTTEN_IDENTITY_STAYS)) return 0;
    error = node_identity_save(disk, directory, identity);
    *ret_mended = !error;
    return error__is_full(error) ? 0 : error; /* one copy is whole; the next time */
}

/* ---- directories set aside ------------------------------------------------------------------------------ */

static void note_node_file(void *data, const char *name)
{
    if (strcmp(name, "votes") == 0 || strcmp(name, "groups") == 0) *(bool *)data = true;
}

/* 1, 0 or a negative errno, as node_directory_find_aside(). What cannot be read is what one sets aside. */
static int judge_aside(struct disk *disk, const char *directory, uint64_t node_id)
{
    char path[DISK_PATH_MAX];
    if (!path__join(path, directory, NAME_IDENTITY)) return 0;
    struct disk_file *file = NULL;
    int error = disk_open(disk, path, DISK_READ, &file);
    if (error == -ENOTDIR) return 0;
    if (error == -ENOENT) {
        bool is_node = false;
        error = disk_list(disk, directory, note_node_file, &is_node);
        return error == -ENOTDIR || error == -ENOENT ? 0 : error ? error : is_node;
    }
    if (error == -EACCES || error == -EISDIR || error == -ELOOP) return 1;
    if (error) return error;
    struct identity_copies copies;
    error = read_copies(file, &copies);
    disk_close(file);
    if (error || copies.first_whole < 0) return 1;
    return copies.identity.node_id == node_id && copies.identity.founding_bytes > 0;
}

/* The last component of a path, without the slashes behind it. */
static void own_name(char name[DISK_PATH_MAX], const char *directory)
{
    size_t end = strlen(directory);
    while (end > 0 && directory[end - 1] == '/') {
        end--;
    }
    size_t start = end;
    while (start > 0 && directory[start - 1] != '/') {
        start--;
    }
    size_t bytes = end - start < DISK_PATH_MAX ? end - start : DISK_PATH_MAX - 1u;
    memcpy(name, directory + start, bytes);
    name[bytes] = 0;
}

struct aside_search {
    struct disk *disk;
    const char *parent;
    const char *own;
    uint64_t node_id;
    char *path;
    int result;
};

static void judge_name(void *data, const char *name)
{
    struct aside_search *search = data;
    size_t own_bytes = strlen(search->own);
    if (search->result != 0 || strncmp(name, search->own, own_bytes) != 0) return;
    if (name[own_bytes] == 0 || !strchr(".-_~", name[own_bytes])) return;
    if (!path__join(search->path, search->parent, name)) return;
    search->result = judge_aside(search->disk, search->path, search->node_id);
}

struct inside_search {
    const char *directory;
    char *path;
    bool is_there;
};

static void note_inside(void *data, const char *name)
{
    struct inside_search *search = data;
    if (search->is_there || !node_directory_is_aside_name(name)) return;
    search->is_there = path__join(search->path, search->directory, name);
}

int node_directory_find_aside(struct disk *disk, const char *directory, uint64_t node_id,
                              char ret_path[DISK_PATH_MAX])
{
    char own[DISK_PATH_MAX], parent[DISK_PATH_MAX];
    struct inside_search inside = {.path = ret_path, .directory = directory};
    int listed = disk_list(disk, directory, note_inside, &inside);
    if (listed == -ENOENT) listed = 0;
    if (listed || inside.is_there) return listed ? listed : 1;
    own_name(own, directory);
    if (own[0] == 0 || strcmp(own, ".") == 0 || strcmp(own, "..") == 0) return 0;
    path__parent(parent, directory);
    /* "/" and a name make one slash. */
    struct aside_search search = {.disk = disk,
                                  .parent = strcmp(parent, "/") == 0 ? "" : parent,
                                  .own = own,
                                  .node_id = node_id,
                                  .path = ret_path};
    int error = disk_list(disk, parent, judge_name, &search);
    return error ? error : search.result;
}

bool node_identity_peek(struct disk *disk, const char *directory,
                        struct node_identity *ret_identity)
{
    char path[DISK_PATH_MAX];
    struct identity_copies copies = {.first_whole = -1};
    struct disk_file *file = NULL;
    if (!path__join(path, directory, NAME_IDENTITY)) return false;
    int error = disk_open(disk, path, DISK_READ, &file);
    if (!error) error = read_copies(file, &copies);
    disk_close(file);
    if (error || copies.first_whole < 0) return false;
    *ret_identity = copies.identity;
    return true;
}

void node_identity_inspect(struct disk *disk, const char *path, const struct inspect_sink *sink)
{
    struct identity_copies copies;
    struct disk_file *file = NULL;
    uint64_t file_bytes = 0;
    int error = disk_open(disk, path, DISK_READ, &file);
    if (!error) error = disk_size(file, &file_bytes);
    if (!error) error = read_copies(file, &copies);
    disk_close(file);
    if (error) {
        sink->problem(sink->data, 0, "reading the file failed");
        return;
    }
    sink->number(sink->data, "bytes", file_bytes);
    for (uint32_t i = 0; i < IDENTITY_COPIES; i++) {
        if (copies.reasons[i]) {
            sink->problem(sink->data, (uint64_t)i * IDENTITY_BYTES, copies.reasons[i]);
        }
    }
    if (copies.first_whole < 0) return;
    if (!copies.reasons[0] && !copies.reasons[1] && !copies_are_whole(&copies)) {
        sink->problem(sink->data, IDENTITY_BYTES, "the two copies differ");
    }
    const struct node_identity identity = copies.identity;
    sink->number(sink->data, "node", identity.node_id);
    inspect_hash(sink, "incarnation", identity.incarnation);
    inspect_bytes(sink, "cluster", identity.cluster.bytes, sizeof identity.cluster.bytes);
    sink->number(sink->data, "incarnation_index", identity.incarnation_index);
    sink->flag(sink->data, "join_only", identity.join_only);
    sink->flag(sink->data, "replicas_made", identity.replicas_made);
    sink->number(sink->data, "founding_bytes", identity.founding_bytes);
    inspect_bytes(sink, "founding", identity.founding, identity.founding_bytes);
}
