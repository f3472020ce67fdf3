#include <raft_trace/trace.h>

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* "n2 " and the rest of the sentence. */
__attribute__((format(printf, 4, 5))) static size_t say(char *buffer, size_t buffer_bytes,
                                                        raft_node_id self, const char *format, ...)
{
    char rest[RAFT_TRACE_SENTENCE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rest, sizeof rest, format, arguments);
    va_end(arguments);
    int length = snprintf(buffer, buffer_bytes, "n%" PRIu64 " %s", self, rest);
    assert(length > 0);
    return (size_t)length;
}

static const char *refusal_text(uint64_t refusal)
{
    return raft_refusal_text((enum raft_refusal)refusal);
}

static const char *step_down_text(uint64_t reason)
{
    switch ((enum raft_step_down)reason) {
    case RAFT_STEP_DOWN_NEWER_TERM:
        return "a newer term";
    case RAFT_STEP_DOWN_NO_QUORUM:
        return "no quorum answers";
    case RAFT_STEP_DOWN_TRANSFER:
        return "handed over";
    case RAFT_STEP_DOWN_REMOVED:
        return "no voter any more";
    case RAFT_STEP_DOWN_DISK_STALLED:
        return "its disk stands still";
    }
    return "unknown reason";
}

static size_t say_vote(char *buffer, size_t buffer_bytes, raft_node_id self,
                       const struct raft_trace *t)
{
    if (t->b != 0) {
        return say(buffer, buffer_bytes, self,
                   "%s n%" PRIu64 " in term %" PRIu64 " (its log ends at %" PRIu64 "@%" PRIu64 ")",
                   t->d != 0 ? "would vote for" : "votes for", t->node, t->a, t->index,
                   t->index_term);
    }
    return say(buffer, buffer_bytes, self, "refuses n%" PRIu64 " a %s in term %" PRIu64 ": %s",
               t->node, t->d != 0 ? "pre-vote" : "vote", t->a, refusal_text(t->c));
}

static size_t say_voted(char *buffer, size_t buffer_bytes, raft_node_id self,
                        const struct raft_trace *t)
{
    const char *kind = t->d != 0 ? "pre-vote" : "vote";
    if (t->a != 0) {
        return say(buffer, buffer_bytes, self, "has the %s of n%" PRIu64, kind, t->node);
    }
    return say(buffer, buffer_bytes, self, "does not get the %s of n%" PRIu64 ": %s", kind, t->node,
               refusal_text(t->c));
}

static size_t say_append(char *buffer, size_t buffer_bytes, raft_node_id self,
                         const struct raft_trace *t)
{
    if (t->index == t->a) {
        return say(buffer, buffer_bytes, self, "appends %" PRIu64 "@%" PRIu64, t->index,
                   t->index_term);
    }
    return say(buffer, buffer_bytes, self, "appends %" PRIu64 "..%" PRIu64 "@%" PRIu64, t->index,
               t->a, t->index_term);
}

static size_t say_truncate(char *buffer, size_t buffer_bytes, raft_node_id self,
                           const struct raft_trace *t)
{
    if (t->index == t->a) return say(buffer, buffer_bytes, self, "drops %" PRIu64, t->index);
    return say(buffer, buffer_bytes, self, "drops %" PRIu64 "..%" PRIu64, t->index, t->a);
}

static size_t say_read(char *buffer, size_t buffer_bytes, raft_node_id self,
                       const struct raft_trace *t)
{
    if (t->c == RAFT_REFUSED_NOT) {
        return say(buffer, buffer_bytes, self, "may answer read %" PRIu64 " at %" PRIu64, t->a,
                   t->index);
    }
    return say(buffer, buffer_bytes, self, "refuses read %" PRIu64 ": %s", t->a,
               refusal_text(t->c));
}

/* "1,2,3" of those that have the part; "" when nobody has. */
static size_t list_members(char *buffer, size_t buffer_bytes, const char *name,
                           const struct raft_configuration *configuration,
                           bool (*has_part)(const struct raft_member *))
{
    size_t bytes = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!has_part(member)) continue;
        int length = snprintf(buffer + bytes, buffer_bytes - bytes, "%s%" PRIu64,
                              bytes == 0 ? name : ",", member->id.node);
        assert(length > 0);
        if ((size_t)length >= buffer_bytes - bytes) return bytes; /* cut short */
        bytes += (size_t)length;
        if (member->id.epoch == 0) continue;
        length = snprintf(buffer + bytes, buffer_bytes - bytes, "/%" PRIu64, member->id.epoch);
        assert(length > 0);
        if ((size_t)length >= buffer_bytes - bytes) return bytes;
        bytes += (size_t)length;
    }
    return bytes;
}

static bool is_voter(const struct raft_member *member)
{
    return member->voter;
}

static bool is_old_voter(const struct raft_member *member)
{
    return member->voter_old;
}

static bool is_learner(const struct raft_member *member)
{
    return !member->voter && (!member->voter_old || member->learner_after);
}

static size_t say_configuration(char *buffer, size_t buffer_bytes, raft_node_id self,
                                const struct raft_trace *t)
{
    char old[RAFT_TRACE_SENTENCE_BYTES_MAX] = "";
    char voters[RAFT_TRACE_SENTENCE_BYTES_MAX];
    char learners[RAFT_TRACE_SENTENCE_BYTES_MAX];
    if (t->configuration->joint) {
        (void)list_members(old, sizeof old, "voters ", t->configuration, is_old_voter);
    }
    (void)list_members(voters, sizeof voters, t->configuration->joint ? " to " : "voters ",
                       t->configuration, is_voter);
    (void)list_members(learners, sizeof learners, ", learners ", t->configuration, is_learner);
    return say(buffer, buffer_bytes, self, "%s configuration %" PRIu64 ": %s%s%s",
               t->b != 0 ? "goes back to" : "uses", t->index, old, voters, learners);
}

size_t raft_trace_format(char *buffer, size_t buffer_bytes, raft_node_id self,
                         const struct raft_trace *t)
{
    assert(buffer_bytes > 0);
    switch (t->type) {
    case RAFT_TRACE_ROLE:
        return say(buffer, buffer_bytes, self, "is a %s without a leader in term %" PRIu64,
                   raft_role_name((enum raft_role)t->a), t->b);
    case RAFT_TRACE_TERM:
        return say(buffer, buffer_bytes, self, "sees term %" PRIu64 " of n%" PRIu64, t->a, t->node);
    case RAFT_TRACE_VOTE:
        return say_vote(buffer, buffer_bytes, self, t);
    case RAFT_TRACE_VOTED:
        return say_voted(buffer, buffer_bytes, self, t);
    case RAFT_TRACE_ELECTION:
        return say(buffer, buffer_bytes, self, "%s term %" PRIu64,
                   t->d != 0 ? "asks for pre-votes for" : "starts election for", t->a);
    case RAFT_TRACE_LEADER:
        return say(buffer, buffer_bytes, self,
                   "leads term %" PRIu64 " with %" PRIu64 " of %" PRIu64 " votes", t->a, t->b,
                   t->c);
    case RAFT_TRACE_FOLLOW:
        return say(buffer, buffer_bytes, self, "follows n%" PRIu64 " in term %" PRIu64, t->node,
                   t->a);
    case RAFT_TRACE_APPEND:
        return say_append(buffer, buffer_bytes, self, t);
    case RAFT_TRACE_TRUNCATE:
        return say_truncate(buffer, buffer_bytes, self, t);
    case RAFT_TRACE_COMMIT:
        return say(buffer, buffer_bytes, self, "commits %" PRIu64 "@%" PRIu64, t->index,
                   t->index_term);
    case RAFT_TRACE_ACK:
        return say(buffer, buffer_bytes, self, "hears that n%" PRIu64 " has %" PRIu64, t->node,
                   t->index);
    case RAFT_TRACE_REJECT:
        return say(buffer, buffer_bytes, self,
                   "refuses what n%" PRIu64 " appends after %" PRIu64 "@%" PRIu64
                   ": %s; hints at %" PRIu64,
                   t->node, t->index, t->index_term, refusal_text(t->c), t->a);
    case RAFT_TRACE_PROBE:
        return say(buffer, buffer_bytes, self, "probes n%" PRIu64 " from %" PRIu64, t->node,
                   t->index);
    case RAFT_TRACE_READ:
        return say_read(buffer, buffer_bytes, self, t);
    case RAFT_TRACE_STEP_DOWN:
        return say(buffer, buffer_bytes, self, "gives up term %" PRIu64 ": %s", t->a,
                   step_down_text(t->c));
    case RAFT_TRACE_TRANSFER:
        return say(buffer, buffer_bytes, self, "hands over to n%" PRIu64, t->node);
    case RAFT_TRACE_CONFIGURATION:
        return say_configuration(buffer, buffer_bytes, self, t);
    case RAFT_TRACE_SNAPSHOT:
        return say(buffer, buffer_bytes, self, "wants n%" PRIu64 " to get a base of %" PRIu64,
                   t->node, t->index);
    case RAFT_TRACE_INSTALLED:
        return say(buffer, buffer_bytes, self, "has a base of %" PRIu64 "@%" PRIu64 ", %s",
                   t->index, t->index_term, t->b != 0 ? "its log starts anew" : "its log stays");
    case RAFT_TRACE_COMPACTED:
        return say(buffer, buffer_bytes, self, "offers what lies above %" PRIu64, t->index);
    }
    return say(buffer, buffer_bytes, self, "does something unknown");
}
