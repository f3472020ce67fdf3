#include "replica.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX 64u

struct replica {
    struct universe *universe;
    struct raft_node *core;
    struct raft_node *before;
    struct raft_term_run runs[EXPLORE_ENTRIES_MAX + 1];
    struct raft_indexed_configuration received[EXPLORE_ENTRIES_MAX];
    struct raft_message message;
    struct raft_update update;

    /* The event at hand. */
    struct local work;
    const struct letter *letter; /* the one delivered; NULL = none */
    uint16_t out[OUT_MAX];
    uint32_t out_count;
    struct ended_read reads[EXPLORE_READS_MAX];
    uint32_t reads_count;
    bool outside;        /* leaves the bounds */
    bool report_at_once; /* EXPLORE_BUG_ACK_BEFORE_SYNC */
    const char *broken;
    replica_trace *told;
    void *told_data;
};

static void require(struct replica *replica, bool holds, const char *promise)
{
    if (!holds && replica->broken == NULL) replica->broken = promise;
}

static const struct explore_plan *plan_of(const struct replica *replica)
{
    return &replica->universe->plan;
}

/* ---- messages ------------------------------------------------------------------------------------- */

/* What a node says must be on its own disk when the message leaves (PROTOCOL V1). */
static void check_leaving(struct replica *replica, const struct letter *letter)
{
    if (plan_of(replica)->bug == EXPLORE_BUG_VOTE_BEFORE_SYNC)
        return; /* its consequences are to be found */
    struct local_hard disk = replica->work.disk_hard;
    bool granted = letter->refusal == RAFT_REFUSED_NOT;
    bool of_next_term = letter->type == RAFT_MESSAGE_PREVOTE ||
                        (letter->type == RAFT_MESSAGE_PREVOTE_REPLY && granted);
    require(replica, of_next_term || letter->term <= disk.term,
            "no message carries a term that is not durable");
    bool votes = letter->type == RAFT_MESSAGE_VOTE_REPLY && granted;
    bool stands = letter->type == RAFT_MESSAGE_VOTE;
    uint8_t candidate = votes ? letter->to : letter->from;
    bool durable =
        disk.term > letter->term || (disk.term == letter->term && disk.vote == candidate);
    require(replica, !votes || durable, "no vote is told before it is durable");
    require(replica, !stands || durable, "no candidacy is told before the own vote is durable");
}

/* Acks are judged when the core gives them out (PROTOCOL: match always means durable). */
static void check_ack(struct replica *replica, const struct letter *letter)
{
    if (letter->refusal != RAFT_REFUSED_NOT) return;
    bool acks =
        letter->type == RAFT_MESSAGE_APPEND_REPLY || letter->type == RAFT_MESSAGE_HEARTBEAT_REPLY;
    if (!acks) return;
    const struct local *work = &replica->work;
    uint8_t match = letter->a;
    bool durable = match <= work->disk.count && match <= work->log.count &&
                   memcmp(work->disk.entries, work->log.entries, match) == 0;
    if (plan_of(replica)->bug != EXPLORE_BUG_ACK_BEFORE_SYNC) {
        require(replica, durable, "no ack before the entries are durable");
    }
    for (uint32_t i = 0; i < work->jobs_count; i++) {
        require(replica, work->jobs[i].cut == 0 || work->jobs[i].cut > match,
                "no ack of what a queued cut takes away");
    }
}

static void check_addressee(struct replica *replica, const struct letter *letter)
{
    bool vote = letter->type == RAFT_MESSAGE_PREVOTE || letter->type == RAFT_MESSAGE_VOTE ||
                letter->type == RAFT_MESSAGE_TIMEOUT_NOW;
    bool log = letter->type == RAFT_MESSAGE_APPEND || letter->type == RAFT_MESSAGE_HEARTBEAT;
    if (!vote && !log) return;
    const struct raft_configuration *configuration = raft_configuration_of(replica->core);
    bool is_member = false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == letter->to) is_member = log || member->voter || member->voter_old;
    }
    require(replica, is_member, "only members are told, only voters are asked");
}

static void leave(struct replica *replica, uint16_t letter)
{
    check_leaving(replica, &replica->universe->letters[letter]);
    for (uint32_t i = 0; i < replica->out_count; i++) {
        if (replica->out[i] == letter) return;
    }
    assert(replica->out_count < OUT_MAX);
    replica->out[replica->out_count++] = letter;
}

/* Kinds of messages that the plan does not look at are lost. */
static bool is_looked_at(const struct replica *replica, const struct raft_message *m)
{
    const struct explore_plan *plan = plan_of(replica);
    if (m->type == RAFT_MESSAGE_HEARTBEAT) return plan->heartbeats || m->heartbeat.round != 0;
    bool prevote = m->type == RAFT_MESSAGE_PREVOTE || m->type == RAFT_MESSAGE_PREVOTE_REPLY;
    return plan->prevote || !prevote;
}

static void send(struct replica *replica, const struct raft_message *messages, uint32_t count,
                 bool after_sync)
{
    struct local *work = &replica->work;
    if (plan_of(replica)->bug == EXPLORE_BUG_VOTE_BEFORE_SYNC) after_sync = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_looked_at(replica, &messages[i])) continue;
        struct letter letter = letter_from_message(&messages[i], &work->log);
        check_ack(replica, &letter);
        check_addressee(replica, &letter);
        uint16_t number = universe_letter(replica->universe, &letter);
        if (!after_sync || work->hard_count == 0) {
            leave(replica, number);
        } else if (work->held_count == LOCAL_HELD_MAX) {
            replica->outside = true;
        } else {
            work->held[work->held_count++] =
                (struct local_held){.letter = number, .syncs = work->hard_count};
        }
    }
}

/* ---- performing an update ------------------------------------------------------------------------- */

static void apply_job(struct local_log *log, const struct local_job *job)
{
    if (job->cut != 0 && job->cut <= log->count) {
        memset(log->entries + job->cut - 1, 0, log->count - (job->cut - 1u));
        log->count = (uint8_t)(job->cut - 1);
    }
    assert(job->count == 0 || job->first == log->count + 1);
    memcpy(log->entries + log->count, job->entries, job->count);
    log->count = (uint8_t)(log->count + job->count);
}

static local_entry entry_at(struct replica *replica, raft_index index)
{
    const struct raft_update *update = &replica->update;
    if (update->append.source == RAFT_APPEND_RECEIVED) {
        assert(replica->letter != NULL);
        return replica->letter->entries.entries[index - replica->letter->a - 1];
    }
    uint8_t number = 0;
    if (update->append.source == RAFT_APPEND_CONFIGURATION) {
        number = universe_configuration(replica->universe, &update->append.configuration);
    }
    return (local_entry)(update->append.term | (uint64_t)number << 4);
}

/* PROTOCOL C1 and Ongaro 2015, judged apart from the core's own assertions. */
static void check_change(struct replica *replica)
{
    const struct raft_update *update = &replica->update;
    const struct local *work = &replica->work;
    if (update->append.source != RAFT_APPEND_CONFIGURATION) return;
    raft_index configured = 0;
    for (uint32_t i = 0; i < work->log.count; i++) {
        if (local_entry_configuration(work->log.entries[i]) != 0) configured = i + 1;
    }
    require(replica, replica->core->role == RAFT_LEADER, "only a leader changes the group");
    require(replica, configured <= update->commit_index,
            "one change in flight: the configuration before is committed");
    bool own_term =
        update->commit_index > 0 && update->commit_index <= work->log.count &&
        local_entry_term(work->log.entries[update->commit_index - 1]) == replica->core->hard.term;
    require(replica, own_term, "no change before an entry of the own term is committed");
}

static void perform_log(struct replica *replica)
{
    const struct raft_update *update = &replica->update;
    struct local *work = &replica->work;
    bool appends = update->append.source != RAFT_APPEND_NONE;
    if (update->truncate_from == 0 && !appends) return;
    require(replica, update->truncate_from == 0 || update->truncate_from > work->commit,
            "nothing committed is cut");
    if ((appends && update->append.last > EXPLORE_ENTRIES_MAX) ||
        work->jobs_count == LOCAL_JOBS_MAX) {
        replica->outside = true;
        return;
    }
    check_change(replica);
    struct local_job job = {.cut = (uint8_t)update->truncate_from};
    if (appends) {
        job.first = (uint8_t)update->append.first;
        for (raft_index i = update->append.first; i <= update->append.last; i++) {
            job.entries[job.count++] = entry_at(replica, i);
        }
    }
    apply_job(&work->log, &job);
    work->jobs[work->jobs_count++] = job;
    replica->report_at_once = plan_of(replica)->bug == EXPLORE_BUG_ACK_BEFORE_SYNC && appends;
}

static void perform(struct replica *replica)
{
    const struct raft_update *update = &replica->update;
    struct local *work = &replica->work;
    perform_log(replica);
    if (replica->outside) return;
    if (update->hard_state_changed) {
        if (work->hard_count == LOCAL_HARD_MAX) {
            replica->outside = true;
            return;
        }
        work->hard_queue[work->hard_count++] =
            (struct local_hard){.term = (uint8_t)update->hard_state.term,
                                .vote = (uint8_t)update->hard_state.voted_for.node};
    }
    require(replica, update->commit_index == replica->core->commit_index,
            "what may be applied is what the core knows to be committed");
    work->commit = (uint8_t)update->commit_index; /* a later update of this event is judged by it */
    send(replica, update->messages_now, update->messages_now_count, false);
    send(replica, update->messages_after_sync, update->messages_after_sync_count, true);
    for (uint32_t i = 0; i < update->reads_count; i++) {
        assert(replica->reads_count < EXPLORE_READS_MAX);
        replica->reads[replica->reads_count++] =
            (struct ended_read){.id = (uint8_t)update->reads[i].id,
                                .answered = update->reads[i].refusal == RAFT_REFUSED_NOT,
                                .index = (uint8_t)update->reads[i].index};
    }
}

static void judge_bounds(struct replica *replica)
{
    const struct explore_plan *plan = plan_of(replica);
    if (replica->core->hard.term > plan->terms) replica->outside = true;
    if (replica->core->reads.number > plan->rounds) replica->outside = true;
}

/* False when the core refuses the event. */
static bool step(struct replica *replica, struct raft_event event, uint64_t later_ms)
{
    if (replica->outside || replica->broken != NULL) return true;
    event.now_ms = replica->core->now_ms + later_ms;
    memcpy(replica->before, replica->core, raft_node_bytes());
    enum raft_status status = raft_step(replica->core, &event, &replica->update);
    raft_check_invariants(replica->core, replica->before);
    if (status != RAFT_OK) return false;
    judge_bounds(replica);
    if (replica->outside) return true;
    for (uint32_t i = 0; replica->told != NULL && i < replica->update.traces_count; i++) {
        replica->told(replica->told_data, replica->work.id, &replica->update.traces[i]);
    }
    perform(replica);
    return true;
}

/* ---- the disk ------------------------------------------------------------------------------------- */

/* A driver's duty (raft/raft.h): the same entry may have been cut and written anew, and then its term does not tell
 * the two writes apart. Any other superseded report is the core's to see through (PROTOCOL L7). */
static bool is_superseded(const struct local *work, uint8_t index, uint8_t term)
{
    bool cut = false;
    for (uint32_t i = 0; i < work->jobs_count; i++) {
        if (work->jobs[i].cut != 0 && work->jobs[i].cut <= index) cut = true;
    }
    return cut && index <= work->log.count &&
           local_entry_term(work->log.entries[index - 1]) == term;
}

static void report_durable(struct replica *replica, uint8_t index, uint8_t term)
{
    (void)step(
        replica,
        (struct raft_event){.type = RAFT_EVENT_DURABLE, .durable = {.index = index, .term = term}},
        0);
}

static struct local_job pop_job(struct local *work)
{
    assert(work->jobs_count > 0);
    struct local_job job = work->jobs[0];
    work->jobs_count--;
    memmove(work->jobs, work->jobs + 1, work->jobs_count * sizeof job);
    memset(&work->jobs[work->jobs_count], 0, sizeof job);
    return job;
}

static struct local_hard pop_hard(struct local *work)
{
    assert(work->hard_count > 0);
    struct local_hard hard = work->hard_queue[0];
    work->hard_count--;
    memmove(work->hard_queue, work->hard_queue + 1, work->hard_count * sizeof hard);
    memset(&work->hard_queue[work->hard_count], 0, sizeof hard);
    return hard;
}

static void sync_log(struct replica *replica)
{
    struct local *work = &replica->work;
    struct local_job job = pop_job(work);
    apply_job(&work->disk, &job);
    if (job.count == 0) return;
    uint8_t index = work->disk.count;
    uint8_t term = local_entry_term(work->disk.entries[index - 1]);
    bool tells = plan_of(replica)->bug == EXPLORE_BUG_STALE_REPORT;
    if (tells || !is_superseded(work, index, term)) report_durable(replica, index, term);
}

static void write_vote(struct replica *replica, struct local_hard hard)
{
    struct local_hard *disk = &replica->work.disk_hard;
    bool kept = hard.term > disk->term ||
                (hard.term == disk->term && (disk->vote == 0 || disk->vote == hard.vote));
    require(replica, kept, "one vote per term: a term never falls, a vote is never changed");
    *disk = hard;
}

/* The held letters whose last sync this was, in the order in which they were given out. */
static void release_held(struct replica *replica)
{
    struct local *work = &replica->work;
    uint32_t kept = 0;
    uint32_t count = work->held_count;
    for (uint32_t i = 0; i < count; i++) {
        struct local_held held = work->held[i];
        if (--held.syncs == 0) {
            leave(replica, held.letter);
        } else {
            work->held[kept++] = held;
        }
    }
    memset(work->held + kept, 0, (count - kept) * sizeof work->held[0]);
    work->held_count = (uint8_t)kept;
}

static void sync_vote(struct replica *replica)
{
    struct local_hard hard = pop_hard(&replica->work);
    write_vote(replica, hard);
    release_held(replica);
    struct raft_event event = {
        .type = RAFT_EVENT_VOTE_DURABLE,
        .vote_durable = {.term = hard.term, .voted_for = {.node = hard.vote, .epoch = 0}}};
    (void)step(replica, event, 0);
}

/* Where the plan does not look at what is not durable yet. */
static void settle(struct replica *replica)
{
    const struct explore_plan *plan = plan_of(replica);
    const struct local *work = &replica->work;
    while (replica->broken == NULL && !replica->outside) {
        if (plan->votes_at_once && work->hard_count > 0) {
            sync_vote(replica);
        } else if (plan->log_at_once && work->jobs_count > 0) {
            sync_log(replica);
        } else if (replica->report_at_once) {
            replica->report_at_once = false;
            report_durable(replica, work->log.count,
                           local_entry_term(work->log.entries[work->log.count - 1]));
        } else {
            break;
        }
    }
}

/* ---- start and crash ------------------------------------------------------------------------------ */

/* A checkpoint may have kept what was known to be committed, as far as the log on disk has it. */
static uint8_t remembered_commit(const struct local *work, uint8_t commit)
{
    uint8_t kept = 0;
    while (kept < commit && kept < work->disk.count &&
           work->disk.entries[kept] == work->log.entries[kept]) {
        kept++;
    }
    return kept;
}

/* From what is on the disk. */
static void start(struct replica *replica, uint8_t commit)
{
    struct local *work = &replica->work;
    struct raft_term_run runs[EXPLORE_ENTRIES_MAX + 1];
    struct raft_indexed_configuration history[EXPLORE_ENTRIES_MAX + 1];
    uint32_t history_count =
        local_log_history(&replica->universe->configurations, &work->disk, work->founded, history);
    struct raft_start begin = {
        .hard_state = {.term = work->disk_hard.term,
                       .voted_for = {.node = work->disk_hard.vote, .epoch = 0}},
        .configuration = history[history_count - 1].configuration,
        .configuration_index = history[history_count - 1].index,
        .history = history,
        .history_count = history_count - 1,
        .runs = runs,
        .runs_count = local_log_runs(&work->disk, runs),
        .commit_index = commit,
        .has_vote = true,
        .now_ms = LOCAL_NOW_MS,
    };
    struct raft_options options = local_options(plan_of(replica), work->id, work->process,
                                                replica->runs, EXPLORE_ENTRIES_MAX + 1);
    enum raft_status status = raft_init(replica->core, &options, &begin);
    require(replica, status == RAFT_OK, "a node starts from what it has on disk");
    raft_check_invariants(replica->core, NULL);
    work->log = work->disk;
}

static void crash_queues(struct replica *replica, uint32_t jobs_kept, uint32_t hards_kept)
{
    struct local *work = &replica->work;
    for (uint32_t i = 0; i < jobs_kept; i++) {
        struct local_job job = pop_job(work);
        apply_job(&work->disk, &job);
    }
    for (uint32_t i = 0; i < hards_kept; i++) {
        write_vote(replica, pop_hard(work));
    }
    while (work->jobs_count > 0) {
        (void)pop_job(work);
    }
    while (work->hard_count > 0) {
        (void)pop_hard(work);
    }
    memset(work->held, 0, sizeof work->held);
    work->held_count = 0;
}

static void break_disk(struct replica *replica)
{
    struct local *work = &replica->work;
    enum explore_bug bug = plan_of(replica)->bug;
    if (bug == EXPLORE_BUG_VOTE_FORGOTTEN) work->disk_hard.vote = 0;
    if (bug == EXPLORE_BUG_TERM_FORGOTTEN) work->disk_hard = (struct local_hard){0, 0};
    if (bug == EXPLORE_BUG_SYNC_LOST && work->disk.count > 0) {
        work->disk.entries[--work->disk.count] = 0;
    }
}

static void crash(struct replica *replica, uint32_t argument)
{
    struct local *work = &replica->work;
    crash_queues(replica, argument & 0xf, argument >> 4 & 0xf);
    break_disk(replica);
    for (uint32_t i = 0; i < work->reads_count; i++) {
        replica->reads[replica->reads_count++] = (struct ended_read){.id = work->reads[i]};
    }
    uint8_t commit = remembered_commit(work, argument >> 8 != 0 ? work->commit : 0);
    work->process++;
    start(replica, commit);
}

/* ---- events --------------------------------------------------------------------------------------- */

/* A pre-vote that everybody grants, though nobody was asked: PreVote only ever keeps a node from standing, so whatever
 * must hold, holds with any answer to it. */
static void grant_prevotes(struct replica *replica)
{
    struct raft_node *core = replica->core;
    for (uint32_t i = 0; i < core->configuration.members_count; i++) {
        const struct raft_member *member = &core->configuration.members[i];
        if (core->role != RAFT_PRE_CANDIDATE || replica->outside) return;
        if (i == core->self || !raft__is_voter(member)) continue;
        replica->message = (struct raft_message){.type = RAFT_MESSAGE_PREVOTE_REPLY,
                                                 .group = LOCAL_GROUP,
                                                 .from = member->id,
                                                 .to = core->options.id,
                                                 .term = core->hard.term + 1,
                                                 .refusal = RAFT_REFUSED_NOT};
        (void)step(replica,
                   (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &replica->message},
                   0);
    }
}

static bool configure(struct replica *replica)
{
    const struct explore_plan *plan = plan_of(replica);
    struct raft_configuration target = {.members_count = 0};
    for (uint32_t i = 0; i < plan->nodes; i++) {
        if (!(plan->target >> i & 1)) continue;
        target.members[target.members_count++] =
            (struct raft_member){.id = {.node = i + 1, .epoch = 0}, .voter = true};
    }
    return step(
        replica,
        (struct raft_event){.type = RAFT_EVENT_CONFIGURE,
                            .configure = {.target = &target, .always_joint = plan->target_joint}},
        0);
}

/* PROTOCOL C1: to be asked for a pre-vote changes neither term, vote nor whom one follows. */
static void check_prevote(struct replica *replica, const struct local *before)
{
    if (replica->letter->type != RAFT_MESSAGE_PREVOTE) return;
    const struct raft_node *core = replica->core;
    bool same = core->hard.term == before->hard.term &&
                core->hard.voted_for.node == before->hard.vote &&
                core->role == (enum raft_role)before->role && core->leader.node == before->leader;
    require(replica, same, "a pre-vote changes nothing at the one that is asked");
}

static bool deliver(struct replica *replica, uint16_t letter)
{
    struct local before = replica->work;
    replica->letter = &replica->universe->letters[letter];
    letter_to_message(replica->letter, &replica->universe->configurations, replica->received,
                      &replica->message);
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .message = &replica->message};
    bool taken = step(replica, event, 0);
    check_prevote(replica, &before);
    return taken;
}

static bool tick(struct replica *replica, uint64_t later_ms)
{
    return step(replica, (struct raft_event){.type = RAFT_EVENT_TICK}, later_ms);
}

static bool dispatch(struct replica *replica, uint32_t action)
{
    uint32_t argument = action_argument(action);
    switch (action_kind(action)) {
    case ACTION_DELIVER:
        return deliver(replica, (uint16_t)(argument >> 1));
    case ACTION_TIMEOUT:
        (void)tick(replica, LOCAL_ELECTION_TIMEOUT_MS);
        if (!plan_of(replica)->prevote) grant_prevotes(replica);
        return true;
    case ACTION_TICK:
        return tick(replica, 0);
    case ACTION_HEARTBEAT:
        return tick(replica, LOCAL_HEARTBEAT_MS);
    case ACTION_SILENCE:
        return tick(replica, LOCAL_ELECTION_TIMEOUT_MS);
    case ACTION_LEADER_LOST:
        return step(
            replica,
            (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = replica->core->leader.node},
            0);
    case ACTION_TIME_GAP:
        return step(replica, (struct raft_event){.type = RAFT_EVENT_TIME_GAP}, 0);
    case ACTION_PROPOSE:
        return step(replica,
                    (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {.count = 1}}, 0);
    case ACTION_SYNC_LOG:
        sync_log(replica);
        return true;
    case ACTION_SYNC_VOTE:
        sync_vote(replica);
        return true;
    case ACTION_CRASH:
        crash(replica, argument);
        return true;
    case ACTION_READ:
        return step(replica, (struct raft_event){.type = RAFT_EVENT_READ, .read = {.id = argument}},
                    0);
    case ACTION_TRANSFER:
        return step(replica, (struct raft_event){.type = RAFT_EVENT_TRANSFER, .node = argument}, 0);
    case ACTION_CONFIGURE:
        return configure(replica);
    }
    return false;
}

/* True: the event took place and replica->work is what became of the local. */
static bool run(struct replica *replica, uint32_t local, uint32_t action)
{
    replica->work = replica->universe->locals[local];
    replica->letter = NULL;
    replica->out_count = 0;
    replica->reads_count = 0;
    replica->outside = false;
    replica->report_at_once = false;
    replica->broken = NULL;
    bool hears = action_kind(action) == ACTION_DELIVER && (action_argument(action) & 1) != 0;
    local_restore(plan_of(replica), &replica->universe->configurations, &replica->work, hears,
                  replica->runs, replica->core);
    bool taken = dispatch(replica, action);
    settle(replica);
    if (replica->broken != NULL || replica->outside || !taken) return false;
    local_capture(replica->core, &replica->work);
    return true;
}

/* ---- the interface -------------------------------------------------------------------------------- */

const struct outcome *replica_act(struct replica *replica, uint32_t local, uint32_t action,
                                  const char **ret_broken)
{
    const struct outcome *known = universe_known(replica->universe, local, action);
    if (known != NULL) return known;
    struct outcome outcome = {.local = local};
    outcome.done = run(replica, local, action);
    if (replica->broken != NULL) {
        *ret_broken = replica->broken;
        return NULL;
    }
    if (outcome.done) {
        outcome.local = universe_local(replica->universe, &replica->work);
        outcome.letters_count = (uint8_t)replica->out_count;
        outcome.reads_count = (uint8_t)replica->reads_count;
        memcpy(outcome.reads, replica->reads, sizeof outcome.reads);
        bool silent = replica->out_count == 0 && replica->reads_count == 0;
        if (outcome.local == local && silent) outcome.done = false;
    }
    return universe_note(replica->universe, local, action, outcome, replica->out);
}

void replica_tell(struct replica *replica, uint32_t local, uint32_t action, replica_trace *told,
                  void *data)
{
    replica->told = told;
    replica->told_data = data;
    (void)run(replica, local, action);
    replica->told = NULL;
}

uint32_t replica_first(struct replica *replica, uint8_t id)
{
    const struct explore_plan *plan = plan_of(replica);
    memset(&replica->work, 0, sizeof replica->work);
    replica->work.id = id;
    replica->work.founded = plan->founders == 0 || id <= plan->founders;
    start(replica, 0);
    local_capture(replica->core, &replica->work);
    return universe_local(replica->universe, &replica->work);
}

bool replica_round_trip(struct replica *replica, uint32_t local)
{
    struct local *work = &replica->work;
    *work = replica->universe->locals[local];
    local_restore(plan_of(replica), &replica->universe->configurations, work, false, replica->runs,
                  replica->core);
    raft_check_invariants(replica->core, NULL);
    local_capture(replica->core, work);
    return memcmp(work, &replica->universe->locals[local], sizeof *work) == 0;
}

bool replica_letter_asks_time(const struct facts *receiver, const struct letter *letter)
{
    if (letter->type != RAFT_MESSAGE_PREVOTE && letter->type != RAFT_MESSAGE_VOTE) return false;
    bool transfer = letter->c != 0;
    return !transfer && receiver->role == RAFT_FOLLOWER && receiver->leader != 0;
}

struct replica *replica_open(struct universe *universe)
{
    struct replica *replica = calloc(1, sizeof *replica);
    assert(replica != NULL);
    replica->universe = universe;
    replica->core = calloc(1, raft_node_bytes());
    replica->before = calloc(1, raft_node_bytes());
    assert(replica->core != NULL);
    assert(replica->before != NULL);
    return replica;
}

void replica_close(struct replica *replica)
{
    if (replica == NULL) return;
    free(replica->core);
    free(replica->before);
    free(replica);
}
