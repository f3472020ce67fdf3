/* Goal: a fetch shows exactly the messages wanted, in three forms; stored batches leave without being copied. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct log {
    uint8_t bytes[65536];
    size_t used;
    uint64_t index, offset;
};

static void add_control(struct log *log)
{
    log->used += fake_entry(log->bytes + log->used, 2, ++log->index, log->offset, 0, NULL, 0);
}

/* Append a batch of these records; returns where its bytes are. */
static const uint8_t *add_batch(struct log *log, const struct record *records, uint32_t count)
{
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, 1 << 20);
    record_batch_begin(&builder);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(record_batch_add(&builder, &records[i]), RECORD_BATCH_OK);
    }
    record_batch_finish(&builder, -1, -1, -1);
    record_batch_stamp(builder.buffer, log->offset, 7);
    uint8_t *entry = log->bytes + log->used;
    log->used += fake_entry(entry, 1, ++log->index, log->offset, count, builder.buffer,
                            (uint32_t)builder.bytes);
    log->offset += count;
    record_batch_builder_close(&builder);
    return entry + 80;
}

static struct record text_record(const char *key, const char *value, int64_t timestamp_ms)
{
    return (struct record){.timestamp_ms = timestamp_ms,
                           .key = (const uint8_t *)key,
                           .key_bytes = key ? (uint32_t)strlen(key) : 0,
                           .value = (const uint8_t *)value,
                           .value_bytes = value ? (uint32_t)strlen(value) : 0};
}

static struct node_request *ask(struct fixture *fixture, struct fake_stream *stream,
                                const char *query, const char *headers)
{
    char head[512];
    snprintf(head, sizeof head, "GET /v1/topics/t/messages%s HTTP/1.1\r\nHost: a\r\n%s\r\n", query,
             headers);
    fixture_send(fixture, stream, head);
    return fixture->node.requests_count ? fixture->node.requests[0] : NULL;
}

static void answer(struct fixture *fixture, struct node_request *request, const struct log *log,
                   uint64_t fetch_offset)
{
    request->ret_fetch_offset = fetch_offset;
    request->ret_next_offset = log->offset;
    request->ret_high_watermark = log->offset;
    request->ret_first_offset = 0;
    request->ret_view = fake_view(&fixture->node, log->bytes, log->used);
    fake_node_answer(&fixture->node, NODE_OK);
    fake_io_run(&fixture->io);
}

static void fill(struct log *log)
{
    struct record_header headers[2] = {
        {.name = "trace", .name_bytes = 5, .value = (const uint8_t *)"\"1\"", .value_bytes = 3},
        {.name = "none", .name_bytes = 4}};
    struct record_header binary = {
        .name = "h", .name_bytes = 1, .value = (const uint8_t *)"\xff", .value_bytes = 1};
    struct record first[3] = {text_record("u1", "hi", 1767225600000),
                              text_record(NULL, "\xff\x01", 1767225600001),
                              text_record("\xfe", NULL, 1767225600002)};
    struct record second[2] = {text_record("u2", "l\n2\"", 1767225600003),
                               text_record("u3", "", 1767225600004)};
    *log = (struct log){0};
    first[0].headers = headers;
    first[0].headers_count = 2;
    second[1].headers = &binary;
    second[1].headers_count = 1;
    add_control(log);
    add_batch(log, first, 3);
    add_control(log);
    add_batch(log, second, 2);
}

#define M0                                                                                     \
    "{\"partition\":0,\"offset\":0,\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"key\":\"u1\"," \
    "\"headers\":{\"trace\":\"\\\"1\\\"\",\"none\":null},\"value\":\"hi\"}"
#define M1                                                                                   \
    "{\"partition\":0,\"offset\":1,\"timestamp\":\"2026-01-01T00:00:00.001Z\",\"key\":null," \
    "\"headers\":{},\"value_b64\":\"/wE=\"}"
#define M2                                                                                     \
    "{\"partition\":0,\"offset\":2,\"timestamp\":\"2026-01-01T00:00:00.002Z\",\"key_b64\":\"/" \
    "g==\",\"headers\":{},\"value\":null}"
#define M3                                                                                     \
    "{\"partition\":0,\"offset\":3,\"timestamp\":\"2026-01-01T00:00:00.003Z\",\"key\":\"u2\"," \
    "\"headers\":{},\"value\":\"l\\n2\\\"\"}"
#define M4                                                                                     \
    "{\"partition\":0,\"offset\":4,\"timestamp\":\"2026-01-01T00:00:00.004Z\",\"key\":\"u3\"," \
    "\"headers\":[{\"name\":\"h\",\"value_b64\":\"/w==\"}],\"value\":\"\"}"

Test(http_fetch, messages_are_shown_from_the_offset_wanted)
{
    static const struct {
        const char *query;
        uint64_t fetch_offset;
        const char *body;
    } cases[] = {
        {"", 0,
         "{\"messages\":[" M0 "," M1 "," M2 "," M3 "," M4
         "],\"next_offset\":5,\"high_watermark\":5,\"first_offset\":0}"},
        {"?offset=2", 2,
         "{\"messages\":[" M2 "," M3 "," M4
         "],\"next_offset\":5,\"high_watermark\":5,\"first_offset\":0}"},
        {"?limit=2", 0,
         "{\"messages\":[" M0 "," M1
         "],\"next_offset\":2,\"high_watermark\":5,\"first_offset\":0}"},
        {"?limit=3", 0,
         "{\"messages\":[" M0 "," M1 "," M2
         "],\"next_offset\":3,\"high_watermark\":5,\"first_offset\":0}"},
        {"?limit=1&offset=4", 4,
         "{\"messages\":[" M4 "],\"next_offset\":5,\"high_watermark\":5,\"first_offset\":0}"},
        {"?max_bytes=1", 0,
         "{\"messages\":[" M0 "],\"next_offset\":1,\"high_watermark\":5,\"first_offset\":0}"},
    };
    struct log log;
    fill(&log);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        struct reply reply;
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        struct node_request *request = ask(&fixture, stream, cases[i].query, "");
        answer(&fixture, request, &log, cases[i].fetch_offset);
        fixture_expect(stream, 200, &reply);
        cr_assert_str_eq(reply.body, cases[i].body);
        reply_close(&reply);
        cr_assert_eq(fixture.node.views_released, 1);
        fixture_close(&fixture);
    }
}

Test(http_fetch, ndjson_has_one_message_per_line_and_the_position_in_headers)
{
    struct fixture fixture;
    struct reply reply;
    struct log log;
    fill(&log);
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        ask(&fixture, stream, "?offset=1&limit=2", "Accept: application/x-ndjson\r\n");
    answer(&fixture, request, &log, 1);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body, M1 "\n" M2 "\n");
    cr_assert_str_eq(reply_header(&reply, "content-type"), "application/x-ndjson");
    cr_assert_str_eq(reply_header(&reply, "raftmq-next-offset"), "3");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_fetch, an_empty_answer_is_an_empty_list_with_the_same_next_offset)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = ask(&fixture, stream, "?offset=5&wait=30s", "");
    cr_assert_eq(request->fetch.wait_ms, 30000);
    request->ret_next_offset = request->ret_high_watermark = 5;
    request->ret_local_lag = 3;
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body, "{\"messages\":[],\"next_offset\":5,\"high_watermark\":5,"
                                 "\"first_offset\":0,\"local_lag\":3}");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_fetch, stored_batches_leave_as_they_are_and_by_reference)
{
    struct fixture fixture;
    struct reply reply;
    struct log log = {0};
    char *large = malloc(5000);
    memset(large, 'x', 4999);
    large[4999] = '\0';
    struct record small = text_record("k", "small", 1), big = text_record("k", large, 2);
    const uint8_t *batches[4];
    add_control(&log);
    batches[0] = add_batch(&log, &small, 1);
    batches[1] = add_batch(&log, &small, 1);
    batches[2] = add_batch(&log, &big, 1);
    add_control(&log);
    batches[3] = add_batch(&log, &small, 1);
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fake_stream_take(stream, 0);
    struct node_request *request =
        ask(&fixture, stream, "", "Accept: application/vnd.raftmq.batch\r\n");
    answer(&fixture, request, &log, 0);
    cr_assert_eq(stream->references_written, 1);
    cr_assert_eq(stream->reference_first, batches[2], "the large batch was copied");
    cr_assert_eq(fixture.node.views_released, 0, "released while the stream still needs it");
    fake_stream_take(stream, SIZE_MAX);
    cr_assert_eq(fixture.node.views_released, 1);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply_header(&reply, "content-type"), "application/vnd.raftmq.batch");
    cr_assert_str_eq(reply_header(&reply, "raftmq-next-offset"), "4");
    cr_assert_str_eq(reply_header(&reply, "raftmq-high-watermark"), "4");
    cr_assert_str_eq(reply_header(&reply, "raftmq-first-offset"), "0");
    cr_assert_str_eq(reply_header(&reply, "raftmq-fetch-offset"), "0");
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        struct record_batch_header header;
        cr_assert_leq(at + 61, reply.body_bytes);
        cr_assert_eq(record_batch_decode_header((uint8_t *)reply.body + at, reply.body_bytes - at,
                                                &header) == RECORD_BATCH_SHORT,
                     false);
        size_t bytes = (size_t)header.batch_length + 12;
        cr_assert_eq(header.base_offset, i);
        cr_assert_eq(memcmp(reply.body + at, batches[i], bytes), 0);
        at += bytes;
    }
    cr_assert_eq(at, reply.body_bytes);
    reply_close(&reply);
    fixture_close(&fixture);
    free(large);
}

Test(http_fetch, starts_are_read_strictly)
{
    static const struct {
        const char *query;
        enum node_fetch_from from;
        uint64_t value;
    } good[] = {
        {"", NODE_FROM_EARLIEST, 0},
        {"?offset=earliest", NODE_FROM_EARLIEST, 0},
        {"?offset=latest", NODE_FROM_LATEST, 0},
        {"?offset=120345", NODE_FROM_OFFSET, 120345},
        {"?offset=-10", NODE_FROM_TAIL, 10},
        {"?offset=@1767225600000", NODE_FROM_TIME, 1767225600000},
        {"?offset=@2026-01-01T00:00:00Z", NODE_FROM_TIME, 1767225600000},
        {"?offset=%402026-01-01T01:00:00%2B01:00", NODE_FROM_TIME, 1767225600000},
        {"?offset=9223372036854775807", NODE_FROM_OFFSET, INT64_MAX},
    };
    static const char *const bad[] = {
        "?offset=",     "?offset=1e9",   "?offset=+1",   "?offset=9223372036854775808",
        "?offset=-",    "?offset=--1",   "?offset=@",    "?offset=@soon",
        "?offset=@-1",  "?offset=first", "?offset=0x1",  "?limit=0",
        "?limit=10001", "?limit=-1",     "?max_bytes=0", "?max_bytes=5M",
        "?max_bytes=x", "?wait=30",      "?wait=61s",    "?wait=-1s",
        "?wait=",       "?partition=a",  "?ofset=1",     "?offset=1&offset=2"};
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct node_request *request = ask(&fixture, stream, good[i].query, "");
        cr_assert_not_null(request, "%s", good[i].query);
        cr_assert_eq(request->fetch.from, good[i].from, "%s", good[i].query);
        cr_assert_eq(request->fetch.value, good[i].value, "%s", good[i].query);
        fake_node_answer(&fixture.node, NODE_OK);
        fake_io_run(&fixture.io);
        fixture_expect(stream, 200, NULL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(ask(&fixture, stream, bad[i], ""), "%s", bad[i]);
        fixture_expect(stream, 400, NULL);
    }
    cr_assert_null(ask(&fixture, stream, "?limit=1", "Accept: application/vnd.raftmq.batch\r\n"));
    fixture_expect(stream, 400, NULL);
    fixture_close(&fixture);
}

Test(http_fetch, an_offset_out_of_range_is_416_with_the_range)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = ask(&fixture, stream, "?offset=1", "");
    request->ret_first_offset = 100;
    request->ret_next_offset = 200;
    fake_node_answer(&fixture.node, NODE_OFFSET_OUT_OF_RANGE);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 416, &reply);
    cr_assert(strstr(reply.body, "\"first_offset\":100,\"next_offset\":200"), "%s", reply.body);
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_fetch, a_batch_that_cannot_be_inflated_is_406_and_names_the_way_out)
{
    struct fixture fixture;
    struct reply reply;
    struct log log = {0};
    struct record record = text_record("k", "v", 1);
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    add_batch(&log, &record, 1);
    uint8_t *bad = (uint8_t *)add_batch(&log, &record, 1);
    bad[22] = 1; /* says gzip, is none */
    struct node_request *request = ask(&fixture, stream, "", "");
    answer(&fixture, request, &log, 0);
    fixture_expect(stream, 200, &reply);
    cr_assert(strstr(reply.body, "\"next_offset\":1,"), "stops before the unreadable batch: %s",
              reply.body);
    reply_close(&reply);
    request = ask(&fixture, stream, "?offset=1", "");
    answer(&fixture, request, &log, 1);
    fixture_expect(stream, 406, &reply);
    cr_assert(strstr(reply.body, "vnd.raftmq.batch"));
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_fetch, a_view_of_another_shape_is_an_error_and_never_read_past)
{
    struct log log;
    fill(&log);
    for (size_t bytes = 1; bytes < log.used; bytes += 3) {
        struct fixture fixture;
        struct reply reply;
        uint8_t *cut = malloc(bytes);
        memcpy(cut, log.bytes, bytes);
        fixture_open(&fixture, NULL);
        for (int form = 0; form < 2; form++) {
            struct fake_stream *stream = fixture_connect(&fixture);
            ask(&fixture, stream, "", form ? "Accept: application/vnd.raftmq.batch\r\n" : "");
            fixture.node.requests[0]->ret_view = fake_view(&fixture.node, cut, bytes);
            fake_node_answer(&fixture.node, NODE_OK);
            fake_io_run(&fixture.io);
            cr_assert(fixture_reply(stream, &reply));
            cr_assert(reply.status == 200 || reply.status == 500 || reply.status == 406);
            reply_close(&reply);
        }
        cr_assert_eq(fixture.node.views_released, 2);
        fixture_close(&fixture);
        free(cut);
    }
}

/* ---- one message --------------------------------------------------------------------------------------------- */

static struct node_request *ask_one(struct fixture *fixture, struct fake_stream *stream,
                                    const char *place)
{
    char head[256];
    snprintf(head, sizeof head, "GET /v1/topics/t/messages/%s HTTP/1.1\r\nHost: a\r\n\r\n", place);
    fixture_send(fixture, stream, head);
    return fixture->node.requests_count ? fixture->node.requests[0] : NULL;
}

Test(http_fetch, one_message_is_its_raw_value)
{
    struct fixture fixture;
    struct reply reply;
    struct log log;
    fill(&log);
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = ask_one(&fixture, stream, "0/1");
    cr_assert_eq(request->fetch.from, NODE_FROM_MESSAGE, "that there is none has to be certain");
    cr_assert_eq(request->fetch.value, 1);
    answer(&fixture, request, &log, 1);
    fixture_expect(stream, 200, &reply);
    cr_assert_eq(reply.body_bytes, 2);
    cr_assert_eq(memcmp(reply.body, "\xff\x01", 2), 0);
    cr_assert_str_eq(reply_header(&reply, "content-type"), "application/octet-stream");
    cr_assert_str_eq(reply_header(&reply, "x-content-type-options"), "nosniff");
    cr_assert_null(reply_header(&reply, "raftmq-key"));
    reply_close(&reply);
    answer(&fixture, ask_one(&fixture, stream, "0/0"), &log, 0);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body, "hi");
    cr_assert_str_eq(reply_header(&reply, "raftmq-key"), "u1");
    cr_assert_str_eq(reply_header(&reply, "raftmq-header-trace"), "\"1\"");
    reply_close(&reply);
    answer(&fixture, ask_one(&fixture, stream, "0/2"), &log, 2);
    fixture_expect(stream, 200, &reply);
    cr_assert_eq(reply.body_bytes, 0);
    cr_assert_str_eq(reply_header(&reply, "raftmq-value"), "null");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_fetch, bytes_of_a_message_never_become_header_lines)
{
    struct fixture fixture;
    struct reply reply;
    struct log log = {0};
    struct record_header headers[2] = {{.name = "a\r\nX-Evil: 1",
                                        .name_bytes = 12,
                                        .value = (const uint8_t *)"v",
                                        .value_bytes = 1},
                                       {.name = "b",
                                        .name_bytes = 1,
                                        .value = (const uint8_t *)"v\r\nX-Evil: 1",
                                        .value_bytes = 12}};
    struct record record = text_record("k\r\nX-Evil: 1", "v", 1);
    record.headers = headers;
    record.headers_count = 2;
    add_batch(&log, &record, 1);
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    answer(&fixture, ask_one(&fixture, stream, "0/0"), &log, 0);
    fixture_expect(stream, 200, &reply);
    cr_assert_null(strstr(reply.head, "Evil"), "%s", reply.head);
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_fetch, a_message_that_is_not_there_is_404_and_a_trimmed_one_410)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    ask_one(&fixture, stream, "0/7");
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 404, NULL);
    ask_one(&fixture, stream, "0/7")->ret_first_offset = 8;
    fake_node_answer(&fixture.node, NODE_OFFSET_OUT_OF_RANGE);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 410, NULL);
    ask_one(&fixture, stream, "0/7")->ret_next_offset = 5;
    fake_node_answer(&fixture.node, NODE_OFFSET_OUT_OF_RANGE);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 404, NULL);
    cr_assert_null(ask_one(&fixture, stream, "0/x"));
    fixture_expect(stream, 400, NULL);
    cr_assert_null(ask_one(&fixture, stream, "0/-1"));
    fixture_expect(stream, 400, NULL);
    fixture_close(&fixture);
}
