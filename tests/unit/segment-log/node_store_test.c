/* Goal: terms, votes and replica records outlive anything, or their loss is noticed (PROTOCOL V, M4). */
#include "log_fixture.h"

#include "memory_disk.h"

#include <segment_log/node_store.h>

#include <criterion/criterion.h>
#include <errno.h>

#define SLOT_BYTES (4096u + NODE_STORE_GROUPS_MAX * 64u)

static struct disk *disk;
static struct segment_log_problem problem;

static void set_up(void)
{
    disk = memory_disk_create(1);
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(node_store, .init = set_up, .fini = tear_down);

static struct node_store *open_store(void)
{
    struct node_store *store = NULL;
    enum segment_log_status status =
        node_store_open(disk, "/data", &fixture_cluster, 3, true, &store, &problem);
    cr_assert_eq(status, SEGMENT_LOG_OK, "%s", problem.reason);
    return store;
}

static struct node_record record_of(uint64_t group, uint64_t term)
{
    return (struct node_record){.group = group,
                                .epoch = 5,
                                .state = NODE_REPLICA_MADE,
                                .meta_index = 9,
                                .term = term,
                                .vote_node = term % 3,
                                .vote_epoch = 4};
}

static int save(struct node_store *store)
{
    struct node_store_job *job = node_store_next_job(store);
    if (!job) return 0;
    node_store_job_run(job);
    return node_store_job_finish(store, job, &problem);
}

Test(node_store, records_come_back_sorted_by_group)
{
    struct node_store *store = open_store();
    static const uint64_t groups[] = {9, 2, UINT64_MAX, 0, 5};
    for (int i = 0; i < 5; i++) {
        struct node_record record = record_of(groups[i], groups[i] % 1000 + 1);
        cr_assert_neq(node_store_put(store, &record), 0);
    }
    cr_assert_eq(save(store), 0);
    node_store_close(store);
    store = open_store();
    cr_assert_eq(node_store_count(store), 5);
    uint64_t previous = 0;
    for (uint32_t i = 0; i < 5; i++) {
        struct node_record record, same;
        cr_assert(node_store_at(store, i, &record));
        cr_assert(i == 0 || record.group > previous);
        previous = record.group;
        cr_assert(node_store_get(store, record.group, &same));
        cr_assert_eq(record.term, record.group % 1000 + 1);
        cr_assert_eq(record.epoch, 5);
        cr_assert_eq(record.meta_index, 9);
        cr_assert_eq(record.vote_node, record.term % 3);
        cr_assert_eq(record.vote_epoch, 4);
        cr_assert_eq(record.state, NODE_REPLICA_MADE);
    }
    struct node_record record;
    cr_assert_not(node_store_at(store, 5, &record));
    cr_assert_not(node_store_get(store, 1, &record));
    node_store_close(store);
}

Test(node_store, updates_made_while_a_job_runs_are_one_batch_of_the_next)
{
    struct node_store *store = open_store();
    struct node_record record = record_of(1, 1);
    uint64_t first = node_store_put(store, &record);
    struct node_store_job *job = node_store_next_job(store);
    cr_assert_null(node_store_next_job(store), "one at a time");
    uint64_t last = 0;
    for (uint64_t term = 2; term < 20; term++) {
        record = record_of(1, term);
        last = node_store_put(store, &record);
    }
    cr_assert_lt(node_store_durable_sequence(store), first);
    node_store_job_run(job);
    cr_assert_eq(node_store_job_finish(store, job, &problem), 0);
    cr_assert_geq(node_store_durable_sequence(store), first);
    cr_assert_lt(node_store_durable_sequence(store), last);
    uint64_t syncs = memory_disk_syncs(disk);
    cr_assert_eq(save(store), 0);
    cr_assert_eq(memory_disk_syncs(disk), syncs + 2, "slot A and slot B, once");
    cr_assert_eq(node_store_durable_sequence(store), last);
    cr_assert_null(node_store_next_job(store));
    node_store_close(store);
}

Test(node_store, one_bad_slot_is_repaired_from_the_other)
{
    struct node_store *store = open_store();
    struct node_record record = record_of(7, 41), found;
    node_store_put(store, &record);
    cr_assert_eq(save(store), 0);
    node_store_close(store);
    for (uint64_t round = 0; round < 40; round++) {
        uint64_t slot = round % 2, pos = slot * SLOT_BYTES + (round * 7) % 56;
        if (round % 4 > 1) pos = slot * SLOT_BYTES + 4096 + round % 64;
        cr_assert_eq(memory_disk_flip(disk, "/data/votes", pos, 8), 0);
        store = open_store();
        cr_assert(node_store_get(store, 7, &found));
        cr_assert_eq(found.term, 41);
        node_store_close(store);
        /* The repair is synced: it holds through a power cut. */
        memory_disk_crash(disk, MEMORY_DISK_POWER);
    }
}

/* F14: a slot is many blocks; one that cannot be read is damage of its slot, and only where the slot needs it. */
Test(node_store, a_block_that_cannot_be_read_costs_no_vote_and_is_written_again)
{
    struct node_store *store = open_store();
    struct node_record record = record_of(7, 41), found;
    for (uint64_t group = 100; group < 200; group++) { /* more than a block of records */
        struct node_record other = record_of(group, group);
        node_store_put(store, &other);
    }
    node_store_put(store, &record);
    cr_assert_eq(save(store), 0);
    for (uint32_t round = 0; round < 12; round++) {
        const uint64_t slot = round % 2, block = round / 2 % 3;
        const bool is_open = round >= 6;
        if (!is_open) node_store_close(store);
        cr_assert_eq(
            memory_disk_unreadable(disk, "/data/votes", slot * SLOT_BYTES + block * 4096, 1), 0);
        if (is_open) {
            const uint64_t mended = node_store_mended_total(store);
            node_store_check_begin(store);
            cr_assert_eq(save(store), 0);
            cr_assert_eq(node_store_mended_total(store), mended + 1);
        } else {
            store = open_store();
        }
        cr_assert_eq(memory_disk_unreadable_count(disk, "/data/votes"), 0, "round %u", round);
        cr_assert(node_store_get(store, 7, &found));
        cr_assert_eq(found.term, 41);
        cr_assert_eq(node_store_count(store), 101);
    }
    /* Behind the records of both: nobody needs these. */
    for (uint64_t slot = 0; slot < 2; slot++) {
        const uint64_t pos = slot * SLOT_BYTES + 2 * 4096;
        for (uint64_t group = 100; group < 200; group++) {
            node_store_forget(store, group);
        }
        cr_assert_eq(save(store), 0);
        cr_assert_eq(memory_disk_unreadable(disk, "/data/votes", pos, 1), 0);
    }
    node_store_close(store);
    store = open_store();
    cr_assert(node_store_get(store, 7, &found));
    cr_assert_eq(found.term, 41);
    node_store_close(store);
    /* A block that both need: the votes are lost, and the node is told so. */
    for (uint64_t slot = 0; slot < 2; slot++) {
        cr_assert_eq(memory_disk_unreadable(disk, "/data/votes", slot * SLOT_BYTES, 1), 0);
    }
    cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 3, false, &store, &problem),
                 SEGMENT_LOG_DAMAGED);
}

/* V2: while it runs, the bad one first, so that a power cut at any call leaves a whole one. */
struct peeked {
    uint64_t term;
    uint32_t count;
};

static void note_record(void *data, const struct node_record *record)
{
    struct peeked *peeked = data;
    peeked->term = record->term;
    peeked->count++;
}

Test(node_store, a_peek_tells_what_a_start_would_find_and_writes_nothing)
{
    struct peeked peeked = {0};
    cr_assert_not(node_store_peek(disk, "/data", note_record, &peeked), "there is none");
    struct node_store *store = open_store();
    for (uint64_t term = 7; term < 9; term++) {
        const struct node_record record = record_of(4, term);
        node_store_put(store, &record);
        cr_assert_eq(save(store), 0);
    }
    node_store_close(store);
    const uint64_t calls = memory_disk_calls(disk);
    for (uint32_t slot = 0; slot < 3; slot++) {
        peeked = (struct peeked){0};
        cr_assert(node_store_peek(disk, "/data", note_record, &peeked));
        cr_assert_eq(peeked.count, 1);
        cr_assert_eq(peeked.term, 8, "%u", slot);
        if (slot > 0) {
            cr_assert_eq(memory_disk_flip(disk, "/data/votes", (slot - 1) * SLOT_BYTES + 24, 1), 0);
        }
        if (slot < 2)
            cr_assert_eq(memory_disk_flip(disk, "/data/votes", slot * SLOT_BYTES + 24, 1), 0);
    }
    cr_assert_eq(memory_disk_flip(disk, "/data/votes", 24, 1), 0);
    cr_assert_eq(memory_disk_flip(disk, "/data/votes", SLOT_BYTES + 24, 1), 0);
    cr_assert_not(node_store_peek(disk, "/data", note_record, &peeked), "both slots are bad");
    cr_assert_eq(memory_disk_calls(disk), calls);
}

Test(node_store, a_slot_that_rots_while_it_is_open_is_written_again_when_looked_at)
{
    for (uint64_t nth = 0; nth < 12; nth++) {
        for (uint64_t slot = 0; slot < 2; slot++) {
            struct disk *outer = disk;
            disk = memory_disk_clone(outer, nth);
            struct node_store *store = open_store();
            const struct node_record record = record_of(7, 3);
            node_store_put(store, &record);
            cr_assert_eq(save(store), 0);
            cr_assert_null(node_store_next_job(store));
            node_store_check_begin(store);
            cr_assert_eq(save(store), 0);
            cr_assert_eq(node_store_mended_total(store), 0, "nothing is wrong");
            cr_assert_not(node_store_is_checking(store));
            cr_assert_eq(memory_disk_flip(disk, "/data/votes", slot * 266240 + 40 + nth, 4), 0);
            node_store_check_begin(store);
            cr_assert(node_store_is_checking(store));
            if (nth > 0) memory_disk_stop_at(disk, nth);
            const int error = save(store);
            cr_assert_eq(node_store_mended_total(store), error ? 0 : 1);
            node_store_close(store);
            memory_disk_crash(disk, MEMORY_DISK_POWER);
            store = open_store();
            struct node_record found;
            cr_assert(node_store_get(store, 7, &found));
            cr_assert_eq(found.term, 3);
            node_store_close(store);
            memory_disk_destroy(disk);
            disk = outer;
        }
    }
}

Test(node_store, two_bad_slots_are_a_lost_vote)
{
    struct node_store *store = open_store();
    struct node_record record = record_of(7, 41);
    node_store_put(store, &record);
    cr_assert_eq(save(store), 0);
    node_store_close(store);
    cr_assert_eq(memory_disk_flip(disk, "/data/votes", 4096, 1), 0);
    cr_assert_eq(memory_disk_flip(disk, "/data/votes", SLOT_BYTES + 4096, 1), 0);
    store = NULL;
    cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 3, true, &store, &problem),
                 SEGMENT_LOG_DAMAGED);
    cr_assert_null(store);
    cr_assert_str_eq(problem.path, "/data/votes");
}

Test(node_store, a_store_that_is_not_there_or_not_ours_is_refused)
{
    struct node_store *store = NULL;
    cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 3, false, &store, &problem),
                 SEGMENT_LOG_MISSING);
    node_store_close(open_store());
    struct cluster_id other = fixture_cluster;
    other.bytes[3] ^= 1;
    cr_assert_eq(node_store_open(disk, "/data", &other, 3, true, &store, &problem),
                 SEGMENT_LOG_FOREIGN);
    cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 4, true, &store, &problem),
                 SEGMENT_LOG_FOREIGN);
    cr_assert_null(store);
}

Test(node_store, holds_its_full_number_of_groups_and_refuses_one_more)
{
    struct node_store *store = open_store();
    for (uint64_t group = 0; group < NODE_STORE_GROUPS_MAX; group++) {
        struct node_record record = record_of(group, group + 1);
        cr_assert_neq(node_store_put(store, &record), 0);
    }
    struct node_record record = record_of(NODE_STORE_GROUPS_MAX, 1), found;
    cr_assert_eq(node_store_put(store, &record), 0);
    record = record_of(17, 99);
    cr_assert_neq(node_store_put(store, &record), 0, "a known group always has room");
    cr_assert_eq(save(store), 0);
    node_store_close(store);
    store = open_store();
    cr_assert_eq(node_store_count(store), NODE_STORE_GROUPS_MAX);
    cr_assert(node_store_get(store, NODE_STORE_GROUPS_MAX - 1, &found));
    cr_assert_eq(found.term, NODE_STORE_GROUPS_MAX);
    cr_assert(node_store_get(store, 17, &found));
    cr_assert_eq(found.term, 99);
    node_store_close(store);
}

/* Put terms 1, 2, ...; the n-th disk call fails or is the last one; a power cut; a second one during the next start. */
static bool lose_power_at(uint64_t nth, uint64_t seed, bool fail_only)
{
    struct disk *outer = disk;
    disk = memory_disk_create(seed);
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    struct node_store *store = open_store();
    if (fail_only) {
        memory_disk_fail_call(disk, nth, -EIO);
    } else {
        memory_disk_stop_at(disk, nth);
    }
    uint64_t put = 0, durable = 0;
    int error = 0;
    while (!error && put < 3) {
        struct node_record record = record_of(7, ++put);
        node_store_put(store, &record);
        error = save(store);
        if (!error) durable = put;
        if (error) cr_assert_null(node_store_next_job(store), "a failed sync is not retried");
    }
    node_store_close(store);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    memory_disk_stop_at(disk, 1 + seed % 8);
    store = NULL;
    if (node_store_open(disk, "/data", &fixture_cluster, 3, false, &store, &problem) ==
        SEGMENT_LOG_OK) {
        node_store_close(store);
    }
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    store = open_store();
    struct node_record found = {0};
    bool known = node_store_get(store, 7, &found);
    cr_assert(known || durable == 0);
    cr_assert_geq(found.term, durable);
    cr_assert_leq(found.term, put);
    if (known) cr_assert_eq(found.vote_node, found.term % 3, "term and vote are of one put");
    node_store_close(store);
    memory_disk_destroy(disk);
    disk = outer;
    return error != 0;
}

Test(node_store, a_forgotten_group_is_gone_after_a_restart_and_leaves_room)
{
    struct node_store *store = open_store();
    for (uint64_t group = 1; group <= 5; group++) {
        struct node_record record = record_of(group, group);
        cr_assert_neq(node_store_put(store, &record), 0);
    }
    cr_assert_eq(save(store), 0);
    node_store_forget(store, 3);
    node_store_forget(store, 7); /* never there: nothing to make durable for it */
    uint64_t sequence = node_store_durable_sequence(store);
    cr_assert_eq(save(store), 0);
    cr_assert_eq(node_store_durable_sequence(store), sequence + 1);
    node_store_close(store);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    store = open_store();
    cr_assert_eq(node_store_count(store), 4);
    for (uint64_t group = 1; group <= 5; group++) {
        struct node_record record;
        cr_assert_eq(node_store_get(store, group, &record), group != 3);
        if (group != 3) cr_assert_eq(record.term, group);
    }
    node_store_close(store);
}

Test(node_store, term_and_vote_survive_a_power_cut_at_every_call)
{
    for (int fail_only = 0; fail_only < 2; fail_only++) {
        bool stopped = true;
        for (uint64_t nth = 1; stopped; nth++) {
            cr_assert_lt(nth, 50);
            for (uint64_t seed = 0; seed < 60; seed++) {
                stopped = lose_power_at(nth, seed * 64 + nth, fail_only == 1);
            }
        }
    }
}

/* The process that made the store is killed before it synced the name; the next one uses what it finds. */
Test(node_store, a_store_that_only_the_page_cache_named_keeps_what_it_is_given)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        for (uint64_t seed = 0; seed < 60; seed++) {
            struct disk *outer = disk;
            disk = memory_disk_create(seed * 64 + nth);
            cr_assert_eq(disk_make_directory(disk, "/data"), 0);
            cr_assert_eq(disk_sync_directory(disk, "/"), 0);
            memory_disk_stop_at(disk, nth);
            struct node_store *store = NULL;
            if (node_store_open(disk, "/data", &fixture_cluster, 3, true, &store, &problem) ==
                SEGMENT_LOG_OK) {
                node_store_close(store);
            }
            memory_disk_crash(disk, MEMORY_DISK_KILL);
            store = open_store();
            struct node_record record = record_of(7, 41), found;
            node_store_put(store, &record);
            cr_assert_eq(save(store), 0);
            node_store_close(store);
            memory_disk_crash(disk, MEMORY_DISK_POWER);
            store = NULL;
            cr_assert_eq(
                node_store_open(disk, "/data", &fixture_cluster, 3, false, &store, &problem),
                SEGMENT_LOG_OK, "call %d: %s", (int)nth, problem.reason);
            cr_assert(node_store_get(store, 7, &found));
            cr_assert_eq(found.term, 41);
            node_store_close(store);
            memory_disk_destroy(disk);
            disk = outer;
        }
    }
}

Test(node_store, a_store_half_made_is_no_store)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        for (uint64_t seed = 0; seed < 60; seed++) {
            struct disk *outer = disk;
            disk = memory_disk_create(seed * 64 + nth);
            cr_assert_eq(disk_make_directory(disk, "/data"), 0);
            cr_assert_eq(disk_sync_directory(disk, "/"), 0);
            memory_disk_stop_at(disk, nth);
            struct node_store *store = NULL;
            enum segment_log_status status =
                node_store_open(disk, "/data", &fixture_cluster, 3, true, &store, &problem);
            if (status == SEGMENT_LOG_OK) node_store_close(store);
            memory_disk_crash(disk, MEMORY_DISK_POWER);
            store = NULL;
            enum segment_log_status again =
                node_store_open(disk, "/data", &fixture_cluster, 3, false, &store, &problem);
            cr_assert(again == SEGMENT_LOG_OK ||
                      (again == SEGMENT_LOG_MISSING && status != SEGMENT_LOG_OK));
            node_store_close(store);
            node_store_close(open_store());
            memory_disk_destroy(disk);
            disk = outer;
        }
    }
}
