/* The open segment file as the disk jobs see it, and the order in which its two mark blocks are written.
 *
 * Invariant: the newest durable mark is never overwritten. A mark always goes to the block that does not hold it, and
 * that block becomes the durable one only when a sync of the file has returned. So at every instant one of the two
 * blocks is whole, and at most one is in flight (PROTOCOL L5). */
#ifndef SEGMENT_LOG_MARK_H
#define SEGMENT_LOG_MARK_H

#include "segment_format.h"

struct segment_writer {
    struct disk_file *file;
    uint64_t sequence;
    uint32_t sector_bytes;
    uint64_t end_pos;    /* end of the last durable record */
    uint64_t filled_pos; /* size of the file; zeros from end_pos to here, unless ... */
    bool is_unclean;     /* ... a write found no room: then pieces of it stand there */
    uint64_t mark_sequence;
    uint32_t mark_block; /* 0 or 1: holds the newest durable mark */
    bool mark_unsynced;  /* a newer one stands in the other block, not yet synced */
};

/* Both mark blocks of a file as they are found. */
struct segment_marks {
    struct segment_mark mark[2];
    bool valid[2];
    int newest; /* 0 or 1; -1: neither is valid */
    bool other_version;
};

/* Read and judge the marks of a segment. A mark of another segment (a recycled file) is not valid; one whose end lies
 * behind the end of the file is: then the file lost what was synced. header->sector_bytes = 0: the header is lost, and nobody
 * knows yet. 0 or a negative errno. */
int marks__read(struct disk_file *file, uint64_t group_seed, const struct segment_header *header,
                struct segment_marks *ret_marks);

/* The bytes that a mark keeps begin where a sector of this size does, and end in it. */
bool marks__tail_fits(const struct segment_mark *mark, uint32_t sector_bytes);

/* Block 0 or 1 is not what a crash may leave: in a segment that is written a crash may tear the mark in flight; in one that is
 * continued both say so, and were synced. */
bool marks__is_damaged(const struct segment_marks *marks, uint32_t block);
/* The file ends in front of a mark block, though both were synced with the birth of the segment: it was cut, and the mark
 * that is left may be the older one. Nothing in the file tells, for what that one does not tell of is cut off, too. */
bool marks__are_cut(const struct segment_marks *marks, uint64_t file_bytes);
/* Where it stands in the file. */
uint64_t marks__pos(uint32_t block);

/* Open the segment for writing behind its newest mark, which must be durable. */
void writer__init(struct segment_writer *writer, struct disk_file *file,
                  const struct segment_header *header, const struct segment_marks *marks,
                  uint64_t file_bytes);

/* Counted by a job and added to the log's figures when it is finished. */
struct sync_count {
    uint32_t syncs;
    uint64_t last_us;
};

/* fdatasync. A failure is never retried (L11). */
int writer__sync(struct segment_writer *writer, struct sync_count *count);

/* Write a mark; durable with the next writer__sync(). mark->segment and ->sequence are filled in. */
int writer__write_mark(struct segment_writer *writer, uint64_t group_seed,
                       struct segment_mark *mark);

/* The same mark into both blocks, one after the other, each synced: no older mark can speak again even if one of the
 * blocks rots (L6, L7). */
int writer__write_both_marks(struct segment_writer *writer, uint64_t group_seed,
                             struct segment_mark *mark, struct sync_count *count);

/* The block that holds `pos`, a sector's start, is unreadable from there on: zeros up to its end, and in front of `pos` as far
 * as that is unreadable, too. Of a block that is written in part the kernel reads the rest first, so a later write of a part
 * would fail; one that is written as a whole gets good sectors from the disk. What is unreadable in front is damage that its
 * marks tell of, and stays it. Does nothing where all can be read. */
int writer__heal(struct segment_writer *writer, uint64_t pos);

/* The sector of a cut: what the mark keeps of it, and zeros up to its end or to that of the file, whichever comes first. */
int writer__restore_tail(struct segment_writer *writer, const struct segment_mark *mark,
                         uint64_t file_bytes);

/* Zeros in [from, to). */
int writer__zero(struct segment_writer *writer, uint64_t from, uint64_t to);

/* Bytes that are in no entry at `boundary`, where no entry ends: one that reaches across it is none any more, whatever zeros
 * stand behind. The next write overwrites them. Nothing where the file ends in front of it: that takes no room. */
int writer__spoil(struct segment_writer *writer, uint64_t boundary);
#define SEGMENT_SPOILED_BYTES 8u
#define SEGMENT_SPOILED_BYTE  0xffu

/* Read [from, end of the file) and overwrite with zeros what is not zero, or cannot be read. */
int writer__zero_behind(struct segment_writer *writer, uint64_t from);

/* What a write without room left behind the end is zeros again, or spoiled, durably. Before anything else is written to the file: a
 * shorter write would leave the copy of an entry in front of the next one, and in a segment without entries one torn mark beside
 * such bytes is a lost position. Does nothing when nothing was left; else it reads what is behind the end, and syncs. A sync without
 * room is -EIO (L11). */
int writer__clean(struct segment_writer *writer, struct sync_count *count);

#endif
