#include "verbs.h"

#include <stdio.h>
#include <string.h>

#include "format.h"
#include "log_command.h"

#define END                                        \
    {                                              \
        NULL, 0, FLAG_BARE, NULL, NULL, NULL, NULL \
    }

static const struct flag no_flags[] = {END};

static const struct flag serve_flags[] = {
    {"config", 'c', FLAG_TEXT, "FILE", NULL, NULL,
     "settings as name = value, the same names as here"},
    {"node-id", 0, FLAG_TEXT, "nK", NULL, NULL,
     "who this node is: n1 or 1 (default: the hostname when it is nK)"},
    {"data-dir", 0, FLAG_TEXT, "DIR", "raftmq-data", NULL, "where this node keeps its data"},
    {"listen-http", 0, FLAG_TEXT, "HOST:PORT", "127.0.0.1:7070", NULL, "for clients"},
    {"listen-peer", 0, FLAG_TEXT, "HOST:PORT", "127.0.0.1:7071", NULL, "for the other nodes"},
    {"advertise-http", 0, FLAG_TEXT, "HOST:PORT", NULL, NULL,
     "what clients are told (default: listen-http)"},
    {"advertise-peer", 0, FLAG_TEXT, "HOST:PORT", NULL, NULL,
     "what other nodes are told (default: own entry in peers)"},
    {"peers", 0, FLAG_TEXT, "nK=HOST:PORT,...", NULL, NULL,
     "all nodes, this one included; nK alone means nK=nK:7071 (default: a cluster of one)"},
    {"join", 0, FLAG_SWITCH, "on|off", "off", "on",
     "become a member of the cluster that peers names some nodes of, never of a new one; "
     "`raftmq cluster add` there admits it first"},
    {"auto-create", 0, FLAG_SWITCH, "on|off", "off", NULL,
     "a produce to an unknown topic creates it"},
    {"heartbeat-ms", 0, FLAG_COUNT, "N", "50", NULL, "a leader shows itself this often"},
    {"election-timeout-ms-min", 0, FLAG_COUNT, "N", "300", NULL, "at least 5 heartbeats"},
    {"election-timeout-ms-max", 0, FLAG_COUNT, "N", "600", NULL, "drawn between min and max"},
    {"segment-bytes", 0, FLAG_BYTES, "SIZE", "64M", NULL, "size of a log file"},
    {"cache-bytes", 0, FLAG_BYTES, "SIZE", "16M", NULL,
     "recent messages kept in memory, per partition"},
    {"max-inflight-bytes", 0, FLAG_BYTES, "SIZE", "64M", NULL,
     "produced and not yet answered; above it: 429"},
    {"checkpoint-entries", 0, FLAG_COUNT, "N", "100000", NULL,
     "write a snapshot of the state after so many entries"},
    {"reserve-bytes", 0, FLAG_BYTES, "SIZE", "64M", NULL, "free disk space to keep; below it: 507"},
    {"drain-ms", 0, FLAG_COUNT, "N", "10000", NULL,
     "SIGTERM: time to hand over and answer what is in flight"},
    {"log-level", 0, FLAG_CHOICE, "error|warn|info|debug", "info", NULL,
     "how much is written to stderr"},
    {"exit-with-fd", 0, FLAG_COUNT, "FD", NULL, NULL, NULL},
    END};

static const struct flag dev_flags[] = {
    {"nodes", 'n', FLAG_COUNT, "N", "3", NULL, "how many nodes, 1 to 9"},
    {"base-port", 0, FLAG_COUNT, "PORT", "7070", NULL,
     "HTTP of n1; n2 is 10 above, and so on; peers use the next port"},
    {"data-dir", 0, FLAG_TEXT, "DIR", NULL, NULL,
     "keep data here (default: a fresh directory, removed at the end)"},
    {"keep", 0, FLAG_BARE, NULL, NULL, NULL, "do not remove the fresh directory"},
    {"restart", 0, FLAG_SWITCH, "on|off", "on", NULL,
     "start a node again one second after it died"},
    {"pid-file", 0, FLAG_TEXT, "DIR", NULL, NULL,
     "write n1.pid, n2.pid, ... there, so that scripts can kill nodes"},
    {"segment-bytes", 0, FLAG_BYTES, "SIZE", NULL, NULL, "as in serve"},
    {"log-level", 0, FLAG_CHOICE, "error|warn|info|debug", "info", NULL,
     "of the nodes' logs, DIR/nK.log"},
    {"quiet", 'q', FLAG_BARE, NULL, NULL, NULL, "print errors only"},
    END};

static const struct flag membership_flags[] = {
    {"wait", 0, FLAG_DURATION, "TIME", NULL, "0",
     "show progress until it is done (this is what happens), at most for TIME (0: for ever; "
     "without "
     "it, off a terminal, until nothing moves for 2 minutes)"},
    {"no-wait", 0, FLAG_BARE, NULL, NULL, NULL,
     "end when it is decided; the cluster works on it by itself"},
    END};

static const struct flag remove_flags[] = {
    {"shrink", 0, FLAG_BARE, NULL, NULL, NULL,
     "also when partitions are left with fewer replicas than wanted; they grow back when a node is "
     "added"},
    {"wait", 0, FLAG_DURATION, "TIME", NULL, "0",
     "show progress until it is done (this is what happens), at most for TIME (0: for ever; "
     "without "
     "it, off a terminal, until nothing moves for 2 minutes)"},
    {"no-wait", 0, FLAG_BARE, NULL, NULL, NULL,
     "end when it is decided; the cluster works on it by itself"},
    END};

static const struct flag create_flags[] = {
    {"partitions", 'p', FLAG_COUNT, "N", NULL, NULL, "independent logs of the topic (default 1)"},
    {"replicas", 'r', FLAG_COUNT, "N", NULL, NULL,
     "copies of each (default: 3, or all nodes when there are fewer)"},
    {"retention", 0, FLAG_DURATION, "TIME", NULL, NULL,
     "messages older than this go (default: kept for ever)"},
    {"retention-bytes", 0, FLAG_BYTES, "SIZE", NULL, NULL,
     "the oldest go when a partition holds more than this (default: no limit)"},
    {"retain-until-consumed", 0, FLAG_SWITCH, "on|off", "off", "on",
     "also what all durable groups have consumed goes (see raftmq group set)"},
    {"max-message-bytes", 0, FLAG_BYTES, "SIZE", NULL, NULL, "largest batch (default 1M)"},
    {"consistency", 0, FLAG_CHOICE, "linearizable|local", "linearizable", NULL,
     "local: reads ask no leader, and may be behind"},
    {"if-not-exists", 0, FLAG_BARE, NULL, NULL, NULL,
     "exit 0 when it exists, whatever its settings"},
    END};

static const struct flag set_flags[] = {
    {"retention", 0, FLAG_TEXT, "TIME", NULL, NULL, "messages older than this go, or forever"},
    {"retention-bytes", 0, FLAG_TEXT, "SIZE", NULL, NULL,
     "the oldest go when a partition holds more than this, or unlimited"},
    {"retain-until-consumed", 0, FLAG_SWITCH, "on|off", NULL, "on",
     "also what all durable groups have consumed goes"},
    {"max-message-bytes", 0, FLAG_BYTES, "SIZE", NULL, NULL, "largest batch"},
    {"consistency", 0, FLAG_CHOICE, "linearizable|local", NULL, NULL,
     "local: reads ask no leader, and may be behind"},
    END};

static const struct flag group_set_flags[] = {
    {"topic", 0, FLAG_TEXT, "TOPIC", NULL, NULL, "which topic"},
    {"partition", 'p', FLAG_COUNT, "N", NULL, NULL, "one partition (default: all)"},
    {"durable", 0, FLAG_SWITCH, "on|off", NULL, "on",
     "what it has not consumed is not trimmed as consumed; a limit of time or size still holds"},
    END};

static const struct flag delete_flags[] = {{"yes", 'y', FLAG_BARE, NULL, NULL, NULL, "do not ask"},
                                           END};

static const struct flag produce_flags[] = {
    {"key", 'k', FLAG_TEXT, "KEY", NULL, NULL, "key of every message"},
    {"key-delimiter", 'K', FLAG_TEXT, "DELIM", NULL, NULL,
     "a line is KEY DELIM VALUE; a line without DELIM has no key"},
    {"header", 'H', FLAG_LIST, "NAME:VALUE", NULL, NULL,
     "header of every message; may be repeated"},
    {"partition", 'p', FLAG_COUNT, "N", NULL, NULL,
     "one partition (default: by key; without a key one batch each in turns)"},
    {"whole-file", 0, FLAG_BARE, NULL, NULL, NULL, "each file is one message"},
    {"delimiter", 0, FLAG_TEXT, "CHAR", "\\n", NULL, "what ends a message"},
    {"batch", 0, FLAG_POSITIVE, "N", "1000", NULL, "messages in a batch, at most"},
    {"batch-bytes", 0, FLAG_BYTES, "SIZE", "256K", NULL,
     "bytes in a batch; a message that is larger is a batch of its own"},
    {"linger-ms", 0, FLAG_COUNT, "N", "5", NULL, "how long a batch waits for more messages"},
    {"rate", 0, FLAG_RATE, "N/s", NULL, NULL, "not faster than this"},
    {"idempotent", 0, FLAG_SWITCH, "on|off", "on", NULL, "retries never store a message twice"},
    {"retry-for", 0, FLAG_DURATION, "TIME", "60s", NULL,
     "keep trying through an outage, when given also one at the start; for --timeout when only "
     "that "
     "is given"},
    {"acked-log", 0, FLAG_TEXT, "FILE", NULL, NULL,
     "append 'producer_id sequence offset xxhash64' per acknowledged message"},
    END};

static const struct flag consume_flags[] = {
    {"from", 0, FLAG_TEXT, "WHERE", "earliest", NULL,
     "in each partition: earliest, latest, OFFSET, -N (its last N), @TIME (stored then or later); "
     "where a group has a position, it goes on there"},
    {"group", 'g', FLAG_TEXT, "GROUP", NULL, NULL,
     "go on where the group stopped, and store how far it came; run one at a time"},
    {"on-trimmed", 0, FLAG_CHOICE, "skip|fail", "skip", NULL,
     "what was trimmed before it was read: say how much and go on at the earliest, or fail"},
    {"partition", 'p', FLAG_COUNT, "N", NULL, NULL, "one partition (default: all)"},
    {"count", 'n', FLAG_POSITIVE, "N", NULL, NULL,
     "stop after N messages, of all partitions together"},
    {"exit-at-end", 'e', FLAG_BARE, NULL, NULL, NULL, "stop at the end of what is there now"},
    {"follow", 0, FLAG_BARE, NULL, NULL, NULL, "wait for new messages (what happens without -e)"},
    {"format", 'f', FLAG_TEXT, "FORMAT", "%v\\n", NULL, "how a message is printed, see below"},
    {"json", 0, FLAG_BARE, NULL, NULL, NULL, "one JSON object per message"},
    END};

static const struct flag seek_flags[] = {
    {"to", 0, FLAG_TEXT, "WHERE", NULL, NULL, "earliest, latest, OFFSET, -N, @TIME"},
    {"topic", 0, FLAG_TEXT, "TOPIC", NULL, NULL, "which topic"},
    {"partition", 'p', FLAG_COUNT, "N", NULL, NULL, "one partition (default: all)"},
    {"execute", 0, FLAG_BARE, NULL, NULL, NULL,
     "do it; without this the new offsets are only shown"},
    END};

static const struct flag status_flags[] = {
    {"watch", 'w', FLAG_DURATION, "TIME", NULL, "1s", "show again and again"}, END};

static const struct flag transfer_flags[] = {
    {"to", 0, FLAG_TEXT, "NODE", NULL, NULL, "who leads next (default: whoever is best)"},
    {"meta", 0, FLAG_BARE, NULL, NULL, NULL, "the group of nodes and topics instead of a topic"},
    {"from", 0, FLAG_TEXT, "NODE", NULL, NULL, "everything that this node leads"},
    END};

static const struct flag scrub_flags[] = {
    {"topic", 0, FLAG_TEXT, "TOPIC", NULL, NULL, "only its logs (default: all, meta included)"},
    {"wait", 0, FLAG_DURATION, "TIME", NULL, "0",
     "until all is read and repaired, at most for TIME (0: as long as it takes)"},
    END};

static const struct flag bench_produce_flags[] = {
    {"topic", 0, FLAG_TEXT, "TOPIC", "bench", NULL, "created when it does not exist"},
    {"size", 0, FLAG_BYTES, "SIZE", "100", NULL, "bytes of a message"},
    {"clients", 0, FLAG_COUNT, "N", "8", NULL, "producers, each with its own connection"},
    {"inflight", 0, FLAG_COUNT, "N", "256", NULL,
     "messages of a client that are not yet acknowledged"},
    {"batch", 0, FLAG_COUNT, "N", NULL, NULL,
     "messages in a batch, at most (default: what is there)"},
    {"batch-linger", 0, FLAG_DURATION, "TIME", "0", NULL,
     "a batch waits so long for more messages"},
    {"duration", 0, FLAG_DURATION, "TIME", "10s", NULL, "measured time"},
    {"warmup", 0, FLAG_DURATION, "TIME", "1s", NULL, "before it, not counted"},
    {"msgs", 0, FLAG_COUNT, "N", NULL, NULL, "stop after so many messages instead"},
    {"partitions", 'p', FLAG_COUNT, "N", "1", NULL,
     "of the topic when it is created; clients take turns"},
    {"idempotent", 0, FLAG_SWITCH, "on|off", "on", NULL, "with producer ids and sequences"},
    {"json", 0, FLAG_BARE, NULL, NULL, NULL, "the result as one JSON object"},
    END};

static const struct flag bench_consume_flags[] = {
    {"topic", 0, FLAG_TEXT, "TOPIC", "bench", NULL, "what is read, from the earliest message on"},
    {"clients", 0, FLAG_COUNT, "N", "1", NULL, "consumers, each with its own connection"},
    {"max-bytes", 0, FLAG_BYTES, "SIZE", "1M", NULL, "of one fetch"},
    {"duration", 0, FLAG_DURATION, "TIME", "10s", NULL, "or until the end is reached"},
    {"json", 0, FLAG_BARE, NULL, NULL, NULL, "the result as one JSON object"},
    END};

static const struct flag bench_commit_flags[] = {
    {"topic", 0, FLAG_TEXT, "TOPIC", "bench", NULL, "created when it does not exist"},
    {"groups", 0, FLAG_COUNT, "N", "10k", NULL, "consumer groups, each commits once"},
    {"clients", 0, FLAG_COUNT, "N", "8", NULL, "connections"},
    {"inflight", 0, FLAG_COUNT, "N", "16", NULL, "commits of a connection without an answer"},
    {"partitions", 'p', FLAG_COUNT, "N", "1", NULL,
     "of the topic when it is created; groups take turns"},
    {"json", 0, FLAG_BARE, NULL, NULL, NULL, "the result as one JSON object"},
    END};

static const struct flag bench_failover_flags[] = {
    {"kills", 0, FLAG_COUNT, "N", "10", NULL, "how often the leader is killed"},
    {"rate", 0, FLAG_RATE, "N/s", "2000/s", NULL, "messages of the one producer"},
    {"size", 0, FLAG_BYTES, "SIZE", "100", NULL, "bytes of a message"},
    {"topic", 0, FLAG_TEXT, "TOPIC", "failover", NULL, "created when it does not exist"},
    {"pid-dir", 0, FLAG_TEXT, "DIR", NULL, NULL,
     "use a running `raftmq dev --pid-file DIR` (default: an own cluster)"},
    {"base-port", 0, FLAG_COUNT, "PORT", "7370", NULL, "of the own cluster"},
    {"json", 0, FLAG_BARE, NULL, NULL, NULL, "the result as one JSON object"},
    END};

const struct verb verbs[] = {
    {.name = "dev",
     .flags = dev_flags,
     .run = dev_command,
     .summary = "start a local cluster of three nodes that can be killed"},
    {.name = "serve",
     .flags = serve_flags,
     .run = serve_command,
     .reads_settings = true,
     .summary = "run one node",
     .notes = "Every flag is also a setting of the config file and a variable: --data-dir is "
              "data-dir = ...\n"
              "and RAFTMQ_DATA_DIR. Flags win over variables, variables over the file."},
    {.name = "produce|pub",
     .arguments = "TOPIC [FILE...]",
     .arguments_min = 1,
     .arguments_max = -1,
     .flags = produce_flags,
     .run = produce_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "send messages to a topic: lines of stdin or of files",
     .notes =
         "  echo hi | raftmq produce demo\n"
         "  raftmq produce orders -K : orders.txt          lines such as  user7:{\"total\":12}"},
    {.name = "consume|sub",
     .arguments = "TOPIC",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = consume_flags,
     .run = consume_command,
     .reaches_cluster = true,
     .outputs = "json|ndjson",
     .summary = "print the messages of a topic",
     .notes = "  raftmq consume demo --from -10 -e\n"
              "  raftmq consume demo -g billing\n"
              "  raftmq consume demo -f '%o %k %v\\n'\n\n"
              "In a format:\n  " FORMAT_HELP},
    {.noun = "topic",
     .name = "create",
     .arguments = "TOPIC",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = create_flags,
     .run = topic_create_command,
     .reaches_cluster = true,
     .outputs = "table|json|ndjson",
     .summary = "create a topic"},
    {.noun = "topic",
     .name = "list",
     .flags = no_flags,
     .run = topic_list_command,
     .reaches_cluster = true,
     .summary = "list the topics"},
    {.noun = "topic",
     .name = "set",
     .arguments = "TOPIC",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = set_flags,
     .run = topic_set_command,
     .reaches_cluster = true,
     .outputs = "table|json|ndjson",
     .summary = "change settings of a topic; those that are not named stay",
     .notes = "  raftmq topic set orders --retention 7d --retention-bytes 10GiB\n"
              "  raftmq topic set orders --retention forever"},
    {.noun = "topic",
     .name = "describe|info",
     .arguments = "TOPIC",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = no_flags,
     .run = topic_describe_command,
     .reaches_cluster = true,
     .summary = "show a topic's partitions, leaders and replicas"},
    {.noun = "topic",
     .name = "place",
     .arguments = "TOPIC/PARTITION NODE,...",
     .arguments_min = 2,
     .arguments_max = 2,
     .flags = membership_flags,
     .run = topic_place_command,
     .reaches_cluster = true,
     .summary = "choose the nodes that hold a partition",
     .notes = "  raftmq topic place orders/0 n1,n2,n4           to a node that was added"},
    {.noun = "topic",
     .name = "delete",
     .arguments = "TOPIC",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = delete_flags,
     .run = topic_delete_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "delete a topic and all its messages"},
    {.noun = "group",
     .name = "list",
     .flags = no_flags,
     .run = group_list_command,
     .reaches_cluster = true,
     .summary = "list the consumer groups"},
    {.noun = "group",
     .name = "describe|info",
     .arguments = "GROUP",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = no_flags,
     .run = group_describe_command,
     .reaches_cluster = true,
     .summary = "show how far a group came"},
    {.noun = "group",
     .name = "set",
     .arguments = "GROUP",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = group_set_flags,
     .run = group_set_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "make a group durable, or not",
     .notes = "Of a topic with --retain-until-consumed on, only what every durable group has "
              "consumed is trimmed.\n"
              "  raftmq group set billing --topic orders --durable"},
    {.noun = "group",
     .name = "seek",
     .arguments = "GROUP",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = seek_flags,
     .run = group_seek_command,
     .reaches_cluster = true,
     .summary = "move a group to another place",
     .notes = "  raftmq group seek billing --topic orders --to @2026-01-31T00:00:00Z --execute"},
    {.noun = "cluster",
     .name = "status",
     .flags = status_flags,
     .run = cluster_status_command,
     .reaches_cluster = true,
     .summary = "show the nodes; exits 0 when all is well"},
    {.noun = "cluster",
     .name = "add",
     .arguments = "NODE[=HOST:PORT]",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = membership_flags,
     .run = cluster_add_command,
     .reaches_cluster = true,
     .summary = "admit a new node; it joins when it is started",
     .notes = "HOST:PORT is where the other nodes reach it (default: nK:7071).\n"
              "  raftmq cluster add n4=10.0.0.4:7071"},
    {.noun = "cluster",
     .name = "remove",
     .arguments = "NODE",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = remove_flags,
     .run = cluster_remove_command,
     .reaches_cluster = true,
     .summary = "take a node out of every group; others take its replicas",
     .notes =
         "Works for a node that is dead, too. Refused when it would lose a quorum, and without\n"
         "--shrink when a partition would keep fewer replicas than wanted."},
    {.noun = "cluster",
     .name = "replace",
     .arguments = "OLD NEW[=HOST:PORT]",
     .arguments_min = 2,
     .arguments_max = 2,
     .flags = membership_flags,
     .run = cluster_replace_command,
     .reaches_cluster = true,
     .summary = "let a new node take the place of another in every group",
     .notes = "With HOST:PORT the new node is added first. The old one may be dead already.\n"
              "  raftmq cluster replace n2 n4=10.0.0.4:7071"},
    {.noun = "cluster",
     .name = "changes",
     .flags = no_flags,
     .run = cluster_changes_command,
     .reaches_cluster = true,
     .summary = "show what is not finished, how far it is, and what blocks it",
     .notes =
         "What STATE says of a group, in this order:\n"
         "  waiting    for a node that has not joined yet, or for a leader\n"
         "  adding     the new replicas are let in, without a vote\n"
         "  copying    the new replicas get the log\n"
         "  switching  the new replicas get their votes, and those that go lose theirs\n"
         "  recording  the group is done; the cluster writes it down, then the old replicas are "
         "dropped\n"
         "  unknown    nobody reports: the group has no leader, or it cannot be reached\n"
         "In MEMBERS +n4 comes and -n2 goes."},
    {.noun = "cluster",
     .name = "transfer",
     .arguments = "[TOPIC[/PARTITION]]",
     .arguments_max = 1,
     .flags = transfer_flags,
     .run = cluster_transfer_command,
     .reaches_cluster = true,
     .summary = "hand over leadership; producers and consumers wait for a moment",
     .notes = "  raftmq cluster transfer orders/0 --to n2\n"
              "  raftmq cluster transfer --from n3              before n3 is worked on"},
    {.noun = "bench",
     .name = "produce",
     .flags = bench_produce_flags,
     .run = bench_produce_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "how many messages a second are acknowledged, and how fast",
     .notes =
         "  raftmq bench produce --inflight 1 --clients 1      one message in flight: latency"},
    {.noun = "bench",
     .name = "consume",
     .flags = bench_consume_flags,
     .run = bench_consume_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "how many messages a second are read"},
    {.noun = "bench",
     .name = "commit",
     .flags = bench_commit_flags,
     .run = bench_commit_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "how many offsets of consumer groups are committed in a second"},
    {.noun = "bench",
     .name = "failover",
     .flags = bench_failover_flags,
     .run = bench_failover_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "kill the leader again and again under load; outage, and what was lost"},
    {.noun = "log",
     .name = "dump",
     .arguments = "PATH...",
     .run_raw = log_command_main,
     .flags = no_flags,
     .summary = "print the entries of a stopped node's logs (offline)"},
    {.noun = "log",
     .name = "verify",
     .arguments = "PATH...",
     .run_raw = log_command_main,
     .flags = no_flags,
     .summary = "recompute every checksum and chain (offline)"},
    {.noun = "log",
     .name = "inspect",
     .arguments = "PATH...",
     .run_raw = log_command_main,
     .flags = no_flags,
     .summary = "what each file of a stopped node says, and what is wrong with it (offline)"},
    {.noun = "log",
     .name = "scrub",
     .flags = scrub_flags,
     .run = log_scrub_command,
     .reaches_cluster = true,
     .summary = "every node reads its logs through and repairs what is damaged",
     .notes = "Each node does so by itself about once a day. Without --wait it is only begun. "
              "FOUND and\n"
              "REPAIRED count what this scrub found and repaired, LEFT what is damaged now."},
    {.name = "health",
     .flags = no_flags,
     .run = health_command,
     .reaches_cluster = true,
     .outputs = "",
     .summary = "exit 0 when the node is ready to serve"},
    {.name = "completion",
     .arguments = "bash",
     .arguments_min = 1,
     .arguments_max = 1,
     .flags = no_flags,
     .run = completion_command,
     .summary = "print a completion script:  eval \"$(raftmq completion bash)\""},
    {.name = "version", .flags = no_flags, .run = version_command, .summary = "print the version"},
    {.name = "help",
     .arguments = "[VERB...]",
     .arguments_max = 2,
     .flags = no_flags,
     .run = help_command,
     .summary = "explain a verb"},
};
const int verbs_count = (int)(sizeof(verbs) / sizeof(verbs[0]));

/* `word` is one of the names in "produce|pub". */
static bool has_name(const char *names, const char *word)
{
    size_t bytes = strlen(word);
    for (const char *name = names; bytes > 0;) {
        size_t name_bytes = strcspn(name, "|");
        if (name_bytes == bytes && memcmp(name, word, bytes) == 0) return true;
        if (name[name_bytes] == '\0') break;
        name += name_bytes + 1;
    }
    return false;
}

const struct verb *verbs_find(int argc, char **argv, int *ret_words, bool *ret_noun_known)
{
    *ret_noun_known = false;
    for (int i = 0; argc > 0 && i < verbs_count; i++) {
        const struct verb *verb = &verbs[i];
        if (!verb->noun && has_name(verb->name, argv[0])) {
            *ret_words = 1;
            return verb;
        }
        if (!verb->noun || strcmp(verb->noun, argv[0]) != 0) continue;
        *ret_noun_known = true;
        if (argc > 1 && has_name(verb->name, argv[1])) {
            *ret_words = 2;
            return verb;
        }
    }
    return NULL;
}

const char *verb_title(const struct verb *verb, char *buffer, size_t buffer_bytes)
{
    snprintf(buffer, buffer_bytes, "%s%s%.*s", verb->noun ? verb->noun : "", verb->noun ? " " : "",
             (int)strcspn(verb->name, "|"), verb->name);
    return buffer;
}
