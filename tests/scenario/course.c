/* What happens between two commands, and how it is told. */
#include "runner.h"

#include <raft_trace/trace.h>

#include <inttypes.h>

/* ---- trace ---------------------------------------------------------------------------------------- */

static bool is_main_event(const struct raft_trace *trace)
{
    if (trace->type == RAFT_TRACE_VOTED) return false;
    if (trace->type == RAFT_TRACE_ACK) return false;
    bool is_vote = trace->type == RAFT_TRACE_VOTE || trace->type == RAFT_TRACE_ELECTION;
    return !(is_vote && trace->d == 1);
}

void scenario__on_trace(struct cluster *cluster, raft_node_id node, const struct raft_trace *trace)
{
    struct runner *runner = cluster->hook_data;
    if (runner->quiet) return;
    if (!runner->show_all && !is_main_event(trace)) return;
    scenario__show_trace(runner, node, trace);
}

void scenario__show_trace(struct runner *runner, raft_node_id node, const struct raft_trace *trace)
{
    char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
    (void)raft_trace_format(sentence, sizeof sentence, node, trace);
    fprintf(runner->out, "%s\n", sentence);
}

void scenario__show_refusal(struct runner *runner, enum raft_status status)
{
    if (status == RAFT_OK) return;
    fprintf(runner->out, "refused: %s\n", raft_status_text(status));
}

static void show_log(struct runner *runner, const struct cluster_log *log)
{
    if (log->base > 0) fprintf(runner->out, " base %" PRIu64 ",", log->base);
    for (raft_index i = log->base + 1; i <= log->count;) {
        raft_term term = log->entries[i - 1].term;
        raft_index end = i;
        while (end < log->count && log->entries[end].term == term) {
            end++;
        }
        if (end == i) {
            fprintf(runner->out, " %" PRIu64 "@%" PRIu64, i, term);
        } else {
            fprintf(runner->out, " %" PRIu64 "..%" PRIu64 "@%" PRIu64, i, end, term);
        }
        i = end + 1;
    }
}

void scenario__show_status(struct runner *runner)
{
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        const struct cluster_node *node = &runner->cluster->nodes[id];
        if (!node->exists) continue;
        if (!node->up) {
            fprintf(runner->out, "n%" PRIu64 " down, on disk", id);
            show_log(runner, &node->disk);
            fprintf(runner->out, "\n");
            continue;
        }
        struct raft_view view;
        raft_view(node->core, runner->cluster->now_ms, &view);
        fprintf(runner->out,
                "n%" PRIu64 " %s term=%" PRIu64 " commit=%" PRIu64 " durable=%" PRIu64 " log", id,
                raft_role_name(view.role), view.term, view.commit_index, view.durable_index);
        show_log(runner, &node->log);
        fprintf(runner->out, "\n");
    }
}

/* ---- letting things happen ------------------------------------------------------------------------ */

static bool run_disks(struct runner *runner)
{
    bool moved = false;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        struct cluster_node *node = &runner->cluster->nodes[id];
        if (!node->up || runner->disk_hold[id]) continue;
        while (node->jobs_count > 0 && !runner->disk_hold_log[id]) {
            cluster_finish_job(runner->cluster, id);
            moved = true;
        }
        while (node->hard_queue_count > 0) {
            cluster_finish_hard(runner->cluster, id);
            moved = true;
        }
        bool late = runner->disk_late[id] || runner->disk_hold_log[id];
        while (node->reports_count > 0 && !late) {
            cluster_report_oldest(runner->cluster, id);
            moved = true;
        }
    }
    return moved;
}

static const struct rule *find_rule(struct runner *runner, const struct raft_message *m)
{
    const struct rule *found = NULL;
    for (uint32_t i = 0; i < runner->rules_count; i++) {
        struct rule *rule = &runner->rules[i];
        if (rule->type != m->type) continue;
        if (rule->from != m->from.node || rule->to != m->to.node) continue;
        rule->seen++;
        bool applies = rule->seen > rule->after && rule->seen <= rule->after + rule->count;
        if (applies && found == NULL) found = rule;
    }
    return found;
}

static void deliver_first(struct runner *runner)
{
    struct cluster_packet *packet = &runner->cluster->network.items[0];
    const struct rule *rule = find_rule(runner, &packet->message);
    if (rule != NULL) {
        if (runner->pocket_count == POCKET_MAX) scenario__bad_command(runner, "the pocket is full");
        runner->pocket[runner->pocket_count++] = cluster_packet_copy(packet);
        if (!rule->deliver_too) {
            cluster_drop(runner->cluster, 0);
            return;
        }
    }
    cluster_deliver(runner->cluster, 0);
}

/* Until nothing is left to do at this instant. */
void scenario__settle(struct runner *runner)
{
    for (uint32_t i = 0; i < SETTLE_STEPS_MAX; i++) {
        if (run_disks(runner)) continue;
        if (runner->cluster->network.count > 0) {
            deliver_first(runner);
            continue;
        }
        if (!scenario__run_bases(runner)) return;
    }
    scenario__bad_command(runner, "the cluster does not come to rest");
}

void scenario__advance(struct runner *runner, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        runner->cluster->now_ms++;
        for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
            struct cluster_node *node = &runner->cluster->nodes[id];
            if (!node->up || node->timer_at_ms > runner->cluster->now_ms) continue;
            (void)cluster_event(runner->cluster, id, RAFT_EVENT_TICK);
        }
        scenario__settle(runner);
    }
}
