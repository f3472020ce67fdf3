/* Offline inspection of log files. It needs no running node and no configuration, and it parses its own flags, so that it
 * works on files copied from anywhere. */
#include "log_command.h"

#include "log_inspect.h"
#include "log_messages.h"
#include "log_replica.h"
#include "message.h"
#include "node_lock.h"

#include <segment_log/node_store.h>
#include <segment_log/segment_log.h>
#include <snapshot/snapshot.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESULT_OK = 0, RESULT_PROBLEMS = 1, RESULT_USAGE = 2, RESULT_NOT_FOUND = 3 };

#define SEARCH_DEPTH_MAX   3 /* data directory / groups / group */
#define BATCH_HEADER_BYTES 61u

static const char usage_text[] =
    "usage: raftmq log dump    [--records | --messages] [--json] PATH...\n"
    "       raftmq log verify  [--at INDEX] [--json] PATH...\n"
    "       raftmq log inspect [--json] PATH...\n"
    "\n"
    "Reads the files of a stopped node; writes nothing. PATH is a data directory, the directory\n"
    "of a group, or a file: a segment, a snapshot, votes or identity. What a node that runs is\n"
    "writing may look damaged.\n"
    "\n"
    "  dump       one line per entry: index, term, type, offset, count, bytes, time, chain, "
    "status\n"
    "             (of a single file what inspect shows, and the pairs of a snapshot)\n"
    "  verify     recompute every checksum and chain, and name files that are missing; one line "
    "per\n"
    "             group and per other file\n"
    "  inspect    what each file says of itself: header, marks, footer with index, terms and\n"
    "             configurations; replicas and votes; and what is wrong, with its place\n"
    "  --records  also show the batch header of DATA entries\n"
    "  --messages show the messages alone, a line of JSON each as  raftmq consume --json  does;\n"
    "             what is damaged is told on stderr. Entries at the end of a log may be there\n"
    "             that no majority ever had\n"
    "  --at INDEX also show the chain at this index: equal on two nodes means equal logs up to it\n"
    "  --json     machine readable (also -o json)\n"
    "\n"
    "  raftmq log verify raftmq-data --at 1000          compare with the same of another node\n"
    "  raftmq log dump raftmq-data/groups/00000000000000000001\n"
    "  raftmq log dump --messages raftmq-data/groups/00000000000000000001 > messages.ndjson\n"
    "  raftmq log inspect raftmq-data/votes\n"
    "\n"
    "exit status: 0 whole, 1 problems found, 2 usage, 3 no log there\n";

struct request {
    bool verify;
    bool inspect;
    bool json;
    bool records;
    bool messages;
    bool has_at;
    uint64_t at;
    const char *paths[64];
    int paths_count;
};

struct report {
    const struct request *request;
    const char *directory;
    bool first_group; /* nothing printed yet in the JSON array */
    int groups_count;
    int files_count; /* looked at one by one */
    bool first_file; /* nothing printed yet in the JSON array */
    int problems_count;
    bool missing; /* nothing stands below one of the paths */
    bool misused; /* a path is of a kind that is not asked for */

    /* of the group being walked */
    bool has_offset;
    uint64_t first_offset;
    bool chain_found;
    uint64_t chain_at;
    int group_problems;
    bool is_left_over; /* nothing that is wrong with it matters */
};

/* ---- arguments --------------------------------------------------------------------------------------- */

static bool parse_index(const char *text, uint64_t *ret_index)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    *ret_index = strtoull(text, &end, 10);
    return *end == 0;
}

static int refuse(const char *reason, const char *what)
{
    fprintf(stderr, "raftmq log: %s%s%s\n%s", reason, what[0] ? " " : "", what, usage_text);
    return RESULT_USAGE;
}

/* 0, or the exit status; -1: help was printed. */
static int parse(int argc, char **argv, struct request *request)
{
    const char *action = argc > 1 ? argv[1] : "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage_text, stdout);
            return -1;
        }
    }
    request->verify = strcmp(action, "verify") == 0;
    request->inspect = strcmp(action, "inspect") == 0;
    const bool is_dump = strcmp(action, "dump") == 0;
    if (!is_dump && !request->verify && !request->inspect) {
        return refuse("say dump, verify or inspect", "");
    }
    bool flags_ended = false;
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (flags_ended || word[0] != '-') {
            if (request->paths_count == (int)(sizeof request->paths / sizeof *request->paths)) {
                return refuse("too many paths", "");
            }
            request->paths[request->paths_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            flags_ended = true;
        } else if (strcmp(word, "--json") == 0) {
            request->json = true;
        } else if (strcmp(word, "-o") == 0 && i + 1 < argc && strcmp(argv[i + 1], "json") == 0) {
            request->json = true;
            i++;
        } else if (strcmp(word, "--records") == 0 && is_dump) {
            request->records = true;
        } else if (strcmp(word, "--messages") == 0 && is_dump) {
            request->messages = true;
        } else if ((strcmp(word, "--at") == 0 || strcmp(word, "--chain-at") == 0) &&
                   request->verify) {
            if (i + 1 == argc || !parse_index(argv[i + 1], &request->at)) {
                return refuse("--at needs an index", "");
            }
            request->has_at = true;
            i++;
        } else {
            return refuse("unknown flag", word);
        }
    }
    if (request->records && request->messages) {
        return refuse("--records and --messages exclude each other", "");
    }
    return request->paths_count > 0 ? 0 : refuse("name a directory or a file", "");
}

/* ---- output ------------------------------------------------------------------------------------------ */

static const char *plural(int count)
{
    return count == 1 ? "" : "s";
}

static uint64_t big(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

/* The fields of a Kafka record batch v2 behind the stamped ones. */
static void print_batch(const struct request *request, const struct segment_log_walk_item *item)
{
    if (!request->records || item->header->type != ENTRY_DATA) return;
    if (item->header->payload_bytes < BATCH_HEADER_BYTES) return;
    const uint8_t *batch = item->payload;
    const char *format =
        request->json ? ",\"batch\":{\"magic\":%u,\"attributes\":%u,\"base_timestamp\":%" PRId64
                        ",\"max_timestamp\":%" PRId64 ",\"producer_id\":%" PRId64
                        ",\"producer_epoch\":%d,\"base_sequence\":%d,\"records\":%d}"
                      : "    batch magic %u attributes %u timestamps %" PRId64 "..%" PRId64
                        " producer %" PRId64 " epoch %d sequence %d records %d\n";
    printf(format, (unsigned)batch[16], (unsigned)big(batch + 21, 2), (int64_t)big(batch + 27, 8),
           (int64_t)big(batch + 35, 8), (int64_t)big(batch + 43, 8),
           (int)(int16_t)big(batch + 51, 2), (int)(int32_t)big(batch + 53, 4),
           (int)(int32_t)big(batch + 57, 4));
}

static void print_entry(const struct report *report, const struct segment_log_walk_item *item)
{
    const struct entry_header *header = item->header;
    if (!report->request->json) {
        printf("%" PRIu64 " %" PRIu64 " %s %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRId64
               " %016" PRIx64 " ok\n",
               header->index, header->term, entry_type_name(header->type), header->base_offset,
               header->record_count, header->payload_bytes, header->timestamp_ms, header->chain);
        print_batch(report->request, item);
        return;
    }
    printf("{\"index\":%" PRIu64 ",\"term\":%" PRIu64 ",\"type\":\"%s\",\"offset\":%" PRIu64
           ",\"count\":%" PRIu32 ",\"bytes\":%" PRIu32 ",\"timestamp\":%" PRId64
           ",\"chain\":\"%016" PRIx64 "\",\"pos\":%" PRIu64,
           header->index, header->term, entry_type_name(header->type), header->base_offset,
           header->record_count, header->payload_bytes, header->timestamp_ms, header->chain,
           item->pos);
    print_batch(report->request, item);
    printf("}\n");
}

static void print_remark(const struct report *report, const struct segment_log_walk_item *item)
{
    if (!report->request->json) {
        printf("%s %s at %" PRIu64 ": %s\n", item->problem ? "problem" : "note", item->path,
               item->pos, item->text);
        return;
    }
    printf("{\"%s\":", item->problem ? "problem" : "note");
    log_print_json_text(item->text);
    printf(",\"path\":");
    log_print_json_text(item->path);
    printf(",\"pos\":%" PRIu64 "}\n", item->pos);
}

static void tell_remark(struct report *report, const struct segment_log_walk_item *item)
{
    const struct request *request = report->request;
    struct segment_log_walk_item remark = *item;
    if (report->is_left_over) remark.problem = false;
    if (remark.problem) report->group_problems++;
    /* So that stdout stays one document, or messages alone. */
    if (request->messages || ((request->verify || request->inspect) && request->json)) {
        fprintf(stderr, "%s %s at %" PRIu64 ": %s\n", remark.problem ? "problem" : "note",
                remark.path, remark.pos, remark.text);
    } else {
        print_remark(report, &remark);
    }
}

/* Of the group as a whole. */
static void tell_of_group(struct report *report, bool problem, const char *text)
{
    const struct segment_log_walk_item item = {
        .path = report->directory, .problem = problem, .of_log = true, .text = text};
    tell_remark(report, &item);
}

static void print_messages(struct report *report, const struct segment_log_walk_item *item)
{
    const char *reason = log_print_messages(item);
    if (!reason) return;
    char text[128];
    snprintf(text, sizeof text, "the messages of entry %" PRIu64 " cannot be read: %s",
             item->header->index, reason);
    const struct segment_log_walk_item remark = {
        .path = item->path, .pos = item->pos, .problem = true, .text = text};
    tell_remark(report, &remark);
}

static void note_item(void *data, const struct segment_log_walk_item *item)
{
    struct report *report = data;
    const struct request *request = report->request;
    if (!item->header) {
        /* What a file tells alone was said when it was inspected. */
        if (!request->inspect || item->of_log) tell_remark(report, item);
        return;
    }
    if (request->inspect) return;
    if (!report->has_offset) {
        report->has_offset = true;
        report->first_offset = item->header->base_offset;
    }
    if (request->has_at && item->header->index == request->at) {
        report->chain_found = true;
        report->chain_at = item->header->chain;
    }
    if (request->messages) {
        print_messages(report, item);
    } else if (!request->verify) {
        print_entry(report, item);
    }
}

static void print_group_text(const struct report *report,
                             const struct segment_log_walk_summary *summary)
{
    uint64_t first_offset = report->has_offset ? report->first_offset : summary->next_offset;
    printf("group %" PRIu64 " entries %" PRIu64 " offsets ", summary->group,
           summary->entries_count);
    if (summary->next_offset > first_offset) {
        printf("%" PRIu64 "..%" PRIu64, first_offset, summary->next_offset - 1);
    } else {
        printf("none");
    }
    printf(" last_index %" PRIu64 " term %" PRIu64 " chain %016" PRIx64 " mark_index %" PRIu64,
           summary->last_index, summary->last_term, summary->last_chain, summary->mark_index);
    if (report->request->has_at) {
        printf(" chain_at %" PRIu64 " ", report->request->at);
        if (report->chain_found) {
            printf("%016" PRIx64, report->chain_at);
        } else {
            printf("none");
        }
    }
    if (report->is_left_over) {
        printf(": left over\n");
    } else if (report->group_problems == 0) {
        printf(": ok\n");
    } else {
        printf(": %d problem%s\n", report->group_problems, plural(report->group_problems));
    }
}

static void print_group_json(struct report *report, const struct segment_log_walk_summary *summary)
{
    printf("%s{\"group\":%" PRIu64 ",\"path\":", report->first_group ? "" : ",", summary->group);
    report->first_group = false;
    log_print_json_text(report->directory);
    printf(",\"cluster\":\"");
    for (size_t i = 0; i < sizeof summary->cluster.bytes; i++) {
        printf("%02x", summary->cluster.bytes[i]);
    }
    printf("\",\"segments\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"records\":%" PRIu64
           ",\"first_index\":%" PRIu64 ",\"last_index\":%" PRIu64 ",\"last_term\":%" PRIu64
           ",\"chain\":\"%016" PRIx64 "\",\"next_offset\":%" PRIu64 ",\"mark_index\":%" PRIu64
           ",\"torn_bytes\":%" PRIu64 ",\"sealed\":%" PRIu64,
           summary->segments_count, summary->entries_count, summary->records_count,
           summary->first_index, summary->last_index, summary->last_term, summary->last_chain,
           summary->next_offset, summary->mark_index, summary->torn_bytes, summary->sealed_count);
    if (report->request->has_at) {
        printf(",\"chain_at\":");
        if (report->chain_found) {
            printf("\"%016" PRIx64 "\"", report->chain_at);
        } else {
            printf("null");
        }
    }
    printf(",\"left_over\":%s,\"problems\":%d}", report->is_left_over ? "true" : "false",
           report->group_problems);
}

/* ---- finding and walking ------------------------------------------------------------------------------ */

struct listing {
    char **names;
    size_t count;
    bool has_replica; /* some of its files, by their names */
    bool has_votes;
    bool out_of_memory;
};

static void note_name(void *data, const char *name)
{
    struct listing *listing = data;
    if (log_replica_is_segment(name) || log_replica_is_snapshot(name)) listing->has_replica = true;
    if (strcmp(name, "votes") == 0) listing->has_votes = true;
    char **names = realloc(listing->names, (listing->count + 1) * sizeof *names);
    char *copy = strdup(name);
    if (names) listing->names = names;
    if (!names || !copy) {
        free(copy);
        listing->out_of_memory = true;
        return;
    }
    listing->names[listing->count++] = copy;
}

/* A start does not open it without these, or finds less than was there. */
static void judge_replica(struct report *report, const struct log_replica *replica,
                          const struct segment_log_snapshots *snapshots,
                          enum segment_log_status status, const struct segment_log_problem *problem)
{
    const bool is_made = replica->state == LOG_REPLICA_MADE;
    if (status == SEGMENT_LOG_MISSING && is_made) {
        tell_of_group(report, true, "all segments are missing");
    } else if (status != SEGMENT_LOG_OK) {
        tell_of_group(report, true, problem->reason);
    }
    if (status == SEGMENT_LOG_OK && !snapshots) {
        tell_of_group(report, true, "the snapshots beside the log cannot be read");
    }
    if (snapshots && is_made && snapshots->bases_count + snapshots->damaged_count == 0) {
        tell_of_group(report, true, "there is no base");
    }
}

static void begin_group(struct report *report, const char *directory,
                        const struct log_replica *replica)
{
    const struct request *request = report->request;
    const bool is_text_dump =
        !request->verify && !request->inspect && !request->json && !request->messages;
    report->directory = directory;
    report->has_offset = false;
    report->chain_found = false;
    report->group_problems = 0;
    report->is_left_over = replica->state == LOG_REPLICA_LEFT_OVER;
    if (is_text_dump) printf("# %s\n", directory);
    if (request->messages) fprintf(stderr, "# %s\n", directory); /* also of what is set aside */
    if (is_text_dump && isatty(STDOUT_FILENO)) {
        puts("index term type offset count bytes time_ms chain status");
    }
    if (report->is_left_over) {
        tell_of_group(report, false,
                      "left over: the votes do not know it as made; removed at the next start");
    }
}

static void walk_group(struct report *report, const char *directory,
                       const struct log_replica *replica)
{
    const struct request *request = report->request;
    begin_group(report, directory, replica);
    struct segment_log_snapshots found;
    const struct segment_log_snapshots *snapshots = NULL;
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem = {0};
    if (snapshot_survey(disk_posix(), directory, &found, &problem) == SNAPSHOT_OK) {
        snapshots = &found;
    }
    enum segment_log_status status =
        segment_log_walk(disk_posix(), directory, snapshots, note_item, report, &summary, &problem);
    judge_replica(report, replica, snapshots, status, &problem);
    if (status == SEGMENT_LOG_MISSING && replica->has_group) summary.group = replica->group;
    /* The base of the log has a chain as well: a node without entries still tells that it starts alike. */
    if (request->has_at && summary.first_index == request->at + 1 && summary.entries_count == 0) {
        report->chain_found = true;
        report->chain_at = summary.last_chain;
    }
    if (request->verify && request->json) print_group_json(report, &summary);
    if (request->verify && !request->json) print_group_text(report, &summary);
    /* Without entries dump shows the other files. */
    const bool is_shown = status != SEGMENT_LOG_MISSING || request->verify || request->inspect;
    if (is_shown) report->groups_count++;
    report->problems_count += report->group_problems;
}

static void walk_missing(void *data, const char *directory, const struct log_replica *replica)
{
    walk_group(data, directory, replica);
}

static void inspect_file(struct report *report, const char *path, enum log_file_kind kind)
{
    const struct request *request = report->request;
    if (request->messages) {
        fprintf(stderr,
                "raftmq log: %s: --messages takes the directory of a group or of a node, not a "
                "file\n",
                path);
        report->files_count++;
        report->misused = true;
        return;
    }
    enum log_inspect_output output = request->json ? LOG_INSPECT_JSON : LOG_INSPECT_TABLE;
    if (request->verify) {
        output = request->json ? LOG_INSPECT_VERDICT_JSON : LOG_INSPECT_VERDICT;
    }
    const bool is_dump = !request->verify && !request->inspect;
    if (request->json && !is_dump && !report->first_file) putchar(',');
    report->first_file = false;
    report->files_count++;
    uint64_t problems = log_inspect_file(path, kind, output, /* with_pairs= */ !request->inspect);
    if (request->json && is_dump) putchar('\n');
    report->problems_count += problems > 1000000 ? 1000000 : (int)problems;
}

/* What is looked for in directories: the groups' logs as a whole, or the other files one by one. */
enum search_for { SEARCH_LOGS, SEARCH_FILES };

static bool is_wanted_file(const struct request *request, enum log_file_kind kind)
{
    if (kind == LOG_FILE_NONE) return false;
    return request->inspect || kind != LOG_FILE_SEGMENT; /* segments were read as a log */
}

static void search_directory(struct report *report, const char *directory, int depth,
                             enum search_for what);

static void search_entry(struct report *report, const char *path, int depth, enum search_for what)
{
    /* By its name alone: within a directory nothing else is ours. */
    static const char *const suffixes[] = {".segment", ".snap", ".snap.copy", "/identity",
                                           "/votes"};
    bool is_ours = false;
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t bytes = strlen(suffixes[i]);
        if (length > bytes && strcmp(path + length - bytes, suffixes[i]) == 0) is_ours = true;
    }
    if (!is_ours) {
        search_directory(report, path, depth + 1, what);
    } else if (what == SEARCH_FILES) {
        enum log_file_kind kind = log_file_kind(path);
        if (is_wanted_file(report->request, kind)) inspect_file(report, path, kind);
    }
}

/* In a data directory: what the node no longer uses, and has in its replicas as well. */
static bool is_set_aside(const char *name)
{
    return strcmp(name, "lost") == 0 || node_directory_is_aside_name(name);
}

static void tell_set_aside(const char *directory, const char *name)
{
    fprintf(stderr, "raftmq log: %s/%s was set aside by the node: name it to have it looked at\n",
            directory, name);
}

static void search_directory(struct report *report, const char *directory, int depth,
                             enum search_for what)
{
    struct listing listing = {0};
    int error = disk_list(disk_posix(), directory, note_name, &listing);
    if (!error && listing.out_of_memory) {
        fprintf(stderr, "problem %s: out of memory\n", directory);
        report->problems_count++;
    } else if (!error) {
        if (what == SEARCH_LOGS && listing.has_replica) {
            const struct log_replica replica = log_replica_of(directory);
            walk_group(report, directory, &replica);
        }
        if (what == SEARCH_LOGS && listing.has_votes) {
            log_replica_each_missing(directory, walk_missing, report);
        }
        for (size_t i = 0; depth < SEARCH_DEPTH_MAX && i < listing.count; i++) {
            if (is_set_aside(listing.names[i])) {
                if (what == SEARCH_LOGS) tell_set_aside(directory, listing.names[i]);
                continue;
            }
            char path[DISK_PATH_MAX];
            int length = snprintf(path, sizeof path, "%s/%s", directory, listing.names[i]);
            if (length > 0 && (size_t)length < sizeof path) search_entry(report, path, depth, what);
        }
    }
    for (size_t i = 0; i < listing.count; i++) {
        free(listing.names[i]);
    }
    free(listing.names);
}

/* A path that was named: a file of any kind, or a directory. False: neither, which was said when it was looked at for logs. */
static bool search(struct report *report, const char *path, enum search_for what)
{
    struct listing listing = {0};
    int error = disk_list(disk_posix(), path, note_name, &listing);
    for (size_t i = 0; i < listing.count; i++) {
        free(listing.names[i]);
    }
    free(listing.names);
    if (!error) {
        search_directory(report, path, 0, what);
        return true;
    }
    enum log_file_kind kind = error == -ENOTDIR ? log_file_kind(path) : LOG_FILE_NONE;
    if (kind == LOG_FILE_NONE) {
        if (what == SEARCH_LOGS || report->request->inspect) {
            report->missing = true;
            fprintf(stderr, "raftmq log: %s: %s\n", path,
                    error == -ENOTDIR ? "neither by its name nor by its bytes a file of raftmq"
                                      : strerror(-error));
        }
        return false;
    }
    if (what == SEARCH_FILES) inspect_file(report, path, kind);
    return true;
}

/* Groups and files that were found below each path are counted, so that one without any is named. True: there are some, or
 * what is wrong with the path was said. */
static bool search_path(struct report *report, const char *path)
{
    const struct request *request = report->request;
    int before = report->groups_count + report->files_count;
    if (request->inspect) {
        if (!search(report, path, SEARCH_FILES)) return true;
        (void)search(report, path, SEARCH_LOGS);
    } else {
        if (!search(report, path, SEARCH_LOGS)) return true;
        bool is_file = report->groups_count + report->files_count == before;
        /* dump shows the entries of a directory, and all there is of a file. */
        if (is_file && !request->verify) (void)search(report, path, SEARCH_FILES);
    }
    return report->groups_count + report->files_count > before;
}

/* Each directory once. */
static void warn_of_nodes(const struct request *request)
{
    char last[PATH_MAX] = "";
    for (int i = 0; i < request->paths_count; i++) {
        char directory[PATH_MAX];
        if (!node_lock_is_held(request->paths[i], directory, sizeof directory)) continue;
        if (strcmp(directory, last) == 0) continue;
        memcpy(last, directory, sizeof last);
        fprintf(stderr,
                "raftmq log: a node runs on %s: what it is writing now may look damaged; look at a "
                "stopped node, or have it looked at by  raftmq log scrub\n",
                directory);
    }
}

/* The last line that verify prints for people; of one whole log or file its own line says it all. */
static void print_verdict(const struct report *report)
{
    const int looked_at = report->groups_count + report->files_count;
    const int problems = report->problems_count;
    if (problems == 0 && looked_at < 2) return;
    printf("%d log%s and %d other file%s: ", report->groups_count, plural(report->groups_count),
           report->files_count, plural(report->files_count));
    if (problems == 0) {
        puts("whole");
        return;
    }
    printf("%d problem%s. A node that is started mends what its peers still have; "
           "raftmq log scrub --wait  tells what is left then\n",
           problems, plural(problems));
}

int log_command_main(int argc, char **argv)
{
    struct request request = {0};
    int result = parse(argc, argv, &request);
    if (result != 0) return result < 0 ? RESULT_OK : result;
    struct report report = {.request = &request, .first_group = true, .first_file = true};
    warn_of_nodes(&request);
    bool is_found[sizeof request.paths / sizeof *request.paths];
    if (request.verify && request.json) printf("{\"groups\":[");
    if (request.inspect && request.json) printf("{\"files\":[");
    for (int i = 0; i < request.paths_count; i++) {
        const bool is_text = request.verify && !request.json;
        if (is_text && request.paths_count > 1) printf("# %s\n", request.paths[i]);
        is_found[i] = search_path(&report, request.paths[i]);
    }
    if (request.verify && request.json) printf("],\"files\":[");
    for (int i = 0; i < request.paths_count; i++) {
        int before = report.files_count;
        if (request.verify) (void)search(&report, request.paths[i], SEARCH_FILES);
        if (is_found[i] || report.files_count > before) continue;
        fprintf(stderr, "raftmq log: %s: nothing of raftmq is in this directory\n",
                request.paths[i]);
        report.missing = true;
    }
    if ((request.verify || request.inspect) && request.json) {
        printf("],\"problems\":%d}\n", report.problems_count);
    }
    if (request.verify && !request.json) print_verdict(&report);
    if (!message_output_flush()) return RESULT_PROBLEMS;
    if (report.misused) return RESULT_USAGE;
    if (report.problems_count > 0) return RESULT_PROBLEMS;
    return report.missing ? RESULT_NOT_FOUND : RESULT_OK;
}
