/* A base that goes from one disk to another: whole and under its name, or not at all, whatever call fails, whatever bit
 * is wrong, however it is cut. */
#include "snapshot_support.h"

#include <snapshot/copy.h>
#include <snapshot/transfer.h>

#include <errno.h>

#define INDEX 500u
#define PAIRS 4000u

static const struct snapshot_header *own(void)
{
    static struct snapshot_header header;
    header = test_header(SNAPSHOT_BASE, INDEX);
    return &header;
}

static enum snapshot_status open_source(struct crash_disk *disk, struct snapshot_source *source)
{
    return snapshot_source_open(&disk->disk, CRASH_DISK_DIRECTORY, &own()->cluster, own()->group, 0,
                                source, NULL);
}

/* Move bytes until the sink has `to` of them, `chunk` at a time. */
static enum snapshot_status move(const struct snapshot_source *source, struct snapshot_sink *sink,
                                 uint64_t to, size_t chunk)
{
    static uint8_t buffer[65536];
    while (sink->received < to) {
        uint64_t left = to - sink->received;
        size_t bytes = left < chunk ? (size_t)left : chunk;
        cr_assert_eq(snapshot_source_read(source, sink->received, buffer, bytes), 0);
        enum snapshot_status status = snapshot_sink_write(sink, buffer, bytes, NULL);
        if (status != SNAPSHOT_OK) return status;
    }
    return SNAPSHOT_OK;
}

static enum snapshot_status verify(struct snapshot_sink *sink, uint64_t *ret_pairs)
{
    struct snapshot_header header;
    struct tree *state = NULL;
    enum snapshot_status status =
        snapshot_sink_verify(sink, &own()->cluster, own()->group, &header, &state, NULL);
    if (status == SNAPSHOT_OK) {
        *ret_pairs = tree_count(state);
        cr_assert_eq(header.point.index, INDEX);
        cr_assert_eq(header.configuration_index, own()->configuration_index);
    }
    tree_unref(state);
    return status;
}

/* All of it; the first status that is not OK. */
static enum snapshot_status receive(const struct snapshot_source *source, struct crash_disk *disk,
                                    size_t chunk)
{
    struct snapshot_sink sink = {.file = NULL};
    uint64_t pairs = 0;
    enum snapshot_status status =
        snapshot_sink_open(&disk->disk, CRASH_DISK_DIRECTORY, &source->identity, &sink, NULL);
    if (status == SNAPSHOT_OK) status = move(source, &sink, source->identity.bytes, chunk);
    if (status == SNAPSHOT_OK) status = verify(&sink, &pairs);
    if (status == SNAPSHOT_OK) status = snapshot_sink_publish(&sink, NULL);
    snapshot_sink_close(&sink, status != SNAPSHOT_OK);
    if (status == SNAPSHOT_OK) cr_assert_eq(pairs, PAIRS);
    return status;
}

static struct crash_disk *sender(struct snapshot_source *source)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, INDEX - 100, 10);
    test_write(disk, SNAPSHOT_BASE, INDEX, PAIRS);
    test_write(disk, SNAPSHOT_CHECKPOINT, INDEX + 100, 10);
    cr_assert_eq(open_source(disk, source), SNAPSHOT_OK);
    cr_assert_eq(source->identity.point.index, INDEX);
    return disk;
}

Test(snapshot_transfer, the_newest_base_arrives_byte_for_byte_in_chunks_of_any_size)
{
    struct snapshot_source source;
    struct crash_disk *from = sender(&source);
    const size_t chunks[] = {997, 4096, 65536};
    for (size_t i = 0; i < 3; i++) {
        struct crash_disk *to = crash_disk_create();
        cr_assert_eq(receive(&source, to, chunks[i]), SNAPSHOT_OK);
        const struct crash_disk_bytes *sent =
            crash_disk_file(from, test_name(SNAPSHOT_BASE, INDEX));
        const struct crash_disk_bytes *got = crash_disk_file(to, test_name(SNAPSHOT_BASE, INDEX));
        cr_assert_eq(sent->count, got->count);
        cr_assert_eq(memcmp(sent->bytes, got->bytes, sent->count), 0);
        cr_assert_eq(crash_disk_names_count(to), 1);
        crash_disk_destroy(to);
    }
    snapshot_source_close(&source);
    crash_disk_destroy(from);
}

Test(snapshot_transfer, a_transfer_goes_on_with_another_sender_of_the_same_file)
{
    struct snapshot_source first, second;
    struct crash_disk *from = sender(&first);
    struct crash_disk *other = sender(&second);
    cr_assert(snapshot_identity_is_same(&first.identity, &second.identity));
    struct crash_disk *to = crash_disk_create();
    struct snapshot_sink sink;
    cr_assert_eq(snapshot_sink_open(&to->disk, CRASH_DISK_DIRECTORY, &first.identity, &sink, NULL),
                 SNAPSHOT_OK);
    cr_assert_eq(move(&first, &sink, first.identity.bytes / 2, 1000), SNAPSHOT_OK);
    snapshot_source_close(&first);
    crash_disk_destroy(from);
    cr_assert_eq(move(&second, &sink, second.identity.bytes, 1000), SNAPSHOT_OK);
    uint64_t pairs = 0;
    cr_assert_eq(verify(&sink, &pairs), SNAPSHOT_OK);
    cr_assert_eq(pairs, PAIRS);
    snapshot_sink_close(&sink, true);
    cr_assert_eq(crash_disk_names_count(to), 0, "the temporary file is gone");
    snapshot_source_close(&second);
    crash_disk_destroy(other);
    crash_disk_destroy(to);
}

Test(snapshot_transfer, a_damaged_base_is_not_sent)
{
    struct snapshot_source source;
    struct crash_disk *from = sender(&source);
    snapshot_source_close(&source);
    struct crash_disk_bytes *file = crash_disk_file(from, test_name(SNAPSHOT_BASE, INDEX));
    for (uint64_t pos = 0; pos < file->count; pos += 1 + file->count / 97) {
        file->bytes[pos] ^= 4;
        cr_assert_neq(open_source(from, &source), SNAPSHOT_OK, "byte %llu",
                      (unsigned long long)pos);
        file->bytes[pos] ^= 4;
    }
    cr_assert_eq(open_source(from, &source), SNAPSHOT_OK);
    snapshot_source_close(&source);
    crash_disk_destroy(from);
}

/* Damage on the way, or in the receiver's file, is found before the file gets its name. */
/* Whoever mends it has to know which one that is. */
Test(snapshot_transfer, a_base_that_is_not_sent_is_told_by_its_index)
{
    struct snapshot_source source;
    struct segment_log_problem problem;
    for (int harm = 0; harm < 3; harm++) {
        struct crash_disk *disk = sender(&source);
        snapshot_source_close(&source);
        const char *name = test_name(SNAPSHOT_BASE, INDEX);
        if (harm == 0) crash_disk_file(disk, name)->bytes[3] ^= 1;
        if (harm == 1) crash_disk_unreadable(disk, name, 200);
        if (harm == 2) cr_assert_eq(disk_unlink(&disk->disk, test_path(SNAPSHOT_BASE, INDEX)), 0);
        problem.index = 0;
        cr_assert_eq(snapshot_source_open(&disk->disk, CRASH_DISK_DIRECTORY, &own()->cluster,
                                          own()->group, INDEX, &source, &problem),
                     harm == 2 ? SNAPSHOT_MISSING : SNAPSHOT_DAMAGED);
        cr_assert_eq(problem.index, INDEX, "harm %d", harm);
        crash_disk_destroy(disk);
    }
}

Test(snapshot_transfer, no_flipped_bit_is_verified)
{
    struct snapshot_source source;
    struct crash_disk *from = sender(&source);
    struct crash_disk *to = crash_disk_create();
    struct snapshot_sink sink;
    cr_assert_eq(snapshot_sink_open(&to->disk, CRASH_DISK_DIRECTORY, &source.identity, &sink, NULL),
                 SNAPSHOT_OK);
    cr_assert_eq(move(&source, &sink, source.identity.bytes, 65536), SNAPSHOT_OK);
    char name[80];
    snprintf(name, sizeof name, "%s.tmp", test_name(SNAPSHOT_BASE, INDEX));
    struct crash_disk_bytes *file = crash_disk_file(to, name);
    cr_assert_not_null(file);
    uint64_t pairs = 0;
    for (uint64_t pos = 0; pos < file->count; pos += 1 + file->count / 97) {
        file->bytes[pos] ^= 4;
        cr_assert_neq(verify(&sink, &pairs), SNAPSHOT_OK, "byte %llu", (unsigned long long)pos);
        file->bytes[pos] ^= 4;
    }
    cr_assert_eq(verify(&sink, &pairs), SNAPSHOT_OK);
    snapshot_sink_close(&sink, true);
    snapshot_source_close(&source);
    crash_disk_destroy(from);
    crash_disk_destroy(to);
}

/* A whole base, but not the one that was announced, or of another group. */
Test(snapshot_transfer, another_base_than_the_announced_one_is_refused)
{
    for (int what = 0; what < 5; what++) {
        struct snapshot_source source;
        struct crash_disk *from = sender(&source);
        struct crash_disk *to = crash_disk_create();
        struct snapshot_identity announced = source.identity;
        struct snapshot_header self = *own();
        if (what == 0) announced.hash++;
        if (what == 1) announced.point.term++;
        if (what == 2) announced.point.chain++;
        if (what == 3) self.group++;
        if (what == 4) self.cluster.bytes[3]++;
        struct snapshot_sink sink;
        cr_assert_eq(snapshot_sink_open(&to->disk, CRASH_DISK_DIRECTORY, &announced, &sink, NULL),
                     SNAPSHOT_OK);
        cr_assert_eq(move(&source, &sink, announced.bytes, 65536), SNAPSHOT_OK);
        struct snapshot_header header;
        struct tree *state = NULL;
        cr_assert_eq(snapshot_sink_verify(&sink, &self.cluster, self.group, &header, &state, NULL),
                     what < 3 ? SNAPSHOT_DAMAGED : SNAPSHOT_FOREIGN);
        cr_assert_null(state);
        snapshot_sink_close(&sink, true);
        snapshot_source_close(&source);
        crash_disk_destroy(from);
        crash_disk_destroy(to);
    }
}

static struct crash_disk *receiver(void)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 10, 30);
    disk->calls = 0;
    return disk;
}

Test(snapshot_transfer, a_crash_at_any_call_leaves_the_old_base_or_the_whole_new_one)
{
    struct snapshot_source source;
    struct crash_disk *from = sender(&source);
    uint32_t old = 0, new = 0;
    bool reached = true;
    for (uint32_t crash_at = 1; reached; crash_at++) {
        for (uint32_t cut = 0; cut < CUTS_COUNT; cut++) {
            struct crash_disk *to = receiver();
            to->crash_at = crash_at;
            const enum snapshot_status status = receive(&source, to, 65536);
            reached = to->calls >= crash_at;
            crash_disk_power_cut(to, (enum crash_disk_cut)cut);
            const struct test_load load = test_load_newest(to);
            cr_assert_eq(load.status, SNAPSHOT_OK, "%s", load.problem.reason);
            if (status == SNAPSHOT_OK) cr_assert_eq(load.header.point.index, INDEX);
            cr_assert_eq(load.pairs, load.header.point.index == INDEX ? PAIRS : 30);
            old += load.header.point.index == 10;
            new += load.header.point.index == INDEX;
            crash_disk_destroy(to);
        }
    }
    cr_assert_gt(old, 10);
    cr_assert_geq(new, CUTS_COUNT);
    snapshot_source_close(&source);
    crash_disk_destroy(from);
}

Test(snapshot_transfer, a_failing_call_is_told_and_leaves_the_old_base)
{
    const int errors[] = {EIO, ENOSPC};
    struct snapshot_source source;
    struct crash_disk *from = sender(&source);
    for (int i = 0; i < 2; i++) {
        bool reached = true;
        for (uint32_t fail_at = 1; reached; fail_at++) {
            struct crash_disk *to = receiver();
            to->fail_at = fail_at;
            to->fail_error = errors[i];
            const enum snapshot_status status = receive(&source, to, 65536);
            reached = to->calls >= fail_at;
            to->fail_at = 0;
            /* What arrived and cannot be read back is refused, and comes once more. */
            const bool is_unreadable = to->failed_a_read && errors[i] == EIO;
            cr_assert(status == SNAPSHOT_OK || status == SNAPSHOT_FULL ||
                          status == (is_unreadable ? SNAPSHOT_DAMAGED : SNAPSHOT_IO),
                      "call %u: %s", fail_at, snapshot_status_text(status));
            const struct test_load load = test_load_newest(to);
            cr_assert_eq(load.status, SNAPSHOT_OK);
            if (status == SNAPSHOT_OK) cr_assert_eq(load.header.point.index, INDEX);
            crash_disk_destroy(to);
        }
    }
    snapshot_source_close(&source);
    crash_disk_destroy(from);
}

Test(snapshot_transfer, bases_are_listed_newest_first_and_older_ones_removed)
{
    struct crash_disk *disk = crash_disk_create();
    const uint64_t indexes[] = {40, 10, 30, 20};
    for (int i = 0; i < 4; i++) {
        test_write(disk, SNAPSHOT_BASE, indexes[i], 5);
        test_write(disk, SNAPSHOT_CHECKPOINT, indexes[i] + 1, 5);
    }
    struct segment_log_point points[3];
    struct snapshot_damage damage;
    uint32_t count = 0;
    cr_assert_eq(snapshot_list_bases(&disk->disk, CRASH_DISK_DIRECTORY, &own()->cluster,
                                     own()->group, points, 3, &count, &damage, NULL),
                 SNAPSHOT_OK);
    cr_assert_eq(count, 3);
    cr_assert_eq(points[0].index, 40);
    cr_assert_eq(points[1].index, 30);
    cr_assert_eq(points[2].index, 20);
    cr_assert_eq(snapshot_remove_below(&disk->disk, CRASH_DISK_DIRECTORY, 30), 0);
    cr_assert_eq(crash_disk_names_count(disk), 4); /* 30, 31, 40, 41 */
    cr_assert_eq(damage.count, 0);
    /* Damaged ones are left out and told, but where there is a copy. */
    crash_disk_file(disk, test_name(SNAPSHOT_BASE, 30))->bytes[50] ^= 1;
    cr_assert_eq(snapshot_list_bases(&disk->disk, CRASH_DISK_DIRECTORY, &own()->cluster,
                                     own()->group, points, 3, &count, &damage, NULL),
                 SNAPSHOT_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(damage.count, 1);
    cr_assert_eq(damage.lowest, 30);
    cr_assert_eq(snapshot_copy_base(&disk->disk, CRASH_DISK_DIRECTORY, &own()->cluster,
                                    own()->group, 40, NULL),
                 SNAPSHOT_OK);
    for (int copies = 1; copies >= 0; copies--) {
        if (copies) crash_disk_file(disk, test_name(SNAPSHOT_BASE, 40))->bytes[50] ^= 1;
        cr_assert_eq(snapshot_list_bases(&disk->disk, CRASH_DISK_DIRECTORY, &own()->cluster,
                                         own()->group, points, 3, &count, &damage, NULL),
                     SNAPSHOT_OK);
        cr_assert_eq(count, (uint32_t)copies);
        cr_assert_eq(damage.count, copies ? 1 : 2);
        cr_assert_eq(damage.highest, copies ? 30 : 40);
        cr_assert_eq(
            snapshot_remove_file(
                &disk->disk, CRASH_DISK_DIRECTORY,
                &(struct snapshot_file){.kind = SNAPSHOT_BASE, .form = SNAPSHOT_COPY, .index = 40}),
            0);
    }
    crash_disk_destroy(disk);
}
