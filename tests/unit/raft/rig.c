#include "rig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct raft_replica_id rig_replica(raft_node_id node)
{
    return (struct raft_replica_id){.node = node, .epoch = 4};
}

struct raft_configuration rig_configuration(uint32_t voters, uint32_t learners)
{
    struct raft_configuration configuration = {.members_count = 0};
    for (raft_node_id node = 1; node <= RAFT_MEMBERS_MAX; node++) {
        if (((voters | learners) & RIG_NODE(node)) == 0) continue;
        configuration.members[configuration.members_count++] =
            (struct raft_member){.id = rig_replica(node), .voter = (voters & RIG_NODE(node)) != 0};
    }
    return configuration;
}

static struct raft_configuration configuration_of(const struct rig_setup *setup)
{
    if (setup->configuration != NULL) return *setup->configuration;
    uint32_t voters = setup->voters == 0 ? 3 : setup->voters;
    struct raft_configuration configuration = {.members_count = voters + setup->learners};
    for (uint32_t i = 0; i < configuration.members_count; i++) {
        configuration.members[i] =
            (struct raft_member){.id = rig_replica(i + 1), .voter = i < voters};
    }
    return configuration;
}

void rig_open(struct rig *rig, const struct rig_setup *setup)
{
    memset(rig, 0, sizeof *rig);
    rig->node = calloc(1, raft_node_bytes());
    rig->before = calloc(1, raft_node_bytes());
    rig->update = calloc(1, sizeof *rig->update);
    rig->runs = calloc(RIG_RUNS, sizeof rig->runs[0]);
    assert(rig->node != NULL && rig->before != NULL && rig->update != NULL && rig->runs != NULL);
    rig->id = setup->id == 0 ? 1 : setup->id;
    rig->now_ms = 1000;
    struct raft_options options = {
        .group = RIG_GROUP,
        .id = rig_replica(rig->id),
        .election_timeout_ms_min = RIG_TIMEOUT_MS_MIN,
        .election_timeout_ms_max = RIG_TIMEOUT_MS_MAX,
        .heartbeat_ms = RIG_HEARTBEAT_MS,
        .early_prevote_ms_max = 25,
        .append_entries_max = setup->append_entries_max == 0 ? 100 : setup->append_entries_max,
        .append_inflight_max = setup->append_inflight_max == 0 ? 4 : setup->append_inflight_max,
        .seed = setup->seed,
        .process = RIG_PROCESS,
        .trail_runs = rig->runs,
        .trail_runs_max = RIG_RUNS,
    };
    struct raft_start start = {
        .hard_state = setup->hard,
        .configuration = configuration_of(setup),
        .configuration_index = setup->configuration_index,
        .history = setup->history,
        .history_count = setup->history_count,
        .runs = setup->runs,
        .runs_count = setup->runs_count,
        .commit_index = setup->commit_index,
        .has_vote = !setup->has_no_vote,
        .now_ms = rig->now_ms,
    };
    enum raft_status status = raft_init(rig->node, &options, &start);
    assert(status == RAFT_OK);
    raft_check_invariants(rig->node, NULL);
}

void rig_close(struct rig *rig)
{
    free(rig->node);
    free(rig->before);
    free(rig->update);
    free(rig->runs);
}

enum raft_status rig_try(struct rig *rig, struct raft_event event)
{
    event.now_ms = rig->now_ms;
    memcpy(rig->before, rig->node, raft_node_bytes());
    enum raft_status status = raft_step(rig->node, &event, rig->update);
    raft_check_invariants(rig->node, rig->before);
    return status;
}

void rig_step(struct rig *rig, struct raft_event event)
{
    enum raft_status status = rig_try(rig, event);
    assert(status == RAFT_OK);
}

void rig_tick(struct rig *rig, uint64_t after_ms)
{
    rig->now_ms += after_ms;
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_TICK});
}

void rig_receive(struct rig *rig, const struct raft_message *message)
{
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = message});
}

void rig_sync_vote(struct rig *rig)
{
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_VOTE_DURABLE,
                                      .vote_durable = rig->update->hard_state});
}

void rig_durable(struct rig *rig, raft_index index)
{
    rig_step(rig, (struct raft_event){
                      .type = RAFT_EVENT_DURABLE,
                      .durable = {.index = index, .term = raft_term_at(rig->node, index)}});
}

void rig_propose(struct rig *rig, uint32_t count)
{
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {.count = count}});
}

enum raft_status rig_configure(struct rig *rig, const struct raft_configuration *target)
{
    return rig_try(
        rig, (struct raft_event){.type = RAFT_EVENT_CONFIGURE, .configure = {.target = target}});
}

void rig_read(struct rig *rig, uint64_t id)
{
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_READ, .read = {.id = id}});
}

struct raft_view rig_view(const struct rig *rig)
{
    struct raft_view view;
    memset(&view, 0, sizeof view);
    raft_view(rig->node, rig->now_ms, &view);
    return view;
}

const struct raft_progress_view *rig_member(const struct raft_view *view, raft_node_id node)
{
    for (uint32_t i = 0; i < view->members_count; i++) {
        if (view->members[i].id.node == node) return &view->members[i];
    }
    return NULL;
}

/* ---- messages ------------------------------------------------------------------------------------- */

struct raft_message rig_message(const struct rig *rig, enum raft_message_type type,
                                raft_node_id from, raft_term term)
{
    struct raft_message m;
    memset(&m, 0, sizeof m);
    m.type = type;
    m.group = RIG_GROUP;
    m.from = rig_replica(from);
    m.to = rig_replica(rig->id);
    m.term = term;
    return m;
}

struct raft_message rig_vote(const struct rig *rig, enum raft_message_type type, raft_node_id from,
                             raft_term term, raft_index last_index, raft_term last_term)
{
    struct raft_message m = rig_message(rig, type, from, term);
    m.vote.last_index = last_index;
    m.vote.last_term = last_term;
    return m;
}

struct raft_message rig_append(const struct rig *rig, raft_node_id from, raft_term term,
                               raft_index previous_index, raft_term previous_term, uint64_t count,
                               raft_term entries_term, raft_index commit_index)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_APPEND, from, term);
    m.append.previous_index = previous_index;
    m.append.previous_term = previous_term;
    m.append.first = previous_index + 1;
    m.append.last = previous_index + count;
    m.append.commit_index = commit_index;
    if (count > 0) {
        m.append.runs[0] = (struct raft_term_run){previous_index + 1, count, entries_term};
        m.append.runs_count = 1;
    }
    return m;
}

struct raft_message rig_ack(const struct rig *rig, raft_node_id from, raft_term term,
                            raft_index match)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_APPEND_REPLY, from, term);
    m.append_reply.match_index = match;
    m.append_reply.request_index = match;
    return m;
}

struct raft_message rig_heartbeat(const struct rig *rig, raft_node_id from, raft_term term,
                                  raft_index commit_index, uint64_t round)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_HEARTBEAT, from, term);
    m.heartbeat.commit_index = commit_index;
    m.heartbeat.round = round;
    m.heartbeat.process = 5;
    return m;
}

struct raft_message rig_heartbeat_reply(const struct rig *rig, raft_node_id from, raft_term term,
                                        uint64_t round, raft_index match)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_HEARTBEAT_REPLY, from, term);
    m.heartbeat_reply.round = round;
    m.heartbeat_reply.process = RIG_PROCESS;
    m.heartbeat_reply.match_index = match;
    return m;
}

static const struct raft_message *find(const struct raft_message *messages, uint32_t count,
                                       enum raft_message_type type, raft_node_id to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i].type != type) continue;
        if (to == 0 || messages[i].to.node == to) return &messages[i];
    }
    return NULL;
}

const struct raft_message *rig_sent_now(const struct rig *rig, enum raft_message_type type,
                                        raft_node_id to)
{
    return find(rig->update->messages_now, rig->update->messages_now_count, type, to);
}

const struct raft_message *rig_sent_after_sync(const struct rig *rig, enum raft_message_type type,
                                               raft_node_id to)
{
    return find(rig->update->messages_after_sync, rig->update->messages_after_sync_count, type, to);
}

const struct raft_message *rig_sent(const struct rig *rig, enum raft_message_type type,
                                    raft_node_id to)
{
    const struct raft_message *message = rig_sent_now(rig, type, to);
    return message != NULL ? message : rig_sent_after_sync(rig, type, to);
}

uint32_t rig_sent_count(const struct rig *rig, enum raft_message_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig->update->messages_now_count; i++) {
        if (rig->update->messages_now[i].type == type) count++;
    }
    for (uint32_t i = 0; i < rig->update->messages_after_sync_count; i++) {
        if (rig->update->messages_after_sync[i].type == type) count++;
    }
    return count;
}

/* ---- roles ---------------------------------------------------------------------------------------- */

static void answer_all(struct rig *rig, enum raft_message_type type, raft_term term,
                       enum raft_role while_role)
{
    const struct raft_configuration *configuration = raft_configuration_of(rig->node);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == rig->id) continue;
        if (!member->voter && !member->voter_old) continue;
        if (rig_view(rig).role != while_role) return;
        struct raft_message m = rig_message(rig, type, member->id.node, term);
        m.from = member->id;
        m.vote_reply.voter_term = term;
        rig_receive(rig, &m);
    }
}

void rig_lead(struct rig *rig)
{
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    raft_term term = rig_view(rig).term;
    if (rig_view(rig).role == RAFT_PRE_CANDIDATE) {
        term++;
        answer_all(rig, RAFT_MESSAGE_PREVOTE_REPLY, term, RAFT_PRE_CANDIDATE);
    }
    assert(rig_view(rig).role == RAFT_CANDIDATE);
    rig_sync_vote(rig);
    answer_all(rig, RAFT_MESSAGE_VOTE_REPLY, rig_view(rig).term, RAFT_CANDIDATE);
    assert(rig_view(rig).role == RAFT_LEADER);
}

void rig_lead_and_commit(struct rig *rig)
{
    rig_lead(rig);
    struct raft_view view = rig_view(rig);
    rig_durable(rig, view.last_index);
    for (uint32_t i = 0; i < view.members_count; i++) {
        if (view.members[i].id.node == rig->id || !view.members[i].voter) continue;
        struct raft_message ack = rig_ack(rig, view.members[i].id.node, view.term, view.last_index);
        rig_receive(rig, &ack);
    }
    assert(rig_view(rig).own_term_committed);
}

struct rig rig_open_leader(uint32_t voters, uint32_t learners)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = voters, .learners = learners});
    rig_lead_and_commit(&rig);
    return rig;
}

struct rig rig_open_follower(void)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 2}});
    const struct raft_message heartbeat = rig_heartbeat(&rig, 2, 2, 0, 0);
    rig_receive(&rig, &heartbeat);
    return rig;
}
