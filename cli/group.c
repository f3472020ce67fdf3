/* `raftmq group list|describe|set|seek`
 *
 * Offsets of a group live in the log of each partition, so a list of groups is put together from all partitions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "group_offset.h"
#include "message.h"
#include "quantity.h"
#include "table.h"
#include "topic_info.h"
#include "verbs.h"

#define GROUP_NAME_BYTES 129u /* with its end */

/* Calls visit for every partition of every topic (of one, when `only` is not NULL). Anything but OK was printed. */
typedef enum exit_code (*partition_visit)(void *data, struct client *client, const char *topic,
                                          const json_t *partition);

static enum exit_code visit_topic(struct client *client, const char *topic, bool may_be_missing,
                                  partition_visit visit, void *data)
{
    struct reply reply;
    char path[256];
    snprintf(path, sizeof(path), "/v1/topics/%s", topic);
    enum exit_code code = client_get(client, path, &reply);
    if (code == EXIT_CODE_NOT_FOUND && may_be_missing) { /* deleted since it was listed */
        code = EXIT_CODE_OK;
    } else if (code != EXIT_CODE_OK) {
        client_explain(client, &reply, topic);
    } else {
        size_t i;
        json_t *partition;
        json_array_foreach(reply_partitions(reply.json), i, partition)
        {
            code = visit(data, client, topic, partition);
            if (code != EXIT_CODE_OK) break;
        }
    }
    reply_close(&reply);
    return code;
}

static enum exit_code visit_partitions(struct client *client, const char *only,
                                       partition_visit visit, void *data)
{
    struct reply reply;
    if (only) return visit_topic(client, only, false, visit, data);
    enum exit_code code = client_get(client, "/v1/topics", &reply);
    if (code != EXIT_CODE_OK) client_explain(client, &reply, NULL);
    size_t i;
    json_t *topic;
    json_array_foreach(json_object_get(reply.json, "topics"), i, topic)
    {
        if (code != EXIT_CODE_OK) break;
        code = visit_topic(client, reply_text(topic, "name", ""), true, visit, data);
    }
    reply_close(&reply);
    return code;
}

/* ---- list ------------------------------------------------------------------------------------------------------ */

/* {"billing": {"group": "billing", "partitions": 3, "lag": 42}, ...} */
static void count_group(json_t *groups, const char *name, uint64_t lag)
{
    json_t *group = json_object_get(groups, name);
    if (!group) {
        group = json_pack("{s:s, s:i, s:i}", "group", name, "partitions", 0, "lag", 0);
        json_object_set_new(groups, name, group);
    }
    uint64_t partitions = reply_number(group, "partitions", 0) + 1;
    json_object_set_new(group, "partitions", json_integer((json_int_t)partitions));
    json_object_set_new(group, "lag",
                        json_integer((json_int_t)(reply_number(group, "lag", 0) + lag)));
}

/* Count the groups of one page, which are all behind `after` by name. *ret_last, borrowed from the page, is where the next
 * one begins, NULL behind the last page. */
static bool count_page(json_t *groups, const json_t *page, const char *after, uint64_t next,
                       const char **ret_last)
{
    size_t i;
    json_t *group;
    const char *last = after;
    json_array_foreach(page, i, group)
    {
        const char *name = reply_text(group, "group", "");
        uint64_t offset = reply_number(group, "offset", 0);
        /* A page that does not lead on would be asked for again and again. */
        if (strcmp(name, last) <= 0 || strlen(name) >= GROUP_NAME_BYTES) return false;
        count_group(groups, name, next > offset ? next - offset : 0);
        last = name;
    }
    *ret_last = last == after ? NULL : last;
    return true;
}

/* A node answers with so many groups at once as it likes: there may be a million. The last page is the empty one. */
static enum exit_code list_partition(void *data, struct client *client, const char *topic,
                                     const json_t *partition)
{
    uint64_t first, next, number = reply_number(partition, "partition", 0);
    char after[GROUP_NAME_BYTES] = "";
    enum exit_code code = topic_partition_offsets(client, topic, partition, &first, &next);
    for (bool more = true; more && code == EXIT_CODE_OK;) {
        struct reply reply;
        char path[512];
        const char *last = NULL;
        snprintf(path, sizeof(path), "/v1/groups?topic=%s&partition=%" PRIu64 "%s%s", topic, number,
                 after[0] ? "&after=" : "", after);
        code = client_get(client, path, &reply);
        if (code != EXIT_CODE_OK) {
            client_explain(client, &reply, topic);
        } else if (!count_page(data, json_object_get(reply.json, "groups"), after, next, &last)) {
            message_error("%s/%" PRIu64 ": %s answers with groups that are not in order", topic,
                          number, reply.server);
            code = EXIT_CODE_FAILED;
        } else if (last) {
            memcpy(after, last, strlen(last) + 1);
        }
        more = last != NULL;
        reply_close(&reply);
    }
    return code;
}

int group_list_command(const struct options *options)
{
    static const struct table_column columns[] = {
        {"GROUP", "group", false}, {"PARTITIONS", "partitions", true}, {"LAG", "lag", true}};
    struct client client;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    json_t *groups = json_object();
    enum exit_code code = visit_partitions(&client, NULL, list_partition, groups);
    if (code == EXIT_CODE_OK) {
        struct table table;
        table_init(&table, columns, 3);
        const char *name;
        json_t *group;
        json_object_foreach(groups, name, group) {
            table_add_text(&table, name);
            table_add_number(&table, reply_number(group, "partitions", 0));
            table_add_number(&table, reply_number(group, "lag", 0));
        }
        table_print(&table, format, stdout);
        table_close(&table);
        if (format == TABLE_TEXT && json_object_size(groups) == 0) {
            message_hint("no groups yet;  raftmq consume TOPIC -g GROUP   makes one");
        }
    }
    json_decref(groups);
    client_close(&client);
    return (int)code;
}

/* ---- describe -------------------------------------------------------------------------------------------------- */

struct description {
    const char *group;
    json_t *offsets;
};

static enum exit_code describe_partition(void *data, struct client *client, const char *topic,
                                         const json_t *partition)
{
    struct description *description = data;
    uint64_t first, next, number = reply_number(partition, "partition", 0);
    struct group_offset offset;
    bool found;
    enum exit_code code =
        group_offset_read(client, description->group, topic, (uint32_t)number, &found, &offset);
    if (code != EXIT_CODE_OK || !found) return code;
    code = topic_partition_offsets(client, topic, partition, &first, &next);
    if (code != EXIT_CODE_OK) return code;
    /* What was trimmed in front of it cannot be read any more. */
    uint64_t from = offset.offset > first ? offset.offset : first;
    uint64_t lag = next > from ? next - from : 0;
    json_array_append_new(description->offsets,
                          json_pack("{s:s, s:I, s:I, s:I, s:I, s:b, s:I}", "topic", topic,
                                    "partition", (json_int_t)number, "committed",
                                    (json_int_t)offset.offset, "end", (json_int_t)next, "lag",
                                    (json_int_t)lag, "durable", (int)offset.durable, "expired",
                                    (json_int_t)offset.expired));
    return EXIT_CODE_OK;
}

static void print_description(const struct description *description, enum table_format format)
{
    static const struct table_column columns[] = {{"TOPIC", "topic", false},
                                                  {"PARTITION", "partition", true},
                                                  {"COMMITTED", "committed", true},
                                                  {"END", "end", true},
                                                  {"LAG", "lag", true},
                                                  {"EXPIRED", "expired", true},
                                                  {"DURABLE", "durable", false}};
    struct table table;
    table_init(&table, columns, 7);
    size_t i;
    json_t *offset;
    json_array_foreach(description->offsets, i, offset)
    {
        table_add_text(&table, reply_text(offset, "topic", "?"));
        table_add_number(&table, reply_number(offset, "partition", 0));
        table_add_number(&table, reply_number(offset, "committed", 0));
        table_add_number(&table, reply_number(offset, "end", 0));
        table_add_number(&table, reply_number(offset, "lag", 0));
        table_add_number(&table, reply_number(offset, "expired", 0));
        table_add_text(&table, json_is_true(json_object_get(offset, "durable")) ? "yes" : "no");
    }
    table_print(&table, format, stdout);
    table_close(&table);
}

int group_describe_command(const struct options *options)
{
    struct client client;
    struct description description = {.group = options->arguments[0]};
    if (!topic_name_check("group", description.group)) return EXIT_CODE_USAGE;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    description.offsets = json_array();
    enum exit_code code = visit_partitions(&client, NULL, describe_partition, &description);
    if (code == EXIT_CODE_OK && json_array_size(description.offsets) == 0) {
        message_error("group %s has committed nothing", description.group);
        message_hint("raftmq group list   shows all groups");
        code = EXIT_CODE_NOT_FOUND;
    } else if (code == EXIT_CODE_OK && format == TABLE_JSON) {
        json_t *whole =
            json_pack("{s:s, s:O}", "group", description.group, "offsets", description.offsets);
        json_dumpf(whole, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(whole);
    } else if (code == EXIT_CODE_OK) {
        print_description(&description, format);
    }
    json_decref(description.offsets);
    client_close(&client);
    return (int)code;
}

/* ---- set ------------------------------------------------------------------------------------------------------- */

struct group_set {
    const char *group;
    bool one;
    uint64_t partition;
    bool durable;
    uint32_t count;
};

/* A group that has committed nothing begins at the earliest message: from there on it wants them. */
static enum exit_code set_partition(void *data, struct client *client, const char *topic,
                                    const json_t *partition)
{
    struct group_set *set = data;
    uint64_t number = reply_number(partition, "partition", 0), first = 0, next = 0;
    struct group_offset offset = {.partition = (uint32_t)number};
    bool found;
    char problem[512];
    if (set->one && number != set->partition) return EXIT_CODE_OK;
    enum exit_code code =
        group_offset_read(client, set->group, topic, (uint32_t)number, &found, &offset);
    if (code == EXIT_CODE_OK && !found) {
        code = topic_partition_offsets(client, topic, partition, &first, &next);
        offset.offset = first;
    }
    if (code != EXIT_CODE_OK) return code;
    offset.tells_durable = true;
    offset.durable = set->durable;
    code = group_offset_commit(client, set->group, topic, &offset, problem, sizeof(problem));
    if (code != EXIT_CODE_OK) {
        message_error("%s/%" PRIu64 ": %s", topic, number, problem);
        return code;
    }
    set->count++;
    return EXIT_CODE_OK;
}

int group_set_command(const struct options *options)
{
    struct client client;
    struct group_set set = {.group = options->arguments[0],
                            .durable = options_on(options, "durable"),
                            .one = options_has(options, "partition"),
                            .partition = options_number(options, "partition")};
    const char *topic = options_text(options, "topic");
    if (!topic || !options_has(options, "durable")) {
        message_error("group set needs --topic TOPIC and --durable, or --durable=off");
        message_hint("raftmq group set %s --topic orders --durable", set.group);
        return EXIT_CODE_USAGE;
    }
    if (!topic_name_check("group", set.group) || !topic_name_check("topic", topic)) {
        return EXIT_CODE_USAGE;
    }
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    enum exit_code code = visit_partitions(&client, topic, set_partition, &set);
    if (code == EXIT_CODE_OK && set.count == 0) {
        message_error("%s has no partition %" PRIu64, topic, set.partition);
        code = EXIT_CODE_NOT_FOUND;
    } else if (code == EXIT_CODE_OK) {
        message_note("%s is %s for %" PRIu32 " partition%s of %s", set.group,
                     set.durable ? "durable" : "not durable", set.count, set.count == 1 ? "" : "s",
                     topic);
    }
    client_close(&client);
    return (int)code;
}

/* ---- seek ------------------------------------------------------------------------------------------------------ */

struct seek {
    const char *group;
    const char *to;
    bool execute, one;
    uint64_t partition;
    struct table table;
};

/* "@time" is answered by the server: a fetch from there names the offset it found. */
static enum exit_code find_time(struct client *client, const char *topic, uint64_t partition,
                                const char *to, uint64_t *ret_offset)
{
    struct reply reply;
    char path[320];
    int64_t ms = 0;
    if (!quantity_parse_time(to + 1, &ms)) return EXIT_CODE_USAGE;
    snprintf(path, sizeof(path),
             "/v1/topics/%s/messages?partition=%" PRIu64 "&offset=@%" PRId64 "&limit=1", topic,
             partition, ms);
    enum exit_code code = client_get(client, path, &reply);
    if (code != EXIT_CODE_OK) {
        client_explain(client, &reply, topic);
    } else {
        const json_t *first = json_array_get(json_object_get(reply.json, "messages"), 0);
        *ret_offset =
            first ? reply_number(first, "offset", 0) : reply_number(reply.json, "next_offset", 0);
    }
    reply_close(&reply);
    return code;
}

static enum exit_code resolve(const struct seek *seek, struct client *client, const char *topic,
                              const json_t *partition, uint64_t *ret_offset)
{
    uint64_t first, next;
    enum exit_code code = topic_partition_offsets(client, topic, partition, &first, &next);
    if (code != EXIT_CODE_OK) return code;
    const char *to = seek->to;
    if (strcmp(to, "earliest") == 0) {
        *ret_offset = first;
    } else if (strcmp(to, "latest") == 0) {
        *ret_offset = next;
    } else if (to[0] == '@') {
        return find_time(client, topic, reply_number(partition, "partition", 0), to, ret_offset);
    } else {
        uint64_t number = strtoull(to + (to[0] == '-'), NULL, 10);
        *ret_offset = to[0] != '-' ? number : number < next - first ? next - number : first;
        if (*ret_offset < first || *ret_offset > next) {
            message_error("offset %" PRIu64 " is outside of %s/%" PRIu64 ", which holds %" PRIu64
                          " to %" PRIu64,
                          *ret_offset, topic, reply_number(partition, "partition", 0), first, next);
            return EXIT_CODE_FAILED;
        }
    }
    return EXIT_CODE_OK;
}

static enum exit_code seek_partition(void *data, struct client *client, const char *topic,
                                     const json_t *partition)
{
    struct seek *seek = data;
    uint64_t number = reply_number(partition, "partition", 0), before = 0, after = 0;
    bool found;
    char problem[512];
    if (seek->one && number != seek->partition) return EXIT_CODE_OK;
    enum exit_code code =
        group_offset_get(client, seek->group, topic, (uint32_t)number, &found, &before);
    if (code == EXIT_CODE_OK) code = resolve(seek, client, topic, partition, &after);
    if (code != EXIT_CODE_OK) return code;
    struct group_offset offset = {.partition = (uint32_t)number, .offset = after};
    if (seek->execute) {
        code = group_offset_commit(client, seek->group, topic, &offset, problem, sizeof(problem));
        if (code != EXIT_CODE_OK) {
            message_error("%s/%" PRIu64 ": %s", topic, number, problem);
            return code;
        }
    }
    table_add_text(&seek->table, topic);
    table_add_number(&seek->table, number);
    if (found) {
        table_add_number(&seek->table, before);
    } else {
        table_add_none(&seek->table);
    }
    table_add_number(&seek->table, after);
    return EXIT_CODE_OK;
}

static bool seek_target_is_valid(const char *to)
{
    int64_t ms;
    if (!to) return false;
    size_t digits = strspn(to + (*to == '-'), "0123456789");
    bool number = digits > 0 && digits <= 18 && to[(*to == '-') + digits] == '\0';
    return number || strcmp(to, "earliest") == 0 || strcmp(to, "latest") == 0 ||
           (to[0] == '@' && quantity_parse_time(to + 1, &ms));
}

int group_seek_command(const struct options *options)
{
    static const struct table_column columns[] = {{"TOPIC", "topic", false},
                                                  {"PARTITION", "partition", true},
                                                  {"FROM", "from", true},
                                                  {"TO", "to", true}};
    struct client client;
    struct seek seek = {.group = options->arguments[0],
                        .to = options_text(options, "to"),
                        .execute = options_on(options, "execute"),
                        .one = options_has(options, "partition"),
                        .partition = options_number(options, "partition")};
    const char *topic = options_text(options, "topic");
    if (!topic || !seek_target_is_valid(seek.to)) {
        message_error("group seek needs --topic TOPIC and --to WHERE");
        message_hint("raftmq group seek %s --topic orders --to earliest", seek.group);
        message_hint("WHERE is earliest, latest, an offset, -N for the last N, or @time");
        return EXIT_CODE_USAGE;
    }
    if (!topic_name_check("group", seek.group) || !topic_name_check("topic", topic)) {
        return EXIT_CODE_USAGE;
    }
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    table_init(&seek.table, columns, 4);
    enum exit_code code = visit_partitions(&client, topic, seek_partition, &seek);
    if (code == EXIT_CODE_OK && seek.table.cells_count == 0) {
        message_error("%s has no partition %" PRIu64, topic, seek.partition);
        code = EXIT_CODE_NOT_FOUND;
    } else {
        table_print(&seek.table, table_format_of(options_text(options, "output"), stdout), stdout);
        if (code == EXIT_CODE_OK && !seek.execute) {
            message_note("nothing was changed; --execute does it");
        }
    }
    table_close(&seek.table);
    client_close(&client);
    return (int)code;
}
