/* libFuzzer on the recovery of a log: any damage to the files of a log that was written by the log itself.
 *
 * The input is a short script of what the log did (append, flush, seal, truncate, roll, compact), then patches. The oracle:
 *
 *   - nothing but an answer comes of it: no assertion, no sanitizer report, no end of memory;
 *   - without sealed checksums every entry that is read is the one that was written at that index, or one that a
 *     truncation cut (the damage may have been to the marks that tell so);
 *   - one flipped byte, a file cut short and a lost file are told from a torn tail: the log does not open without what
 *     was synced (PROTOCOL L10);
 *   - what opened once opens again, with the same entries, and takes new ones.
 *
 * layout: flags (1), steps (1), steps * 2 bytes, then per patch: file (1), the patch (patch.h) */
#include "seal.h"

#include <memory_disk.h>
#include <segment_log/segment_log.h>

#include <string.h>

enum {
    FLAG_SEAL = 1,       /* checksums are right in spite of the damage */
    FLAG_SEAL_CHAIN = 2, /* and every entry follows the one in front of it */
    FLAG_POWER = 4,      /* the power goes before the damage is done */
    FLAG_BASE = 8,       /* a base is known at the log's start */
};

#define DIRECTORY    "log"
#define STEPS_MAX    24u
#define PATCHES_MAX  16u
#define ENTRIES_MAX  256u
#define SEGMENTS_MAX 16u
#define PAYLOAD_MAX  3000u
#define READ_BYTES   65536u
#define JOBS_MAX     4096
#define GROUP        7u

static const struct cluster_id cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* Payload hashes that were written at an index, over all terms. */
struct written {
    uint64_t hashes[ENTRIES_MAX][4];
    uint32_t counts[ENTRIES_MAX];
};

struct world {
    struct disk *disk;
    struct segment_log_options options;
    struct segment_log *log;
    struct segment_log_point base;
    uint64_t term;
    uint64_t committed_index;
    uint64_t durable_index; /* at the end of the script everything is synced */
    struct written written;
};

static struct segment_log_point origin(void)
{
    return (struct segment_log_point){.chain = checksum64_group(&cluster, GROUP)};
}

static void run_jobs(struct segment_log *log)
{
    struct segment_log_job *job;
    for (int i = 0; (job = segment_log_next_job(log, /* idle= */ true)) != NULL; i++) {
        fuzz_check(i < JOBS_MAX, "the log never runs out of jobs");
        struct segment_log_job_result result;
        segment_log_job_run(job);
        segment_log_job_finish(log, job, &result);
        fuzz_check(result.status == SEGMENT_LOG_OK, "%s: %s", result.problem.path,
                   result.problem.reason);
    }
}

/* ---- the script ----------------------------------------------------------------------------------------------------- */

static void stamp(uint8_t *payload, uint32_t bytes, uint64_t base_offset, uint64_t term)
{
    for (int i = 0; i < 8; i++)
        payload[i] = (uint8_t)(base_offset >> (8 * (7 - i)));
    for (int i = 0; i < 4; i++) {
        payload[8 + i] = (uint8_t)((bytes - 12u) >> (8 * (3 - i)));
        payload[12 + i] = (uint8_t)(term >> (8 * (3 - i)));
    }
}

static void note_written(struct written *written, uint64_t index, uint64_t hash)
{
    if (index >= ENTRIES_MAX) return;
    uint32_t *count = &written->counts[index];
    written->hashes[index][*count % 4u] = hash;
    ++*count;
}

static bool was_written(const struct written *written, uint64_t index, uint64_t hash)
{
    if (index >= ENTRIES_MAX || written->counts[index] > 4) return true;
    for (uint32_t i = 0; i < written->counts[index]; i++) {
        if (written->hashes[index][i] == hash) return true;
    }
    return false;
}

static void append_one(struct world *world, uint8_t argument)
{
    static uint8_t payload[PAYLOAD_MAX + 16u];
    struct segment_log_info info;
    segment_log_info(world->log, &info);
    if (info.last_index + 2 >= ENTRIES_MAX) return;
    enum entry_type type = argument % 16u == 0   ? ENTRY_CONFIG
                           : argument % 16u == 1 ? ENTRY_NOOP
                                                 : ENTRY_DATA;
    uint32_t bytes = type == ENTRY_NOOP ? 0 : 16u + argument * (PAYLOAD_MAX / 256u);
    for (uint32_t i = 0; i < bytes; i++)
        payload[i] = (uint8_t)(info.last_index * 31u + world->term * 7u + i);
    if (type == ENTRY_DATA) stamp(payload, bytes, info.next_offset, world->term);
    struct segment_log_entry entry = {
        .type = type,
        .record_count = type == ENTRY_DATA ? 1u + argument % 3u : 0,
        .timestamp_ms = info.last_timestamp_ms + argument,
        .payload = payload,
        .payload_bytes = bytes,
    };
    uint64_t last;
    enum segment_log_status status = segment_log_append(world->log, world->term, &entry, 1, &last);
    fuzz_check(status == SEGMENT_LOG_OK, "%s", segment_log_status_text(status));
    note_written(&world->written, last, entry_payload_hash(type, payload, bytes));
}

static void truncate_log(struct world *world, uint8_t argument)
{
    struct segment_log_info info;
    segment_log_info(world->log, &info);
    uint64_t kept =
        info.base.index > world->committed_index ? info.base.index : world->committed_index;
    if (info.last_index <= kept) return;
    uint64_t count = info.last_index - kept;
    segment_log_truncate(world->log, info.last_index + 1u - argument % count);
    world->term++;
}

/* Everything is committed, and what is closed gets a footer. */
static void seal(struct world *world)
{
    struct segment_log_info info;
    run_jobs(world->log);
    segment_log_info(world->log, &info);
    world->committed_index = info.last_index;
    segment_log_committed(world->log, info.last_index);
    struct segment_log_seal_job *job;
    for (int i = 0; (job = segment_log_next_seal_job(world->log)) != NULL; i++) {
        fuzz_check(i < JOBS_MAX, "the log never runs out of footers");
        struct segment_log_problem problem;
        segment_log_seal_job_run(job);
        enum segment_log_status status = segment_log_seal_job_finish(world->log, job, &problem);
        fuzz_check(status == SEGMENT_LOG_OK, "%s", problem.reason);
    }
}

/* Roll, and let go of what is in front of the boundary before. What a base holds is committed: it is never cut again. */
static void compact(struct world *world)
{
    struct segment_log_info info;
    run_jobs(world->log);
    segment_log_info(world->log, &info);
    segment_log_drop_prefix(world->log, info.last_segment_base_index);
    run_jobs(world->log);
    segment_log_roll(world->log);
}

static void play(struct world *world, struct fuzz_input *input)
{
    uint32_t steps = fuzz_take_u8(input) % (STEPS_MAX + 1u);
    for (uint32_t i = 0; i < steps; i++) {
        uint8_t step = fuzz_take_u8(input), argument = fuzz_take_u8(input);
        switch (step % 8u) {
        case 0:
        case 1:
        case 2:
            for (int n = 0; n <= step / 8; n++)
                append_one(world, argument);
            break;
        case 3:
            run_jobs(world->log);
            break;
        case 4:
            seal(world);
            break;
        case 5:
            truncate_log(world, argument);
            break;
        case 6:
            segment_log_roll(world->log);
            break;
        default:
            compact(world);
            break;
        }
    }
    world->term++;
    run_jobs(world->log);
    struct segment_log_info info;
    segment_log_info(world->log, &info);
    world->base = info.base;
    world->durable_index = info.last_index;
}

/* ---- damage --------------------------------------------------------------------------------------------------------- */

struct names {
    char paths[SEGMENTS_MAX][DISK_PATH_MAX];
    uint32_t count;
};

static void note_name(void *data, const char *name)
{
    struct names *names = data;
    if (names->count == SEGMENTS_MAX || !strstr(name, ".segment")) return;
    snprintf(names->paths[names->count++], DISK_PATH_MAX, DIRECTORY "/%s", name);
}

static void lose_or_swap(struct world *world, struct names *names, uint32_t which, uint8_t other)
{
    struct disk *disk = world->disk;
    const char *path = names->paths[which], *with = names->paths[other % names->count];
    if (with == path) {
        disk_unlink(disk, path);
        names->count--;
        memmove(names->paths[which], names->paths[which + 1],
                (names->count - which) * sizeof names->paths[0]);
        return;
    }
    disk_rename(disk, path, DIRECTORY "/swap");
    disk_rename(disk, with, path);
    disk_rename(disk, DIRECTORY "/swap", with);
}

/* Where fields stand close together: the blocks in front, the entries, and of a sealed segment footer and trailer. */
static struct fuzz_regions regions_of(const struct fuzz_file *file, uint64_t starts[6])
{
    static const uint64_t fixed[] = {0, 4096, 8192, 12288};
    memcpy(starts, fixed, sizeof fixed);
    seal_find_footer(file, &starts[4], &starts[5]);
    return (struct fuzz_regions){starts, 6};
}

/* True: at most one fault, of a kind that is always to be told from a power cut. */
static bool damage(struct world *world, struct fuzz_input *input, uint8_t flags)
{
    uint32_t faults = 0;
    bool is_plain = true;
    struct names names = {.count = 0};
    fuzz_check(disk_list(world->disk, DIRECTORY, note_name, &names) == 0, "no directory");
    for (uint32_t i = 0; i < PATCHES_MAX && input->bytes > 0 && names.count > 0; i++) {
        uint8_t choice = fuzz_take_u8(input);
        /* Most damage is wanted in the newest file, where recovery has the most to decide. */
        uint32_t which = (names.count - 1u + names.count * 256u - choice % 64u) % names.count;
        if (choice >= 0xf8) {
            uint8_t other = fuzz_take_u8(input);
            is_plain = is_plain && other % names.count == which;
            lose_or_swap(world, &names, which, other);
            faults++;
            continue;
        }
        struct fuzz_file file;
        fuzz_file_load(world->disk, names.paths[which], &file);
        uint64_t starts[6];
        struct fuzz_regions regions = regions_of(&file, starts);
        if (!fuzz_patch(&file, input, &regions)) is_plain = false;
        faults++;
        if (flags & FLAG_SEAL)
            seal_segment(&file, flags & FLAG_SEAL_CHAIN ? SEAL_CHAIN : SEAL_CHECKSUMS);
        fuzz_file_store(world->disk, names.paths[which], &file);
        fuzz_file_close(&file);
    }
    fuzz_check(disk_sync_directory(world->disk, DIRECTORY) == 0, "sync of the directory");
    return is_plain && faults <= 1 && !(flags & FLAG_SEAL);
}

static void check_nothing_is_cut(const struct world *world)
{
    struct segment_log_info info;
    segment_log_info(world->log, &info);
    fuzz_check(info.last_index >= world->durable_index, "opened up to %llu, synced up to %llu",
               (unsigned long long)info.last_index, (unsigned long long)world->durable_index);
    if (!world->options.base) return; /* then nothing tells where the log should start */
    fuzz_check(info.base.index <= world->base.index, "opened from %llu on, it starts at %llu",
               (unsigned long long)info.base.index, (unsigned long long)world->base.index);
}

/* ---- what must hold ------------------------------------------------------------------------------------------------- */

/* A digest of all that can be read, and of where it cannot. */
static uint64_t read_all(struct world *world, bool is_sealed)
{
    struct segment_log_info info;
    segment_log_info(world->log, &info);
    uint64_t digest = checksum64(&info.last_chain, sizeof info.last_chain);
    uint64_t index = info.base.index + 1u;
    for (uint32_t reads = 0; index <= info.last_index && reads < 4u * ENTRIES_MAX; reads++) {
        struct segment_log_read_job *job;
        struct segment_log_view view = {.parts_count = 0};
        struct segment_log_problem problem;
        enum segment_log_status status = segment_log_read_job_create(
            world->log, SEGMENT_LOG_BY_INDEX, index, info.last_index, READ_BYTES, &job);
        if (status == SEGMENT_LOG_OK) {
            segment_log_read_job_run(job);
            status = segment_log_read_job_finish(world->log, job, &view, &problem);
        }
        digest = checksum64_seeded(&status, sizeof status, digest);
        if (status != SEGMENT_LOG_OK) {
            fuzz_check(status == SEGMENT_LOG_DAMAGED, "read of %llu: %s", (unsigned long long)index,
                       segment_log_status_text(status));
            index++;
            continue;
        }
        fuzz_check(view.first_index == index && view.last_index >= index, "another view");
        for (uint32_t i = 0; i < view.parts_count; i++) {
            const uint8_t *at = view.parts[i].bytes, *end = at + view.parts[i].bytes_count;
            while (at < end) {
                struct entry_header header;
                const uint8_t *payload;
                enum entry_decode_status decoded = entry_decode(
                    at, (size_t)(end - at), checksum64_group(&cluster, GROUP), &header, &payload);
                fuzz_check(decoded == ENTRY_DECODE_OK && header.index == index,
                           "a bad entry was served as %llu", (unsigned long long)index);
                fuzz_check(is_sealed || was_written(&world->written, index, header.payload_hash),
                           "entry %llu was never written", (unsigned long long)index);
                digest = checksum64_seeded(at, ENTRY_HEADER_BYTES, digest);
                at += entry_bytes(header.payload_bytes);
                index++;
            }
        }
        fuzz_check(index == view.last_index + 1u, "the view holds other entries than it says");
        segment_log_view_release(&view);
    }
    return digest;
}

static bool open_log(struct world *world)
{
    struct segment_log_problem problem = {.pos = 0};
    enum segment_log_status status = segment_log_open(&world->options, &world->log, &problem);
    fuzz_check(status == SEGMENT_LOG_OK || problem.reason[0], "refused without a reason");
    return status == SEGMENT_LOG_OK;
}

/* Opened twice, it is the same log; and it takes what follows. */
static void check_opened(struct world *world, bool is_sealed)
{
    uint64_t digest = read_all(world, is_sealed);
    segment_log_close(world->log);
    fuzz_check(open_log(world), "what opened once opens again");
    fuzz_check(read_all(world, is_sealed) == digest, "opened again, it is another log");
    struct segment_log_info info;
    segment_log_info(world->log, &info);
    if (world->term < info.last_term) world->term = info.last_term;
    bool has_room = world->term <= INT32_MAX && info.last_index < UINT64_MAX - 4u &&
                    info.next_offset <= (uint64_t)INT64_MAX - UINT32_MAX - 4u &&
                    info.last_timestamp_ms < INT64_MAX - 256;
    if (has_room && info.last_index + 2 < ENTRIES_MAX) {
        append_one(world, 20);
        run_jobs(world->log);
        segment_log_close(world->log);
        fuzz_check(open_log(world), "it opens behind an append");
        struct segment_log_info after;
        segment_log_info(world->log, &after);
        fuzz_check(after.last_index == info.last_index + 1u, "the append is lost");
    }
    segment_log_close(world->log);
}

static void ignore_item(void *data, const struct segment_log_walk_item *item)
{
    (void)data;
    (void)item;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    uint8_t flags = fuzz_take_u8(&input);
    static struct world world;
    memset(&world, 0, sizeof world);
    world.disk = memory_disk_create(flags);
    world.term = 1;
    world.options = (struct segment_log_options){
        .disk = world.disk,
        .directory = DIRECTORY,
        .cluster = cluster,
        .group = GROUP,
        .segment_bytes_max = 32768,
        .extend_bytes = 4096,
        .cache_bytes_max = 8192,
        .sector_bytes = 512,
    };
    struct segment_log_problem problem;
    struct segment_log_point start = origin();
    fuzz_check(segment_log_create(&world.options, &start, &world.log, &problem) == SEGMENT_LOG_OK,
               "%s", problem.reason);
    play(&world, &input);
    segment_log_close(world.log);
    if (flags & FLAG_POWER) memory_disk_crash(world.disk, MEMORY_DISK_POWER);
    if (flags & FLAG_BASE) world.options.base = &world.base;
    bool is_single = damage(&world, &input, flags);

    struct segment_log_walk_summary summary;
    if (segment_log_walk(world.disk, DIRECTORY, NULL, ignore_item, NULL, &summary, &problem) !=
        SEGMENT_LOG_OK) {
        fuzz_check(problem.reason[0], "the walk failed without a reason");
    }
    if (open_log(&world)) {
        if (is_single) check_nothing_is_cut(&world);
        check_opened(&world, flags & FLAG_SEAL);
    }
    memory_disk_destroy(world.disk);
    return 0;
}
