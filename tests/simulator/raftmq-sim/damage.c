/* A fault that takes something from a disk strikes where PROTOCOL says what becomes of it: a node that was killed has all
 * marks in its page cache, so every record it has told of is below a mark, and whatever is wrong with one is damage (L10), for
 * which this version stops with a clear error. A power cut at the same time could take the newest mark along: rot in the last batch
 * is then a torn tail for all that can be seen. That double fault is documented and not drawn. */
#include "damage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <memory_disk.h>

#include "members.h"
#include "operator.h"
#include "run.h"
#include "sim_invariants.h"

#define FILES_MAX    4096u /* of a node that are looked at */
#define SECTOR_BYTES 512u
#define COPIED_MAX   16u /* sectors that are written to a wrong place at once */
#define DATA         "/data"
#define CUT_US_MAX   4000000u

/* ---- the files of a node -------------------------------------------------------------------------------------- */

struct file {
    char path[DISK_PATH_MAX];
    uint64_t bytes;
};

struct files {
    struct disk *disk;
    char directory[DISK_PATH_MAX]; /* that is being listed */
    struct file *items;            /* array[FILES_MAX] */
    uint32_t count;
    char (*directories)[DISK_PATH_MAX]; /* array[FILES_MAX] */
    uint32_t directories_count;
};

static void take_name(void *data, const char *name)
{
    struct files *files = data;
    struct disk_file *file;
    char path[DISK_PATH_MAX];
    const int bytes = snprintf(path, sizeof(path), "%s/%s", files->directory, name);
    assert(bytes > 0 && (size_t)bytes < sizeof(path));
    if (disk_open(files->disk, path, DISK_READ, &file) != 0) {
        if (files->directories_count == FILES_MAX) return;
        memcpy(files->directories[files->directories_count++], path, sizeof(path));
        return;
    }
    uint64_t size = 0;
    if (disk_size(file, &size) == 0 && size > 0 && files->count < FILES_MAX) {
        struct file *item = &files->items[files->count++];
        memcpy(item->path, path, sizeof(path));
        item->bytes = size;
    }
    disk_close(file);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* All that are not empty, by path. */
static void files_list(struct files *files, struct disk *disk)
{
    *files = (struct files){.disk = disk};
    files->items = malloc(FILES_MAX * sizeof(*files->items));
    files->directories = malloc(FILES_MAX * sizeof(*files->directories));
    if (!files->items || !files->directories) abort();
    snprintf(files->directories[files->directories_count++], DISK_PATH_MAX, "%s", DATA);
    for (uint32_t i = 0; i < files->directories_count; i++) {
        memcpy(files->directory, files->directories[i], sizeof(files->directory));
        (void)disk_list(disk, files->directory, take_name, files);
    }
    qsort(files->items, files->count, sizeof(*files->items), compare_files);
}

static void files_free(struct files *files)
{
    free(files->items);
    free(files->directories);
}

static bool is_segment(const struct file *file)
{
    static const char suffix[] = ".segment";
    const size_t bytes = strlen(file->path);
    return bytes >= sizeof(suffix) &&
           strcmp(file->path + bytes - (sizeof(suffix) - 1u), suffix) == 0;
}

static bool is_beside(const struct file *a, const struct file *b)
{
    const char *slash_a = strrchr(a->path, '/');
    const char *slash_b = strrchr(b->path, '/');
    const ptrdiff_t bytes = slash_a - a->path;
    return bytes == slash_b - b->path && strncmp(a->path, b->path, (size_t)bytes) == 0;
}

/* Leaves those that nothing is written to any more: segments that have a successor. */
static void keep_sealed(struct files *files)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i + 1u < files->count; i++) {
        const struct file *file = &files->items[i];
        const struct file *next = &files->items[i + 1u];
        if (!is_segment(file) || !is_segment(next) || !is_beside(file, next)) continue;
        if (kept != i) files->items[kept] = *file;
        kept++;
    }
    files->count = kept;
}

/* Large ones more often, small ones not never: the votes and the identity are small. */
static const struct file *draw_file(const struct files *files, struct draw *draw)
{
    if (files->count == 0) return NULL;
    if (draw_chance(draw, 1, 2)) return &files->items[draw_below(draw, files->count)];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < files->count; i++) {
        bytes += files->items[i].bytes;
    }
    uint64_t at = draw_below(draw, bytes);
    uint32_t i = 0;
    while (at >= files->items[i].bytes) {
        at -= files->items[i++].bytes;
    }
    return &files->items[i];
}

/* ---- what befalls them ----------------------------------------------------------------------------------------- */

static void flip(struct run *run, struct files *files, const struct file *file, struct draw *draw)
{
    const uint64_t pos = draw_below(draw, file->bytes);
    const uint8_t mask = (uint8_t)(1u << draw_below(draw, 8));
    run_tell(run, "%s rots at byte %" PRIu64, file->path, pos);
    const int status = memory_disk_flip(files->disk, file->path, pos, mask);
    assert(status == 0);
    (void)status;
}

static void copy_sectors(struct run *run, struct files *files, const struct file *from,
                         const struct file *to, struct draw *draw)
{
    uint8_t bytes[COPIED_MAX * SECTOR_BYTES];
    struct disk_file *file;
    const uint64_t from_pos = draw_below(draw, from->bytes) / SECTOR_BYTES * SECTOR_BYTES;
    const uint64_t to_pos = draw_below(draw, to->bytes) / SECTOR_BYTES * SECTOR_BYTES;
    uint64_t count = draw_between(draw, 1, COPIED_MAX) * SECTOR_BYTES;
    if (count > from->bytes - from_pos) count = from->bytes - from_pos;
    if (count > to->bytes - to_pos) count = to->bytes - to_pos;
    run_tell(run, "%" PRIu64 " bytes of %s at %" PRIu64 " stand in %s at %" PRIu64, count,
             from->path, from_pos, to->path, to_pos);
    int status = disk_open(files->disk, from->path, DISK_READ, &file);
    assert(status == 0);
    const ssize_t got = disk_pread(file, bytes, count, from_pos);
    assert(got == (ssize_t)count);
    (void)got;
    disk_close(file);
    status = disk_open(files->disk, to->path, DISK_WRITE, &file);
    assert(status == 0);
    status = disk_pwrite(file, bytes, count, to_pos);
    assert(status == 0);
    status = disk_datasync(file);
    assert(status == 0);
    (void)status;
    disk_close(file);
}

static void lose_file(struct run *run, struct files *files, const struct file *file,
                      struct draw *draw)
{
    char directory[DISK_PATH_MAX];
    int status;
    if (draw_chance(draw, 1, 2)) {
        const uint64_t left = draw_below(draw, file->bytes);
        struct disk_file *open;
        run_tell(run, "%s is cut to %" PRIu64 " bytes", file->path, left);
        status = disk_open(files->disk, file->path, DISK_WRITE, &open);
        assert(status == 0);
        status = disk_truncate(open, left);
        assert(status == 0);
        status = disk_datasync(open);
        disk_close(open);
    } else {
        run_tell(run, "%s is gone", file->path);
        status = disk_unlink(files->disk, file->path);
        assert(status == 0);
        snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(file->path, '/') - file->path),
                 file->path);
        status = disk_sync_directory(files->disk, directory);
    }
    assert(status == 0);
    (void)status;
}

/* A disk that is full must have room for what befalls it. */
static bool strike_file(struct run *run, enum fault fault, uint32_t node, struct draw *draw)
{
    struct files files;
    const bool is_live = fault == FAULT_ROT && draw_chance(draw, 1, 2);
    if (!is_live) sim_crash(run->sim, node, SIM_CRASH_KILL);
    files_list(&files, sim_memory_disk(run->sim, node));
    if (is_live) keep_sealed(&files);
    const struct file *file = draw_file(&files, draw);
    const struct file *other = draw_file(&files, draw);
    if (file) {
        if (fault == FAULT_ROT) flip(run, &files, file, draw);
        if (fault == FAULT_MISDIRECT) copy_sectors(run, &files, file, other, draw);
        if (fault == FAULT_LOST_FILE) lose_file(run, &files, file, draw);
        run->damage.damaged |= 1u << node;
        invariants_note_damage(run->cluster->invariants, node);
    }
    files_free(&files);
    return file;
}

static bool strike_backup(struct run *run, uint32_t node, struct draw *draw)
{
    struct disk **backup = &run->damage.backups[node];
    if (!*backup) {
        *backup = memory_disk_clone(sim_memory_disk(run->sim, node), draw_next(draw));
        return false;
    }
    sim_crash(run->sim, node, SIM_CRASH_KILL);
    sim_restore_disk(run->sim, node, *backup);
    *backup = NULL;
    return true;
}

/* ---- syncs that lie -------------------------------------------------------------------------------------------- */

struct cut {
    struct cut *next;
    struct run *run;
    uint32_t node;
};

static void note_lost(struct run *run, uint32_t node)
{
    if (!memory_disk_has_lied(sim_memory_disk(run->sim, node))) return;
    run->damage.damaged |= 1u << node;
    run->damage.waits |= 1u << node;
}

void damage_ends_lie(struct run *run, uint32_t node)
{
    note_lost(run, node);
    run->damage.lying &= ~(1u << node);
    memory_disk_lie(sim_memory_disk(run->sim, node), false);
}

static void cut_power(void *data)
{
    const struct cut *cut = data;
    struct run *run = cut->run;
    if (!(run->damage.lying & 1u << cut->node)) return;
    if (sim_is_running(run->sim, cut->node)) {
        run_tell(run, "n%u loses power, and its disk lied", cut->node + 1u);
        sim_crash(run->sim, cut->node, SIM_CRASH_POWER);
    }
    damage_ends_lie(run, cut->node);
}

/* Without a power cut a lie does nothing: it ends with one, that of another fault perhaps. */
static bool strike_lie(struct run *run, uint32_t node, struct draw *draw)
{
    struct cut *cut = calloc(1, sizeof(*cut));
    if (!cut) abort();
    *cut = (struct cut){.next = run->damage.cuts, .run = run, .node = node};
    run->damage.cuts = cut;
    memory_disk_lie(sim_memory_disk(run->sim, node), true);
    run->damage.lying |= 1u << node;
    sim_call_after(run->sim, draw_between(draw, 20000, CUT_US_MAX), cut_power, cut);
    return true;
}

bool damage_holds_start(struct run *run, uint32_t node)
{
    const uint32_t bit = 1u << node;
    note_lost(run, node);
    if (!(run->damage.waits & bit)) return false;
    const struct node *nodes[PLAN_NODES_MAX];
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        nodes[i] = run->cluster->nodes[i].node;
    }
    if (!invariants_may_return(run->cluster->invariants, nodes, run->plan.nodes_count, node)) {
        return true;
    }
    invariants_excuse(run->cluster->invariants, node);
    run->damage.waits &= ~bit;
    run->totals.lies_believed++;
    return false;
}

void damage_forget(struct run *run, uint32_t node)
{
    const uint32_t bit = 1u << node;
    run->damage.damaged &= ~bit;
    run->damage.found &= ~bit;
    run->damage.lying &= ~bit;
    run->damage.waits &= ~bit;
}

bool damage_strike(struct run *run, enum fault fault, uint32_t node, struct draw *draw)
{
    if (fault == FAULT_OLD_BACKUP) return strike_backup(run, node, draw);
    if (fault == FAULT_LYING_SYNC) return strike_lie(run, node, draw);
    if (fault != FAULT_WIPE) return strike_file(run, fault, node, draw);
    if (run->lost & 1u << node) return false; /* once is enough */
    sim_crash(run->sim, node, SIM_CRASH_KILL);
    sim_wipe_disk(run->sim, node);
    members_forget(run, node);
    operator_configures(run, node, draw);
    return true;
}

/* ---- what comes of it ---------------------------------------------------------------------------------------------- */

bool damage_is_final(const struct run *run, uint32_t node)
{
    return run->damage.found & 1u << node;
}

bool damage_explains(struct run *run, uint32_t node, enum node_fatal code)
{
    if (!(run->damage.damaged & 1u << node) || code != NODE_FATAL_DAMAGE) return false;
    if (!damage_is_final(run, node)) run->totals.damage_found++;
    run->damage.found |= 1u << node;
    return true;
}

bool damage_is_on(const struct run *run, uint32_t node)
{
    return (run->damage.damaged | run->damage.lying) & 1u << node;
}

bool damage_hides_image(const struct run *run, uint32_t node)
{
    return damage_is_on(run, node);
}

void damage_close(struct damage *damage)
{
    while (damage->cuts) {
        struct cut *next = damage->cuts->next;
        free(damage->cuts);
        damage->cuts = next;
    }
    for (uint32_t i = 0; i < PLAN_NODES_MAX; i++) {
        memory_disk_destroy(damage->backups[i]);
    }
}
