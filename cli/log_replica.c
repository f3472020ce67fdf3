#include "log_replica.h"

#include <segment_log/node_store.h>

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *name, const char *suffix)
{
    const size_t length = strlen(name), bytes = strlen(suffix);
    return length > bytes && strcmp(name + length - bytes, suffix) == 0;
}

bool log_replica_is_segment(const char *name)
{
    return ends_with(name, ".segment");
}

bool log_replica_is_snapshot(const char *name)
{
    return ends_with(name, ".snap") || ends_with(name, ".snap.copy");
}

/* Cuts the last name off. NULL: there is none. */
static const char *cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash) return NULL;
    *slash = '\0';
    return slash + 1;
}

static bool parse_group(const char *name, uint64_t *ret_group)
{
    char *end;
    if (name[0] < '0' || name[0] > '9') return false;
    *ret_group = strtoull(name, &end, 10);
    return *end == '\0';
}

/* While lost votes are being made anew, a replica without a record may be any. */
static bool are_votes_whole(const char *data_directory)
{
    struct node_identity identity;
    return node_identity_peek(disk_posix(), data_directory, &identity) && !identity.votes_lost;
}

struct record_search {
    uint64_t group;
    bool is_made;
};

static void match_record(void *data, const struct node_record *record)
{
    struct record_search *search = data;
    if (record->group == search->group && record->state == NODE_REPLICA_MADE) {
        search->is_made = true;
    }
}

struct log_replica log_replica_of(const char *directory)
{
    struct log_replica replica = {.state = LOG_REPLICA_UNKNOWN};
    char at[PATH_MAX];
    if (!realpath(directory, at)) return replica;
    const char *name = cut_name(at);
    replica.has_group = name && parse_group(name, &replica.group);
    const char *parent = replica.has_group ? cut_name(at) : NULL;
    if (!parent || strcmp(parent, "groups") != 0 || !are_votes_whole(at)) return replica;
    struct record_search search = {.group = replica.group};
    if (!node_store_peek(disk_posix(), at, match_record, &search)) return replica;
    replica.state = search.is_made ? LOG_REPLICA_MADE : LOG_REPLICA_LEFT_OVER;
    return replica;
}

struct made_groups {
    uint64_t groups[NODE_STORE_GROUPS_MAX];
    uint32_t count;
};

static void note_made(void *data, const struct node_record *record)
{
    struct made_groups *made = data;
    if (record->state != NODE_REPLICA_MADE || made->count == NODE_STORE_GROUPS_MAX) return;
    made->groups[made->count++] = record->group;
}

static void note_file(void *data, const char *name)
{
    if (log_replica_is_segment(name) || log_replica_is_snapshot(name)) *(bool *)data = true;
}

void log_replica_each_missing(const char *data_directory, log_replica_cb cb, void *data)
{
    struct made_groups *made = calloc(1, sizeof(*made));
    if (!made) abort();
    if (!node_store_peek(disk_posix(), data_directory, note_made, made)) made->count = 0;
    for (uint32_t i = 0; i < made->count; i++) {
        char directory[DISK_PATH_MAX];
        const int bytes = snprintf(directory, sizeof(directory), "%s/groups/%020" PRIu64,
                                   data_directory, made->groups[i]);
        bool has_files = false;
        if (bytes < 0 || (size_t)bytes >= sizeof(directory)) continue;
        (void)disk_list(disk_posix(), directory, note_file, &has_files);
        const struct log_replica replica = {
            .state = LOG_REPLICA_MADE, .has_group = true, .group = made->groups[i]};
        if (!has_files) cb(data, directory, &replica);
    }
    free(made);
}
