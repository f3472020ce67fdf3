/* Watching a change of membership until nothing of it is left: who is behind, and what blocks it. */
#ifndef CLI_CHANGE_WATCH_H
#define CLI_CHANGE_WATCH_H

#include "client.h"

#define CHANGE_TEXT_BYTES 512u

/* "orders/3", "meta" */
const char *change_name(const json_t *change, char *buffer, size_t buffer_bytes);
/* How far those that come are: "n4 has 1,200 of 5,000 entries", "n4 is not in it yet"; "" when nobody comes. */
const char *change_progress(const json_t *change, char *buffer, size_t buffer_bytes);
/* Which changes somebody waits for. */
struct change_filter {
    const char *name;  /* of one group; NULL: */
    uint64_t node;     /* all in which this node is a member; 0: none, */
    uint64_t newcomer; /* or this one is to become one; 0: none */
};
/* That meta records its members belongs to every change of nodes: before that the cluster still lists who has gone. */
bool change_concerns(const json_t *change, const struct change_filter *filter);
/* One line over all that concern it; returns how many groups are left. "" when none is. */
uint32_t change_summary(const json_t *changes, const struct change_filter *filter, char *buffer,
                        size_t buffer_bytes);

/* Another number when a change that concerns it got on: a state, who is in, how much those that come have. What clients
 * write moves nothing, or a change that stands still under load would look alive. */
uint64_t change_mark(const json_t *changes, const struct change_filter *filter);

struct change_watch {
    struct client *client; /* knows its servers; more are learned */
    struct change_filter filter;
    uint64_t limit_us;      /* 0: no limit */
    uint64_t standstill_us; /* it ends when nothing got on for so long; 0: never */
    uint64_t took_us;       /* out */
    bool stood_still;       /* out: which of the two has ended it */
};

/* Poll until no unfinished change passes the filter. Progress goes to stderr: a line that is overwritten on a terminal,
 * else a new line whenever it says something new, at most one a second.
 *
 * EXIT_CODE_OK           done.
 * EXIT_CODE_FAILED       the limit is over, or nothing moves; the change goes on.
 * EXIT_CODE_INTERRUPTED  Ctrl-C; the change goes on.
 * else                   no node answers any more; it was explained. */
enum exit_code change_watch(struct change_watch *watch);

#endif
