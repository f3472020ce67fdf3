/* Goal: docs/FORMATS.md and the codecs of what nodes send each other say the same. Method: each body is written by hand in the
 * order and the widths of the page, with another number in each field, and compared byte by byte. Those of Raft messages, bases
 * and repairs stand beside their codecs. */
#include <by_hand.h>

#include <broker/join_codec.h>
#include <broker/raft_codec.h>
#include <broker/request_codec.h>

#include <criterion/criterion.h>

static void check(const struct by_hand *hand, const uint8_t *body, size_t bytes)
{
    cr_assert_eq(bytes, hand->count, "%zu bytes, the page has %zu", bytes, hand->count);
    for (size_t i = 0; i < bytes; i++) {
        cr_assert_eq(body[i], hand->bytes[i], "byte %zu is %02x, the page has %02x", i, body[i],
                     hand->bytes[i]);
    }
}

static void put_settings(struct by_hand *hand)
{
    by_hand_put(hand, 4, 4096);              /* largest batch */
    by_hand_put(hand, 1, 1);                 /* local reads */
    by_hand_put(hand, 1, 0);                 /* until consumed */
    by_hand_put(hand, 2, 0);                 /* zero */
    by_hand_put(hand, 8, (uint64_t)-1);      /* retention ms */
    by_hand_put(hand, 8, UINT64_C(1) << 40); /* retention bytes */
    by_hand_put(hand, 8, 61);                /* changed by */
}

static const struct meta_settings settings = {.message_bytes_max = 4096,
                                              .local_reads = true,
                                              .retention_ms = -1,
                                              .retention_bytes = INT64_C(1) << 40,
                                              .changed_index = 61};

Test(by_hand, a_request_has_the_documented_bytes)
{
    uint8_t batch[5] = {1, 2, 3, 4, 5};
    struct node_request request = {
        .type = NODE_REQUEST_PRODUCE,
        .timeout_ms = 1001,
        .topic = "orders",
        .partition = 7,
        .auto_create = true,
        .produce = {.batch = batch, .bytes = sizeof(batch)},
        .fetch = {.from = NODE_FROM_TAIL, .value = 1003, .bytes_max = 1004, .wait_ms = 1002},
        .set = {.fields = 9},
        .create = {.settings = settings, .partitions_count = 12, .replicas_count = 3},
        .group = {.group = "billing",
                  .offset = 1005,
                  .generation = -1,
                  .metadata = (const uint8_t *)"meta",
                  .metadata_bytes = 4,
                  .has_if_offset = true,
                  .if_offset = 1006,
                  .durable = PARTITION_DURABLE_CLEAR},
        .node = {.id = 21, .with = 22, .shrinks = true, .peer_address = "n5:71"},
        .place = {.nodes = {31, 32}, .nodes_count = 2},
        .transfer = {.meta = true, .from = 23, .to = 24},
    };
    struct by_hand hand = {0};
    by_hand_put(&hand, 1, 2);            /* version */
    by_hand_put(&hand, 1, 1);            /* type: PRODUCE */
    by_hand_put(&hand, 1, 0x3f);         /* flags: all */
    by_hand_put(&hand, 1, 3);            /* fetch start: tail */
    by_hand_put(&hand, 4, 1001);         /* timeout ms */
    by_hand_put(&hand, 8, 4711);         /* request number */
    by_hand_put(&hand, 4, 7);            /* partition */
    by_hand_put(&hand, 4, 1002);         /* wait ms */
    by_hand_put(&hand, 8, 1003);         /* fetch value */
    by_hand_put(&hand, 8, 1004);         /* fetch bytes */
    put_settings(&hand);                 /* settings */
    by_hand_put(&hand, 4, 12);           /* partitions */
    by_hand_put(&hand, 4, 3);            /* replicas */
    by_hand_put(&hand, 8, 1005);         /* offset */
    by_hand_put(&hand, 8, (uint64_t)-1); /* generation */
    by_hand_put(&hand, 8, 1006);         /* if-offset */
    by_hand_put(&hand, 4, 4);            /* metadata bytes */
    by_hand_put(&hand, 4, 5);            /* batch bytes */
    by_hand_put(&hand, 4, 9);            /* settings that are set */
    by_hand_put(&hand, 1, 2);            /* durable: clear */
    by_hand_put(&hand, 3, 0);            /* zero */
    by_hand_put(&hand, 8, 21);           /* node id */
    by_hand_put(&hand, 8, 22);           /* node that replaces it */
    by_hand_put(&hand, 8, 1);            /* 1: partitions may keep fewer replicas */
    by_hand_put(&hand, 8, 23);           /* node that hands over all it leads */
    by_hand_put(&hand, 8, 24);           /* node that leads next */
    by_hand_put(&hand, 4, 2);            /* nodes of a placement */
    by_hand_put(&hand, 8, 31);
    by_hand_put(&hand, 8, 32);
    by_hand_put(&hand, 40, 0);            /* room for seven */
    by_hand_put_text(&hand, "orders");    /* topic */
    by_hand_put_text(&hand, "billing");   /* group */
    by_hand_put_text(&hand, "n5:71");     /* peer address */
    by_hand_put_bytes(&hand, "meta", 4);  /* metadata */
    by_hand_pad(&hand, 8);                /* zeros up to a multiple of 8 */
    const size_t head_bytes = hand.count; /* the batch is a part of its own */
    uint8_t body[REQUEST_CODEC_BYTES_MAX];
    check(&hand, body, request_codec_encode(4711, &request, body, sizeof(body)));

    by_hand_put_bytes(&hand, batch, sizeof(batch));
    struct request_codec_decoded decoded;
    cr_assert(request_codec_decode(hand.bytes, hand.count, &decoded));
    cr_assert_eq(decoded.batch, hand.bytes + head_bytes);
    cr_assert(decoded.request.node.shrinks);
    cr_assert_eq(decoded.request.transfer.to, 24);
}

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

static void put_change(struct by_hand *hand)
{
    by_hand_put(hand, 8, 71);                 /* group id */
    by_hand_put(hand, 1, 0);                  /* flags */
    by_hand_put(hand, 1, 3);                  /* state: copying */
    by_hand_put(hand, 2, 1);                  /* members */
    by_hand_put(hand, 4, 6);                  /* partition */
    by_hand_put(hand, 8, 72);                 /* leader */
    by_hand_put(hand, 8, 73);                 /* last index */
    by_hand_put_text(hand, "orders");         /* topic */
    by_hand_put_text(hand, "n4 is not here"); /* what blocks it */
    by_hand_put(hand, 8, 74);                 /* member: node id */
    by_hand_put(hand, 8, 75);                 /* epoch */
    by_hand_put(hand, 1, 1);                  /* role: learner */
    by_hand_put(hand, 1, 5);                  /* flags: wished, match known */
    by_hand_put(hand, 6, 0);                  /* zero */
    by_hand_put(hand, 8, 76);                 /* match */
}

static struct node_change change = {
    .group = 71,
    .topic = "orders",
    .partition = 6,
    .leader = 72,
    .last_index = 73,
    .state = NODE_CHANGE_COPYING,
    .members = {{.node_id = 74,
                 .epoch = 75,
                 .role = NODE_CHANGE_LEARNER,
                 .wished = true,
                 .match_known = true,
                 .match = 76}},
    .members_count = 1,
    .blocked = "n4 is not here",
};

static void put_topic(struct by_hand *hand)
{
    by_hand_put_text(hand, "orders");
    by_hand_put(hand, 8, 41); /* index of its birth */
    by_hand_put(hand, 8, 42); /* its time */
    put_settings(hand);
    by_hand_put(hand, 4, 1);  /* partitions */
    by_hand_put(hand, 4, 2);  /* number */
    by_hand_put(hand, 1, 3);  /* flags: offsets known, progress known */
    by_hand_put(hand, 1, 1);  /* replicas */
    by_hand_put(hand, 2, 0);  /* zero */
    by_hand_put(hand, 8, 43); /* group id */
    by_hand_put(hand, 8, 44); /* leader */
    by_hand_put(hand, 8, 45); /* term */
    by_hand_put(hand, 8, 46); /* first offset */
    by_hand_put(hand, 8, 47); /* next offset */
    by_hand_put(hand, 8, 48); /* commit index */
    by_hand_put(hand, 8, 49); /* replica: node id */
    by_hand_put(hand, 8, 50); /* epoch */
    by_hand_put(hand, 8, 51); /* match */
    by_hand_put(hand, 8, 52); /* lag */
}

static struct node_partition_info partition = {
    .number = 2,
    .group = 43,
    .leader = 44,
    .term = 45,
    .offsets_known = true,
    .first_offset = 46,
    .next_offset = 47,
    .commit_index = 48,
    .replicas = {{.node_id = 49, .epoch = 50}},
    .replicas_count = 1,
    .progress = {{.match = 51, .lag = 52}},
    .progress_known = true,
};

static void put_offset(struct by_hand *hand)
{
    by_hand_put_text(hand, "billing");
    by_hand_put(hand, 8, 81);         /* offset */
    by_hand_put(hand, 8, 82);         /* generation */
    by_hand_put(hand, 8, 83);         /* timestamp ms */
    by_hand_put(hand, 8, 84);         /* messages trimmed unread */
    by_hand_put(hand, 1, 1);          /* durable */
    by_hand_put(hand, 3, 0);          /* zero */
    by_hand_put(hand, 4, 2);          /* metadata bytes */
    by_hand_put_bytes(hand, "me", 2); /* metadata */
}

Test(by_hand, a_response_has_the_documented_bytes)
{
    struct node_topic_info topic = {.name = "orders",
                                    .created_index = 41,
                                    .created_ms = 42,
                                    .settings = settings,
                                    .partitions_count = 1,
                                    .partitions = &partition};
    struct partition_offset offset = {.group = "billing",
                                      .offset = 81,
                                      .generation = 82,
                                      .timestamp_ms = 83,
                                      .durable = true,
                                      .expired = 84,
                                      .metadata_bytes = 2,
                                      .metadata = "me"};
    struct node_request response = {
        .status = NODE_INVALID_NAME,
        .detail = "too long",
        .retry_after_ms = 1,
        .ret_leader = 2,
        .ret_term = 3,
        .ret_offset = 4,
        .ret_count = 5,
        .ret_producer_epoch = 6,
        .ret_timestamp_ms = 7,
        .ret_first_offset = 8,
        .ret_next_offset = 9,
        .ret_high_watermark = 10,
        .ret_local_lag = 11,
        .ret_fetch_offset = 12,
        .ret_producer_id = 13,
        .ret_created = true,
        .ret_view = {.first_index = 14, .last_index = 15, .bytes_total = 16},
        .ret_topics = &topic,
        .ret_topics_count = 1,
        .ret_offsets = &offset,
        .ret_offsets_count = 1,
        .ret_changes = &change,
        .ret_changes_count = 1,
    };
    struct by_hand hand = {0};
    by_hand_put(&hand, 1, 2);    /* version */
    by_hand_put(&hand, 1, 2);    /* flags: created */
    by_hand_put(&hand, 2, 4);    /* status: INVALID_NAME */
    by_hand_put(&hand, 4, 1);    /* retry after ms */
    by_hand_put(&hand, 8, 4711); /* request number */
    by_hand_put(&hand, 8, 2);    /* leader */
    by_hand_put(&hand, 8, 3);    /* term */
    by_hand_put(&hand, 8, 4);    /* offset */
    by_hand_put(&hand, 4, 5);    /* count */
    by_hand_put(&hand, 2, 6);    /* producer epoch */
    by_hand_put(&hand, 2, 0);    /* zero */
    by_hand_put(&hand, 8, 7);    /* timestamp ms */
    by_hand_put(&hand, 8, 8);    /* first offset */
    by_hand_put(&hand, 8, 9);    /* next offset */
    by_hand_put(&hand, 8, 10);   /* high watermark */
    by_hand_put(&hand, 8, 11);   /* local lag */
    by_hand_put(&hand, 8, 12);   /* fetch offset */
    by_hand_put(&hand, 8, 13);   /* producer id */
    by_hand_put(&hand, 8, 14);   /* first index */
    by_hand_put(&hand, 8, 15);   /* last index */
    by_hand_put(&hand, 4, 16);   /* bytes of the entries */
    by_hand_put(&hand, 4, 1);    /* topics */
    by_hand_put(&hand, 4, 1);    /* offsets */
    by_hand_put(&hand, 4, 1);    /* changes */
    by_hand_put_text(&hand, "too long");
    put_topic(&hand);
    put_offset(&hand);
    put_change(&hand);
    by_hand_pad(&hand, 8); /* the entries are a part of their own */
    uint8_t body[BY_HAND_BYTES_MAX];
    check(&hand, body, response_codec_encode(4711, &response, body, sizeof(body)));
}

Test(by_hand, a_change_has_the_documented_bytes)
{
    const struct change_report report = {
        .configuration_index = 91, .wish_index = 92, .change = change};
    struct by_hand hand = {0};
    by_hand_put(&hand, 2, 1);  /* version */
    by_hand_put(&hand, 6, 0);  /* zero */
    by_hand_put(&hand, 8, 91); /* index of the CONFIG entry in use */
    by_hand_put(&hand, 8, 92); /* index of the wish */
    put_change(&hand);
    uint8_t body[CHANGE_REPORT_BYTES_MAX];
    check(&hand, body, change_report_encode(&report, body, sizeof(body)));
}

/* ---- numbers ---------------------------------------------------------------------------------------------------------- */

/* In the order of the tables of the page. */
Test(by_hand, numbers_are_those_of_the_tables)
{
    static const enum node_request_type types[] = {
        NODE_REQUEST_PRODUCE,      NODE_REQUEST_FETCH,         NODE_REQUEST_OFFSETS,
        NODE_REQUEST_TOPIC_CREATE, NODE_REQUEST_TOPIC_DELETE,  NODE_REQUEST_TOPIC_LIST,
        NODE_REQUEST_TOPIC_GET,    NODE_REQUEST_PRODUCER_INIT, NODE_REQUEST_GROUP_COMMIT,
        NODE_REQUEST_GROUP_FETCH,  NODE_REQUEST_GROUP_LIST,    NODE_REQUEST_NODE_ADD,
        NODE_REQUEST_NODE_REMOVE,  NODE_REQUEST_NODE_REPLACE,  NODE_REQUEST_PLACE,
        NODE_REQUEST_CHANGES,      NODE_REQUEST_TRANSFER,      NODE_REQUEST_TOPIC_SET,
    };
    static const enum node_status statuses[] = {
        NODE_OK,
        NODE_TOPIC_NOT_FOUND,
        NODE_PARTITION_NOT_FOUND,
        NODE_TOPIC_EXISTS,
        NODE_INVALID_NAME,
        NODE_INVALID_ARGUMENT,
        NODE_TOO_MANY_TOPICS,
        NODE_NOT_ENOUGH_NODES,
        NODE_CORRUPT_BATCH,
        NODE_TOO_LARGE,
        NODE_OUT_OF_ORDER_SEQUENCE,
        NODE_DUPLICATE_OFFSET_UNKNOWN,
        NODE_PRODUCER_FENCED,
        NODE_UNKNOWN_PRODUCER,
        NODE_STALE_GENERATION,
        NODE_OFFSET_OUT_OF_RANGE,
        NODE_NO_OFFSET,
        NODE_NO_LEADER,
        NODE_NOT_READY,
        NODE_OUTCOME_UNKNOWN,
        NODE_OVERLOADED,
        NODE_DISK_FULL,
        NODE_DAMAGED,
        NODE_SHUTTING_DOWN,
        NODE_TIMEOUT,
        NODE_UNKNOWN_NODE,
        NODE_NODE_EXISTS,
        NODE_TOO_MANY_NODES,
        NODE_QUORUM_AT_RISK,
        NODE_CHANGE_RUNNING,
        NODE_NOT_TRANSFERRED,
    };
    static const enum node_fetch_from starts[] = {NODE_FROM_OFFSET, NODE_FROM_EARLIEST,
                                                  NODE_FROM_LATEST, NODE_FROM_TAIL,
                                                  NODE_FROM_TIME,   NODE_FROM_MESSAGE};
    static const enum node_change_state states[] = {NODE_CHANGE_UNKNOWN,   NODE_CHANGE_WAITING,
                                                    NODE_CHANGE_ADDING,    NODE_CHANGE_COPYING,
                                                    NODE_CHANGE_SWITCHING, NODE_CHANGE_RECORDING};
    static const enum raft_refusal refusals[] = {
        RAFT_REFUSED_NOT,        RAFT_REFUSED_STALE_TERM,   RAFT_REFUSED_ALREADY_VOTED,
        RAFT_REFUSED_LOG_BEHIND, RAFT_REFUSED_HEARS_LEADER, RAFT_REFUSED_WRONG_IDENTITY,
        RAFT_REFUSED_NO_VOTE,    RAFT_REFUSED_LOG_GAP,      RAFT_REFUSED_LOG_CONFLICT,
        RAFT_REFUSED_NOT_LEADER, RAFT_REFUSED_NO_OWN_ENTRY, RAFT_REFUSED_DIVERGED,
        RAFT_REFUSED_DAMAGED,
    };
#define EXPECT_NUMBERS(array, first)                                      \
    for (unsigned i = 0; i < sizeof(array) / sizeof(*(array)); i++) {     \
        cr_assert_eq((unsigned)(array)[i], i + (first), #array " %u", i); \
    }
    EXPECT_NUMBERS(types, 1u)
    EXPECT_NUMBERS(statuses, 0u)
    EXPECT_NUMBERS(starts, 0u)
    EXPECT_NUMBERS(states, 0u)
    EXPECT_NUMBERS(refusals, 0u)
}

/* ---- joining ---------------------------------------------------------------------------------------------------------- */

Test(by_hand, a_join_has_the_documented_bytes)
{
    const struct join_question question = {.node_id = 1,
                                           .incarnation = 2,
                                           .is_passed_on = true,
                                           .number = 3,
                                           .knows_registered = true,
                                           .registered = 4,
                                           .is_lost = true,
                                           .lost_epoch = 5,
                                           .peer_address = "n3:71",
                                           .http_address = "n3:70",
                                           .kafka_address = "n3:92"};
    struct by_hand hand = {0};
    by_hand_put(&hand, 1, 2); /* version */
    by_hand_put(&hand, 1, 1); /* a peer passes it on */
    by_hand_put(&hand, 1, 1); /* it knows in whose place it comes */
    by_hand_put(&hand, 1, 1); /* its replica of group 0 is lost */
    by_hand_put(&hand, 4, 0); /* zero */
    by_hand_put(&hand, 8, 1); /* node id */
    by_hand_put(&hand, 8, 2); /* incarnation */
    by_hand_put(&hand, 8, 3); /* random number of this asking */
    by_hand_put(&hand, 8, 4); /* incarnation in whose place it comes */
    by_hand_put(&hand, 8, 5); /* epoch of the lost replica */
    by_hand_put_text(&hand, "n3:71");
    by_hand_put_text(&hand, "n3:70");
    by_hand_put_text(&hand, "n3:92");
    uint8_t body[JOIN_BYTES_MAX];
    check(&hand, body, join_question_encode(&question, body, sizeof(body)));
}

Test(by_hand, a_join_answer_has_the_documented_bytes)
{
    const struct join_answer answer = {.verdict = JOIN_ACCEPTED,
                                       .is_leaders = true,
                                       .node_id = 1,
                                       .incarnation = 2,
                                       .number = 3,
                                       .epoch = 6,
                                       .incarnation_index = 5,
                                       .text = "welcome"};
    struct by_hand hand = {0};
    by_hand_put(&hand, 1, 2); /* version */
    by_hand_put(&hand, 1, 3); /* accepted */
    by_hand_put(&hand, 1, 1); /* the leader of group 0 says so */
    by_hand_put(&hand, 1, 0); /* it does not tell in whose place the node comes */
    by_hand_put(&hand, 4, 0); /* zero */
    by_hand_put(&hand, 8, 1); /* node id */
    by_hand_put(&hand, 8, 2); /* incarnation */
    by_hand_put(&hand, 8, 3); /* number of the question */
    by_hand_put(&hand, 8, 0); /* incarnation in whose place it comes */
    by_hand_put(&hand, 8, 6); /* epoch of its replica of group 0 */
    by_hand_put(&hand, 8, 5); /* index of the entry that brought the incarnation */
    by_hand_put_text(&hand, "welcome");
    uint8_t body[JOIN_BYTES_MAX];
    check(&hand, body, join_answer_encode(&answer, body, sizeof(body)));
}
