#include "narrate.h"

#include <raft_trace/trace.h>

#include <inttypes.h>
#include <stdio.h>

static void print_log(const char *label, const uint8_t *entries, uint32_t count)
{
    printf(" %s", label);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t number = local_entry_configuration(entries[i]);
        printf("%s%u", i == 0 ? "" : ",", local_entry_term(entries[i]));
        if (number != 0) printf("c%u", number);
    }
    if (count == 0) printf("-");
}

static const char *const type_names[] = {
    [RAFT_MESSAGE_PREVOTE] = "PREVOTE",
    [RAFT_MESSAGE_PREVOTE_REPLY] = "PREVOTE_REPLY",
    [RAFT_MESSAGE_VOTE] = "VOTE",
    [RAFT_MESSAGE_VOTE_REPLY] = "VOTE_REPLY",
    [RAFT_MESSAGE_APPEND] = "APPEND",
    [RAFT_MESSAGE_APPEND_REPLY] = "APPEND_REPLY",
    [RAFT_MESSAGE_HEARTBEAT] = "HEARTBEAT",
    [RAFT_MESSAGE_HEARTBEAT_REPLY] = "HEARTBEAT_REPLY",
    [RAFT_MESSAGE_READ_INDEX] = "READ_INDEX",
    [RAFT_MESSAGE_READ_INDEX_REPLY] = "READ_INDEX_REPLY",
    [RAFT_MESSAGE_TIMEOUT_NOW] = "TIMEOUT_NOW",
    [RAFT_MESSAGE_REGRESSED] = "REGRESSED",
};

static void print_letter(const struct letter *letter)
{
    printf("%s of n%u, term %u", type_names[letter->type], letter->from, letter->term);
    if (letter->refusal != RAFT_REFUSED_NOT) printf(", refused");
    switch ((enum raft_message_type)letter->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        printf(", log %u@%u%s", letter->a, letter->b, letter->c != 0 ? ", transfer" : "");
        break;
    case RAFT_MESSAGE_APPEND:
        printf(", after %u@%u, commit %u,", letter->a, letter->b, letter->c);
        print_log("entries ", letter->entries.entries, letter->entries.count);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        printf(", match %u, about %u, hint %u@%u", letter->a, letter->b, letter->c, letter->d);
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        printf(", commit %u, round %u", letter->a, letter->b);
        break;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        printf(", match %u, round %u", letter->a, letter->b);
        break;
    case RAFT_MESSAGE_READ_INDEX:
        printf(", number %u", letter->a);
        break;
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        printf(", number %u, index %u", letter->a, letter->b);
        break;
    case RAFT_MESSAGE_REGRESSED:
        printf(", position %u@%u", letter->a, letter->b);
        break;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW:
        break;
    }
}

static void print_crash(const struct local *local, uint32_t argument)
{
    uint32_t jobs = argument & 0xf;
    uint32_t hards = argument >> 4 & 0xf;
    if (jobs == local->jobs_count && hards == local->hard_count) {
        printf("is killed and starts again, nothing is lost");
    } else {
        printf("loses power, keeps %u of %u writes and %u of %u votes, starts again", jobs,
               local->jobs_count, hards, local->hard_count);
    }
    if (argument >> 8 != 0) printf(", knows what was committed");
}

static void print_action(const struct universe *universe, const struct local *local,
                         uint32_t action)
{
    uint32_t argument = action_argument(action);
    switch (action_kind(action)) {
    case ACTION_DELIVER:
        printf("gets ");
        print_letter(&universe->letters[argument >> 1]);
        if ((argument & 1) != 0) printf(" (and hears its leader)");
        break;
    case ACTION_TIMEOUT:
        printf("waits for its election timeout%s",
               universe->plan.prevote ? "" : ", its pre-votes are granted");
        break;
    case ACTION_TICK:
        printf("looks at the clock");
        break;
    case ACTION_HEARTBEAT:
        printf("lets a heartbeat pass");
        break;
    case ACTION_SILENCE:
        printf("hears nobody for an election timeout");
        break;
    case ACTION_LEADER_LOST:
        printf("loses its connection to the leader");
        break;
    case ACTION_TIME_GAP:
        printf("slept");
        break;
    case ACTION_PROPOSE:
        printf("gets a proposal");
        break;
    case ACTION_SYNC_LOG:
        printf("has its oldest write on disk");
        break;
    case ACTION_SYNC_VOTE:
        printf("has its oldest vote on disk");
        break;
    case ACTION_CRASH:
        print_crash(local, argument);
        break;
    case ACTION_READ:
        printf("begins read %u", argument);
        break;
    case ACTION_TRANSFER:
        printf("is asked to hand over to n%u", argument);
        break;
    case ACTION_CONFIGURE:
        printf("is asked for another configuration");
        break;
    }
}

static void print_trace(void *data, raft_node_id node, const struct raft_trace *trace)
{
    (void)data;
    char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
    (void)raft_trace_format(sentence, sizeof sentence, node, trace);
    printf("       %s\n", sentence);
}

static void print_local(const struct local *local)
{
    printf("       n%u: %s, term %u", local->id, raft_role_name((enum raft_role)local->role),
           local->hard.term);
    if (local->hard.vote != 0) printf(", vote n%u", local->hard.vote);
    print_log("log", local->log.entries, local->log.count);
    print_log("disk", local->disk.entries, local->disk.count);
    printf(" commit %u\n", local->commit);
}

void narrate(struct universe *universe, struct replica *replica, const uint32_t *path,
             uint32_t length, bool aborts)
{
    uint32_t locals[EXPLORE_NODES_MAX];
    for (uint32_t i = 0; i < universe->plan.nodes; i++) {
        locals[i] = replica_first(replica, (uint8_t)(i + 1));
    }
    printf("after \"c\" in a log: the number of the configuration that the entry holds\n");
    for (uint32_t i = 0; i < length; i++) {
        uint32_t node = world_action_node(path[i]);
        uint32_t action = world_action_own(path[i]);
        printf("%4u.  n%u ", i + 1, node + 1);
        print_action(universe, &universe->locals[locals[node]], action);
        printf("\n");
        const struct outcome *outcome = universe_known(universe, locals[node], action);
        if (outcome == NULL && aborts) break;
        replica_tell(replica, locals[node], action, print_trace, NULL);
        if (outcome == NULL) break;
        locals[node] = outcome->local;
        print_local(&universe->locals[locals[node]]);
    }
}
