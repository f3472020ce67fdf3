/* The words of a command. */
#include "runner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void scenario__bad_command(const struct runner *runner, const char *why)
{
    fprintf(stderr, "%s:%u: %s\n", runner->path, runner->line, why);
    exit(2);
}

void scenario__split(struct words *words, const char *line)
{
    memset(words, 0, sizeof *words);
    snprintf(words->text, sizeof words->text, "%s", line);
    char *rest = words->text;
    char *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word == '\0') continue;
        assert(words->count < 32);
        words->items[words->count++] = word;
    }
}

char *scenario__next_word(const struct runner *runner, struct words *words)
{
    if (words->next == words->count) scenario__bad_command(runner, "an argument is missing");
    return words->items[words->next++];
}

uint64_t scenario__to_number(const struct runner *runner, const char *text)
{
    char *end = NULL;
    uint64_t number = strtoull(text, &end, 10);
    if (end == text || *end != '\0') scenario__bad_command(runner, "this is not a number");
    return number;
}

static raft_node_id to_node(const struct runner *runner, const char *text)
{
    uint64_t id = scenario__to_number(runner, text);
    if (id >= CLUSTER_NODES_MAX) scenario__bad_command(runner, "no such node");
    if (!runner->cluster->nodes[id].exists) scenario__bad_command(runner, "no such node");
    return id;
}

raft_node_id scenario__next_node(const struct runner *runner, struct words *words)
{
    return to_node(runner, scenario__next_word(runner, words));
}

raft_node_id scenario__next_node_up(const struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node(runner, words);
    if (!runner->cluster->nodes[id].up) scenario__bad_command(runner, "that node is down");
    return id;
}

/* "1,1,2" */
uint32_t scenario__to_list(const struct runner *runner, char *text, uint64_t *list,
                           uint32_t list_max)
{
    uint32_t count = 0;
    char *item;
    while ((item = strsep(&text, ",")) != NULL) {
        if (count == list_max) scenario__bad_command(runner, "the list is too long");
        list[count++] = scenario__to_number(runner, item);
    }
    return count;
}

enum raft_message_type scenario__to_type(const struct runner *runner, const char *text)
{
    static const char *const names[] = {
        [RAFT_MESSAGE_PREVOTE] = "prevote",
        [RAFT_MESSAGE_PREVOTE_REPLY] = "prevote-reply",
        [RAFT_MESSAGE_VOTE] = "vote",
        [RAFT_MESSAGE_VOTE_REPLY] = "vote-reply",
        [RAFT_MESSAGE_APPEND] = "append",
        [RAFT_MESSAGE_APPEND_REPLY] = "append-reply",
        [RAFT_MESSAGE_HEARTBEAT] = "heartbeat",
        [RAFT_MESSAGE_HEARTBEAT_REPLY] = "heartbeat-reply",
        [RAFT_MESSAGE_READ_INDEX] = "read-index",
        [RAFT_MESSAGE_READ_INDEX_REPLY] = "read-index-reply",
        [RAFT_MESSAGE_TIMEOUT_NOW] = "timeout-now",
        [RAFT_MESSAGE_REGRESSED] = "regressed",
    };
    for (uint32_t i = RAFT_MESSAGE_PREVOTE; i <= RAFT_MESSAGE_REGRESSED; i++) {
        if (strcmp(names[i], text) == 0) return (enum raft_message_type)i;
    }
    scenario__bad_command(runner, "no such message type");
}
