/* The bytes of a snapshot file (docs/FORMATS.md, "Snapshot files"), shared by writer, reader and directory.c. Private
 * to snapshot/. All numbers are little endian.
 *
 *   header   magic "RMQS" | version u16 | kind u16 | checksum u64 | header bytes u32 | configuration bytes u32 |
 *            cluster id 16 | group u64 | index, term, chain, next offset, timestamp: 8 each | log start offset u64 |
 *            configuration index u64 | pairs u64 | pair bytes u64 | zero u64 | configuration | zeros to a multiple of 8
 *   block    magic "RMQB" | pairs u32 | checksum u64 | payload bytes u32 | zero u32 | payload
 *   pair     key bytes u16 | zero u16 | value bytes u32 | key | value
 *   trailer  magic "RMQF" | zero u32 | checksum u64 | blocks u64 | file bytes u64
 *
 * Each checksum covers its whole part but itself and is seeded with the checksum before it (the header's with 0). So a
 * part proves its own bytes and its place behind all the others, a wrong one tells the position of the damage, and the
 * trailer's checksum is a hash of the whole file. */
#ifndef SNAPSHOT_FORMAT_H
#define SNAPSHOT_FORMAT_H

#include <snapshot/copy.h>

#define SNAPSHOT_VERSION             1u
#define SNAPSHOT_HEADER_FIXED_BYTES  128u
#define SNAPSHOT_HEADER_BYTES_MAX    (SNAPSHOT_HEADER_FIXED_BYTES + SNAPSHOT_CONFIGURATION_BYTES_MAX)
#define SNAPSHOT_BLOCK_HEADER_BYTES  24u
#define SNAPSHOT_PAIR_HEADER_BYTES   8u
#define SNAPSHOT_TRAILER_BYTES       32u
#define SNAPSHOT_CHECKSUM_POS        8u /* in header, block and trailer alike */
#define SNAPSHOT_CHECKSUM_BYTES      8u
#define SNAPSHOT_BUFFER_BYTES        (256u * 1024u)
#define SNAPSHOT_BLOCK_PAYLOAD_BYTES (SNAPSHOT_BUFFER_BYTES - SNAPSHOT_BLOCK_HEADER_BYTES)

/* A pair that is larger than a block has one of its own. */
#define SNAPSHOT_PAYLOAD_BYTES_MAX \
    (SNAPSHOT_PAIR_HEADER_BYTES + TREE_KEY_BYTES_MAX + TREE_VALUE_BYTES_MAX)

/* What the header says about what follows it. */
struct snapshot_extent {
    uint64_t pairs_count;
    uint64_t pairs_bytes; /* keys and values */
};

struct snapshot_block {
    uint32_t pairs_count;
    uint32_t payload_bytes;
    uint64_t checksum;
};

struct snapshot_trailer {
    uint64_t blocks_count;
    uint64_t file_bytes;
    uint64_t checksum;
};

/* Bytes of the header, configuration included. */
uint32_t snapshot__header_bytes(uint32_t configuration_bytes);
/* Encode into buffer[SNAPSHOT_HEADER_BYTES_MAX]; returns the bytes and sets the checksum. */
uint32_t snapshot__encode_header(const struct snapshot_header *header,
                                 const struct snapshot_extent *extent, uint8_t *buffer,
                                 uint64_t *ret_checksum);
/* Check what tells how long the header is: buffer[SNAPSHOT_HEADER_FIXED_BYTES]. NULL, or what is wrong. */
const char *snapshot__header_extent(const uint8_t *buffer, uint32_t *ret_header_bytes);
/* Check and decode a whole header; *ret_status tells DAMAGED from BAD_VERSION. NULL, or what is wrong. */
const char *snapshot__decode_header(const uint8_t *buffer, uint32_t header_bytes,
                                    struct snapshot_header *ret_header,
                                    struct snapshot_extent *ret_extent, uint64_t *ret_checksum,
                                    enum snapshot_status *ret_status);

/* Without the checksum, which is computed over parts. */
void snapshot__encode_block(const struct snapshot_block *block, uint8_t *buffer);
const char *snapshot__decode_block(const uint8_t *buffer, struct snapshot_block *ret_block);
bool snapshot__is_trailer(const uint8_t *buffer);
void snapshot__encode_trailer(struct snapshot_trailer *trailer, uint64_t seed, uint8_t *buffer);
const char *snapshot__decode_trailer(const uint8_t *buffer, uint64_t seed,
                                     struct snapshot_trailer *ret_trailer);

void snapshot__encode_pair(uint16_t key_bytes, uint32_t value_bytes, uint8_t *buffer);
/* Decode one pair at the start of `bytes`; slices are borrowed. Returns its size, 0 = malformed. */
size_t snapshot__decode_pair(const uint8_t *bytes, size_t bytes_count, struct tree_slice *ret_key,
                             struct tree_slice *ret_value);

/* The checksum of a header, block or trailer whose bytes stand in up to two pieces, the first one holding the place of
 * the checksum itself. */
uint64_t snapshot__checksum(const uint8_t *first, size_t first_bytes, const void *second,
                            size_t second_bytes, uint64_t seed);
void snapshot__set_checksum(uint8_t *buffer, uint64_t checksum);

/* ---- names and problems -------------------------------------------------------------------------------------------- */

#define SNAPSHOT_TEMPORARY_SUFFIX ".tmp"
#define SNAPSHOT_COPY_SUFFIX      ".copy"

/* "<directory>/base-<index, 20 digits>.snap<suffix>". False: longer than DISK_PATH_MAX. */
bool snapshot__path(const char *directory, enum snapshot_kind kind, uint64_t index,
                    const char *suffix, char ret_path[DISK_PATH_MAX]);
/* Accepts exactly the names that snapshot__path() makes. */
bool snapshot__parse_name(const char *name, struct snapshot_file *ret_file);
/* The same, of a file that snapshot__parse_name() told. */
bool snapshot__file_path(const char *directory, const struct snapshot_file *file,
                         char ret_path[DISK_PATH_MAX]);

/* Fill *problem (may be NULL) and return `status`. `error` is 0 or a negative errno. */
enum snapshot_status snapshot__problem(struct segment_log_problem *problem,
                                       enum snapshot_status status, const char *path, uint64_t pos,
                                       uint64_t index, int error, const char *reason);

/* snapshot_read() with more to tell. from_device: forget cached pages first (PROTOCOL L9). ret_state NULL: check only.
 * ret_hash, may be NULL: the trailer's checksum. */
enum snapshot_status snapshot__read(struct disk *disk, const char *path, bool from_device,
                                    struct snapshot_header *ret_header, struct tree **ret_state,
                                    uint64_t *ret_hash, struct segment_log_problem *ret_problem);

/* FULL or IO, from a negative errno. */
enum snapshot_status snapshot__status_of(int error);

/* Rename into place and sync the directory. */
enum snapshot_status snapshot__publish(struct disk *disk, const char *directory,
                                       const char *temporary, const char *path, uint64_t index,
                                       struct segment_log_problem *ret_problem);

/* The header alone, checked. */
enum snapshot_status snapshot__read_header(struct disk *disk, const char *path,
                                           struct snapshot_header *ret_header,
                                           struct segment_log_problem *ret_problem);

/* The highest base below `limit`, or its copy. 0 or a negative errno. */
int snapshot__newest_base(struct disk *disk, const char *directory, uint64_t limit,
                          uint64_t *ret_index, bool *ret_found);
/* The highest file that counts, below `limit`; NULL: of all. Copies stand below what they are a copy of. */
int snapshot__highest(struct disk *disk, const char *directory, const struct snapshot_file *limit,
                      struct snapshot_file *ret_file, bool *ret_found);
/* The header of a base alone, held against name and group. */
enum snapshot_status snapshot__load_point(struct disk *disk, const char *directory,
                                          const struct snapshot_file *file,
                                          const struct cluster_id *cluster, uint64_t group,
                                          struct segment_log_point *ret_point,
                                          struct segment_log_problem *ret_problem);
/* Read all of a file from the device and hold it against its name and the group that asks. ret_state, ret_hash may be NULL. */
enum snapshot_status snapshot__load(struct disk *disk, const char *directory,
                                    const struct snapshot_file *file,
                                    const struct cluster_id *cluster, uint64_t group,
                                    struct snapshot_header *ret_header, struct tree **ret_state,
                                    uint64_t *ret_hash, struct segment_log_problem *ret_problem);

#endif
