/* One snapshot file: what goes in comes out, and nothing that is not whole comes out. */
#include "snapshot_support.h"

#include "format.h"

#include <unistd.h>

static enum snapshot_status read_status(struct crash_disk *disk,
                                        struct segment_log_problem *problem)
{
    struct snapshot_header header;
    struct tree *state = NULL;
    enum snapshot_status status =
        snapshot_read(&disk->disk, test_path(SNAPSHOT_BASE, 9), &header, &state, problem);
    if (status == SNAPSHOT_OK) {
        tree_unref(state);
    } else {
        cr_assert_null(state, "no state is handed out with %s", snapshot_status_text(status));
    }
    return status;
}

static void expect_round_trip(struct disk *disk, const char *directory, struct tree *state)
{
    struct snapshot_header header = test_header(SNAPSHOT_CHECKPOINT, 123456), read_header;
    struct segment_log_problem problem = {0};
    struct tree *read_state = NULL;
    enum snapshot_status status = snapshot_write(disk, directory, &header, state, &problem);
    cr_assert_eq(status, SNAPSHOT_OK, "%s: %s", problem.path, problem.reason);

    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, test_name(SNAPSHOT_CHECKPOINT, 123456));
    status = snapshot_read(disk, path, &read_header, &read_state, &problem);
    cr_assert_eq(status, SNAPSHOT_OK, "%s at %llu: %s", problem.path,
                 (unsigned long long)problem.pos, problem.reason);
    cr_assert_eq(header.kind, read_header.kind);
    cr_assert_eq(memcmp(&header.cluster, &read_header.cluster, sizeof header.cluster), 0);
    cr_assert_eq(header.group, read_header.group);
    cr_assert_eq(memcmp(&header.point, &read_header.point, sizeof header.point), 0);
    cr_assert_eq(header.log_start_offset, read_header.log_start_offset);
    cr_assert_eq(header.configuration_index, read_header.configuration_index);
    cr_assert_eq(header.configuration_bytes, read_header.configuration_bytes);
    cr_assert_eq(memcmp(header.configuration, read_header.configuration, 13), 0);
    cr_assert_eq(tree_count(state), tree_count(read_state));
    cr_assert_eq(tree_bytes(state), tree_bytes(read_state));
    cr_assert_eq(tree_digest(state), tree_digest(read_state));
    tree_unref(read_state);
}

Test(snapshot_file, a_hundred_thousand_pairs_come_back_as_they_were)
{
    struct crash_disk *disk = crash_disk_create();
    struct tree *state = test_state(100000);
    expect_round_trip(&disk->disk, CRASH_DISK_DIRECTORY, state);
    tree_unref(state);
    crash_disk_destroy(disk);
}

Test(snapshot_file, an_empty_state_comes_back_empty)
{
    struct crash_disk *disk = crash_disk_create();
    expect_round_trip(&disk->disk, CRASH_DISK_DIRECTORY, NULL);
    crash_disk_destroy(disk);
}

Test(snapshot_file, values_around_the_block_size_and_at_the_maximum_come_back)
{
    struct crash_disk *disk = crash_disk_create();
    struct tree *state = test_state(10);
    const uint32_t edge = SNAPSHOT_BLOCK_PAYLOAD_BYTES - SNAPSHOT_PAIR_HEADER_BYTES - 12;
    test_put(&state, 100, edge - 1);
    test_put(&state, 101, edge);
    test_put(&state, 102, edge + 1);
    test_put(&state, 103, 0);
    test_put(&state, 104, TREE_VALUE_BYTES_MAX);
    test_put(&state, 105, TREE_VALUE_BYTES_MAX);
    tree_put(&state, (struct tree_slice){0}, (struct tree_slice){.data = "x", .bytes = 1});
    expect_round_trip(&disk->disk, CRASH_DISK_DIRECTORY, state);
    tree_unref(state);
    crash_disk_destroy(disk);
}

Test(snapshot_file, the_real_disk_keeps_it_as_well)
{
    char directory[] = "snapshot-test-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    struct tree *state = test_state(5000);
    expect_round_trip(disk_posix(), directory, state);
    tree_unref(state);
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, test_name(SNAPSHOT_CHECKPOINT, 123456));
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(directory), 0, "only the file itself is left");
}

Test(snapshot_file, the_same_state_gives_the_same_bytes)
{
    struct crash_disk *a = crash_disk_create(), *b = crash_disk_create();
    test_write(a, SNAPSHOT_BASE, 9, 500);
    struct snapshot_header header = test_header(SNAPSHOT_BASE, 9);
    struct tree *state = NULL;
    for (uint64_t i = 500; i > 0; i--)
        test_put(&state, i - 1, (uint32_t)((i - 1) % 50));
    cr_assert_eq(snapshot_write(&b->disk, CRASH_DISK_DIRECTORY, &header, state, NULL), SNAPSHOT_OK);
    tree_unref(state);
    const struct crash_disk_bytes *x = crash_disk_file(a, test_name(SNAPSHOT_BASE, 9));
    const struct crash_disk_bytes *y = crash_disk_file(b, test_name(SNAPSHOT_BASE, 9));
    cr_assert_eq(x->count, y->count);
    cr_assert_eq(memcmp(x->bytes, y->bytes, x->count), 0);
    crash_disk_destroy(a);
    crash_disk_destroy(b);
}

Test(snapshot_file, every_flipped_bit_is_found)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 20);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_OK);
    for (uint64_t pos = 0; pos < file->count; pos++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            struct segment_log_problem problem = {0};
            file->bytes[pos] ^= (uint8_t)(1u << bit);
            cr_assert_eq(read_status(disk, &problem), SNAPSHOT_DAMAGED, "byte %llu bit %u",
                         (unsigned long long)pos, bit);
            cr_assert_leq(problem.pos, pos, "the place named is where the damaged part starts");
            file->bytes[pos] ^= (uint8_t)(1u << bit);
        }
    }
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_OK);
    crash_disk_destroy(disk);
}

Test(snapshot_file, every_shorter_and_every_longer_file_is_damaged)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 20);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    uint64_t count = file->count;
    for (file->count = 0; file->count < count; file->count++) {
        cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED);
    }
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_OK);
    file->bytes = realloc(file->bytes, count * 2);
    memcpy(file->bytes + count, file->bytes, count);
    for (file->count = count + 1; file->count <= count * 2; file->count++) {
        cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED);
    }
    crash_disk_destroy(disk);
}

Test(snapshot_file, damage_names_the_block_it_is_in)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 40000); /* several blocks */
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    uint64_t pos = SNAPSHOT_BUFFER_BYTES * 3 / 2;
    cr_assert_gt(file->count, pos + SNAPSHOT_BUFFER_BYTES);
    file->bytes[pos] ^= 0x10;
    struct segment_log_problem problem = {0};
    cr_assert_eq(read_status(disk, &problem), SNAPSHOT_DAMAGED);
    cr_assert_gt(problem.pos, 0);
    cr_assert_leq(problem.pos, pos);
    cr_assert_geq(problem.pos + SNAPSHOT_BUFFER_BYTES, pos);
    cr_assert_eq(problem.index, 9);
    cr_assert_str_eq(problem.path, test_path(SNAPSHOT_BASE, 9));
    crash_disk_destroy(disk);
}

Test(snapshot_file, a_block_of_another_snapshot_does_not_fit)
{
    struct crash_disk *disk = crash_disk_create(), *other = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 20);
    test_write(other, SNAPSHOT_BASE, 9, 20);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    struct crash_disk_bytes *same = crash_disk_file(other, test_name(SNAPSHOT_BASE, 9));
    test_write(other, SNAPSHOT_BASE, 10, 20); /* the same pairs behind another header */
    struct crash_disk_bytes *foreign = crash_disk_file(other, test_name(SNAPSHOT_BASE, 10));
    cr_assert_eq(file->count, foreign->count);
    uint32_t header_bytes = snapshot__header_bytes(13);
    memcpy(file->bytes + header_bytes, same->bytes + header_bytes, file->count - header_bytes);
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_OK);
    memcpy(file->bytes + header_bytes, foreign->bytes + header_bytes, file->count - header_bytes);
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED);
    crash_disk_destroy(disk);
    crash_disk_destroy(other);
}

/* Make the checksums of a file of one block right again, as a hostile writer would. */
static void reseal(struct crash_disk_bytes *file)
{
    uint32_t header_bytes = snapshot__header_bytes(13);
    uint8_t *block = file->bytes + header_bytes;
    uint8_t *trailer = file->bytes + file->count - SNAPSHOT_TRAILER_BYTES;
    uint64_t hash = snapshot__checksum(file->bytes, header_bytes, NULL, 0, 0);
    snapshot__set_checksum(file->bytes, hash);
    hash = snapshot__checksum(block, (size_t)(trailer - block), NULL, 0, hash);
    snapshot__set_checksum(block, hash);
    hash = snapshot__checksum(trailer, SNAPSHOT_TRAILER_BYTES, NULL, 0, hash);
    snapshot__set_checksum(trailer, hash);
}

Test(snapshot_file, another_version_is_told_from_damage)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 20);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    file->bytes[4] = 2;
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED);
    reseal(file);
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_BAD_VERSION);
    crash_disk_destroy(disk);
}

/* A kind without a name, the header's zeros, those behind its configuration. */
Test(snapshot_file, a_field_of_a_newer_version_is_told_from_damage)
{
    static const size_t positions[] = {6, 120, 127, SNAPSHOT_HEADER_FIXED_BYTES + 13u};
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 20);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        const uint8_t was = file->bytes[positions[i]];
        file->bytes[positions[i]] = 3;
        cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED);
        reseal(file);
        cr_assert_eq(read_status(disk, NULL), SNAPSHOT_BAD_VERSION, "byte %zu", positions[i]);
        file->bytes[positions[i]] = was;
        reseal(file);
        cr_assert_eq(read_status(disk, NULL), SNAPSHOT_OK);
    }
    crash_disk_destroy(disk);
}

Test(snapshot_file, hostile_bytes_under_right_checksums_are_bounded)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 9, 20);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    uint8_t *original = malloc(file->count);
    memcpy(original, file->bytes, file->count);
    uint64_t random = 88172645463325252u;
    uint32_t refused = 0;
    const uint32_t rounds = 20000;
    for (uint32_t round = 0; round < rounds; round++) {
        memcpy(file->bytes, original, file->count);
        for (uint32_t change = 0; change <= round % 4; change++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            /* Only up to one of the first pairs: there the lengths are. */
            uint64_t limit = round % 2 ? file->count : 300;
            file->bytes[random % limit] = (uint8_t)(random >> 40);
        }
        reseal(file);
        refused += read_status(disk, NULL) != SNAPSHOT_OK;
    }
    cr_assert_gt(refused, rounds / 4, "most changes hit lengths, counts or padding");
    free(original);
    crash_disk_destroy(disk);
}

Test(snapshot_file, keys_out_of_order_are_damage)
{
    struct crash_disk *disk = crash_disk_create();
    struct snapshot_header header = test_header(SNAPSHOT_BASE, 9);
    struct tree *state = NULL;
    test_put(&state, 1, 4);
    test_put(&state, 2, 4);
    cr_assert_eq(snapshot_write(&disk->disk, CRASH_DISK_DIRECTORY, &header, state, NULL),
                 SNAPSHOT_OK);
    tree_unref(state);
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_BASE, 9));
    uint64_t first = snapshot__header_bytes(13) + SNAPSHOT_BLOCK_HEADER_BYTES;
    uint64_t pair_bytes = SNAPSHOT_PAIR_HEADER_BYTES + 12 + 4;
    uint8_t pair[64];
    memcpy(pair, file->bytes + first, pair_bytes);
    memcpy(file->bytes + first, file->bytes + first + pair_bytes, pair_bytes);
    reseal(file);
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED, "the same key twice");
    memcpy(file->bytes + first + pair_bytes, pair, pair_bytes);
    reseal(file);
    cr_assert_eq(read_status(disk, NULL), SNAPSHOT_DAMAGED, "keys that fall");
    crash_disk_destroy(disk);
}
