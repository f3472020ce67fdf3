#include "log_members.h"

#include <broker/raft_codec.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CONFIGURATION_BYTES_MAX 1024u

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *hex, uint8_t *bytes, size_t bytes_max, size_t *ret_count)
{
    const size_t digits = strlen(hex);
    if (digits == 0 || digits % 2 != 0 || digits / 2 > bytes_max) return false;
    for (size_t i = 0; i < digits; i += 2) {
        const int high = digit(hex[i]), low = digit(hex[i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_count = digits / 2;
    return true;
}

enum part { PART_VOTERS, PART_LEARNERS, PART_OLD };

static bool is_in(const struct raft_member *member, enum part part)
{
    switch (part) {
    case PART_VOTERS:
        return member->voter;
    case PART_LEARNERS:
        return !member->voter && !member->voter_old;
    case PART_OLD:
        return member->voter_old;
    }
    return false;
}

/* Nothing where nobody is in it. */
static void add_part(const struct raft_configuration *configuration, enum part part,
                     const char *title, char *buffer)
{
    bool is_first = true;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!is_in(member, part)) continue;
        const size_t used = strlen(buffer);
        snprintf(buffer + used, LOG_MEMBERS_BYTES - used, "%s%s n%" PRIu64,
                 is_first && used > 0 ? ", " : "", is_first ? title : "", member->id.node);
        is_first = false;
    }
}

bool log_members_text(const char *hex, char *buffer)
{
    uint8_t bytes[CONFIGURATION_BYTES_MAX];
    size_t count;
    struct raft_configuration configuration;
    if (!read_hex(hex, bytes, sizeof(bytes), &count)) return false;
    if (!raft_codec_decode_configuration(bytes, count, &configuration)) return false;
    buffer[0] = '\0';
    add_part(&configuration, PART_VOTERS, "voters", buffer);
    add_part(&configuration, PART_LEARNERS, "learners", buffer);
    if (configuration.joint) add_part(&configuration, PART_OLD, "joint old:", buffer);
    return true;
}
