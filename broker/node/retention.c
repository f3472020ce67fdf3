/* What a leader proposes of itself about its partition: settings that meta changed (PROTOCOL M7), and TRIM (S4).
 *
 *   settings of the topic ──SETTINGS──> settings of the partition ──┐
 *   bases, their stamps, offsets, bytes; durable groups; the clock ─┴──TRIM──> apply() ──> base.c drops files (S5)
 *
 * Looked at about once a second, at most ten times, never for a message: the candidates are the bases that this replica has made, so a TRIM
 * frees whole files, here at once and elsewhere at the next base below it. Rules
 *  1. Size: the newest retention_bytes stay, entries of every kind counted, and what stands between them and the next base.
 *  2. Time: every entry in front of the start is older than retention_ms by the clock of the group (C8).
 *  3. Consumed: every durable group is behind the start, or at it.
 * The first two pass slow groups. At most one entry of a leader is under way. */
#include "retention.h"

#include "clock.h"
#include "group.h"
#include "internal.h"
#include "turn.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>

#define LOOK_US           1000000u
#define LOOK_NEW_US       100000u
#define PARTS             8u /* bases that the kept part of a log is cut into, about */
#define BASE_BYTES_MIN    65536u
#define BASE_US_MAX       UINT64_C(3600000000)
#define CONSUMED_BASE_US  UINT64_C(10000000)
#define CONTROL_BYTES_MIN 65536u /* of a TRIM that frees no message */

static uint64_t look_us(const struct node *node)
{
    const uint64_t ms = node->options.retention_check_ms;
    return ms > 0 ? ms * 1000u : LOOK_US;
}

/* Sooner when there is a base that was not looked at: a log that grows fast makes some in a second. */
static bool is_time(const struct group *group)
{
    if (RARELY(RETENTION_LOOKS_NOW)) return true;
    uint64_t every_us = look_us(group->node);
    const bool is_new =
        group->bases_count > 0 && group->bases[0].index != group->control.looked_index;
    if (is_new && every_us > LOOK_NEW_US) every_us = LOOK_NEW_US;
    return io_now_us(group->node->io) - group->control.looked_us >= every_us;
}

uint64_t retention__base_bytes(const struct group *group)
{
    struct meta_settings settings;
    const uint64_t segment = group->node->options.segment_bytes_max / 4u * 3u;
    if (!partition_settings_get(&group->partition, &settings)) return segment;
    if (settings.retention_bytes < 0) return segment;
    uint64_t bytes = (uint64_t)settings.retention_bytes / PARTS;
    if (bytes < BASE_BYTES_MIN) bytes = BASE_BYTES_MIN;
    return bytes < segment ? bytes : segment;
}

uint64_t retention__base_us(const struct group *group)
{
    struct meta_settings settings;
    if (!partition_settings_get(&group->partition, &settings)) return UINT64_MAX;
    uint64_t us = settings.until_consumed ? CONSUMED_BASE_US : UINT64_MAX;
    if (settings.retention_ms >= 0) {
        uint64_t part_us = (uint64_t)settings.retention_ms < BASE_US_MAX
                               ? (uint64_t)settings.retention_ms * 1000u / PARTS
                               : BASE_US_MAX;
        if (part_us > BASE_US_MAX) part_us = BASE_US_MAX;
        if (part_us < us) us = part_us;
    }
    return us > look_us(group->node) ? us : look_us(group->node);
}

/* ---- proposing -------------------------------------------------------------------------------------------------------- */

static void propose(struct group *group, enum entry_type type, size_t bytes)
{
    assert(bytes > 0);
    assert(bytes <= sizeof(group->control.payload));
    group->control.type = type;
    group->control.payload_bytes = (uint32_t)bytes;
    node__dirty(group);
}

static bool keeps_everything(const struct meta_settings *settings)
{
    return settings->retention_ms < 0 && settings->retention_bytes < 0 && !settings->until_consumed;
}

/* M7: apply() and the rules below know only what is in the partition's own log. True: proposed. */
static bool propose_settings(struct group *group)
{
    struct meta_settings wanted;
    struct meta_settings known;
    struct meta_partition partition;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    if (!meta_group_find(&group->node->meta, group->id, topic, &partition, &wanted)) return false;
    if (partition_settings_get(&group->partition, &known)) {
        if (known.changed_index >= wanted.changed_index) return false;
    } else if (keeps_everything(&wanted)) {
        return false;
    }
    propose(
        group, ENTRY_SETTINGS,
        partition_encode_settings(&wanted, group->control.payload, sizeof(group->control.payload)));
    return true;
}

/* ---- the rules --------------------------------------------------------------------------------------------------------- */

typedef bool (*may_start)(const struct group *group, const struct segment_log_point *base,
                          uint64_t limit);

/* Each holds for all older bases, too, or for all newer ones; so one walk finds the best. */
static bool is_old(const struct group *group, const struct segment_log_point *base, uint64_t limit)
{
    (void)group;
    return base->timestamp_ms <= (int64_t)limit;
}

static bool is_consumed(const struct group *group, const struct segment_log_point *base,
                        uint64_t limit)
{
    (void)group;
    return base->next_offset <= limit;
}

/* The newest base that may be the start. NULL: none. */
static const struct segment_log_point *newest(const struct group *group, may_start may,
                                              uint64_t limit)
{
    for (uint32_t i = 0; i < group->bases_count; i++) {
        if (may(group, &group->bases[i], limit)) return &group->bases[i];
    }
    return NULL;
}

/* The newest base behind which all that is to be kept stands; NULL: none. */
static const struct segment_log_point *by_size(const struct group *group, uint64_t limit)
{
    for (uint32_t i = 0; i < group->bases_count; i++) {
        if (segment_log_bytes_behind(group->log, group->bases[i].index) >= limit) {
            return &group->bases[i];
        }
    }
    return NULL;
}

static const struct segment_log_point *by_time(struct group *group, uint64_t retention_ms)
{
    struct node *node = group->node;
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    uint32_t voters_count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->voter || member->voter_old) voters_count++;
    }
    if (voters_count < 2 &&
        clock_watch_rests(&node->clock_watch, retention_ms, io_now_us(node->io)) &&
        !PLANTED(C8_A_JUMP_TRIMS)) {
        return NULL;
    }
    const int64_t now_ms = clock__of_group(group);
    if (now_ms < 0 || (uint64_t)now_ms < retention_ms) return NULL;
    return newest(group, is_old, (uint64_t)now_ms - retention_ms);
}

static const struct segment_log_point *later(const struct segment_log_point *a,
                                             const struct segment_log_point *b)
{
    if (!a || !b) return a ? a : b;
    return a->index > b->index ? a : b;
}

/* Is it worth an entry? Nothing that is not committed is trimmed: a base is of what was applied. */
static bool is_worth_it(const struct group *group, const struct segment_log_point *start)
{
    if (!start || start->index <= partition_trimmed_index(&group->partition)) return false;
    if (start->index > group->applied_index) return false;
    if (start->next_offset > group->partition.log_start_offset) return true;
    return segment_log_bytes_behind(group->log, 0) -
               segment_log_bytes_behind(group->log, start->index) >=
           CONTROL_BYTES_MIN;
}

static void propose_trim(struct group *group)
{
    struct meta_settings settings;
    uint64_t lowest = 0;
    if (!partition_settings_get(&group->partition, &settings) || group->bases_count == 0) return;
    const struct segment_log_point *start = NULL;
    if (settings.retention_bytes >= 0) {
        const uint64_t limit = (uint64_t)settings.retention_bytes;
        start = by_size(group, limit);
    }
    if (settings.retention_ms >= 0) {
        start = later(start, by_time(group, (uint64_t)settings.retention_ms));
    }
    enum partition_trim_rule rule = PARTITION_TRIM_RETENTION;
    if (settings.until_consumed && partition_durable_lowest(&group->partition, &lowest)) {
        const struct segment_log_point *consumed = newest(group, is_consumed, lowest);
        if (consumed && later(start, consumed) != start) {
            rule = PARTITION_TRIM_CONSUMED;
            start = consumed;
        }
    }
    if (!is_worth_it(group, start)) return;
    if (PLANTED(S4_TRIM_COUNTS_BEFORE_IT_IS_COMMITTED))
        group->partition.log_start_offset = start->next_offset;
    propose(group, ENTRY_TRIM,
            partition_encode_trim(rule, start->index, start->next_offset, group->control.payload,
                                  sizeof(group->control.payload)));
    group->counters.trims++;
    node__log(group->node, "info",
              "event=\"trims its log\" group=%" PRIu64 " up_to=%" PRIu64 " first_offset=%" PRIu64
              " rule=%s",
              group->id, start->index, start->next_offset,
              rule == PARTITION_TRIM_CONSUMED ? "consumed" : "retention");
}

void retention__maintain(struct group *group)
{
    struct node *node = group->node;
    if (group->is_meta || group->dropping) return;
    if (group->role != RAFT_LEADER || !group->own_noop_applied || node->state != NODE_RUNNING) {
        group->control.payload_bytes = 0;
        group->control.index = 0;
        return;
    }
    if (!is_time(group)) return;
    group->control.looked_us = io_now_us(node->io);
    if (group->control.payload_bytes > 0 || group->control.index > group->applied_index) return;
    group->control.looked_index = group->bases_count > 0 ? group->bases[0].index : 0;
    if (propose_settings(group)) return;
    propose_trim(group);
}
