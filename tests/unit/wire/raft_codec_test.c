/* Raft messages, configurations and the founding as bytes: golden layouts, everything comes back, nothing else gets in. */
#include <broker/raft_codec.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* docs/FORMATS.md, "Raft messages", written out by hand. */
Test(raft_codec, an_append_has_the_documented_bytes)
{
    struct raft_message message = {
        .type = RAFT_MESSAGE_APPEND,
        .group = 99,
        .from = {.node = 1, .epoch = 5},
        .to = {.node = 2, .epoch = 6},
        .term = 0x0102,
        .append = {.previous_index = 0x10,
                   .previous_term = 0x11,
                   .previous_chain = 0x1213141516171819,
                   .first = 0x11,
                   .last = 0x20,
                   .commit_index = 0x0f},
    };
    static const uint8_t golden[96] = {
        1,    5,    0,    0,    0,    0,    0,    0, /* version, type, refusal, transfer, zero */
        1,    0,    0,    0,    0,    0,    0,    0,    5,    0, 0, 0, 0, 0, 0, 0, /* from */
        2,    0,    0,    0,    0,    0,    0,    0,    6,    0, 0, 0, 0, 0, 0, 0, /* to */
        0x02, 0x01, 0,    0,    0,    0,    0,    0,                               /* term */
        0x10, 0,    0,    0,    0,    0,    0,    0,    0x11, 0, 0, 0, 0, 0, 0, 0, /* previous */
        0x19, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12,                            /* chain */
        0x11, 0,    0,    0,    0,    0,    0,    0,    0x20, 0, 0, 0, 0, 0, 0, 0, /* first, last */
        0x0f, 0,    0,    0,    0,    0,    0,    0,                               /* commit */
    };
    uint8_t buffer[RAFT_CODEC_MESSAGE_BYTES_MAX];
    cr_assert_eq(raft_codec_encode_message(&message, buffer, sizeof(buffer)), sizeof(golden));
    cr_assert_arr_eq(buffer, golden, sizeof(golden));
}

static uint64_t random64(void)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | (uint64_t)(rand() & 0xff);
    }
    return value >> rand() % 64;
}

static void fill_random_body(struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        message->vote.last_index = random64();
        message->vote.last_term = random64();
        message->vote.transfer = rand() % 2;
        return;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        message->vote_reply.voter_term = random64();
        return;
    case RAFT_MESSAGE_APPEND:
        message->append.previous_index = random64() >> 1;
        message->append.previous_term = random64();
        message->append.previous_chain = random64();
        message->append.first = message->append.previous_index + 1;
        message->append.last = random64();
        message->append.commit_index = random64();
        return;
    case RAFT_MESSAGE_APPEND_REPLY:
        message->append_reply.match_index = random64();
        message->append_reply.request_index = random64();
        message->append_reply.hint_index = random64();
        message->append_reply.hint_term = random64();
        return;
    case RAFT_MESSAGE_HEARTBEAT:
        message->heartbeat.commit_index = random64();
        message->heartbeat.commit_chain = random64();
        message->heartbeat.round = random64();
        message->heartbeat.process = random64();
        return;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        message->heartbeat_reply.round = random64();
        message->heartbeat_reply.process = random64();
        message->heartbeat_reply.match_index = random64();
        return;
    case RAFT_MESSAGE_READ_INDEX:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        message->read_index.process = random64();
        message->read_index.number = random64();
        message->read_index.index = random64();
        return;
    case RAFT_MESSAGE_REGRESSED:
        message->regressed.index = random64();
        message->regressed.term = random64();
        return;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        return;
    }
}

static void fill_random(struct raft_message *message, enum raft_message_type type)
{
    memset(message, 0, sizeof(*message));
    message->type = type;
    message->from = (struct raft_replica_id){.node = 1 + random64() / 2, .epoch = random64()};
    message->to = (struct raft_replica_id){.node = 1 + random64() / 2, .epoch = random64()};
    message->term = random64();
    message->refusal = (enum raft_refusal)(rand() % (RAFT_REFUSED_DIVERGED + 1));
    fill_random_body(message);
}

/* Compared as bytes: both were cleared first, so the unused parts are zero on both sides. */
Test(raft_codec, every_type_comes_back_field_by_field)
{
    srand(11);
    for (int round = 0; round < 500; round++) {
        for (int type = RAFT_MESSAGE_PREVOTE; type <= RAFT_MESSAGE_REGRESSED; type++) {
            struct raft_message message;
            fill_random(&message, (enum raft_message_type)type);
            uint8_t buffer[RAFT_CODEC_MESSAGE_BYTES_MAX];
            size_t bytes = raft_codec_encode_message(&message, buffer, sizeof(buffer));
            cr_assert_leq(bytes, sizeof(buffer));
            cr_assert_eq(bytes % 8, 0, "the entries behind it stay aligned");
            struct raft_message decoded;
            memset(&decoded, 0xee, sizeof(decoded));
            cr_assert_eq(raft_codec_decode_message(buffer, sizeof(buffer), &decoded), bytes,
                         "type %d", type);
            cr_assert_eq(memcmp(&decoded, &message, sizeof(message)), 0, "type %d", type);
        }
    }
}

Test(raft_codec, the_size_is_told_without_a_buffer)
{
    struct raft_message message;
    fill_random(&message, RAFT_MESSAGE_HEARTBEAT);
    uint8_t buffer[RAFT_CODEC_MESSAGE_BYTES_MAX];
    size_t bytes = raft_codec_encode_message(&message, NULL, 0);
    cr_assert_eq(raft_codec_encode_message(&message, buffer, sizeof(buffer)), bytes);
    uint8_t *exact = malloc(bytes - 1); /* the sanitizer watches its end */
    cr_assert_eq(raft_codec_encode_message(&message, exact, bytes - 1), bytes);
    free(exact);
}

Test(raft_codec, every_truncation_of_a_message_is_refused)
{
    for (int type = RAFT_MESSAGE_PREVOTE; type <= RAFT_MESSAGE_REGRESSED; type++) {
        struct raft_message message;
        fill_random(&message, (enum raft_message_type)type);
        uint8_t buffer[RAFT_CODEC_MESSAGE_BYTES_MAX];
        size_t bytes = raft_codec_encode_message(&message, buffer, sizeof(buffer));
        for (size_t cut = 0; cut < bytes; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1);
            memcpy(exact, buffer, cut);
            cr_assert_eq(raft_codec_decode_message(exact, cut, &message), 0);
            free(exact);
        }
    }
}

/* In the header only ids, epochs and the term may take any value. */
Test(raft_codec, unknown_versions_types_refusals_and_reserved_bits_are_refused)
{
    struct raft_message message;
    fill_random(&message, RAFT_MESSAGE_HEARTBEAT);
    message.refusal = RAFT_REFUSED_NOT;
    uint8_t buffer[RAFT_CODEC_MESSAGE_BYTES_MAX];
    size_t bytes = raft_codec_encode_message(&message, buffer, sizeof(buffer));
    for (size_t at = 0; at < 8; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t before = buffer[at];
            buffer[at] = (uint8_t)value;
            bool is_sound = value == before || (at == 2 && value <= RAFT_REFUSED_DAMAGED);
            size_t consumed = raft_codec_decode_message(buffer, bytes, &message);
            if (at == 1 && value >= RAFT_MESSAGE_PREVOTE && value <= RAFT_MESSAGE_REGRESSED) {
                cr_assert_leq(consumed, bytes); /* another type, read by its own rules */
            } else {
                cr_assert_eq(consumed, is_sound ? bytes : 0, "byte %zu = %u", at, value);
            }
            buffer[at] = before;
        }
    }
    memset(buffer + 8, 0, 8);
    cr_assert_eq(raft_codec_decode_message(buffer, bytes, &message), 0, "from nobody");
}

Test(raft_codec, an_append_that_does_not_follow_its_previous_index_is_refused)
{
    struct raft_message message;
    fill_random(&message, RAFT_MESSAGE_APPEND);
    uint8_t buffer[RAFT_CODEC_MESSAGE_BYTES_MAX];
    message.append.first++;
    size_t bytes = raft_codec_encode_message(&message, buffer, sizeof(buffer));
    cr_assert_eq(raft_codec_decode_message(buffer, bytes, &message), 0);
    fill_random(&message, RAFT_MESSAGE_APPEND);
    message.append.previous_index = UINT64_MAX;
    message.append.first = 0;
    bytes = raft_codec_encode_message(&message, buffer, sizeof(buffer));
    cr_assert_eq(raft_codec_decode_message(buffer, bytes, &message), 0,
                 "no index follows 2^64 - 1");
}

/* ---- configurations ---------------------------------------------------------------------------------------------- */

static struct raft_configuration sound_configuration(void)
{
    struct raft_configuration configuration;
    memset(&configuration, 0, sizeof(configuration));
    configuration.joint = true;
    configuration.members_count = 5;
    configuration.members[0] = (struct raft_member){.id = {1, 0}, .voter = true, .voter_old = true};
    configuration.members[1] = (struct raft_member){.id = {2, 0}, .voter_old = true};
    configuration.members[2] = (struct raft_member){.id = {2, 17}, .voter = true};
    configuration.members[3] = (struct raft_member){.id = {3, 20}};
    configuration.members[4] =
        (struct raft_member){.id = {4, 0}, .voter_old = true, .learner_after = true};
    return configuration;
}

Test(raft_codec, configurations_have_the_documented_bytes_and_come_back)
{
    struct raft_configuration configuration = sound_configuration();
    uint8_t buffer[512];
    size_t bytes = raft_codec_encode_configuration(&configuration, buffer, sizeof(buffer));
    cr_assert_eq(bytes, 8 + 5 * 24);
    static const uint8_t golden[32] = {1, 1, 5, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                       0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
    cr_assert_arr_eq(buffer, golden, sizeof(golden));
    static const uint8_t flags[5] = {3, 2, 1, 0, 6};
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(buffer[8 + 24 * i + 16], flags[i]);
    }
    struct raft_configuration decoded;
    cr_assert(raft_codec_decode_configuration(buffer, bytes, &decoded));
    cr_assert_eq(decoded.joint, true);
    cr_assert_eq(decoded.members_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(decoded.members[i].id.node, configuration.members[i].id.node);
        cr_assert_eq(decoded.members[i].id.epoch, configuration.members[i].id.epoch);
        cr_assert_eq(decoded.members[i].voter, configuration.members[i].voter);
        cr_assert_eq(decoded.members[i].voter_old, configuration.members[i].voter_old);
        cr_assert_eq(decoded.members[i].learner_after, configuration.members[i].learner_after);
    }
}

static bool comes_back(const struct raft_configuration *configuration)
{
    uint8_t buffer[512];
    size_t bytes = raft_codec_encode_configuration(configuration, buffer, sizeof(buffer));
    struct raft_configuration decoded;
    return raft_codec_decode_configuration(buffer, bytes, &decoded);
}

Test(raft_codec, configurations_that_no_replica_may_adopt_are_refused)
{
    struct raft_configuration configuration = sound_configuration();
    cr_assert(comes_back(&configuration));
    configuration.joint = false;
    cr_assert_not(comes_back(&configuration), "an old half outside of a joint phase");
    configuration = sound_configuration();
    configuration.members[2].id.epoch = 0;
    cr_assert_not(comes_back(&configuration), "the same replica twice");
    configuration = sound_configuration();
    configuration.members[3].id.node = 0;
    cr_assert_not(comes_back(&configuration), "nobody as a member");
    configuration = sound_configuration();
    configuration.members[0].voter = configuration.members[2].voter = false;
    cr_assert_not(comes_back(&configuration), "nobody votes");
    configuration = sound_configuration();
    for (uint32_t i = 0; i < 5; i++) {
        configuration.members[i].voter_old = configuration.members[i].learner_after = false;
    }
    cr_assert_not(comes_back(&configuration), "nobody votes in the old half of a joint one");
    configuration = sound_configuration();
    configuration.members[0].learner_after = true;
    cr_assert_not(comes_back(&configuration), "a voter of the new half becomes a learner");
    configuration = sound_configuration();
    configuration.members[3].learner_after = true;
    cr_assert_not(comes_back(&configuration), "a learner becomes a learner");
    configuration.members_count = 0;
    cr_assert_not(comes_back(&configuration), "no member at all");
}

Test(raft_codec, damaged_configurations_are_refused_or_harmless)
{
    struct raft_configuration configuration = sound_configuration();
    uint8_t sound[512];
    size_t bytes = raft_codec_encode_configuration(&configuration, sound, sizeof(sound));
    for (size_t cut = 0; cut < bytes + 8; cut++) {
        if (cut == bytes) continue;
        uint8_t *exact = calloc(1, cut ? cut : 1);
        memcpy(exact, sound, cut < bytes ? cut : bytes);
        cr_assert_not(raft_codec_decode_configuration(exact, cut, &configuration));
        free(exact);
    }
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        sound[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (raft_codec_decode_configuration(sound, bytes, &configuration)) {
            cr_assert_leq(configuration.members_count, RAFT_MEMBERS_MAX);
            cr_assert_geq(bit / 8, 8, "the head has no bit to spare");
        }
        sound[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_not(raft_codec_decode_configuration(NULL, 0, &configuration));
}

/* ---- founding --------------------------------------------------------------------------------------------------------- */

static struct founding sound_founding(void)
{
    struct founding founding;
    memset(&founding, 0, sizeof(founding));
    for (uint8_t i = 0; i < 16; i++) {
        founding.cluster[i] = (uint8_t)(0xa0 + i);
    }
    founding.founder = 1;
    founding.nodes_count = 3;
    for (uint32_t i = 0; i < 3; i++) {
        founding.nodes[i].node_id = i + 1;
        founding.nodes[i].incarnation = 0x1000 + i;
    }
    return founding;
}

Test(founding_codec, has_the_documented_bytes_and_comes_back)
{
    struct founding founding = sound_founding();
    uint8_t buffer[512];
    size_t bytes = founding_encode(&founding, buffer, sizeof(buffer));
    cr_assert_eq(bytes, 32 + 3 * 16);
    static const uint8_t head[32] = {1,    3,    0,    0,    0,    0,    0,    0,
                                     0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
                                     0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
                                     1,    0,    0,    0,    0,    0,    0,    0};
    cr_assert_arr_eq(buffer, head, sizeof(head));
    struct founding decoded;
    cr_assert(founding_decode(buffer, bytes, &decoded));
    cr_assert_eq(memcmp(&decoded, &founding, sizeof(founding)), 0);
    cr_assert_eq(founding_encode(&founding, NULL, 0), bytes);
}

/* A founding is for ever: what is wrong with it must show before it is durable. */
Test(founding_codec, unsound_foundings_are_refused)
{
    struct founding founding = sound_founding();
    uint8_t sound[512];
    size_t bytes = founding_encode(&founding, sound, sizeof(sound));
    uint8_t buffer[512];
    memcpy(buffer, sound, bytes);
    memset(buffer + 8, 0, 16);
    cr_assert_not(founding_decode(buffer, bytes, &founding), "no cluster id");
    memcpy(buffer, sound, bytes);
    buffer[24] = 9;
    cr_assert_not(founding_decode(buffer, bytes, &founding), "a founder who is not listed");
    memcpy(buffer, sound, bytes);
    buffer[32] = 2;
    cr_assert_not(founding_decode(buffer, bytes, &founding), "a node twice");
    memcpy(buffer, sound, bytes);
    buffer[48] = 9;
    cr_assert_not(founding_decode(buffer, bytes, &founding), "not ascending");
    memcpy(buffer, sound, bytes);
    buffer[1] = 200;
    cr_assert_not(founding_decode(buffer, bytes, &founding), "too many nodes");
    memcpy(buffer, sound, bytes);
    buffer[0] = 2;
    cr_assert_not(founding_decode(buffer, bytes, &founding), "another version");
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, sound, cut);
        cr_assert_not(founding_decode(exact, cut, &founding));
        free(exact);
    }
    memcpy(buffer, sound, bytes);
    buffer[bytes] = 0;
    cr_assert_not(founding_decode(buffer, bytes + 1, &founding), "a byte behind it");
}

Test(raft_codec, random_bytes_are_harmless)
{
    srand(12);
    for (int round = 0; round < 200000; round++) {
        size_t bytes = (size_t)(rand() % 120);
        uint8_t *exact = malloc(bytes ? bytes : 1);
        for (size_t i = 0; i < bytes; i++) {
            exact[i] = (uint8_t)(rand() % 2 ? rand() % 6 : 0);
        }
        if (bytes > 0) exact[0] = 1;
        struct raft_message message;
        struct raft_configuration configuration;
        struct founding founding;
        cr_assert_leq(raft_codec_decode_message(exact, bytes, &message), bytes);
        (void)raft_codec_decode_configuration(exact, bytes, &configuration);
        (void)founding_decode(exact, bytes, &founding);
        free(exact);
    }
}
