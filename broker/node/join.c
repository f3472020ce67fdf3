/* A directory that is new to its cluster comes in (PROTOCOL M2, M5): a wiped node as a new incarnation, a node that an
 * operator admitted as its first.
 *
 *   asking node ── JOIN, every 500 or 100 ms, to all that are connected ──► peer ── passed on once ──► leader of group 0
 *       ▲                                                                                          │
 *       └──────────── refused: why │ wait: for what │ accepted: epoch of its meta replica ◄────────┘
 *
 * The leader writes a new incarnation down (META_NODE_SET: all replicas of the node get new epochs, the old ones are dead).
 * It does so only in the place of the incarnation that the question names, and tells which one that is: so a question that
 * somebody passes on late, of an incarnation that was replaced meanwhile, does nothing. Then whoever leads makes it a member of group 0, by an epoch above that entry, and so the answer is known to any leader:
 * it is in the committed configuration. Questions and answers may be lost, doubled and late: each answer is made anew from
 * applied state, and is for one asking of one incarnation.
 *
 * A node whose replica of group 0 alone was lost (lost.c) asks in the same way for another one: the leader writes down that
 * the old epoch is over (META_REPLICA_RENEW), and the rest is the same. */
#include "join.h"

#include "founding.h"
#include "group.h"
#include "internal.h"
#include "lost.h"
#include "peers.h"
#include "registry.h"

#include <broker/join_codec.h>
#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <snapshot/snapshot.h>

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ASK_EVERY_US 500000u
#define ASK_AGAIN_US 100000u /* a leader is at it */
/* That long a peer that knows no leader does not talk over what a leader said. */
#define LEADERS_WORD_US 3000000u

/* ---- asking -------------------------------------------------------------------------------------------------------------- */

static void send_question(struct node *node, uint64_t to, const struct join_question *question)
{
    uint8_t body[JOIN_BYTES_MAX];
    const struct io_buffer part = {.data = body,
                                   .bytes = join_question_encode(question, body, sizeof(body))};
    assert(part.bytes <= sizeof(body));
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_JOIN, 0, &part, 1);
}

void join__ask(struct node *node)
{
    if (node->state != NODE_ASKING) return;
    const uint64_t now_us = io_now_us(node->io);
    const uint64_t pause_us = node->join.is_under_way ? ASK_AGAIN_US : ASK_EVERY_US;
    if (node->join.asked_us && now_us - node->join.asked_us < pause_us) return;
    node->join.is_under_way = false;
    node->join.asked_us = now_us;
    struct join_question question = {.node_id = node->identity.node_id,
                                     .incarnation = node->identity.incarnation,
                                     .number = node->join.number,
                                     .knows_registered = node->join.knows_registered,
                                     .registered = node->join.registered,
                                     .is_lost = node->join.is_lost,
                                     .lost_epoch = node->join.lost_epoch};
    snprintf(question.peer_address, sizeof(question.peer_address), "%s",
             node->options.advertise_peer);
    snprintf(question.http_address, sizeof(question.http_address), "%s",
             node->options.advertise_http);
    snprintf(question.kafka_address, sizeof(question.kafka_address), "%s",
             node->options.advertise_kafka);
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].is_member) send_question(node, node->peers[i].node_id, &question);
    }
}

static void take_word(struct node *node, const struct join_answer *answer)
{
    const uint64_t now_us = io_now_us(node->io);
    if (answer->is_leaders) {
        node->join.told_us = now_us;
    } else if (node->join.told_us && now_us - node->join.told_us < LEADERS_WORD_US) {
        return;
    }
    if (answer->knows_registered &&
        (!node->join.knows_registered || node->join.registered != answer->registered)) {
        node->join.knows_registered = true;
        node->join.registered = answer->registered;
        node->join.asked_us = 0; /* at once, with that */
    }
    const bool refused = answer->verdict == JOIN_REFUSED;
    node->join.is_under_way = answer->is_leaders && !refused;
    if (refused && (!node->join.refused || strcmp(node->join.text, answer->text) != 0)) {
        node__log(node, "error", "event=\"the cluster does not take this node in\" reason=\"%s\"",
                  answer->text);
    }
    node->join.refused = refused;
    snprintf(node->join.text, sizeof(node->join.text), "%s", answer->text);
}

/* ---- deciding, on the leader of group 0 ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static void decide(struct join_answer *answer,
                                                         enum join_verdict verdict,
                                                         const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(answer->text, sizeof(answer->text), format, arguments);
    va_end(arguments);
    answer->verdict = verdict;
}

static struct meta_node wanted_node(const struct join_question *question, uint64_t incarnation)
{
    struct meta_node wanted = {.node_id = question->node_id, .incarnation = incarnation};
    snprintf(wanted.peer_address, sizeof(wanted.peer_address), "%s", question->peer_address);
    snprintf(wanted.http_address, sizeof(wanted.http_address), "%s", question->http_address);
    snprintf(wanted.kafka_address, sizeof(wanted.kafka_address), "%s", question->kafka_address);
    return wanted;
}

/* Only a founder can be: one that was wiped before it ever told of itself. First what the founding says of it. */
static void judge_unknown(struct node *node, const struct join_question *question,
                          struct join_answer *answer)
{
    const struct founding *founding = &node->founding;
    for (uint32_t i = 0; i < founding->nodes_count; i++) {
        if (founding->nodes[i].node_id != question->node_id) continue;
        if (!peers__may_be_in_meta(node, question->node_id)) break; /* it was removed */
        struct meta_node wanted = wanted_node(question, founding->nodes[i].incarnation);
        wanted.voter = i < META_VOTERS_MAX;
        (void)registry__set_node(node, &wanted, 0, /* founder= */ true);
        decide(answer, JOIN_WAIT, "n%" PRIu64 " is being registered", question->node_id);
        return;
    }
    decide(answer, JOIN_REFUSED,
           "n%" PRIu64 " is no member of the cluster; admit it with `raftmq cluster add n%" PRIu64
           "=%.128s`",
           question->node_id, question->node_id, question->peer_address);
}

/* M2: the directory that would be replaced is in use. */
static bool other_is_connected(struct node *node, const struct join_question *question)
{
    const struct peer_hello *hello = peer_hello_of(node->hub, question->node_id);
    return hello && hello->incarnation != question->incarnation &&
           peer_is_up(node->hub, question->node_id, PEER_CONTROL);
}

static const struct raft_member *committed_member(const struct group *meta, uint64_t node_id)
{
    const struct raft_indexed_configuration *committed =
        raft_configuration_at(meta->raft, meta->commit_index);
    for (uint32_t i = 0; committed && i < committed->configuration.members_count; i++) {
        const struct raft_member *member = &committed->configuration.members[i];
        if (member->id.node == node_id) return member;
    }
    return NULL;
}

/* An incarnation that is not the registered one. */
static void judge_new(struct node *node, const struct join_question *question,
                      const struct meta_node *known, struct join_answer *answer)
{
    const struct meta_node wanted = wanted_node(question, question->incarnation);
    answer->knows_registered = true;
    answer->registered = known->incarnation;
    if (!registry__can_be_set(&wanted)) {
        decide(answer, JOIN_REFUSED,
               "n%" PRIu64
               " tells an address that holds spaces or other characters that no address "
               "has; start it with others in --advertise-*",
               question->node_id);
        return;
    }
    const bool is_aimed =
        (question->knows_registered && question->registered == known->incarnation) ||
        PLANTED(M2_LATE_JOIN_IS_TAKEN);
    if (!is_aimed) {
        decide(answer, JOIN_WAIT, "n%" PRIu64 " was told in whose place it comes",
               question->node_id);
        return;
    }
    const bool begun =
        !node->disk_full && registry__set_node(node, &wanted, known->incarnation, false);
    decide(answer, JOIN_WAIT, "n%" PRIu64 " is being registered%s", question->node_id,
           begun ? "" : ", behind others");
}

static void judge(struct node *node, const struct join_question *question,
                  struct join_answer *answer)
{
    struct meta_node known;
    if (!meta_node_get(&node->meta, question->node_id, &known)) {
        judge_unknown(node, question, answer);
        return;
    }
    if (known.leaving) {
        decide(answer, JOIN_REFUSED, "n%" PRIu64 " is being removed from the cluster",
               question->node_id);
        return;
    }
    if (other_is_connected(node, question)) {
        decide(answer, JOIN_REFUSED,
               "n%" PRIu64 " is connected with another data directory; stop one of the two "
               "processes",
               question->node_id);
        return;
    }
    if (known.incarnation != question->incarnation) {
        judge_new(node, question, &known, answer);
        return;
    }
    const struct raft_member *member = committed_member(node->meta_group, question->node_id);
    if (question->is_lost && question->lost_epoch >= meta_node_epoch_min(&known) &&
        (!member || member->id.epoch <= question->lost_epoch)) {
        (void)lost__renew(node, 0, question->node_id, question->lost_epoch);
        decide(answer, JOIN_WAIT, "the lost replica of n%" PRIu64 " is being written off",
               question->node_id);
        return;
    }
    if (!member || member->id.epoch <= meta_node_epoch_min(&known)) {
        decide(answer, JOIN_WAIT,
               "n%" PRIu64 " is registered and waits until group 0 takes it in as a learner",
               question->node_id);
        return;
    }
    answer->epoch = member->id.epoch;
    answer->incarnation_index = known.incarnation_index;
    decide(answer, JOIN_ACCEPTED, "welcome");
}

/* ---- frames ------------------------------------------------------------------------------------------------------------- */

static void send_answer(struct node *node, uint64_t to, const struct join_answer *answer)
{
    uint8_t body[JOIN_BYTES_MAX];
    const struct io_buffer part = {.data = body,
                                   .bytes = join_answer_encode(answer, body, sizeof(body))};
    assert(part.bytes <= sizeof(body));
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_JOIN_ANSWER, 0, &part, 1);
}

static bool decides(const struct node *node)
{
    const struct group *meta = node->meta_group;
    return node->state == NODE_RUNNING && meta && meta->role == RAFT_LEADER &&
           meta->own_noop_applied;
}

/* True: the leader will answer. */
static bool pass_on(struct node *node, const struct join_question *question)
{
    const struct group *meta = node->meta_group;
    if (question->is_passed_on || !meta || meta->leader == 0) return false;
    if (meta->leader == question->node_id || meta->leader == node->identity.node_id) return false;
    if (!peer_is_up(node->hub, meta->leader, PEER_CONTROL)) return false;
    struct join_question passed = *question;
    passed.is_passed_on = true;
    send_question(node, meta->leader, &passed);
    return true;
}

void join__asked(struct node *node, const struct peer_frame *frame)
{
    struct join_question question;
    if (!join_question_decode(frame->body, frame->bytes, &question) ||
        question.node_id == node->identity.node_id ||
        (!question.is_passed_on && question.node_id != frame->node_id)) {
        node->counters.bad_frames++;
        return;
    }
    struct join_answer answer = {.node_id = question.node_id,
                                 .incarnation = question.incarnation,
                                 .number = question.number};
    if (decides(node)) {
        answer.is_leaders = true;
        judge(node, &question, &answer);
    } else if (pass_on(node, &question)) {
        return;
    } else {
        decide(&answer, JOIN_WAIT, "n%" PRIu64 " knows no leader of the cluster",
               node->identity.node_id);
    }
    send_answer(node, frame->node_id, &answer);
}

void join__answered(struct node *node, const struct peer_frame *frame)
{
    struct join_answer answer;
    if (!join_answer_decode(frame->body, frame->bytes, &answer)) {
        node->counters.bad_frames++;
        return;
    }
    if (answer.node_id != node->identity.node_id) { /* to a question that was passed on */
        const struct peer_hello *hello = peer_hello_of(node->hub, answer.node_id);
        if (hello && hello->incarnation == answer.incarnation) {
            send_answer(node, answer.node_id, &answer);
        }
        return;
    }
    if (node->state != NODE_ASKING || answer.incarnation != node->identity.incarnation) return;
    if (answer.number != node->join.number)
        return; /* of an earlier life or asking: its epoch may be over */
    if (answer.verdict == JOIN_ACCEPTED) {
        founding__joined(node, answer.epoch, answer.incarnation_index);
    } else {
        take_word(node, &answer);
    }
}
