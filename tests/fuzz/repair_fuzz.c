/* libFuzzer on the repair of a log by peers of which none is to be trusted: answers, and requests, behind right checksums.
 *
 * A log of several segments is damaged as the input says, then steps follow: answers of a peer, from honest ones to bytes of
 * the input; requests of a peer, to this log and to a whole one; appends, cuts, drops and power cuts in between. The oracle:
 *
 *   - no assertion, no sanitizer report;
 *   - no entry is ever read, or served, that is not the one that was written at its index: a chain that leads from what is
 *     in front of a hole to what is behind it cannot be made up;
 *   - a session ends with its segment whole, or with nothing changed;
 *   - whatever came before, honest answers repair everything in the end, and a power cut finds it so.
 *
 * layout: damages (1), 3 bytes each; then steps: kind (1), what it takes */
#include "seal.h"

#include <broker/repair_codec.h>
#include <memory_disk.h>
#include <segment_log/repair.h>

#include <string.h>

#define DIRECTORY    "log"
#define GROUP        7u
#define ENTRIES      44u
#define ENTRIES_MAX  128u
#define SEGMENTS     5u
#define DAMAGES_MAX  4u
#define STEPS_MAX    32
#define BODY_MAX     32768u
#define ANSWER_BYTES 1500u
#define MOVES_MAX    4096
#define DATA_POS     12288u

static const struct cluster_id cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* The log as it was written, and the log of a whole peer. */
static struct disk *written;
static struct segment_log *whole;
static struct segment_log_point origin;
static uint64_t chains[ENTRIES_MAX];
static struct {
    uint32_t segment; /* 1, 2, ... */
    uint64_t pos;
    uint32_t bytes; /* that something is said in */
} places[ENTRIES_MAX];

struct world {
    struct disk *disk;
    struct segment_log *log;
    struct segment_log_point start; /* of the oldest base */
    uint64_t expected[ENTRIES_MAX]; /* chains */
    uint64_t term;
};

static struct segment_log_options options_on(struct disk *disk,
                                             const struct segment_log_point *start)
{
    return (struct segment_log_options){
        .disk = disk,
        .directory = DIRECTORY,
        .cluster = cluster,
        .group = GROUP,
        .segment_bytes_max = 16384,
        .extend_bytes = 4096,
        .cache_bytes_max = 2048,
        .sector_bytes = 512,
        .start = start,
    };
}

static struct segment_log *open_on(struct disk *disk, const struct segment_log_point *start)
{
    const struct segment_log_options options = options_on(disk, start);
    struct segment_log *log = NULL;
    struct segment_log_problem problem = {.pos = 0};
    const enum segment_log_status status = segment_log_open(&options, &log, &problem);
    fuzz_check(status == SEGMENT_LOG_OK, "%s: %s", problem.path, problem.reason);
    return log;
}

static struct segment_log_info info_of(const struct segment_log *log)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    return info;
}

static bool run_write_job(struct segment_log *log, bool idle)
{
    struct segment_log_job *job = segment_log_next_job(log, idle);
    if (!job) return false;
    struct segment_log_job_result result;
    segment_log_job_run(job);
    segment_log_job_finish(log, job, &result);
    fuzz_check(result.status == SEGMENT_LOG_OK, "%s: %s", result.problem.path,
               result.problem.reason);
    return true;
}

static void flush(struct segment_log *log)
{
    for (int i = 0; run_write_job(log, true); i++) {
        fuzz_check(i < MOVES_MAX, "the log never runs out of jobs");
    }
}

/* ---- the log that was ---------------------------------------------------------------------------------------------- */

static void append(struct segment_log *log, uint64_t term, uint64_t chain_of[ENTRIES_MAX])
{
    uint8_t payload[1200];
    const uint64_t index = info_of(log).last_index + 1;
    const struct segment_log_entry entry = {
        .type = index % 9 == 4   ? ENTRY_CONFIG
                : index % 5 == 2 ? ENTRY_NOOP
                                 : ENTRY_OFFSETS,
        .timestamp_ms = (int64_t)index,
        .payload = payload,
        .payload_bytes = index % 5 == 2 ? 0u : 20u + (uint32_t)(index * 37 % 1100),
    };
    for (uint32_t i = 0; i < entry.payload_bytes; i++) {
        payload[i] = (uint8_t)(index * 31u + term * 7u + i);
    }
    uint64_t last;
    fuzz_check(segment_log_append(log, term, &entry, 1, &last) == SEGMENT_LOG_OK, "no append");
    chain_of[last] = info_of(log).last_chain;
}

static void segment_path(uint32_t segment, char path[DISK_PATH_MAX])
{
    snprintf(path, DISK_PATH_MAX, DIRECTORY "/%020u.segment", segment);
}

static void find_places(uint32_t segment)
{
    char path[DISK_PATH_MAX];
    segment_path(segment, path);
    struct fuzz_file file;
    fuzz_file_load(written, path, &file);
    for (size_t pos = DATA_POS; pos + ENTRY_HEADER_BYTES <= file.count; pos += ENTRY_ALIGNMENT) {
        struct entry_header header;
        if (entry_decode_header(file.bytes + pos, file.count - pos,
                                checksum64_group(&cluster, GROUP), &header) != ENTRY_DECODE_OK) {
            continue;
        }
        places[header.index].segment = segment;
        places[header.index].pos = pos;
        places[header.index].bytes = ENTRY_HEADER_BYTES + header.payload_bytes;
    }
    fuzz_file_close(&file);
}

static void write_once(void)
{
    if (written) return;
    written = memory_disk_create(1);
    origin = (struct segment_log_point){.chain = checksum64_group(&cluster, GROUP)};
    const struct segment_log_options options = options_on(written, &origin);
    struct segment_log *log;
    struct segment_log_problem problem;
    fuzz_check(segment_log_create(&options, &origin, &log, &problem) == SEGMENT_LOG_OK, "%s",
               problem.reason);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        append(log, 1 + i / 12, chains);
        if (i % 3 == 0) flush(log);
    }
    flush(log);
    const uint32_t segments = info_of(log).segments_count;
    fuzz_check(segments >= SEGMENTS, "only %u segments", segments);
    segment_log_close(log);
    for (uint32_t i = 1; i <= segments; i++) {
        find_places(i);
    }
    whole = open_on(written, &origin);
}

static void damage(struct world *world, struct fuzz_input *input)
{
    const uint32_t count = 1u + fuzz_take_u8(input) % DAMAGES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t kind = fuzz_take_u8(input), which = fuzz_take_u8(input),
                      where = fuzz_take_u8(input);
        const uint64_t index = 1u + which % ENTRIES;
        char path[DISK_PATH_MAX];
        segment_path(places[index].segment, path);
        if (kind % 8u == 0 && places[index].segment < places[ENTRIES].segment) {
            (void)disk_unlink(world->disk, path); /* gone already, perhaps */
            continue;
        }
        const uint64_t pos = (uint64_t)where * 5u % places[index].bytes;
        (void)memory_disk_flip(world->disk, path, places[index].pos + pos,
                               (uint8_t)(1u << kind / 8u % 8u));
    }
    fuzz_check(disk_sync_directory(world->disk, DIRECTORY) == 0, "sync of the directory");
}

/* ---- what must hold ------------------------------------------------------------------------------------------------ */

static void check_entries(const struct world *world, const struct segment_log_view *view)
{
    uint64_t index = view->first_index;
    for (uint32_t i = 0; i < view->parts_count; i++) {
        const uint8_t *at = view->parts[i].bytes, *end = at + view->parts[i].bytes_count;
        while (at < end) {
            struct entry_header header;
            const uint8_t *payload;
            fuzz_check(entry_decode(at, (size_t)(end - at), checksum64_group(&cluster, GROUP),
                                    &header, &payload) == ENTRY_DECODE_OK,
                       "a bad entry was given out as %llu", (unsigned long long)index);
            fuzz_check(header.index == index && index < ENTRIES_MAX &&
                           header.chain == world->expected[index],
                       "entry %llu is another one", (unsigned long long)index);
            at += entry_bytes(header.payload_bytes);
            index++;
        }
    }
    fuzz_check(index == view->last_index + 1u, "the view holds other entries than it says");
}

static void check_log(const struct world *world)
{
    const struct segment_log_info info = info_of(world->log);
    uint64_t index = info.base.index + 1u;
    while (index <= info.durable_index) {
        struct segment_log_read_job *job;
        struct segment_log_view view;
        struct segment_log_problem problem;
        fuzz_check(segment_log_read_job_create(world->log, SEGMENT_LOG_BY_INDEX, index,
                                               info.durable_index, 65536, &job) == SEGMENT_LOG_OK,
                   "no read job");
        segment_log_read_job_run(job);
        const enum segment_log_status status =
            segment_log_read_job_finish(world->log, job, &view, &problem);
        if (status == SEGMENT_LOG_OK) {
            check_entries(world, &view);
            index = view.last_index + 1u;
            segment_log_view_release(&view);
            continue;
        }
        struct segment_log_hole hole;
        fuzz_check(status == SEGMENT_LOG_DAMAGED &&
                       segment_log_hole_from(world->log, index, &hole) && hole.first_index <= index,
                   "read of %llu: %s", (unsigned long long)index, segment_log_status_text(status));
        index = hole.last_index + 1u;
    }
}

/* ---- the session --------------------------------------------------------------------------------------------------- */

static void judge_end(const struct world *world, const struct segment_log_repair_info *info)
{
    switch (info->status) {
    case SEGMENT_LOG_OK: {
        struct segment_log_hole hole;
        const bool has_hole = segment_log_hole_from(world->log, info->first_index, &hole) &&
                              hole.first_index <= info->last_index;
        fuzz_check(!has_hole, "the segment is repaired and has a hole");
        break;
    }
    case SEGMENT_LOG_BROKEN_CHAIN:
    case SEGMENT_LOG_SUPERSEDED:
        break;
    case SEGMENT_LOG_DAMAGED:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_OUT_OF_RANGE:
    case SEGMENT_LOG_FULL:
    case SEGMENT_LOG_IO:
        fuzz_check(false, "a session ends with %s: %s", segment_log_status_text(info->status),
                   info->problem.reason);
    }
    check_log(world);
}

/* Until entries are wanted; false: there is nothing to be repaired, or the session ended. */
static bool come_to_want(struct world *world, struct segment_log_repair_info *ret_info)
{
    if (info_of(world->log).holes_count == 0) return false;
    segment_log_repair_info(world->log, ret_info);
    if (ret_info->state == SEGMENT_LOG_REPAIR_NONE) {
        fuzz_check(segment_log_repair_begin(world->log, 0, NULL, NULL) == SEGMENT_LOG_OK,
                   "no session");
    }
    for (int i = 0; i < MOVES_MAX; i++) {
        segment_log_repair_info(world->log, ret_info);
        if (ret_info->state == SEGMENT_LOG_REPAIR_WANTS) return true;
        if (ret_info->state == SEGMENT_LOG_REPAIR_ENDED) {
            judge_end(world, ret_info);
            segment_log_repair_end(world->log);
            return false;
        }
        struct segment_log_repair_job *piece = segment_log_repair_next_job(world->log);
        if (piece) {
            segment_log_repair_job_run(piece);
            segment_log_repair_job_finish(world->log, piece);
        } else {
            fuzz_check(run_write_job(world->log, false), "the session waits for nothing");
        }
    }
    fuzz_check(false, "the session comes to no end");
    return false;
}

/* As a node takes the body of a REPAIR frame: what is no answer to its question is dropped. */
static void take_answer(struct world *world, const struct segment_log_repair_info *wanted,
                        const uint8_t *frame, size_t count)
{
    uint8_t *body = malloc(count ? count : 1); /* exactly: the sanitizer watches its end */
    fuzz_check(body, "no memory");
    memcpy(body, frame, count);
    struct repair_message message;
    const size_t used = repair_codec_decode(body, count, &message);
    fuzz_check(used == 0 || used == REPAIR_CODEC_BYTES, "another size");
    if (used != 0 && message.type == REPAIR_ANSWER && message.answer == REPAIR_ENTRIES &&
        message.index == wanted->want_before.index) {
        const enum segment_log_status status =
            segment_log_repair_supply(world->log, body + used, count - used);
        fuzz_check(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_BAD_ENTRY ||
                       status == SEGMENT_LOG_BROKEN_CHAIN,
                   "supply: %s", segment_log_status_text(status));
    }
    free(body);
}

/* What a whole peer answers: head and entries. 0: what was supplied before leads elsewhere than its log. */
static size_t answer_honestly(const struct segment_log_repair_info *wanted, size_t bytes_max,
                              uint8_t body[BODY_MAX])
{
    struct segment_log_read_job *job;
    struct segment_log_view view;
    struct segment_log_problem problem;
    fuzz_check(segment_log_repair_read_create(whole, wanted->want_before.index,
                                              wanted->want_before.chain, wanted->want_last,
                                              bytes_max, &job) == SEGMENT_LOG_OK,
               "the whole peer cannot read");
    segment_log_read_job_run(job);
    const enum segment_log_status status = segment_log_read_job_finish(whole, job, &view, &problem);
    if (status == SEGMENT_LOG_BROKEN_CHAIN &&
        wanted->want_before.chain != chains[wanted->want_before.index]) {
        return 0;
    }
    fuzz_check(status == SEGMENT_LOG_OK, "the whole peer has it not: %s",
               segment_log_status_text(status));
    const struct repair_message message = {
        .type = REPAIR_ANSWER,
        .answer = REPAIR_ENTRIES,
        .number = 9,
        .from_epoch = 2,
        .index = wanted->want_before.index,
        .chain = wanted->want_before.chain,
        .last_index = view.last_index,
        .log_last_index = ENTRIES,
        .term = 4,
    };
    repair_codec_encode(&message, body);
    size_t count = REPAIR_CODEC_BYTES;
    for (uint32_t i = 0; i < view.parts_count; i++) {
        fuzz_check(count + view.parts[i].bytes_count <= BODY_MAX, "a long answer");
        memcpy(body + count, view.parts[i].bytes, view.parts[i].bytes_count);
        count += view.parts[i].bytes_count;
    }
    segment_log_view_release(&view);
    return count;
}

/* What is in doubt is what was written: to believe it is right, and not to costs no more than more entries of the peer. */
static void settle(struct world *world, bool are_believed)
{
    segment_log_repair_settle(world->log, are_believed);
    if (!are_believed) segment_log_repair_end(world->log);
    check_log(world);
}

/* how (1): bits 0..1: honest, patched, an entry left out, bytes of the input; bits 2..3: what of its entries is sealed. Behind it,
 * where entries are in doubt: whether they are settled instead (1) */
static void answer(struct world *world, struct fuzz_input *input)
{
    struct segment_log_repair_info wanted;
    const uint8_t how = fuzz_take_u8(input);
    if (!come_to_want(world, &wanted)) return;
    if (wanted.is_doubted && fuzz_take_u8(input) % 4u == 0) {
        settle(world, how % 2u);
        return;
    }
    static uint8_t body[BODY_MAX];
    size_t count = answer_honestly(&wanted, 1u + how / 16u * 100u, body);
    if (count == 0) {
        segment_log_repair_end(world->log);
        return;
    }
    if (how % 4u == 1) {
        for (uint32_t patches = 1u + fuzz_take_u8(input) % 4u; patches > 0; patches--) {
            const size_t pos = fuzz_take_u16(input) % count;
            body[pos] ^= fuzz_take_u8(input);
        }
    } else if (how % 4u == 2) {
        const size_t first = entry_bytes(entry_payload_bytes(body + REPAIR_CODEC_BYTES));
        count -= first;
        memmove(body + REPAIR_CODEC_BYTES, body + REPAIR_CODEC_BYTES + first,
                count - REPAIR_CODEC_BYTES);
    } else if (how % 4u == 3) {
        size_t bytes;
        const uint8_t *other = fuzz_take(input, fuzz_take_u8(input), &bytes);
        memcpy(body + REPAIR_CODEC_BYTES, other, bytes);
        if (how & 0x40) count = REPAIR_CODEC_BYTES + bytes; /* nothing of the peer's behind it */
    }
    if (how & 4 && count > REPAIR_CODEC_BYTES) {
        seal_entries(body + REPAIR_CODEC_BYTES, count - REPAIR_CODEC_BYTES,
                     how & 8 ? SEAL_CHAIN : SEAL_CHECKSUMS, checksum64_group(&cluster, GROUP),
                     wanted.want_before.chain);
    }
    take_answer(world, &wanted, body, count);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static void serve(const struct world *world, struct segment_log *log,
                  const struct repair_message *request)
{
    struct segment_log_read_job *job;
    struct segment_log_view view;
    struct segment_log_problem problem = {.pos = 0};
    enum segment_log_status status = segment_log_repair_read_create(
        log, request->index, request->chain, request->last_index, ANSWER_BYTES, &job);
    if (status != SEGMENT_LOG_OK) {
        const struct segment_log_info info = info_of(log);
        const bool is_other_last =
            request->index == info.last_index && request->chain != info.last_chain;
        fuzz_check(status == (is_other_last ? SEGMENT_LOG_BROKEN_CHAIN : SEGMENT_LOG_OUT_OF_RANGE),
                   "%s", segment_log_status_text(status));
        return;
    }
    segment_log_read_job_run(job);
    status = segment_log_read_job_finish(log, job, &view, &problem);
    fuzz_check(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_DAMAGED ||
                   status == SEGMENT_LOG_BROKEN_CHAIN,
               "%s", segment_log_status_text(status));
    if (status != SEGMENT_LOG_OK) return;
    fuzz_check(view.first_index == request->index + 1 && view.last_index <= request->last_index,
               "other entries than were asked for");
    if (log == world->log) check_entries(world, &view);
    segment_log_view_release(&view);
}

/* Fields near those of the log, or any; then bytes of the body are changed. */
static void request(struct world *world, struct fuzz_input *input)
{
    const uint8_t how = fuzz_take_u8(input), index = fuzz_take_u8(input),
                  more = fuzz_take_u8(input);
    struct repair_message message = {
        .type = REPAIR_REQUEST,
        .number = 1,
        .from_epoch = 3,
        .index = index % (ENTRIES + 3u),
        .last_index = index % (ENTRIES + 3u) + more,
    };
    message.chain = message.index == 0 ? origin.chain : world->expected[message.index];
    uint8_t body[REPAIR_CODEC_BYTES];
    repair_codec_encode(&message, body);
    for (uint32_t patches = how % 4u; patches > 0; patches--) {
        const uint8_t pos = fuzz_take_u8(input);
        body[pos % sizeof body] ^= fuzz_take_u8(input);
    }
    if (repair_codec_decode(body, sizeof body, &message) == 0) return;
    if (message.type != REPAIR_REQUEST) return;
    serve(world, world->log, &message);
    serve(world, whole, &message);
}

/* ---- other work ---------------------------------------------------------------------------------------------------- */

static void append_some(struct world *world, struct fuzz_input *input)
{
    for (uint32_t count = 1u + fuzz_take_u8(input) % 4u; count > 0; count--) {
        if (info_of(world->log).last_index + 2u >= ENTRIES_MAX) return;
        append(world->log, world->term, world->expected);
    }
    (void)run_write_job(world->log, false);
}

/* In front of the first hole, or behind the last one, or what is in front of an entry goes. */
static void cut_or_drop(struct world *world, struct fuzz_input *input)
{
    const uint8_t how = fuzz_take_u8(input);
    const struct segment_log_info info = info_of(world->log);
    struct segment_log_hole hole;
    uint64_t from = info.base.index + 1u + how / 2u;
    if (from > info.last_index) return;
    if (how % 2u) {
        flush(world->log);
        segment_log_drop_prefix(world->log, from);
        flush(world->log);
        return;
    }
    if (segment_log_hole_from(world->log, from - 1u, &hole) && hole.first_index < from) {
        from = hole.first_index;
    }
    if (from <= info.base.index) return;
    segment_log_truncate(world->log, from);
    world->term++;
    flush(world->log);
}

/* The log begins where it has been dropped to by now: a drop waits for the repair of the file that it ends in. */
static void open_again(struct world *world, bool is_killed)
{
    world->start = info_of(world->log).base;
    segment_log_close(world->log);
    memory_disk_crash(world->disk, is_killed ? MEMORY_DISK_KILL : MEMORY_DISK_POWER);
    world->log = open_on(world->disk, &world->start);
}

/* All is synced before the power goes: a mark that it tears beside damaged entries may be the newer one (L6). */
static void lose_power(struct world *world, uint8_t how)
{
    const bool is_killed = how & 8;
    if (!is_killed) flush(world->log);
    open_again(world, is_killed);
    check_log(world);
}

/* An entry of the whole peer's at every place that a hole has. */
static bool is_of_the_peer(const struct world *world, const struct segment_log_repair_info *wanted)
{
    for (uint64_t i = wanted->want_first; i <= wanted->want_last; i++) {
        if (i > ENTRIES || world->expected[i] != chains[i]) return false;
    }
    return true;
}

static void step(struct world *world, struct fuzz_input *input)
{
    const uint8_t kind = fuzz_take_u8(input);
    switch (kind % 8u) {
    case 4:
        request(world, input);
        return;
    case 5:
        append_some(world, input);
        return;
    case 6:
        if (kind >= 64) cut_or_drop(world, input);
        return;
    case 7:
        if (kind >= 128) lose_power(world, kind);
        return;
    default:
        answer(world, input);
    }
}

static void repair_honestly(struct world *world)
{
    static uint8_t body[BODY_MAX];
    struct segment_log_repair_info wanted;
    for (int i = 0; info_of(world->log).holes_count > 0; i++) {
        fuzz_check(i < MOVES_MAX, "honest answers do not repair it");
        if (!come_to_want(world, &wanted)) continue;
        fuzz_check(is_of_the_peer(world, &wanted), "what is wanted was never damaged");
        const size_t count = answer_honestly(&wanted, 20000, body);
        if (count == 0) segment_log_repair_end(world->log); /* anew, without what was supplied */
        if (count > 0) take_answer(world, &wanted, body, count);
    }
    check_log(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    static struct world world;
    write_once();
    memset(&world, 0, sizeof world);
    memcpy(world.expected, chains, sizeof chains);
    world.start = origin;
    world.term = 100;
    world.disk = memory_disk_clone(written, 1);
    damage(&world, &input);
    world.log = open_on(world.disk, &world.start);
    for (int i = 0; i < STEPS_MAX && input.bytes > 0; i++) {
        step(&world, &input);
    }
    repair_honestly(&world);
    flush(world.log);
    const uint64_t last_chain = info_of(world.log).last_chain;
    open_again(&world, /* is_killed= */ false);
    const struct segment_log_info info = info_of(world.log);
    fuzz_check(info.holes_count == 0 && info.last_chain == last_chain,
               "what was repaired is damaged behind a power cut");
    check_log(&world);
    segment_log_close(world.log);
    memory_disk_destroy(world.disk);
    return 0;
}
