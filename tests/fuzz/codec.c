#include "codec.h"

#include "heartbeat.h"
#include "hello.h"
#include "received.h"

#include <broker/base_codec.h>
#include <broker/join_codec.h>
#include <broker/meta.h>
#include <broker/partition.h>
#include <broker/raft_codec.h>
#include <broker/repair_codec.h>
#include <broker/request_codec.h>
#include <segment_log/checksum.h>
#include <segment_log/entry.h>

#include <string.h>

#define BUFFER_BYTES 16384u

static uint8_t first[BUFFER_BYTES], second[BUFFER_BYTES];

static void check_equal(const char *what, size_t first_bytes, size_t second_bytes)
{
    fuzz_check(first_bytes <= BUFFER_BYTES, "%s: larger than its bound", what);
    fuzz_check(first_bytes == second_bytes && memcmp(first, second, first_bytes) == 0,
               "%s: written again, it is another one", what);
}

static void try_raft(const uint8_t *body, size_t bytes)
{
    struct raft_message message, again;
    size_t taken = raft_codec_decode_message(body, bytes, &message);
    fuzz_check(taken <= bytes, "more was taken than there is");
    if (taken == 0) return;
    size_t count = raft_codec_encode_message(&message, first, sizeof first);
    fuzz_check(count == taken && count <= RAFT_CODEC_MESSAGE_BYTES_MAX, "another size");
    fuzz_check(memcmp(first, body, count) == 0, "there are two ways to write a message");
    fuzz_check(raft_codec_decode_message(first, count, &again) == count, "not taken again");
}

static void try_configuration(const uint8_t *body, size_t bytes)
{
    struct raft_configuration configuration;
    if (!raft_codec_decode_configuration(body, bytes, &configuration)) return;
    fuzz_check(configuration.members_count >= 1 && configuration.members_count <= RAFT_MEMBERS_MAX,
               "members");
    size_t count = raft_codec_encode_configuration(&configuration, first, sizeof first);
    fuzz_check(count == bytes && memcmp(first, body, count) == 0,
               "there are two ways to write a configuration");
}

static void try_founding(const uint8_t *body, size_t bytes)
{
    struct founding founding;
    if (!founding_decode(body, bytes, &founding)) return;
    size_t count = founding_encode(&founding, first, sizeof first);
    fuzz_check(count == bytes && memcmp(first, body, count) == 0,
               "there are two ways to write a founding");
}

static void try_base(const uint8_t *body, size_t bytes)
{
    struct base_message message;
    size_t taken = base_codec_decode(body, bytes, &message);
    fuzz_check(taken == 0 || taken == BASE_CODEC_BYTES, "another size");
    if (taken == 0) return;
    base_codec_encode(&message, first);
    fuzz_check(memcmp(first, body, taken) == 0, "there are two ways to write a message");
}

static void try_join(const uint8_t *body, size_t bytes)
{
    struct join_question question, again;
    if (!join_question_decode(body, bytes, &question)) return;
    size_t count = join_question_encode(&question, first, sizeof first);
    fuzz_check(join_question_decode(first, count, &again), "not taken again");
    check_equal("question", count, join_question_encode(&again, second, sizeof second));
}

static void try_join_answer(const uint8_t *body, size_t bytes)
{
    struct join_answer answer, again;
    if (!join_answer_decode(body, bytes, &answer)) return;
    size_t count = join_answer_encode(&answer, first, sizeof first);
    fuzz_check(join_answer_decode(first, count, &again), "not taken again");
    check_equal("answer", count, join_answer_encode(&again, second, sizeof second));
}

static void try_change(const uint8_t *body, size_t bytes)
{
    struct change_report report, again;
    if (!change_report_decode(body, bytes, &report)) return;
    size_t count = change_report_encode(&report, first, sizeof first);
    fuzz_check(change_report_decode(first, count, &again), "not taken again");
    check_equal("report", count, change_report_encode(&again, second, sizeof second));
}

static void try_request(const uint8_t *body, size_t bytes)
{
    static struct request_codec_decoded decoded, again;
    if (!request_codec_decode(body, bytes, &decoded)) return;
    fuzz_check(decoded.batch_bytes <= bytes, "a batch larger than its body");
    if (decoded.batch_bytes)
        fuzz_check(decoded.batch >= body && decoded.batch + decoded.batch_bytes <= body + bytes,
                   "a batch outside of its body");
    decoded.request.produce.bytes = decoded.batch_bytes;
    size_t count = request_codec_encode(decoded.number, &decoded.request, first, sizeof first);
    if (count == 0) return; /* a name that no node accepts */
    fuzz_check(count + decoded.batch_bytes <= sizeof first + bytes, "size");
    if (count + decoded.batch_bytes > sizeof first) return;
    if (decoded.batch_bytes) memcpy(first + count, decoded.batch, decoded.batch_bytes);
    fuzz_check(request_codec_decode(first, count + decoded.batch_bytes, &again), "not taken again");
    again.request.produce.bytes = again.batch_bytes;
    size_t count_again = request_codec_encode(again.number, &again.request, second, sizeof second);
    check_equal("request", count, count_again);
}

static void try_response(const uint8_t *body, size_t bytes)
{
    uint64_t number;
    struct response_codec_view view = {.bytes = NULL};
    static struct node_request request;
    memset(&request, 0, sizeof request);
    bool has_number = response_codec_decode_number(body, bytes, &number);
    if (!response_codec_decode(body, bytes, &request, &view)) return;
    fuzz_check(has_number, "an answer without a number");
    fuzz_check(view.bytes == NULL ||
                   (view.bytes >= body && view.bytes + view.bytes_count <= body + bytes),
               "entries outside of their body");
    node_topics_free(request.ret_topics, request.ret_topics_count);
    free(request.ret_offsets);
    free(request.ret_changes);
}

static void try_hello(const uint8_t *body, size_t bytes)
{
    static struct hello_message message, again;
    uint64_t nonce;
    (void)hello__decode_ack(body, bytes, &nonce);
    if (hello__decode(body, bytes, &message) != HELLO_DECODED) return;
    size_t count = hello__encode(&message, first, sizeof first);
    fuzz_check(hello__decode(first, count, &again) == HELLO_DECODED, "not taken again");
    check_equal("hello", count, hello__encode(&again, second, sizeof second));
}

static void try_goodbye(const uint8_t *body, size_t bytes)
{
    char reason[HELLO_REASON_BYTES_MAX];
    if (!hello__decode_goodbye(body, bytes, reason)) return;
    fuzz_check(strnlen(reason, sizeof reason) < sizeof reason, "a reason without an end");
}

static void look_at_heartbeat(void *data, uint64_t group, const uint8_t *message, size_t bytes)
{
    (void)group;
    fuzz_check(bytes <= RAFT_CODEC_MESSAGE_BYTES_MAX, "a line longer than any message");
    try_raft(message, bytes);
    ++*(uint32_t *)data;
}

/* Two frames on one pair of books: the second one meets the lines that the first one named. */
static void try_heartbeats(const uint8_t *body, size_t bytes)
{
    struct heartbeat_books books = {0};
    uint32_t lines = 0;
    struct heartbeat_head head;
    size_t half = bytes / 2u & ~(size_t)7u;
    (void)heartbeat_read_head(body, bytes, &head);
    (void)heartbeat_read(&books, body, bytes, look_at_heartbeat, &lines);
    (void)heartbeat_read(&books, body + half, bytes - half, look_at_heartbeat, &lines);
    (void)heartbeat_read(&books, body, bytes, look_at_heartbeat, &lines);
    fuzz_check(books.in[HEARTBEAT_BEATS].count <= HEARTBEAT_LINES_MAX &&
                   books.in[HEARTBEAT_REPLIES].count <= HEARTBEAT_LINES_MAX,
               "a book without bounds");
    heartbeat_books_close(&books);
}

/* What an APPEND of previous index 0 says about the entries behind it. */
static void try_entries(const uint8_t *entries, size_t bytes)
{
    static const struct cluster_id cluster = {
        {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    uint64_t seed = checksum64_group(&cluster, 7);
    uint64_t count = 0;
    size_t pos = 0;
    while (bytes - pos >= ENTRY_HEADER_BYTES) {
        size_t next = entry_bytes(entry_payload_bytes(entries + pos));
        if (next > bytes - pos) break;
        pos += next;
        count++;
    }
    struct raft_message append = {
        .type = RAFT_MESSAGE_APPEND,
        .append = {.previous_chain = seed, .first = 1, .last = count, .commit_index = count},
    };
    static struct raft_indexed_configuration configurations[RAFT_MESSAGE_CONFIGURATIONS_MAX];
    enum received received = received_check(&append, configurations, seed, entries, pos);
    if (received != RECEIVED_OK) return;
    fuzz_check(append.append.last <= count, "more entries than came");
    fuzz_check(append.append.configurations_count <= RAFT_MESSAGE_CONFIGURATIONS_MAX, "changes");
    fuzz_check(append.append.runs_count <= RAFT_MESSAGE_RUNS_MAX, "runs of terms");
}

/* A META entry: as a command, and as what it does to a state that has a node, and one that has nothing. */
static void try_meta(const uint8_t *payload, size_t bytes)
{
    static struct meta_command command, again;
    static uint8_t written[1u << 16];
    if (meta_command_decode(payload, bytes, &command)) {
        size_t count = meta_command_encode(&command, written, sizeof written);
        fuzz_check(count == bytes, "another size");
        fuzz_check(memcmp(written, payload, count) == 0, "there are two ways to write a command");
        fuzz_check(meta_command_decode(written, count, &again), "not taken again");
    }
    struct meta_state meta;
    struct meta_result result;
    meta_init(&meta);
    for (uint64_t index = 1; index <= 3; index++) {
        struct entry_header header = {.type = ENTRY_META,
                                      .payload_bytes = (uint32_t)bytes,
                                      .index = index,
                                      .term = 1,
                                      .timestamp_ms = 1};
        if (!meta_apply(&meta, &header, payload, &result)) break;
        free(result.topic);
    }
    meta_close(&meta);
}

/* Entries of a partition: type (1), record count (1), payload bytes (2), payload; as many as there are. */
static void try_partition(const uint8_t *body, size_t bytes)
{
    struct fuzz_input input = {body, bytes};
    struct partition partition;
    partition_init(&partition);
    while (input.bytes > 0) {
        uint8_t type = fuzz_take_u8(&input), records = fuzz_take_u8(&input);
        size_t count;
        uint16_t wanted = fuzz_take_u16(&input);
        const uint8_t *payload = fuzz_take(&input, wanted, &count);
        bool is_data = type % ENTRY_META == ENTRY_DATA;
        if (is_data && (count < 61 || records == 0)) continue; /* the log takes no such entry */
        struct entry_header header = {
            .type = (enum entry_type)(1u + (type + ENTRY_META - 1u) % ENTRY_META),
            .payload_bytes = (uint32_t)count,
            .record_count = is_data ? records : 0,
            .index = partition.applied_index + 1,
            .term = 1,
            .base_offset = partition.next_offset,
            .timestamp_ms = (int64_t)partition.applied_index,
        };
        if (!partition_apply(&partition, &header, payload)) break;
    }
    partition_close(&partition);
}

static void try_repair(const uint8_t *body, size_t bytes)
{
    struct repair_message message;
    size_t taken = repair_codec_decode(body, bytes, &message);
    fuzz_check(taken == 0 || taken == REPAIR_CODEC_BYTES, "another size");
    if (taken == 0) return;
    fuzz_check(message.type == REPAIR_REQUEST || repair_answer_text(message.answer)[0], "no text");
    repair_codec_encode(&message, first);
    fuzz_check(memcmp(first, body, taken) == 0, "there are two ways to write a message");
}

void codec_try(enum codec_kind kind, const uint8_t *body, size_t bytes)
{
    switch (kind) {
    case CODEC_RAFT:
        try_raft(body, bytes);
        return;
    case CODEC_CONFIGURATION:
        try_configuration(body, bytes);
        return;
    case CODEC_FOUNDING:
        try_founding(body, bytes);
        return;
    case CODEC_BASE:
        try_base(body, bytes);
        return;
    case CODEC_JOIN:
        try_join(body, bytes);
        return;
    case CODEC_JOIN_ANSWER:
        try_join_answer(body, bytes);
        return;
    case CODEC_CHANGE:
        try_change(body, bytes);
        return;
    case CODEC_REQUEST:
        try_request(body, bytes);
        return;
    case CODEC_RESPONSE:
        try_response(body, bytes);
        return;
    case CODEC_HELLO:
        try_hello(body, bytes);
        return;
    case CODEC_GOODBYE:
        try_goodbye(body, bytes);
        return;
    case CODEC_HEARTBEATS:
        try_heartbeats(body, bytes);
        return;
    case CODEC_ENTRIES:
        try_entries(body, bytes);
        return;
    case CODEC_META:
        try_meta(body, bytes);
        return;
    case CODEC_PARTITION:
        try_partition(body, bytes);
        return;
    case CODEC_REPAIR:
        try_repair(body, bytes);
        return;
    case CODEC_KINDS:
        return;
    }
}

static void try_append(const uint8_t *body, size_t bytes)
{
    struct raft_message message;
    size_t taken = raft_codec_decode_message(body, bytes, &message);
    try_raft(body, bytes);
    if (taken && message.type == RAFT_MESSAGE_APPEND) try_entries(body + taken, bytes - taken);
}

void codec_try_frame(uint16_t type, const uint8_t *body, size_t bytes)
{
    static const struct {
        uint16_t type;
        enum codec_kind kind;
    } kinds[] = {
        {PEER_FRAME_HELLO, CODEC_HELLO},
        {PEER_FRAME_GOODBYE, CODEC_GOODBYE},
        {PEER_FRAME_HEARTBEATS, CODEC_HEARTBEATS},
        {PEER_FRAME_FOUNDING, CODEC_FOUNDING},
        {PEER_FRAME_REQUEST, CODEC_REQUEST},
        {PEER_FRAME_RESPONSE, CODEC_RESPONSE},
        {PEER_FRAME_BASE, CODEC_BASE},
        {PEER_FRAME_CHANGE, CODEC_CHANGE},
        {PEER_FRAME_JOIN, CODEC_JOIN},
        {PEER_FRAME_JOIN_ANSWER, CODEC_JOIN_ANSWER},
        {PEER_FRAME_REPAIR, CODEC_REPAIR},
    };
    if (type == PEER_FRAME_RAFT) try_append(body, bytes);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].type == type) codec_try(kinds[i].kind, body, bytes);
    }
}
