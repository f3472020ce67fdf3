#include "change_watch.h"

#include <assert.h>
#include <inttypes.h>
#include <segment_log/checksum.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "message.h"
#include "quantity.h"

#define POLL_US  100000u
#define PLAIN_US 1000000u /* between two lines where nothing can be overwritten */
#define LEARN_US 5000000u /* the nodes change, that is what this is about */

/* ---- one change ----------------------------------------------------------------------------------------------- */

const char *change_name(const json_t *change, char *buffer, size_t buffer_bytes)
{
    const char *topic = reply_text(change, "topic", NULL);
    if (topic) {
        snprintf(buffer, buffer_bytes, "%s/%" PRIu64, topic, reply_number(change, "partition", 0));
    } else {
        snprintf(buffer, buffer_bytes, "meta");
    }
    return buffer;
}

static void describe_member(const json_t *change, const json_t *member, char *buffer, size_t bytes)
{
    char node[REPLY_NODE_BYTES], match_text[QUANTITY_TEXT_BYTES], last_text[QUANTITY_TEXT_BYTES];
    const uint64_t last = reply_number(change, "last_index", 0);
    const uint64_t match = reply_number(member, "match", UINT64_MAX);
    reply_node(member, "node", node);
    if (strcmp(reply_text(member, "role", ""), "absent") == 0) {
        snprintf(buffer, bytes, "%s is not in it yet", node);
    } else if (match == UINT64_MAX) {
        snprintf(buffer, bytes, "%s has not answered", node);
    } else {
        snprintf(buffer, bytes, "%s has %s of %s entries", node, quantity_count(match_text, match),
                 quantity_count(last_text, last));
    }
}

const char *change_progress(const json_t *change, char *buffer, size_t buffer_bytes)
{
    const uint64_t last = reply_number(change, "last_index", UINT64_MAX);
    size_t i, used = 0;
    json_t *member;
    buffer[0] = '\0';
    json_array_foreach(json_object_get(change, "members"), i, member)
    {
        const bool is_voter = strcmp(reply_text(member, "role", ""), "voter") == 0;
        if (is_voter || !json_is_true(json_object_get(member, "wished"))) continue;
        /* Who has everything is not waited for. */
        if (last <= reply_number(member, "match", 0)) continue;
        char text[128];
        describe_member(change, member, text, sizeof(text));
        int length =
            snprintf(buffer + used, buffer_bytes - used, "%s%s", used > 0 ? ", " : "", text);
        if (length < 0 || (size_t)length >= buffer_bytes - used) break;
        used += (size_t)length;
    }
    return buffer;
}

bool change_concerns(const json_t *change, const struct change_filter *filter)
{
    char name[320];
    size_t i;
    json_t *member;
    if (filter->name) return strcmp(change_name(change, name, sizeof(name)), filter->name) == 0;
    if (!reply_text(change, "topic", NULL) &&
        strcmp(reply_text(change, "state", ""), "recording") == 0) {
        return true;
    }
    json_array_foreach(json_object_get(change, "members"), i, member)
    {
        const uint64_t node = reply_number(member, "node", 0);
        const bool stays = strcmp(reply_text(member, "role", ""), "voter") == 0 &&
                           json_is_true(json_object_get(member, "wished"));
        if (node == filter->node || (node == filter->newcomer && !stays)) return true;
    }
    return false;
}

/* What is blocked is what a person can do something about, so it is told first; else the first that moves. */
uint32_t change_summary(const json_t *changes, const struct change_filter *filter, char *buffer,
                        size_t buffer_bytes)
{
    uint32_t left = 0;
    const json_t *told = NULL;
    size_t i;
    json_t *change;
    buffer[0] = '\0';
    json_array_foreach(changes, i, change)
    {
        if (!change_concerns(change, filter)) continue;
        left++;
        const bool is_blocked = reply_text(change, "blocked", "")[0] != '\0';
        if (!told || (is_blocked && !reply_text(told, "blocked", "")[0])) told = change;
    }
    if (!told) return 0;
    char name[320], progress[256];
    const char *blocked = reply_text(told, "blocked", "");
    change_progress(told, progress, sizeof(progress));
    snprintf(buffer, buffer_bytes, "%" PRIu32 " group%s left; %s: %s%s%s%s%s", left,
             left == 1 ? "" : "s", change_name(told, name, sizeof(name)),
             reply_text(told, "state", "unknown"), progress[0] ? ", " : "", progress,
             blocked[0] ? "; " : "", blocked);
    return left;
}

static uint64_t mark_text(uint64_t mark, const char *text)
{
    return checksum64_seeded(text, strlen(text), mark);
}

static uint64_t mark_member(uint64_t mark, const json_t *member)
{
    const char *role = reply_text(member, "role", "");
    const bool comes = strcmp(role, "voter") != 0;
    const uint64_t numbers[2] = {reply_number(member, "node", 0),
                                 comes ? reply_number(member, "match", 0) : 0};
    return mark_text(checksum64_seeded(numbers, sizeof(numbers), mark), role);
}

uint64_t change_mark(const json_t *changes, const struct change_filter *filter)
{
    uint64_t mark = 0;
    size_t i, j;
    json_t *change, *member;
    json_array_foreach(changes, i, change)
    {
        char name[320];
        if (!change_concerns(change, filter)) continue;
        mark = mark_text(mark, change_name(change, name, sizeof(name)));
        mark = mark_text(mark, reply_text(change, "state", ""));
        json_array_foreach(json_object_get(change, "members"), j, member)
        {
            mark = mark_member(mark, member);
        }
    }
    return mark;
}

/* ---- watching -------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

struct progress {
    char told[CHANGE_TEXT_BYTES];
    uint64_t told_us;
    uint64_t mark, moved_us;
};

static void show(struct progress *progress, const char *text, uint64_t now_us)
{
    if (message_progress_is_shown()) {
        message_progress("%s", text);
        return;
    }
    if (strcmp(text, progress->told) == 0) return;
    if (progress->told[0] && now_us - progress->told_us < PLAIN_US) return;
    message_note("%s", text);
    snprintf(progress->told, sizeof(progress->told), "%s", text);
    progress->told_us = now_us;
}

static void follow(struct progress *progress, uint64_t mark, uint64_t now_us)
{
    if (progress->moved_us > 0 && mark == progress->mark) return;
    progress->mark = mark;
    progress->moved_us = now_us;
}

/* True when it is over, with the code in *ret_code. */
static bool look(struct change_watch *watch, struct progress *progress, enum exit_code *ret_code)
{
    struct reply reply;
    char text[CHANGE_TEXT_BYTES];
    *ret_code = client_get(watch->client, "/v1/cluster/changes", &reply);
    const json_t *changes = json_object_get(reply.json, "changes");
    bool over = true;
    if (*ret_code != EXIT_CODE_OK) {
        if (!interrupted) client_explain(watch->client, &reply, NULL);
    } else if (change_summary(changes, &watch->filter, text, sizeof(text)) > 0) {
        const uint64_t now_us = clock_monotonic_us();
        show(progress, text, now_us);
        follow(progress, change_mark(changes, &watch->filter), now_us);
        over = false;
    }
    reply_close(&reply);
    return over;
}

static enum exit_code watch_on(struct change_watch *watch)
{
    struct progress progress = {0};
    const uint64_t began_us = clock_monotonic_us();
    uint64_t learned_us = 0;
    for (;;) {
        enum exit_code code;
        const uint64_t now_us = clock_monotonic_us();
        watch->took_us = now_us - began_us;
        if (now_us - learned_us > LEARN_US) {
            client_learn_servers(watch->client, NULL);
            learned_us = now_us;
        }
        const bool over = look(watch, &progress, &code);
        if (interrupted) return EXIT_CODE_INTERRUPTED;
        if (over) return code;
        if (watch->limit_us > 0 && watch->took_us >= watch->limit_us) return EXIT_CODE_FAILED;
        watch->stood_still = watch->standstill_us > 0 &&
                             clock_monotonic_us() - progress.moved_us >= watch->standstill_us;
        if (watch->stood_still) return EXIT_CODE_FAILED;
        clock_sleep_us(POLL_US);
    }
}

enum exit_code change_watch(struct change_watch *watch)
{
    assert(watch->filter.name || watch->filter.node > 0 || watch->filter.newcomer > 0);
    struct sigaction before, during = {.sa_handler = on_interrupt};
    interrupted = 0;
    sigaction(SIGINT, &during, &before);
    enum exit_code code = watch_on(watch);
    sigaction(SIGINT, &before, NULL);
    message_progress_end();
    return code;
}
