/* Goal: each body becomes the batch it says, or one clear refusal and nothing is submitted. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <segment_log/checksum.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The request that `text` leads to; NULL when HTTP answered alone (the reply is in *ret_reply). */
static struct node_request *post(struct fixture *fixture, struct fake_stream *stream,
                                 const char *query, const char *headers, const void *body,
                                 size_t body_bytes)
{
    char head[1024];
    snprintf(head, sizeof head,
             "POST /v1/topics/t/messages%s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n",
             query, headers, body_bytes);
    fake_stream_send(stream, head, strlen(head));
    fixture_send_bytes(fixture, stream, body, body_bytes);
    return fixture->node.requests_count ? fixture->node.requests[fixture->node.requests_count - 1]
                                        : NULL;
}

struct records {
    struct record_batch_reader reader;
    struct record_view record;
};

static void records_open(struct records *records, const struct node_request *request)
{
    struct record_batch_header header;
    cr_assert_eq(record_batch_check(request->produce.batch, request->produce.bytes, &header),
                 RECORD_BATCH_OK);
    cr_assert_eq(record_batch_reader_open(&records->reader, request->produce.batch,
                                          request->produce.bytes, 1 << 20),
                 RECORD_BATCH_OK);
}

static bool records_next(struct records *records)
{
    bool end;
    cr_assert_eq(record_batch_reader_next(&records->reader, &records->record, &end),
                 RECORD_BATCH_OK);
    return !end;
}

static void expect_bytes(const uint8_t *data, uint32_t bytes, const char *text)
{
    cr_assert_eq(bytes, strlen(text));
    cr_assert_eq(memcmp(data, text, bytes), 0);
}

static void finish(struct fixture *fixture)
{
    while (fixture->node.requests_count > 0)
        fake_node_answer(&fixture->node, NODE_OK);
    fake_io_run(&fixture->io);
}

Test(http_produce, a_raw_body_is_one_message_with_key_headers_and_time)
{
    struct fixture fixture;
    struct records records;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        post(&fixture, stream, "?partition=7",
             "Raftmq-Key: user 1\r\nraftmq-header-Trace: abc\r\nRaftmq-Header-x:\r\n"
             "Raftmq-Timestamp: 2026-01-01T00:00:00Z\r\nContent-Type: text/plain\r\n",
             "a\0b", 3);
    cr_assert_eq(request->type, NODE_REQUEST_PRODUCE);
    cr_assert_eq(request->partition, 7);
    cr_assert(!request->auto_create);
    records_open(&records, request);
    cr_assert_eq(records.reader.header.producer_id, -1);
    cr_assert(records_next(&records));
    expect_bytes(records.record.key, records.record.key_bytes, "user 1");
    cr_assert_eq(records.record.value_bytes, 3);
    cr_assert_eq(memcmp(records.record.value, "a\0b", 3), 0);
    cr_assert_eq(records.record.timestamp_ms, 1767225600000);
    cr_assert_eq(records.record.headers_count, 2);
    expect_bytes((const uint8_t *)records.record.headers[0].name,
                 records.record.headers[0].name_bytes, "Trace");
    expect_bytes(records.record.headers[0].value, records.record.headers[0].value_bytes, "abc");
    cr_assert_eq(records.record.headers[1].value_bytes, 0);
    cr_assert(!records_next(&records));
    record_batch_reader_close(&records.reader);
    finish(&fixture);
    fixture_close(&fixture);
}

Test(http_produce, an_empty_body_is_an_empty_message_and_no_tombstone)
{
    struct fixture fixture;
    struct records records;
    fixture_open(&fixture, NULL);
    struct node_request *request = post(&fixture, fixture_connect(&fixture), "", "", "", 0);
    records_open(&records, request);
    cr_assert(records_next(&records));
    cr_assert_not_null(records.record.value);
    cr_assert_eq(records.record.value_bytes, 0);
    cr_assert_null(records.record.key);
    cr_assert_eq(records.record.timestamp_ms, 1767225600000, "the time of arrival");
    record_batch_reader_close(&records.reader);
    finish(&fixture);
    fixture_close(&fixture);
}

Test(http_produce, producer_headers_make_the_batch_idempotent)
{
    struct fixture fixture;
    struct record_batch_header header;
    fixture_open(&fixture, NULL);
    struct node_request *request = post(
        &fixture, fixture_connect(&fixture), "",
        "Raftmq-Producer-Id: 4001\r\nRaftmq-Producer-Epoch: 2\r\nRaftmq-Sequence: 77\r\n", "x", 1);
    cr_assert_eq(record_batch_check(request->produce.batch, request->produce.bytes, &header),
                 RECORD_BATCH_OK);
    cr_assert_eq(header.producer_id, 4001);
    cr_assert_eq(header.producer_epoch, 2);
    cr_assert_eq(header.base_sequence, 77);
    finish(&fixture);
    fixture_close(&fixture);
}

static const char ndjson_body[] =
    "{\"key\":\"k1\",\"value\":\"v1\",\"headers\":{\"a\":\"b\",\"n\":null},\"timestamp\":5}\r\n"
    "\n"
    "{\"key_b64\":\"/w==\",\"value_b64\":\"AAH/\",\"headers\":[{\"name\":\"h\",\"value_b64\":\"/"
    "w==\"},{\"name\":\"h\",\"value\":\"2\"}],\"timestamp\":\"1970-01-01T00:00:01Z\"}\n"
    "{\"value\":null}\n"
    "{\"value\":\"\\u0000\"}";

static void check_messages(struct records *records)
{
    cr_assert(records_next(records));
    expect_bytes(records->record.key, records->record.key_bytes, "k1");
    expect_bytes(records->record.value, records->record.value_bytes, "v1");
    cr_assert_eq(records->record.timestamp_ms, 5);
    cr_assert_eq(records->record.headers_count, 2);
    cr_assert(records_next(records));
    expect_bytes(records->record.key, records->record.key_bytes, "\xff");
    cr_assert_eq(records->record.value_bytes, 3);
    cr_assert_eq(memcmp(records->record.value, "\0\1\xff", 3), 0);
    cr_assert_eq(records->record.timestamp_ms, 1000);
    cr_assert_eq(records->record.headers_count, 2);
    expect_bytes(records->record.headers[0].value, records->record.headers[0].value_bytes, "\xff");
    cr_assert(records_next(records));
    cr_assert_null(records->record.value);
    cr_assert(records_next(records));
    cr_assert_eq(records->record.value_bytes, 1);
    cr_assert(!records_next(records));
}

Test(http_produce, ndjson_lines_are_one_batch)
{
    struct fixture fixture;
    struct records records;
    fixture_open(&fixture, NULL);
    struct node_request *request = post(&fixture, fixture_connect(&fixture), "",
                                        "Content-Type: application/x-ndjson; charset=utf-8\r\n",
                                        ndjson_body, strlen(ndjson_body));
    records_open(&records, request);
    check_messages(&records);
    record_batch_reader_close(&records.reader);
    finish(&fixture);
    fixture_close(&fixture);
}

Test(http_produce, a_json_document_is_the_same_batch)
{
    struct fixture fixture;
    struct records records;
    char body[1024] = "{\"messages\":[";
    bool first = true;
    for (const char *line = ndjson_body; *line;) {
        size_t bytes = strcspn(line, "\r\n");
        if (bytes > 0) {
            if (!first) strcat(body, ",");
            strncat(body, line, bytes);
            first = false;
        }
        line += bytes;
        while (*line == '\r' || *line == '\n')
            line++;
    }
    strcat(body, "]}");
    fixture_open(&fixture, NULL);
    struct node_request *request = post(&fixture, fixture_connect(&fixture), "",
                                        "Content-Type: Application/JSON\r\n", body, strlen(body));
    cr_assert_not_null(request);
    records_open(&records, request);
    check_messages(&records);
    record_batch_reader_close(&records.reader);
    finish(&fixture);
    fixture_close(&fixture);
}

Test(http_produce, malformed_json_is_400_and_nothing_is_submitted)
{
    static const struct {
        bool document;
        const char *body;
        const char *detail;
    } bad[] = {
        {false, "", "no message"},
        {false, "\n\n", "no message"},
        {false, "{\"value\":\"a\"}\n{\"value\":", "line 2"},
        {false, "{\"value\":\"a\"}\n\n[1]", "line 3"},
        {false, "{\"value\":\"a\",\"vlaue\":\"b\"}", "unknown field"},
        {false, "{\"key\":\"a\"}", "needs"},
        {false, "{\"value\":1}", "strings"},
        {false, "{\"value\":{\"a\":1}}", "strings"},
        {false, "{\"value\":\"a\",\"value_b64\":\"YQ==\"}", "exclude"},
        {false, "{\"value_b64\":\"YQ\"}", "base64"},
        {false, "{\"value_b64\":7}", "base64"},
        {false, "{\"value\":\"a\",\"value\":\"b\"}", "twice"},
        {false, "{\"value\":\"a\",\"timestamp\":\"noon\"}", "timestamp"},
        {false, "{\"value\":\"a\",\"timestamp\":1.5}", "timestamp"},
        {false, "{\"value\":\"a\",\"headers\":7}", "headers"},
        {false, "{\"value\":\"a\",\"headers\":{\"a\":7}}", "strings"},
        {false, "{\"value\":\"a\",\"headers\":[{\"value\":\"x\"}]}", "name"},
        {false, "{\"value\":\"a\",\"headers\":[{\"name\":\"x\",\"value\":\"x\",\"y\":1}]}",
         "array form"},
        {false, "{\"value\":\"a\",\"headers\":[7]}", "name"},
        {false, "{\"value\":NaN}", "valid JSON"},
        {false, "{\"value\":\"\xff\"}", "UTF-8"},
        {false, "{\"value\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "16 levels"},
        {true, "", "messages"},
        {true, "{}", "messages"},
        {true, "[]", "object"},
        {true, "{\"messages\":{}}", "messages"},
        {true, "{\"messages\":[]}", "no message"},
        {true, "{\"messages\":[{\"value\":\"a\"}],\"x\":1}", "unknown field"},
        {true, "{\"messages\":[{\"value\":\"a\"},{}]}", "message 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fixture fixture;
        struct reply reply;
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        post(&fixture, stream, "",
             bad[i].document ? "Content-Type: application/json\r\n"
                             : "Content-Type: application/x-ndjson\r\n",
             bad[i].body, strlen(bad[i].body));
        cr_assert_eq(fixture.node.submitted_total, 0, "case %zu", i);
        fixture_expect(stream, 400, &reply);
        cr_assert(strstr(reply.body, "urn:raftmq:problem:invalid-json"), "%s", reply.body);
        cr_assert(strstr(reply.body, bad[i].detail), "case %zu: %s", i, reply.body);
        cr_assert(!stream->closed, "a well-formed request does not cost the connection");
        reply_close(&reply);
        fixture_close(&fixture);
    }
}

Test(http_produce, bad_arguments_are_400_and_nothing_is_submitted)
{
    static const struct {
        const char *query, *headers;
    } bad[] = {
        {"?partition=-1", ""},
        {"?partition=256", ""},
        {"?partition=1e1", ""},
        {"?partition=", ""},
        {"?partition=01", ""},
        {"?partition=0&partition=1", ""},
        {"?partiton=0", ""},
        {"?auto_create=yes", ""},
        {"?partition=%", ""},
        {"", "Raftmq-Producer-Id: 1\r\n"},
        {"", "Raftmq-Producer-Id: 1\r\nRaftmq-Producer-Epoch: 0\r\n"},
        {"", "Raftmq-Producer-Id: -1\r\nRaftmq-Producer-Epoch: 0\r\nRaftmq-Sequence: 0\r\n"},
        {"", "Raftmq-Producer-Id: 1\r\nRaftmq-Producer-Epoch: 32768\r\nRaftmq-Sequence: 0\r\n"},
        {"",
         "Raftmq-Producer-Id: 1\r\nRaftmq-Producer-Epoch: 0\r\nRaftmq-Sequence: 2147483648\r\n"},
        {"", "Raftmq-Producer-Id: 1\r\nRaftmq-Producer-Id: 1\r\nRaftmq-Producer-Epoch: "
             "0\r\nRaftmq-Sequence: 0\r\n"},
        {"", "Raftmq-Timestamp: soon\r\n"},
        {"", "Raftmq-Key: a\r\nRaftmq-Key: b\r\n"},
        {"", "Raftmq-Header-: a\r\n"},
        {"", "Content-Type: application/vnd.raftmq.batch\r\nRaftmq-Producer-Id: "
             "1\r\nRaftmq-Producer-Epoch: 0\r\nRaftmq-Sequence: 0\r\n"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fixture fixture;
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        post(&fixture, stream, bad[i].query, bad[i].headers, "x", 1);
        cr_assert_eq(fixture.node.submitted_total, 0, "case %zu", i);
        fixture_expect(stream, 400, NULL);
        fixture_close(&fixture);
    }
}

Test(http_produce, a_compressed_body_is_415)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    post(&fixture, stream, "", "Content-Encoding: gzip\r\n", "x", 1);
    fixture_expect(stream, 415, NULL);
    fixture_close(&fixture);
}

Test(http_produce, a_batch_is_handed_over_as_it_came)
{
    struct fixture fixture;
    struct record_batch_builder builder;
    struct record record = {.value = (const uint8_t *)"v", .value_bytes = 1};
    record_batch_builder_init(&builder, 1 << 20);
    record_batch_begin(&builder);
    cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_OK);
    record_batch_finish(&builder, 9, 1, 5);
    fixture_open(&fixture, NULL);
    fixture.io.read_bytes_max = 7;
    struct node_request *request =
        post(&fixture, fixture_connect(&fixture), "",
             "Content-Type: application/vnd.raftmq.batch\r\n", builder.buffer, builder.bytes);
    cr_assert_eq(request->produce.bytes, builder.bytes);
    cr_assert_eq(memcmp(request->produce.batch, builder.buffer, builder.bytes), 0);
    finish(&fixture);
    fixture_close(&fixture);
    record_batch_builder_close(&builder);
}

Test(http_produce, the_key_alone_decides_the_partition)
{
    struct fixture fixture;
    bool seen[4] = {false};
    fixture_open(&fixture, NULL);
    fixture.node.partitions_count = 4;
    struct fake_stream *stream = fixture_connect(&fixture);
    for (int i = 0; i < 32; i++) {
        char header[64], key[16];
        snprintf(key, sizeof key, "key-%d", i);
        snprintf(header, sizeof header, "Raftmq-Key: %s\r\n", key);
        struct node_request *request = post(&fixture, stream, "", header, "x", 1);
        uint32_t partition = request->partition;
        cr_assert_eq(partition, checksum64(key, strlen(key)) % 4);
        seen[partition] = true;
        finish(&fixture);
    }
    cr_assert(seen[0] && seen[1] && seen[2] && seen[3]);
    fixture_close(&fixture);
}

Test(http_produce, messages_without_key_go_round)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    fixture.node.partitions_count = 3;
    struct fake_stream *stream = fixture_connect(&fixture);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(post(&fixture, stream, "", "", "x", 1)->partition, i % 3);
        finish(&fixture);
    }
    fixture_close(&fixture);
}

Test(http_produce, what_could_land_in_two_partitions_must_name_one)
{
    static const struct {
        const char *headers, *body;
    } ambiguous[] = {
        {"Content-Type: application/vnd.raftmq.batch\r\n", "x"},
        {"Raftmq-Producer-Id: 1\r\nRaftmq-Producer-Epoch: 0\r\nRaftmq-Sequence: 0\r\n", "x"},
        {"Content-Type: application/x-ndjson\r\n",
         "{\"key\":\"a\",\"value\":\"1\"}\n{\"value\":\"2\"}"},
        {"Content-Type: application/x-ndjson\r\n",
         "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"1\"}\n{\"key\":\"c\","
         "\"value\":\"1\"}\n"
         "{\"key\":\"d\",\"value\":\"1\"}\n{\"key\":\"e\",\"value\":\"1\"}\n{\"key\":\"f\","
         "\"value\":\"1\"}"},
    };
    for (size_t i = 0; i < sizeof ambiguous / sizeof ambiguous[0]; i++) {
        struct fixture fixture;
        fixture_open(&fixture, NULL);
        fixture.node.partitions_count = 8;
        struct fake_stream *stream = fixture_connect(&fixture);
        post(&fixture, stream, "", ambiguous[i].headers, ambiguous[i].body,
             strlen(ambiguous[i].body));
        cr_assert_eq(fixture.node.submitted_total, 0, "case %zu", i);
        fixture_expect(stream, 400, NULL);
        cr_assert_not_null(post(&fixture, stream, "?partition=2", ambiguous[i].headers,
                                ambiguous[i].body, strlen(ambiguous[i].body)));
        finish(&fixture);
        fixture_close(&fixture);
    }
}

Test(http_produce, auto_create_comes_from_the_query_or_the_server)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    cr_assert(post(&fixture, stream, "?auto_create=1", "", "x", 1)->auto_create);
    finish(&fixture);
    fixture_close(&fixture);
    fixture_open_with(&fixture, (struct http_server_options){.auto_create_topics = true});
    stream = fixture_connect(&fixture);
    cr_assert(post(&fixture, stream, "", "", "x", 1)->auto_create);
    cr_assert(!post(&fixture, stream, "?auto_create=0", "", "x", 1)->auto_create);
    finish(&fixture);
    fixture_close(&fixture);
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

Test(http_produce, the_answer_says_where_the_message_is)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        post(&fixture, stream, "", "Raftmq-Timestamp: 1767225600123\r\n", "x", 1);
    request->ret_offset = 120345;
    request->ret_count = 1;
    request->ret_timestamp_ms = 1767225600999; /* the log's own */
    request->ret_term = 7;
    request->ret_leader = 2;
    finish(&fixture);
    fixture_expect(stream, 201, &reply);
    cr_assert_str_eq(reply.body, "{\"topic\":\"t\",\"partition\":0,\"offset\":120345,\"count\":1,"
                                 "\"timestamp\":\"2026-01-01T00:00:00.123Z\",\"term\":7}");
    cr_assert_str_eq(reply_header(&reply, "raftmq-node"), "3");
    cr_assert_str_eq(reply_header(&reply, "raftmq-leader"), "2");
    cr_assert_str_eq(reply_header(&reply, "raftmq-term"), "7");
    cr_assert_str_eq(reply_header(&reply, "content-type"), "application/json");
    reply_close(&reply);
    fixture_close(&fixture);
}

/* That of the first message, as the offset is. */
Test(http_produce, the_time_in_the_answer_is_the_one_that_is_stored)
{
    static const struct {
        const char *headers, *body, *time;
    } cases[] = {
        {"", "x", "2026-01-01T00:00:00.000Z"}, /* of arrival */
        {"Raftmq-Timestamp: 1000\r\n", "x", "1970-01-01T00:00:01.000Z"},
        {"Content-Type: application/x-ndjson\r\n",
         "{\"value\":\"a\",\"timestamp\":5}\n{\"value\":\"b\",\"timestamp\":3}\n",
         "1970-01-01T00:00:00.005Z"},
        {"Content-Type: application/json\r\n",
         "{\"messages\":[{\"value\":\"a\",\"timestamp\":9},{\"value\":\"b\"}]}",
         "1970-01-01T00:00:00.009Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        struct reply reply;
        char wanted[64];
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        struct node_request *request =
            post(&fixture, stream, "", cases[i].headers, cases[i].body, strlen(cases[i].body));
        request->ret_timestamp_ms = 1767225600001;
        finish(&fixture);
        fixture_expect(stream, 201, &reply);
        snprintf(wanted, sizeof wanted, "\"timestamp\":\"%s\"", cases[i].time);
        cr_assert(strstr(reply.body, wanted), "%s: %s", wanted, reply.body);
        reply_close(&reply);
        fixture_close(&fixture);
    }
}

Test(http_produce, a_duplicate_is_200_and_says_so)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = post(&fixture, stream, "", "", "x", 1);
    request->ret_offset = 5;
    request->ret_count = 1;
    request->ret_duplicate = true;
    finish(&fixture);
    fixture_expect(stream, 200, &reply);
    cr_assert(strstr(reply.body, "\"offset\":5,"));
    cr_assert(strstr(reply.body, "\"timestamp\":null,"), "%s", reply.body);
    cr_assert(strstr(reply.body, "\"duplicate\":true"));
    reply_close(&reply);
    post(&fixture, stream, "", "", "x", 1);
    fake_node_answer(&fixture.node, NODE_DUPLICATE_OFFSET_UNKNOWN);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body,
                     "{\"topic\":\"t\",\"partition\":0,\"offset\":null,\"duplicate\":true}");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_produce, every_status_of_the_node_has_its_answer)
{
    static const struct {
        enum node_status status;
        int code;
        const char *slug;
    } map[] = {
        {NODE_TOPIC_NOT_FOUND, 404, "topic-not-found"},
        {NODE_PARTITION_NOT_FOUND, 404, "partition-not-found"},
        {NODE_TOPIC_EXISTS, 409, "topic-exists-differs"},
        {NODE_INVALID_NAME, 422, "invalid-name"},
        {NODE_INVALID_ARGUMENT, 400, "invalid-argument"},
        {NODE_TOO_MANY_TOPICS, 409, "too-many-topics"},
        {NODE_NOT_ENOUGH_NODES, 422, "not-enough-nodes"},
        {NODE_CORRUPT_BATCH, 400, "corrupt-batch"},
        {NODE_TOO_LARGE, 413, "too-large"},
        {NODE_OUT_OF_ORDER_SEQUENCE, 409, "out-of-order-sequence"},
        {NODE_PRODUCER_FENCED, 409, "producer-fenced"},
        {NODE_UNKNOWN_PRODUCER, 409, "unknown-producer"},
        {NODE_STALE_GENERATION, 409, "stale-generation"},
        {NODE_OFFSET_OUT_OF_RANGE, 416, "offset-out-of-range"},
        {NODE_NO_OFFSET, 404, "no-offset"},
        {NODE_NO_LEADER, 503, "no-leader"},
        {NODE_NOT_READY, 503, "not-ready"},
        {NODE_OUTCOME_UNKNOWN, 504, "outcome-unknown"},
        {NODE_OVERLOADED, 429, "overloaded"},
        {NODE_DISK_FULL, 507, "disk-full"},
        {NODE_DAMAGED, 503, "damaged"},
        {NODE_SHUTTING_DOWN, 503, "shutting-down"},
        {NODE_TIMEOUT, 503, "timeout"},
        {NODE_UNKNOWN_NODE, 404, "unknown-node"},
        {NODE_NODE_EXISTS, 409, "node-exists"},
        {NODE_TOO_MANY_NODES, 409, "too-many-nodes"},
        {NODE_QUORUM_AT_RISK, 409, "quorum-at-risk"},
        {NODE_CHANGE_RUNNING, 409, "change-running"},
        {NODE_NOT_TRANSFERRED, 409, "not-transferred"},
    };
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        struct reply reply;
        char type[96];
        struct node_request *request = post(&fixture, stream, "", "", "x", 1);
        strcpy(request->detail, "do \"this\"\r\nnext");
        request->ret_leader = 2;
        fake_node_answer(&fixture.node, map[i].status);
        fake_io_run(&fixture.io);
        fixture_expect(stream, map[i].code, &reply);
        snprintf(type, sizeof type, "\"type\":\"urn:raftmq:problem:%s\"", map[i].slug);
        cr_assert(strstr(reply.body, type), "%s", reply.body);
        cr_assert(strstr(reply.body, node_status_text(map[i].status)), "%s", reply.body);
        cr_assert(strstr(reply.body, "\"detail\":\"do \\\"this\\\"\\r\\nnext\""), "%s", reply.body);
        cr_assert(strstr(reply.body, "\"instance\":\"urn:raftmq:request:"));
        cr_assert(strstr(reply.body, "\"leader\":2"));
        bool retry = map[i].code == 429 || map[i].code == 503;
        cr_assert_eq(reply_header(&reply, "retry-after") != NULL, retry, "%s", map[i].slug);
        cr_assert_str_eq(reply_header(&reply, "content-type"), "application/problem+json");
        reply_close(&reply);
    }
    fixture_close(&fixture);
}

Test(http_produce, retry_after_is_rounded_up_to_seconds)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    post(&fixture, stream, "", "", "x", 1)->retry_after_ms = 2001;
    fake_node_answer(&fixture.node, NODE_OVERLOADED);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 429, &reply);
    cr_assert_str_eq(reply_header(&reply, "retry-after"), "3");
    cr_assert(strstr(reply.body, "\"retry_after_ms\":2001"));
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_produce, a_wished_redirect_names_the_leader)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    fixture.node.status.members_count = 2;
    fixture.node.status.members[1] = (struct node_member_status){.node_id = 2};
    strcpy(fixture.node.status.members[1].http_address, "n2.example:7070");
    struct fake_stream *stream = fixture_connect(&fixture);
    for (int wished = 0; wished < 2; wished++) {
        struct node_request *request = post(&fixture, stream, "?partition=0&auto_create=1",
                                            wished ? "Raftmq-Redirect: 1\r\n" : "", "x", 1);
        cr_assert_eq(request->redirect, wished);
        request->ret_leader = 2;
        fake_node_answer(&fixture.node, NODE_NO_LEADER);
        fake_io_run(&fixture.io);
        fixture_expect(stream, wished ? 307 : 503, &reply);
        if (wished) {
            cr_assert_str_eq(
                reply_header(&reply, "location"),
                "http://n2.example:7070/v1/topics/t/messages?partition=0&auto_create=1");
        }
        reply_close(&reply);
    }
    fixture_close(&fixture);
}
