/* Configurations and the founding as bytes (docs/FORMATS.md, "Configuration" and "Founding"). They are payloads of CONFIG
 * entries, parts of snapshot headers and bodies of FOUNDING frames. */
#include <broker/raft_codec.h>

#include <broker/wire_cursor.h>

#include <assert.h>

#define CONFIGURATION_VERSION 1u
#define FOUNDING_VERSION      1u

#define MEMBER_VOTER         0x01u
#define MEMBER_VOTER_OLD     0x02u
#define MEMBER_LEARNER_AFTER 0x04u
#define MEMBER_FLAGS         (MEMBER_VOTER | MEMBER_VOTER_OLD | MEMBER_LEARNER_AFTER)

/* ---- configuration ------------------------------------------------------------------------------------------- */

static bool is_same_id(struct raft_replica_id a, struct raft_replica_id b)
{
    return a.node == b.node && a.epoch == b.epoch;
}

/* What no replica may ever adopt, however it came about: nobody who votes in a half, somebody who counts twice, an old
 * half outside of a joint phase, or a learner to be who is none of those that leave. */
static bool is_sane_configuration(const struct raft_configuration *configuration)
{
    bool has_voter = false;
    bool has_voter_old = false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == 0) return false;
        if (member->voter_old && !configuration->joint) return false;
        if (member->learner_after && (member->voter || !member->voter_old)) return false;
        has_voter = has_voter || member->voter;
        has_voter_old = has_voter_old || member->voter_old;
        for (uint32_t k = 0; k < i; k++) {
            if (is_same_id(configuration->members[k].id, member->id)) return false;
        }
    }
    return has_voter && has_voter_old == configuration->joint;
}

size_t raft_codec_encode_configuration(const struct raft_configuration *configuration,
                                       uint8_t *buffer, size_t bytes)
{
    assert(configuration->members_count <= RAFT_MEMBERS_MAX);
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, CONFIGURATION_VERSION);
    wire_put_u8(&writer, configuration->joint);
    wire_put_u16(&writer, (uint16_t)configuration->members_count);
    wire_put_zeros(&writer, 4);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        wire_put_u64(&writer, member->id.node);
        wire_put_u64(&writer, member->id.epoch);
        wire_put_u8(&writer, (uint8_t)((member->voter ? MEMBER_VOTER : 0u) |
                                       (member->voter_old ? MEMBER_VOTER_OLD : 0u) |
                                       (member->learner_after ? MEMBER_LEARNER_AFTER : 0u)));
        wire_put_zeros(&writer, 7);
    }
    return writer.bytes;
}

bool raft_codec_decode_configuration(const uint8_t *body, size_t bytes,
                                     struct raft_configuration *ret_configuration)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct raft_configuration configuration;
    memset(&configuration, 0, sizeof(configuration));
    if (wire_get_u8(&reader) != CONFIGURATION_VERSION) return false;
    configuration.joint = wire_get_bool(&reader);
    configuration.members_count = wire_get_u16(&reader);
    wire_get_zeros(&reader, 4);
    if (configuration.members_count > RAFT_MEMBERS_MAX) return false;
    for (uint32_t i = 0; i < configuration.members_count; i++) {
        struct raft_member *member = &configuration.members[i];
        member->id.node = wire_get_u64(&reader);
        member->id.epoch = wire_get_u64(&reader);
        uint8_t flags = wire_get_u8(&reader);
        if ((flags & ~MEMBER_FLAGS) != 0) return false;
        member->voter = (flags & MEMBER_VOTER) != 0;
        member->voter_old = (flags & MEMBER_VOTER_OLD) != 0;
        member->learner_after = (flags & MEMBER_LEARNER_AFTER) != 0;
        wire_get_zeros(&reader, 7);
    }
    if (!wire_is_complete(&reader) || !is_sane_configuration(&configuration)) return false;
    *ret_configuration = configuration;
    return true;
}

/* ---- founding ------------------------------------------------------------------------------------------------- */

/* A founding is made once and for ever (PROTOCOL M6), so what is wrong with it must show before it is durable. */
static bool is_sane_founding(const struct founding *founding)
{
    static const uint8_t no_cluster[sizeof(founding->cluster)];
    if (memcmp(founding->cluster, no_cluster, sizeof(no_cluster)) == 0) return false;
    bool has_founder = false;
    uint64_t previous_id = 0;
    for (uint32_t i = 0; i < founding->nodes_count; i++) {
        if (founding->nodes[i].node_id <= previous_id) return false;
        previous_id = founding->nodes[i].node_id;
        has_founder = has_founder || previous_id == founding->founder;
    }
    return has_founder;
}

size_t founding_encode(const struct founding *founding, uint8_t *buffer, size_t bytes)
{
    assert(founding->nodes_count <= FOUNDING_NODES_MAX);
    assert(is_sane_founding(founding));
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, FOUNDING_VERSION);
    wire_put_u8(&writer, (uint8_t)founding->nodes_count);
    wire_put_zeros(&writer, 6);
    wire_put(&writer, founding->cluster, sizeof(founding->cluster));
    wire_put_u64(&writer, founding->founder);
    for (uint32_t i = 0; i < founding->nodes_count; i++) {
        wire_put_u64(&writer, founding->nodes[i].node_id);
        wire_put_u64(&writer, founding->nodes[i].incarnation);
    }
    return writer.bytes;
}

bool founding_decode(const uint8_t *body, size_t bytes, struct founding *ret_founding)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct founding founding;
    memset(&founding, 0, sizeof(founding));
    if (wire_get_u8(&reader) != FOUNDING_VERSION) return false;
    founding.nodes_count = wire_get_u8(&reader);
    wire_get_zeros(&reader, 6);
    if (founding.nodes_count > FOUNDING_NODES_MAX) return false;
    const uint8_t *cluster = wire_get(&reader, sizeof(founding.cluster));
    if (cluster) memcpy(founding.cluster, cluster, sizeof(founding.cluster));
    founding.founder = wire_get_u64(&reader);
    for (uint32_t i = 0; i < founding.nodes_count; i++) {
        founding.nodes[i].node_id = wire_get_u64(&reader);
        founding.nodes[i].incarnation = wire_get_u64(&reader);
    }
    if (!wire_is_complete(&reader) || !is_sane_founding(&founding)) return false;
    *ret_founding = founding;
    return true;
}
