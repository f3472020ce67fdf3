/* A disk that stands still, or is full, under a leader (PROTOCOL C7).
 *
 * The core counts time by what the driver tells, and cannot know that a write is under way. So a job of the log, or of the
 * vote store, that takes longer than STALL_TIMEOUTS election timeouts is told to the cores whose work waits for it, again and
 * again as long as it lasts: their leaders hand over, and nobody stands on such a disk.
 *
 * A full disk still takes votes and marks, and a leader on it still serves reads; only what it should store is refused. So it
 * offers its leadership to one follower after the other, and goes on leading while nobody with space takes it (L11). */
#include "stall.h"

#include "group.h"
#include "internal.h"
#include "offer.h"
#include "list.h"
#include "perform.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <inttypes.h>

#define STALL_TIMEOUTS 5u
#define OFFER_EVERY_US 2000000u
#define FULL_PATIENCE_US \
    1000000u /* space that is made at once, by hand or by trimming, is worth no election */
#define STALLED_REPEAT_DIV 2u /* a part of what the core forgets a stall after */

static uint64_t timeout_us(const struct node *node)
{
    return node->options.election_timeout_ms_max * 1000u;
}

static bool takes_too_long(const struct node *node, uint64_t since_us)
{
    if (RARELY(DISK_SEEMS_STALLED)) return true;
    return io_now_us(node->io) - since_us >= STALL_TIMEOUTS * timeout_us(node);
}

static void tell(struct group *group, const char *what, uint64_t since_us)
{
    struct node *node = group->node;
    const uint64_t now_us = io_now_us(node->io);
    if (now_us - group->stall_told_us < timeout_us(node) / STALLED_REPEAT_DIV) return;
    if (group->stall_told_us < since_us && group->role == RAFT_LEADER) {
        node__log(node, "warn",
                  "event=\"disk makes no progress, handing leadership over\" group=%" PRIu64
                  " work=\"%s\" for_ms=%" PRIu64,
                  group->id, what, (now_us - since_us) / 1000u);
    }
    group->stall_told_us = now_us;
    struct raft_event event = {.type = RAFT_EVENT_DISK_STALLED};
    (void)group__step(group, &event);
}

void stall__check(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    if (!node->disk_full) node->has_space_us = now_us;
    const bool is_full =
        RARELY(LEADERS_HAND_OVER) || now_us - node->has_space_us >= FULL_PATIENCE_US;
    const bool store_stalls = node->store_running && takes_too_long(node, node->store_started_us);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (store_stalls) {
            tell(group, "votes", node->store_started_us);
        } else if (group->write && takes_too_long(node, group->write_started_us)) {
            tell(group, "log", group->write_started_us);
        } else if (is_full && node->state == NODE_RUNNING && !PLANTED(C7_FULL_LEADER_STAYS)) {
            offer__to_next(group, OFFER_EVERY_US, "disk is full");
        }
        if (node->state == NODE_FAILED) return;
    }
}
