/* Damage of the log's files at rest, whoever finds it, and its repair (PROTOCOL D1, D3, D4).
 *
 * One thing is damaged at a time, when everything was synced, so that it can be told from a torn tail: records of one
 * file, its end, its header or a mark, or the whole file. A start, or a scrub, finds it at once. Then sessions repair it,
 * fed from the history as by a peer, or the hole is cut, or dropped, while all other work goes on. */
#include "workload_private.h"

#include <segment_log/repair.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX    64u
#define DATA_POS     12288u
#define BLOCK_BYTES  4096u
#define SUPPLY_BYTES 60000u

/* ---- what is where ------------------------------------------------------------------------------------------------ */

struct place {
    uint32_t file;
    uint64_t pos;
};

struct map {
    char paths[FILES_MAX][DISK_PATH_MAX];       /* of the segments, rising */
    uint64_t first[FILES_MAX], last[FILES_MAX]; /* entries of each; 0: none */
    uint32_t count;
    struct place places[INDEX_MAX]; /* of the entries of the log */
};

static void note_path(void *data, const char *name)
{
    struct map *map = data;
    const size_t length = strlen(name);
    if (length < 8 || strcmp(name + length - 8, ".segment") != 0 || map->count == FILES_MAX) return;
    snprintf(map->paths[map->count++], DISK_PATH_MAX, "%s/%.64s", GROUP_PATH, name);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The entries of the log as it is, wherever they stand in this file. */
static void map_file(const struct workload *w, struct map *map, uint32_t number)
{
    struct disk_file *file;
    uint64_t size;
    if (disk_open(w->disk, map->paths[number], DISK_READ, &file) != 0) abort();
    if (disk_size(file, &size) != 0) abort();
    uint8_t *bytes = malloc(size + 1);
    if (!bytes || disk_pread(file, bytes, size, 0) != (ssize_t)size) abort();
    disk_close(file);
    const struct segment_log_info info = workload__info(w);
    const uint64_t seed = checksum64_group(&node_cluster, GROUP_ID);
    for (uint64_t pos = DATA_POS; pos + ENTRY_HEADER_BYTES <= size; pos += ENTRY_ALIGNMENT) {
        struct entry_header header;
        if (entry_decode_header(bytes + pos, size - pos, seed, &header) != ENTRY_DECODE_OK ||
            header.index <= info.base.index || header.index > info.durable_index ||
            header.chain != workload__entry(w, header.index)->point.chain) {
            continue;
        }
        map->places[header.index] = (struct place){.file = number, .pos = pos};
        if (map->first[number] == 0) map->first[number] = header.index;
        map->last[number] = header.index;
    }
    free(bytes);
}

static void map_files(const struct workload *w, struct map *map)
{
    memset(map, 0, sizeof *map);
    if (disk_list(w->disk, GROUP_PATH, note_path, map) != 0) abort();
    qsort(map->paths, map->count, sizeof map->paths[0], compare_paths);
    for (uint32_t i = 0; i < map->count; i++) {
        map_file(w, map, i);
    }
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

static void note_damage(struct workload *w, uint64_t first_index, uint64_t last_index)
{
    w->history.promise.damaged_first = first_index;
    w->history.promise.damaged_last = last_index;
}

static void flip(struct workload *w, const char *path, uint64_t pos)
{
    if (memory_disk_flip(w->disk, path, pos, (uint8_t)(1 + workload__draw(w, 255))) != 0) abort();
}

static void rot_entry(struct workload *w, const struct map *map, uint64_t index)
{
    const struct place *place = &map->places[index];
    const uint64_t bytes = ENTRY_HEADER_BYTES + workload__entry(w, index)->payload_bytes;
    flip(w, map->paths[place->file], place->pos + workload__draw(w, bytes));
}

/* One record, or two of one file: between these nothing is proven. */
static void rot(struct workload *w, const struct map *map, uint32_t number)
{
    const uint64_t count = map->last[number] - map->first[number] + 1;
    uint64_t first = map->first[number] + workload__draw(w, count), last = first;
    if (workload__draw(w, 3) == 0) last = map->first[number] + workload__draw(w, count);
    rot_entry(w, map, first);
    if (last != first) rot_entry(w, map, last);
    note_damage(w, first < last ? first : last, first < last ? last : first);
    w->result->kinds[WORKLOAD_ROT]++;
}

static void lose_end(struct workload *w, const struct map *map, uint32_t number)
{
    const uint64_t last = map->last[number];
    const uint64_t end = map->places[last].pos + ENTRY_HEADER_BYTES;
    const uint64_t pos = DATA_POS + workload__draw(w, end - DATA_POS);
    uint64_t first = last;
    while (first > map->first[number] &&
           map->places[first - 1].pos + entry_bytes(workload__entry(w, first - 1)->payload_bytes) >
               pos) {
        first--;
    }
    struct disk_file *file;
    if (disk_open(w->disk, map->paths[number], DISK_WRITE, &file) != 0 ||
        disk_truncate(file, pos) != 0 || disk_datasync(file) != 0) {
        abort();
    }
    disk_close(file);
    note_damage(w, first, last);
    w->result->kinds[WORKLOAD_LOST_ENDS]++;
}

static void lose_file(struct workload *w, const struct map *map, uint32_t number)
{
    if (disk_unlink(w->disk, map->paths[number]) != 0 ||
        disk_sync_directory(w->disk, GROUP_PATH) != 0) {
        abort();
    }
    note_damage(w, map->first[number], map->last[number]);
    w->result->kinds[WORKLOAD_LOST_FILES]++;
}

/* One of the three blocks in front of the entries: the others tell what it said. */
static void lose_front(struct workload *w, const struct map *map, uint32_t number)
{
    flip(w, map->paths[number], workload__draw(w, 3) * BLOCK_BYTES + workload__draw(w, 88));
    w->result->kinds[WORKLOAD_LOST_FRONTS]++;
}

static void scrub(struct workload *w)
{
    w->doing = "scrubbing";
    segment_log_scrub_begin(w->log);
    struct segment_log_scrub_info info;
    for (uint32_t i = 0; i < 1000 && !workload__is_over(w) && !w->must_restart; i++) {
        struct segment_log_scrub_job *job = segment_log_scrub_next_job(w->log, 16384);
        if (job) {
            segment_log_scrub_job_run(job);
            uint64_t bytes;
            struct segment_log_problem problem = {0};
            const enum segment_log_status status =
                segment_log_scrub_job_finish(w->log, job, &bytes, &problem);
            if (status == SEGMENT_LOG_IO) workload__fail(w, "a scrub: %s", problem.reason);
            continue;
        }
        workload__do_job(w, false);
        segment_log_scrub_info(w->log, &info);
        if (!info.active) return;
    }
}

static bool is_found(const struct workload *w)
{
    const struct promise *promise = &w->history.promise;
    struct segment_log_hole hole;
    if (promise->damaged_last == 0) return true;
    return segment_log_hole_from(w->log, 0, &hole) &&
           hole.first_damaged >= promise->damaged_first && hole.last_index <= promise->damaged_last;
}

void workload__damage(struct workload *w)
{
    if (w->history.promise.damaged_last > 0) return;
    workload__do_jobs(w); /* all is synced, the mark that tells so, too */
    if (workload__is_over(w) || w->must_restart) return;
    struct map *map = malloc(sizeof *map);
    if (!map) abort();
    map_files(w, map);
    const uint32_t number = (uint32_t)workload__draw(w, map->count);
    const bool is_last = number + 1 == map->count;
    /* When a crash tears a mark of the last file while the last synced entries are damaged, its position is lost, and rightly so:
     * nothing tells that from one lost write. So there the last entry is spared. */
    if (is_last && map->last[number] > 0) map->last[number]--;
    const bool has_entries = map->last[number] > 0 && map->last[number] >= map->first[number];
    const uint64_t kind = workload__draw(w, 8);
    w->doing = "damage";
    workload__look_away(w, true);
    if (kind < 3 && has_entries) rot(w, map, number);
    if (kind >= 3 && kind < 5 && has_entries && !is_last) lose_end(w, map, number);
    if (kind >= 5 && kind < 7 && number > 0 && !is_last) lose_file(w, map, number);
    if (kind == 7 && !is_last) lose_front(w, map, number);
    workload__look_away(w, false);
    free(map);
    if (workload__draw(w, 2)) {
        workload__restart(w, workload__draw(w, 2) ? MEMORY_DISK_KILL : MEMORY_DISK_POWER);
    } else {
        scrub(w);
    }
    if (workload__is_over(w) || w->must_restart) return;
    if (!is_found(w)) workload__fail(w, "damage was not found");
}

/* ---- repair ------------------------------------------------------------------------------------------------------- */

struct peer {
    bool is_wrong; /* its log is another one ... */
    bool has_lied; /* ... and it supplied of that */
    bool is_last;  /* what is repaired was the last segment when it began */
    uint8_t bytes[SUPPLY_BYTES];
    size_t bytes_count;
};

/* The entry as it was written, or another one in its place, which follows `before` as well. */
static bool add_entry(struct workload *w, struct peer *peer, uint64_t index,
                      struct segment_log_point *before)
{
    const struct past_entry *entry = workload__entry(w, index);
    const size_t bytes = entry_bytes(entry->payload_bytes);
    if (peer->bytes_count + bytes > sizeof peer->bytes) return false;
    uint8_t *at = peer->bytes + peer->bytes_count;
    memset(at, 0, bytes);
    memcpy(at + ENTRY_HEADER_BYTES, entry->payload, entry->payload_bytes);
    const uint32_t least = entry->type == ENTRY_DATA ? ENTRY_DATA_HASH_SKIP : 0;
    if (peer->is_wrong && entry->payload_bytes > least) {
        at[ENTRY_HEADER_BYTES + entry->payload_bytes - 1] ^= 1;
        peer->has_lied = true;
    }
    struct entry_header header = {
        .type = entry->type,
        .payload_bytes = entry->payload_bytes,
        .record_count = (uint32_t)(entry->point.next_offset - before->next_offset),
        .index = index,
        .term = entry->point.term,
        .base_offset = before->next_offset,
        .timestamp_ms = entry->point.timestamp_ms,
        .payload_hash =
            entry_payload_hash(entry->type, at + ENTRY_HEADER_BYTES, entry->payload_bytes),
    };
    entry_encode_header(&header, checksum64_group(&node_cluster, GROUP_ID), before->chain, at);
    *before = entry->point;
    before->chain = header.chain;
    peer->bytes_count += bytes;
    return true;
}

static void supply(struct workload *w, struct peer *peer,
                   const struct segment_log_repair_info *wanted)
{
    if (wanted->want_last > workload__info(w).last_index) {
        workload__fail(w, "the session wants entries that the log does not have");
        return;
    }
    peer->bytes_count = 0;
    struct segment_log_point before = wanted->want_before;
    for (uint64_t i = wanted->want_first; i <= wanted->want_last; i++) {
        if (!add_entry(w, peer, i, &before) || workload__draw(w, 4) == 0) break;
    }
    if (workload__draw(w, 5) == 0) { /* on its way a bit changed */
        const uint64_t pos = workload__draw(w, ENTRY_HEADER_BYTES - 8u); /* a field */
        peer->bytes[pos] ^= 4;
        if (segment_log_repair_supply(w->log, peer->bytes, peer->bytes_count) == SEGMENT_LOG_OK) {
            workload__fail(w, "a damaged supply was taken");
        }
        peer->bytes[pos] ^= 4;
    }
    const enum segment_log_status status =
        segment_log_repair_supply(w->log, peer->bytes, peer->bytes_count);
    if (status != SEGMENT_LOG_OK) workload__fail(w, "supply: %s", segment_log_status_text(status));
}

static void end_session(struct workload *w, const struct peer *peer,
                        const struct segment_log_repair_info *info)
{
    uint64_t *kinds = w->result->kinds;
    switch (info->status) {
    case SEGMENT_LOG_OK:
        if (peer->has_lied) workload__fail(w, "entries of another log were taken");
        kinds[WORKLOAD_REPAIRS]++;
        if (peer->is_last) kinds[WORKLOAD_REPAIRS_IN_LAST]++;
        if (workload__info(w).holes_count > 0) {
            workload__fail(w, "the segment is repaired and the hole is there");
        }
        note_damage(w, 0, 0); /* from here on nothing may be missing any more */
        return;
    case SEGMENT_LOG_SUPERSEDED: /* cut, or dropped */
        return;
    case SEGMENT_LOG_BROKEN_CHAIN:
        if (!peer->has_lied) break;
        kinds[WORKLOAD_REPAIRS_REFUSED]++;
        return;
    case SEGMENT_LOG_FULL:
        if (w->is_full) return;
        break;
    case SEGMENT_LOG_DAMAGED:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_OUT_OF_RANGE:
    case SEGMENT_LOG_IO:
        break;
    }
    workload__fail(w, "a repair ends with %s: %s", segment_log_status_text(info->status),
                   info->problem.reason);
}

/* False: the session is over, or forgotten. */
static bool go_on(struct workload *w, struct peer *peer)
{
    if (workload__draw(w, 60) == 0) {
        workload__restart(w, workload__draw(w, 2) ? MEMORY_DISK_KILL : MEMORY_DISK_POWER);
        return false;
    }
    w->doing = "repairing a segment";
    struct segment_log_repair_info info;
    segment_log_repair_info(w->log, &info);
    if (info.state == SEGMENT_LOG_REPAIR_ENDED) {
        end_session(w, peer, &info);
        return false;
    }
    if (info.state == SEGMENT_LOG_REPAIR_WANTS && info.is_doubted && workload__draw(w, 3) == 0) {
        const bool are_believed = workload__draw(w, 2) == 0;
        segment_log_repair_settle(w->log, are_believed);
        return are_believed;
    }
    if (info.state == SEGMENT_LOG_REPAIR_WANTS) {
        supply(w, peer, &info);
        return workload__draw(w, 40) > 0; /* or the peer is gone, and the session with it */
    }
    struct segment_log_repair_job *piece = segment_log_repair_next_job(w->log);
    if (!piece) {
        workload__do_job(w, true);
        return true;
    }
    w->is_beside = true;
    segment_log_repair_job_run(piece);
    w->is_beside = false;
    segment_log_repair_job_finish(w->log, piece);
    return true;
}

void workload__repair(struct workload *w)
{
    struct segment_log_hole hole;
    if (!segment_log_hole_from(w->log, 0, &hole)) return;
    const struct segment_log_info before = workload__info(w);
    const uint64_t least = w->committed > before.base.index ? w->committed : before.base.index;
    if (hole.first_index > least && workload__draw(w, 3) == 0) {
        w->doing = "cutting a hole"; /* nobody ever had these (D4) */
        workload__cut_from(w, hole.first_index);
        w->result->kinds[WORKLOAD_HOLES_CUT]++;
        return;
    }
    if (segment_log_repair_begin(w->log, 0, NULL, NULL) != SEGMENT_LOG_OK) {
        workload__fail(w, "a repair cannot begin");
        return;
    }
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) abort();
    peer->is_wrong = workload__draw(w, 8) == 0;
    peer->is_last = hole.first_index > before.last_segment_base_index;
    while (!workload__is_over(w) && !w->must_restart && go_on(w, peer)) {
    }
    free(peer);
    segment_log_repair_end(w->log);
}
