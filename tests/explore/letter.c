#include "letter.h"

#include <assert.h>
#include <string.h>

/*     type               a               b             c          d
 *     PREVOTE, VOTE      last index      last term     transfer
 *     their replies      voter's term
 *     APPEND             previous index  its term      commit
 *     APPEND_REPLY       match           asked about   hint       its term
 *     HEARTBEAT          commit          round
 *     HEARTBEAT_REPLY    match           round
 *     READ_INDEX         number
 *     READ_INDEX_REPLY   number          index */

static uint8_t byte(uint64_t value)
{
    assert(value <= UINT8_MAX);
    return (uint8_t)value;
}

/* A leader goes back on either of two refusals of an APPEND; all others only tell that one was heard. */
static uint8_t refusal_class(const struct raft_message *m)
{
    if (m->refusal == RAFT_REFUSED_NOT) return RAFT_REFUSED_NOT;
    bool goes_back =
        m->type == RAFT_MESSAGE_APPEND_REPLY &&
        (m->refusal == RAFT_REFUSED_LOG_GAP || m->refusal == RAFT_REFUSED_LOG_CONFLICT);
    return goes_back ? RAFT_REFUSED_LOG_CONFLICT : RAFT_REFUSED_STALE_TERM;
}

static void take_append(struct letter *letter, const struct raft_message *m,
                        const struct local_log *log)
{
    letter->a = byte(m->append.previous_index);
    letter->b = byte(m->append.previous_term);
    letter->c = byte(m->append.commit_index);
    for (raft_index i = m->append.first; i <= m->append.last; i++) {
        assert(i <= log->count);
        letter->entries.entries[letter->entries.count++] = log->entries[i - 1];
    }
}

static void take_append_reply(struct letter *letter, const struct raft_message *m)
{
    if (letter->refusal == RAFT_REFUSED_STALE_TERM) return;
    letter->a = byte(m->append_reply.match_index);
    letter->b = byte(m->append_reply.request_index);
    letter->c = byte(m->append_reply.hint_index);
    letter->d = byte(m->append_reply.hint_term);
    /* A leader that is to go back does not look at the match. */
    if (letter->refusal != RAFT_REFUSED_NOT) letter->a = 0;
}

struct letter letter_from_message(const struct raft_message *m, const struct local_log *log)
{
    struct letter letter = {.type = (uint8_t)m->type,
                            .from = byte(m->from.node),
                            .to = byte(m->to.node),
                            .term = byte(m->term),
                            .refusal = refusal_class(m)};
    switch (m->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        letter.a = byte(m->vote.last_index);
        letter.b = byte(m->vote.last_term);
        letter.c = m->vote.transfer;
        break;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        letter.a = byte(m->vote_reply.voter_term);
        break;
    case RAFT_MESSAGE_APPEND:
        take_append(&letter, m, log);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        take_append_reply(&letter, m);
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        letter.a = byte(m->heartbeat.commit_index);
        letter.b = byte(m->heartbeat.round);
        letter.process = local_process_starts(m->heartbeat.process);
        break;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        letter.a = byte(m->heartbeat_reply.match_index);
        letter.b = byte(m->heartbeat_reply.round);
        letter.process = local_process_starts(m->heartbeat_reply.process);
        break;
    case RAFT_MESSAGE_READ_INDEX:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        letter.a = byte(m->read_index.number);
        letter.b = byte(m->read_index.index);
        letter.process = local_process_starts(m->read_index.process);
        break;
    case RAFT_MESSAGE_REGRESSED:
        letter.a = byte(m->regressed.index);
        letter.b = byte(m->regressed.term);
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        break;
    }
    return letter;
}

static void give_append(const struct letter *letter, const struct local_configurations *known,
                        struct raft_indexed_configuration *configurations, struct raft_message *m)
{
    m->append.previous_index = letter->a;
    m->append.previous_term = letter->b;
    m->append.previous_chain = 0;
    m->append.first = letter->a + 1u;
    m->append.last = letter->a + (raft_index)letter->entries.count;
    m->append.commit_index = letter->c;
    m->append.runs_count = 0;
    m->append.configurations = configurations;
    m->append.configurations_count = 0;
    for (uint32_t i = 0; i < letter->entries.count; i++) {
        local_entry entry = letter->entries.entries[i];
        raft_index index = letter->a + 1u + i;
        uint32_t count = m->append.runs_count;
        if (count > 0 && m->append.runs[count - 1].term == local_entry_term(entry)) {
            m->append.runs[count - 1].count++;
        } else {
            m->append.runs[m->append.runs_count++] =
                (struct raft_term_run){.first = index, .count = 1, .term = local_entry_term(entry)};
        }
        uint8_t number = local_entry_configuration(entry);
        if (number == 0) continue;
        configurations[m->append.configurations_count++] = (struct raft_indexed_configuration){
            .index = index, .configuration = known->items[number - 1]};
    }
}

static void give_header(const struct letter *letter, struct raft_message *m)
{
    m->type = (enum raft_message_type)letter->type;
    m->group = LOCAL_GROUP;
    m->from = (struct raft_replica_id){.node = letter->from, .epoch = 0};
    m->to = (struct raft_replica_id){.node = letter->to, .epoch = 0};
    m->term = letter->term;
    m->refusal = (enum raft_refusal)letter->refusal;
}

void letter_to_message(const struct letter *letter, const struct local_configurations *known,
                       struct raft_indexed_configuration *configurations, struct raft_message *m)
{
    give_header(letter, m);
    switch (m->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        m->vote.last_index = letter->a;
        m->vote.last_term = letter->b;
        m->vote.transfer = letter->c != 0;
        break;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        m->vote_reply.voter_term = letter->a;
        break;
    case RAFT_MESSAGE_APPEND:
        give_append(letter, known, configurations, m);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        m->append_reply.match_index = letter->a;
        m->append_reply.request_index = letter->b;
        m->append_reply.hint_index = letter->c;
        m->append_reply.hint_term = letter->d;
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        m->heartbeat.commit_index = letter->a;
        m->heartbeat.commit_chain = 0;
        m->heartbeat.round = letter->b;
        m->heartbeat.process = local_process(letter->from, letter->process);
        break;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        m->heartbeat_reply.match_index = letter->a;
        m->heartbeat_reply.round = letter->b;
        m->heartbeat_reply.process = local_process(letter->to, letter->process);
        break;
    case RAFT_MESSAGE_READ_INDEX:
    case RAFT_MESSAGE_READ_INDEX_REPLY: {
        bool asks = m->type == RAFT_MESSAGE_READ_INDEX;
        m->read_index.number = letter->a;
        m->read_index.index = letter->b;
        m->read_index.process = local_process(asks ? letter->from : letter->to, letter->process);
        break;
    }
    case RAFT_MESSAGE_REGRESSED:
        m->regressed.index = letter->a;
        m->regressed.term = letter->b;
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        break;
    }
}

/* ---- the dead ------------------------------------------------------------------------------------- */

static bool reply_is_dead(const struct letter *letter, uint8_t term)
{
    bool granted = letter->refusal == RAFT_REFUSED_NOT;
    switch ((enum raft_message_type)letter->type) {
    case RAFT_MESSAGE_PREVOTE_REPLY: /* carries the term it is about, or the voter's */
        return granted ? letter->term <= term : letter->a <= term;
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        return granted ? letter->term < term : letter->term <= term;
    case RAFT_MESSAGE_APPEND_REPLY:
        return letter->refusal == RAFT_REFUSED_STALE_TERM ? letter->term <= term
                                                          : letter->term < term;
    case RAFT_MESSAGE_READ_INDEX_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW: /* which are no replies, but are not answered either */
    case RAFT_MESSAGE_REGRESSED:
        return letter->term < term;
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
    case RAFT_MESSAGE_APPEND:
    case RAFT_MESSAGE_HEARTBEAT:
    case RAFT_MESSAGE_READ_INDEX:
        break;
    }
    return false;
}

bool letter_is_dead(const struct letter *letter, uint8_t receiver_term, uint8_t sender_term,
                    uint8_t terms_max)
{
    switch ((enum raft_message_type)letter->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
    case RAFT_MESSAGE_APPEND:
    case RAFT_MESSAGE_HEARTBEAT:
        /* It would be refused, with a term that its sender has already. */
        return letter->term < receiver_term && sender_term >= terms_max;
    case RAFT_MESSAGE_READ_INDEX: /* a refusal ends a read, whatever its term */
        return false;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_APPEND_REPLY:
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_REGRESSED:
        return reply_is_dead(letter, receiver_term);
    }
    return false;
}
