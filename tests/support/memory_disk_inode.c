/* The bytes of a file, in pages that are shared until they change: what the page cache shows and what the medium holds. */
#include "memory_disk_private.h"

#include <segment_log/checksum.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[PAGE_BYTES];

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static struct page *page_ref(struct page *page)
{
    if (page) page->refs++;
    return page;
}

static void page_unref(struct page *page)
{
    if (page && --page->refs == 0) free(page);
}

static const uint8_t *page_bytes(const struct page *page)
{
    return page ? page->bytes : zeros;
}

/* The bytes of a page that nobody else sees, to be changed. */
static uint8_t *page_own(struct page **page)
{
    struct page *old = *page;
    if (!old || old->refs > 1) {
        struct page *own = memory_disk__must(malloc(sizeof *own));
        own->refs = 1;
        memcpy(own->bytes, page_bytes(old), PAGE_BYTES);
        page_unref(old);
        *page = own;
    }
    (*page)->is_hashed = false;
    return (*page)->bytes;
}

static void page_replace(struct page **target, struct page *source)
{
    if (*target == source) return;
    page_unref(*target);
    *target = page_ref(source);
}

static void page_put(struct page **page, size_t from, const uint8_t *bytes, size_t bytes_count)
{
    assert(from + bytes_count <= PAGE_BYTES);
    /* Files are filled with zeros far ahead: that takes no memory. */
    if (!*page && memcmp(bytes, zeros, bytes_count) == 0) return;
    memcpy(page_own(page) + from, bytes, bytes_count);
}

/* 0: nothing but zeros. */
static uint64_t page_hash(struct page *page)
{
    if (!page) return 0;
    if (!page->is_hashed) {
        const bool is_zero = memcmp(page->bytes, zeros, PAGE_BYTES) == 0;
        page->hash = is_zero ? 0 : checksum64(page->bytes, PAGE_BYTES);
        page->is_hashed = true;
    }
    return page->hash;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

void memory_inode__unref(struct inode *inode)
{
    assert(inode->refs > 0);
    if (--inode->refs > 0) return;
    for (size_t i = 0; i < inode->pages_count; i++) {
        page_unref(inode->cache[i]);
        page_unref(inode->medium[i]);
    }
    free(inode->cache);
    free(inode->medium);
    free(inode->dirty);
    free(inode->lost);
    free(inode);
}

struct inode *memory_inode__clone(const struct inode *inode)
{
    struct inode *copy = memory_disk__must(malloc(sizeof *copy));
    *copy = *inode;
    copy->refs = 1;
    if (inode->lost_count > 0) {
        copy->lost = memory_disk__must(malloc(inode->lost_count * sizeof *copy->lost));
        memcpy(copy->lost, inode->lost, inode->lost_count * sizeof *copy->lost);
    } else {
        copy->lost = NULL;
    }
    if (inode->pages_count == 0) return copy;
    const size_t bytes = inode->pages_count * sizeof *copy->cache;
    copy->cache = memory_disk__must(malloc(bytes));
    copy->medium = memory_disk__must(malloc(bytes));
    copy->dirty = memory_disk__must(malloc(inode->pages_count));
    memcpy(copy->dirty, inode->dirty, inode->pages_count);
    for (size_t i = 0; i < inode->pages_count; i++) {
        copy->cache[i] = page_ref(inode->cache[i]);
        copy->medium[i] = page_ref(inode->medium[i]);
    }
    return copy;
}

void memory_inode__reserve(struct inode *inode, uint64_t bytes)
{
    const size_t old_count = inode->pages_count;
    if (bytes <= old_count * PAGE_BYTES) return;
    size_t count = old_count ? old_count : 1;
    while (count * PAGE_BYTES < bytes) {
        count *= 2;
    }
    inode->cache = memory_disk__must(realloc(inode->cache, count * sizeof *inode->cache));
    inode->medium = memory_disk__must(realloc(inode->medium, count * sizeof *inode->medium));
    inode->dirty = memory_disk__must(realloc(inode->dirty, count));
    memset(inode->cache + old_count, 0, (count - old_count) * sizeof *inode->cache);
    memset(inode->medium + old_count, 0, (count - old_count) * sizeof *inode->medium);
    memset(inode->dirty + old_count, 0, count - old_count);
    inode->pages_count = count;
}

bool memory_inode__is_clean(const struct inode *inode)
{
    return inode->dirty_first >= inode->dirty_end;
}

bool memory_inode__is_dirty(const struct inode *inode, size_t sector)
{
    return ((uint32_t)inode->dirty[sector / PAGE_SECTORS] >> (sector % PAGE_SECTORS) & 1u) != 0;
}

static void mark_sector(struct inode *inode, size_t sector)
{
    const size_t page = sector / PAGE_SECTORS;
    assert(page < inode->pages_count);
    if (memory_inode__is_clean(inode)) {
        inode->dirty_first = page;
        inode->dirty_end = page + 1;
    }
    if (page < inode->dirty_first) inode->dirty_first = page;
    if (page + 1 > inode->dirty_end) inode->dirty_end = page + 1;
    inode->dirty[page] |= (uint8_t)(1u << (sector % PAGE_SECTORS));
}

void memory_inode__mark(struct inode *inode, uint64_t from, uint64_t to)
{
    for (size_t s = from / SECTOR_BYTES; s * SECTOR_BYTES < to; s++) {
        mark_sector(inode, s);
    }
}

static void note_on_medium(struct inode *inode, size_t sector)
{
    size_t end = (sector + 1) * SECTOR_BYTES;
    if (end > inode->cache_bytes) end = inode->cache_bytes;
    if (end > inode->medium_bytes) inode->medium_bytes = end;
}

void memory_inode__keep_sector(struct inode *inode, size_t sector)
{
    const size_t page = sector / PAGE_SECTORS, from = sector % PAGE_SECTORS * SECTOR_BYTES;
    page_put(&inode->medium[page], from, page_bytes(inode->cache[page]) + from, SECTOR_BYTES);
    note_on_medium(inode, sector);
}

bool memory_inode__differs(const struct inode *inode, size_t sector)
{
    const size_t page = sector / PAGE_SECTORS, from = sector % PAGE_SECTORS * SECTOR_BYTES;
    if (inode->cache[page] == inode->medium[page]) return false;
    return memcmp(page_bytes(inode->cache[page]) + from, page_bytes(inode->medium[page]) + from,
                  SECTOR_BYTES) != 0;
}

/* ---- lost pages --------------------------------------------------------------------------------------------------- */

static struct lost_page *find_lost(const struct inode *inode, size_t page)
{
    for (size_t i = 0; i < inode->lost_count; i++) {
        if (inode->lost[i].page == page) return &inode->lost[i];
    }
    return NULL;
}

void memory_inode__lose(struct inode *inode, uint64_t pos, uint64_t bytes)
{
    for (size_t page = pos / PAGE_BYTES; page <= (pos + bytes - 1) / PAGE_BYTES; page++) {
        struct lost_page *lost = find_lost(inode, page);
        if (!lost) {
            inode->lost = memory_disk__must(
                realloc(inode->lost, (inode->lost_count + 1) * sizeof *inode->lost));
            lost = &inode->lost[inode->lost_count++];
        }
        *lost = (struct lost_page){.page = page};
    }
}

static bool is_covered(const struct lost_page *lost, uint64_t pos, uint64_t bytes)
{
    return pos <= lost->page * PAGE_BYTES && (lost->page + 1) * PAGE_BYTES <= pos + bytes;
}

static bool is_touched(const struct lost_page *lost, uint64_t pos, uint64_t bytes)
{
    return pos < (lost->page + 1) * PAGE_BYTES && lost->page * PAGE_BYTES < pos + bytes;
}

bool memory_inode__is_readable(const struct inode *inode, uint64_t pos, uint64_t bytes)
{
    for (size_t i = 0; i < inode->lost_count; i++) {
        const struct lost_page *lost = &inode->lost[i];
        if (!lost->is_rewritten && is_touched(lost, pos, bytes)) return false;
    }
    return true;
}

bool memory_inode__is_writable(const struct inode *inode, uint64_t pos, uint64_t bytes)
{
    for (size_t i = 0; i < inode->lost_count; i++) {
        const struct lost_page *lost = &inode->lost[i];
        if (lost->is_rewritten || is_covered(lost, pos, bytes)) continue;
        if (is_touched(lost, pos, bytes)) return false;
    }
    return true;
}

void memory_inode__rewrite(struct inode *inode, uint64_t pos, uint64_t bytes)
{
    for (size_t i = 0; i < inode->lost_count; i++) {
        if (is_covered(&inode->lost[i], pos, bytes)) inode->lost[i].is_rewritten = true;
    }
}

/* What was written in their place is on the medium, which has others there now. */
static void replace_rewritten(struct inode *inode)
{
    size_t left = 0;
    for (size_t i = 0; i < inode->lost_count; i++) {
        if (!inode->lost[i].is_rewritten) inode->lost[left++] = inode->lost[i];
    }
    inode->lost_count = left;
}

static void forget_rewritten(struct inode *inode)
{
    for (size_t i = 0; i < inode->lost_count; i++) {
        inode->lost[i].is_rewritten = false;
    }
}

/* They are of no file any more. */
static void drop_lost_behind(struct inode *inode, uint64_t bytes)
{
    size_t left = 0;
    for (size_t i = 0; i < inode->lost_count; i++) {
        if (inode->lost[i].page * PAGE_BYTES < bytes) inode->lost[left++] = inode->lost[i];
    }
    inode->lost_count = left;
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

void memory_inode__put(struct memory_disk *disk, struct inode *inode, const uint8_t *bytes,
                       size_t bytes_count, uint64_t pos)
{
    if (bytes_count == 0) return;
    memory_inode__reserve(inode, pos + bytes_count);
    for (size_t s = pos / SECTOR_BYTES; s <= (pos + bytes_count - 1) / SECTOR_BYTES; s++) {
        /* The kernel may have written an earlier version of the sector back at any time. */
        if (memory_inode__is_dirty(inode, s) && memory_disk__coin(disk)) {
            memory_inode__keep_sector(inode, s);
        }
        mark_sector(inode, s);
    }
    if (pos + bytes_count > inode->cache_bytes) inode->cache_bytes = pos + bytes_count;
    while (bytes_count > 0) {
        const size_t page = pos / PAGE_BYTES, from = pos % PAGE_BYTES;
        const size_t part = bytes_count < PAGE_BYTES - from ? bytes_count : PAGE_BYTES - from;
        page_put(&inode->cache[page], from, bytes, part);
        bytes += part;
        bytes_count -= part;
        pos += part;
    }
}

void memory_inode__get(const struct inode *inode, uint8_t *bytes, size_t bytes_count, uint64_t pos)
{
    assert(pos + bytes_count <= inode->cache_bytes);
    while (bytes_count > 0) {
        const size_t page = pos / PAGE_BYTES, from = pos % PAGE_BYTES;
        const size_t part = bytes_count < PAGE_BYTES - from ? bytes_count : PAGE_BYTES - from;
        memcpy(bytes, page_bytes(inode->cache[page]) + from, part);
        bytes += part;
        bytes_count -= part;
        pos += part;
    }
}

static void zero_from(struct page **pages, size_t pages_count, size_t bytes)
{
    const size_t whole = (bytes + PAGE_BYTES - 1) / PAGE_BYTES, rest = bytes % PAGE_BYTES;
    if (rest > 0 && pages[bytes / PAGE_BYTES]) {
        const struct page *page = pages[bytes / PAGE_BYTES];
        if (memcmp(page->bytes + rest, zeros, PAGE_BYTES - rest) != 0) {
            memset(page_own(&pages[bytes / PAGE_BYTES]) + rest, 0, PAGE_BYTES - rest);
        }
    }
    for (size_t i = whole; i < pages_count; i++) {
        page_replace(&pages[i], NULL);
    }
}

void memory_inode__cut(struct inode *inode, uint64_t bytes)
{
    assert(bytes <= inode->cache_bytes);
    /* What is cut reads as zeros if the file grows again; on the medium only once it is written. */
    memory_inode__mark(inode, bytes, inode->cache_bytes);
    zero_from(inode->cache, inode->pages_count, (size_t)bytes);
    inode->cache_bytes = (size_t)bytes;
    drop_lost_behind(inode, bytes);
}

void memory_inode__flip(struct inode *inode, uint64_t pos, uint8_t mask)
{
    page_own(&inode->cache[pos / PAGE_BYTES])[pos % PAGE_BYTES] ^= mask;
    page_own(&inode->medium[pos / PAGE_BYTES])[pos % PAGE_BYTES] ^= mask;
}

void memory_inode__sync(struct inode *inode)
{
    for (size_t p = inode->dirty_first; p < inode->dirty_end; p++) {
        for (size_t s = 0; inode->astray && s < PAGE_SECTORS; s++) {
            if ((uint32_t)inode->dirty[p] >> s & 1u)
                memory_inode__keep_sector(inode, p * PAGE_SECTORS + s);
        }
        /* They are equal outside of dirty sectors: the medium takes the page as it is. */
        if (!inode->astray && inode->dirty[p]) page_replace(&inode->medium[p], inode->cache[p]);
        inode->dirty[p] = 0;
    }
    inode->dirty_first = inode->dirty_end = 0;
    inode->medium_bytes = inode->cache_bytes;
    replace_rewritten(inode);
}

/* A sync that fails: what it could not write counts as clean from now on. */
void memory_inode__sync_badly(struct memory_disk *disk, struct inode *inode)
{
    if (memory_inode__is_clean(inode)) return;
    for (size_t s = inode->dirty_first * PAGE_SECTORS; s < inode->dirty_end * PAGE_SECTORS; s++) {
        if (memory_inode__is_dirty(inode, s) && memory_disk__coin(disk)) {
            memory_inode__keep_sector(inode, s);
        }
    }
    memset(inode->dirty + inode->dirty_first, 0, inode->dirty_end - inode->dirty_first);
    inode->dirty_first = inode->dirty_end = 0;
    inode->astray = true;
}

void memory_inode__forget_cache(struct inode *inode)
{
    forget_rewritten(inode);
    for (size_t i = 0; i < inode->pages_count; i++) {
        page_replace(&inode->cache[i], inode->medium[i]);
    }
}

/* ---- power cuts -------------------------------------------------------------------------------------------------- */

void memory_inode__tear_sector(struct memory_disk *disk, struct inode *inode, size_t sector,
                               size_t cut, uint32_t how)
{
    const size_t page = sector / PAGE_SECTORS, from = sector % PAGE_SECTORS * SECTOR_BYTES;
    uint8_t *medium = page_own(&inode->medium[page]) + from;
    const uint8_t *cache = page_bytes(inode->cache[page]) + from;
    switch (how) {
    case 0:
        memcpy(medium, cache, cut);
        break;
    case 1:
        memcpy(medium + cut, cache + cut, SECTOR_BYTES - cut);
        break;
    default:
        memcpy(medium, cache, cut);
        for (size_t i = cut; i < SECTOR_BYTES; i++) {
            medium[i] = (uint8_t)memory_disk__draw(disk);
        }
    }
    note_on_medium(inode, sector);
}

void memory_inode__settle(struct inode *inode)
{
    const bool is_settled = memory_inode__is_clean(inode) && !inode->astray;
    if (!memory_inode__is_clean(inode)) {
        memset(inode->dirty + inode->dirty_first, 0, inode->dirty_end - inode->dirty_first);
    }
    inode->dirty_first = inode->dirty_end = 0;
    inode->astray = false;
    forget_rewritten(inode);
    inode->cache_bytes = inode->medium_bytes;
    if (is_settled || inode->pages_count == 0) return; /* the same bytes, and zeros behind */
    zero_from(inode->medium, inode->pages_count, inode->medium_bytes);
    memory_inode__forget_cache(inode);
}

void memory_inode__crash(struct memory_disk *disk, struct inode *inode)
{
    if (inode->medium_bytes != inode->cache_bytes && memory_disk__coin(disk)) {
        inode->medium_bytes = inode->cache_bytes;
    }
    /* How likely a sector is kept differs from crash to crash, so that all kept and none kept both come up. */
    const uint64_t kept = memory_disk__draw(disk) % 5, torn = memory_disk__draw(disk) % 3;
    for (size_t s = inode->dirty_first * PAGE_SECTORS; s < inode->dirty_end * PAGE_SECTORS; s++) {
        if (!memory_inode__is_dirty(inode, s)) continue;
        const uint64_t fate = memory_disk__draw(disk) % 4;
        if (fate < kept) {
            memory_inode__keep_sector(inode, s);
        } else if (torn > 0 && memory_disk__draw(disk) % 4 < torn) {
            const size_t cut = memory_disk__draw(disk) % (SECTOR_BYTES + 1);
            memory_inode__tear_sector(disk, inode, s, cut, (uint32_t)(memory_disk__draw(disk) % 3));
        }
    }
    memory_inode__settle(inode);
}

uint64_t memory_inode__hash(const struct inode *inode, bool of_medium)
{
    struct page *const *pages = of_medium ? inode->medium : inode->cache;
    uint64_t hash = of_medium ? inode->medium_bytes : inode->cache_bytes;
    for (size_t i = 0; i < inode->pages_count; i++) {
        const uint64_t parts[3] = {hash, i, page_hash(pages[i])};
        if (parts[2] != 0) hash = checksum64(parts, sizeof parts);
    }
    for (size_t i = 0; i < inode->lost_count; i++) {
        const uint64_t parts[3] = {hash, inode->lost[i].page, inode->lost[i].is_rewritten};
        hash = checksum64(parts, sizeof parts);
    }
    return hash;
}
