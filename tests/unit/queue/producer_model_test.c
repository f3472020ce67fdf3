/* Random producers against one leader, compared with a model that remembers every batch ever written: goal is that no
 * batch enters the log twice or out of order, and that a retry gets its own first offset, over truncations, changes of
 * the leader, restarts from a snapshot, new epochs, and sequences close to their wrap. */
#include "queue_support.h"

#define PRODUCERS       6u
#define LOG_ENTRIES_MAX 4000u

struct written {
    struct partition_batch_id id;
    uint64_t base_offset;
};

struct world {
    struct partition partition;
    struct written log[LOG_ENTRIES_MAX]; /* [index - 1] */
    uint64_t last_index;
    uint64_t next_offset; /* behind the last appended entry */
    int16_t epochs[PRODUCERS];
    uint64_t random;
};

static struct partition_batch_id draw_batch(struct world *world)
{
    uint64_t random = test_draw(&world->random);
    uint32_t producer = (uint32_t)(random % PRODUCERS);
    random >>= 8;
    /* Mostly a repeat of something written or its continuation, else anything near. */
    if (world->last_index > 0 && random % 4 < 3) {
        uint64_t back =
            test_draw(&world->random) % (world->last_index < 40 ? world->last_index : 40);
        struct partition_batch_id id = world->log[world->last_index - 1 - back].id;
        if (random % 4 == 0) return id;
        if (id.producer_id >= 0) {
            id.base_sequence =
                (int32_t)(((uint32_t)id.base_sequence + id.records_count) & 0x7fffffffu);
            id.records_count = 1 + (uint32_t)(test_draw(&world->random) % 4);
        }
        if (random % 64 == 1) id = test_id(id.producer_id, (int16_t)(id.producer_epoch + 1), 0, 2);
        return id;
    }
    if (random % 32 == 3) return test_id(-1, -1, -1, 1);
    /* Some producers begin with one huge batch, so that their sequences soon wrap. */
    uint32_t records = producer < 2 && random % 2 ? INT32_MAX - 20 : 1 + (uint32_t)(random % 4);
    return test_id(producer, world->epochs[producer], (int32_t)(random / 64 % 12), records);
}

/* The newest epoch of a producer in the whole log, and its newest batch; false: never seen. */
static bool model_newest(const struct world *world, int64_t producer, struct written *ret_newest)
{
    for (uint64_t i = world->last_index; i > 0; i--) {
        if (world->log[i - 1].id.producer_id != producer) continue;
        *ret_newest = world->log[i - 1];
        return true;
    }
    return false;
}

static bool is_same(const struct partition_batch_id *a, const struct partition_batch_id *b)
{
    return a->producer_id == b->producer_id && a->producer_epoch == b->producer_epoch &&
           a->base_sequence == b->base_sequence && a->records_count == b->records_count;
}

/* Index of this very batch in the log, newest first; 0: never written. */
static uint64_t model_find(const struct world *world, const struct partition_batch_id *id)
{
    for (uint64_t i = world->last_index; i > 0; i--) {
        if (is_same(&world->log[i - 1].id, id)) return i;
    }
    return 0;
}

/* Records of this producer's epoch from `index` on. */
static uint64_t model_records_since(const struct world *world, uint64_t index)
{
    const struct partition_batch_id *id = &world->log[index - 1].id;
    uint64_t records = 0;
    for (uint64_t i = index; i <= world->last_index; i++) {
        const struct partition_batch_id *other = &world->log[i - 1].id;
        bool is_same_epoch =
            other->producer_id == id->producer_id && other->producer_epoch == id->producer_epoch;
        if (is_same_epoch) records += other->records_count;
    }
    return records;
}

/* The verdict over `id`, given what is truly in the log. */
static void expect_right(const struct world *world, const struct partition_batch_id *id,
                         const struct test_answer *answer)
{
    struct written newest;
    bool is_known = model_newest(world, id->producer_id, &newest);
    int16_t epoch = is_known ? newest.id.producer_epoch : -1;
    uint32_t next =
        is_known && id->producer_epoch == epoch
            ? ((uint32_t)newest.id.base_sequence + newest.id.records_count) & 0x7fffffffu
            : 0;
    uint64_t index = model_find(world, id);
    switch (answer->verdict) {
    case PARTITION_ACCEPT:
        cr_assert_eq((uint32_t)id->base_sequence, next, "accepted in order only");
        cr_assert_geq(id->producer_epoch, epoch);
        break;
    case PARTITION_DUPLICATE:
        cr_assert_gt(index, 0);
        cr_assert_leq(index, world->partition.applied_index);
        cr_assert_eq(answer->offset, world->log[index - 1].base_offset);
        break;
    case PARTITION_DUPLICATE_PENDING:
        cr_assert_eq(answer->index, index);
        cr_assert_gt(index, world->partition.applied_index);
        cr_assert_eq(answer->offset, world->log[index - 1].base_offset);
        break;
    case PARTITION_DUPLICATE_UNKNOWN:
        cr_assert(is_known);
        cr_assert_eq(id->producer_epoch, epoch);
        cr_assert_neq((uint32_t)id->base_sequence, next);
        break;
    case PARTITION_OUT_OF_ORDER:
        cr_assert_neq((uint32_t)id->base_sequence, next);
        cr_assert_eq((uint32_t)answer->expected, next);
        /* A true repeat never fails, but for one so far back that the sequence has turned since. */
        if (index > 0 && id->producer_epoch == epoch) {
            cr_assert_gt(model_records_since(world, index), UINT64_C(1) << 30);
        }
        break;
    case PARTITION_FENCED:
        cr_assert_lt(id->producer_epoch, epoch);
        break;
    case PARTITION_TOO_MANY_IN_FLIGHT:
        cr_assert_eq((uint32_t)id->base_sequence, next);
        break;
    case PARTITION_UNKNOWN_PRODUCER:
        cr_assert_fail("nobody is evicted here");
        break;
    }
}

static void produce(struct world *world)
{
    struct partition_batch_id id = draw_batch(world);
    struct test_answer answer = test_check(&world->partition, id);
    if (id.producer_id >= 0) expect_right(world, &id, &answer);
    if (answer.verdict != PARTITION_ACCEPT || world->last_index == LOG_ENTRIES_MAX) return;
    world->log[world->last_index++] = (struct written){.id = id, .base_offset = world->next_offset};
    partition_overlay_add(&world->partition, &id, world->last_index, world->next_offset);
    world->next_offset += id.records_count;
}

static void apply_some(struct world *world)
{
    uint64_t count = test_draw(&world->random) % 6;
    for (; count > 0 && world->partition.applied_index < world->last_index; count--) {
        const struct written *written = &world->log[world->partition.applied_index];
        cr_assert_eq(test_apply_batch(&world->partition, written->id), written->base_offset);
    }
}

static void cut_log(struct world *world, uint64_t last_index)
{
    world->last_index = last_index;
    world->next_offset = last_index == 0 ? 0
                                         : world->log[last_index - 1].base_offset +
                                               world->log[last_index - 1].id.records_count;
}

/* Another leader: what was not applied is lost, or is applied before it takes batches (P1). */
static void change_leader(struct world *world)
{
    uint64_t applied = world->partition.applied_index;
    if (test_draw(&world->random) % 2) {
        uint64_t from = applied + 1 + test_draw(&world->random) % (world->last_index - applied + 1);
        partition_overlay_drop(&world->partition, from);
        cut_log(world, from - 1);
        return;
    }
    partition_overlay_drop(&world->partition, 0);
    while (world->partition.applied_index < world->last_index)
        apply_some(world);
}

static void restart(struct world *world)
{
    struct partition *partition = &world->partition, restarted;
    partition_init(&restarted);
    cr_assert(partition_restore(&restarted, tree_ref(partition->state), partition->applied_index,
                                partition->next_offset, partition->log_start_offset,
                                partition->applied_timestamp_ms));
    partition_close(partition);
    *partition = restarted;
    cut_log(world, partition->applied_index);
}

static void run(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    world->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    partition_init(&world->partition);
    for (uint32_t step = 0; step < 6000; step++) {
        uint64_t dice = test_draw(&world->random) % 100;
        if (dice < 78) {
            produce(world);
        } else if (dice < 97) {
            apply_some(world);
        } else if (dice < 99) {
            change_leader(world);
        } else {
            restart(world);
        }
    }
    while (world->partition.applied_index < world->last_index)
        apply_some(world);

    /* A replica that only ever replayed the log holds the same state. */
    struct partition replica;
    partition_init(&replica);
    for (uint64_t i = 0; i < world->last_index; i++)
        test_apply_batch(&replica, world->log[i].id);
    cr_assert_eq(tree_digest(replica.state), tree_digest(world->partition.state));
    cr_assert_eq(replica.next_offset, world->partition.next_offset);
    cr_assert_gt(world->last_index, 100, "the run was about something");
    partition_close(&replica);
    partition_close(&world->partition);
    free(world);
}

Test(producer_model, nothing_is_written_twice_or_out_of_order_and_retries_get_their_offset)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        run(seed);
}
