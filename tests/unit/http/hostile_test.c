/* Goal: no malformed request gets through, whatever way its bytes are cut into reads, and nothing behind one is parsed.
 * Method: every case is followed by a well-formed request that would create the topic "smuggled"; the fake node must
 * never see it. Each case is fed whole, byte by byte, and cut in two at every position. Cases marked with llhttp are
 * those that llhttp 8.1 alone accepts. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMUGGLED "PUT /v1/topics/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

struct hostile {
    const char *name;
    int status;
    const char *bytes;
    size_t bytes_count; /* a NUL may be among them */
};
#define CASE(name, status, bytes)              \
    {                                          \
        name, status, bytes, sizeof(bytes) - 1 \
    }

#define GET     "GET /livez HTTP/1.1\r\nHost: a\r\n"
#define POST    "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct hostile cases[] = {
    /* two lengths, odd lengths */
    CASE("content-length and chunked", 400,
         POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    CASE("chunked and content-length", 400,
         POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    CASE("content-length twice, equal", 400,
         POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    CASE("content-length twice, different", 400,
         POST "Content-Length: 2\r\nContent-Length: 40\r\n\r\nab"),
    CASE("content-length list", 400, POST "Content-Length: 2, 2\r\n\r\nab"),
    CASE("content-length with plus", 400, POST "Content-Length: +2\r\n\r\nab"),
    CASE("content-length negative", 400, POST "Content-Length: -2\r\n\r\nab"),
    CASE("content-length hex", 400, POST "Content-Length: 0x2\r\n\r\nab"),
    CASE("content-length leading zero", 400, POST "Content-Length: 02\r\n\r\nab"),
    CASE("content-length empty", 400, POST "Content-Length:\r\n\r\n"),
    CASE("content-length 2^64", 400, POST "Content-Length: 18446744073709551616\r\n\r\n"),
    CASE("content-length 2^63", 400, POST "Content-Length: 9223372036854775808\r\n\r\n"),
    CASE("content-length with space inside", 400, POST "Content-Length: 1 2\r\n\r\nab"),
    CASE("content-length exponent", 400, POST "Content-Length: 1e1\r\n\r\nab"),
    CASE("content-length underscore name", 400, POST "Content-Length : 2\r\n\r\nab"),
    /* transfer-encoding variants */
    CASE("identity, chunked (llhttp)", 400,
         POST "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
    CASE("chunked, identity", 400, POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    CASE("identity", 400, POST "Transfer-Encoding: identity\r\n\r\n"),
    CASE("gzip, chunked", 400, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    CASE("chunked twice", 400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    CASE("two transfer-encodings (llhttp)", 400,
         POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    CASE("xchunked", 400, POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    CASE("chunked with quotes", 400, POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    CASE("empty transfer-encoding", 400, POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    CASE("vertical tab in transfer-encoding", 400,
         POST "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n"),
    CASE("chunked on HTTP/1.0 (llhttp)", 400,
         "POST /v1/topics/t/messages HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n"),
    CASE("space before colon", 400, POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    CASE("tab before colon", 400, POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    /* bare CR and LF, folding */
    CASE("header hidden behind a bare CR, CVE-2023-30589 (llhttp)", 400,
         POST "X:\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    CASE("bare CR ends the head, CVE-2025-23167 (llhttp)", 400, GET "\rX"),
    CASE("CR LF CR X ends the head (llhttp)", 400, GET "X: y\r\n\rX: z\r\n\r\n"),
    CASE("bare CR in a value", 400, GET "X: a\rb\r\n\r\n"),
    CASE("bare CR in a name", 400, GET "X\rY: a\r\n\r\n"),
    CASE("bare LF after the request line (llhttp)", 400, "GET /livez HTTP/1.1\nHost: a\r\n\r\n"),
    CASE("bare LF between headers", 400, GET "X: a\nY: b\r\n\r\n"),
    CASE("bare LF ends the head", 400, "GET /livez HTTP/1.1\r\nHost: a\n\n"),
    CASE("LF CR", 400, "GET /livez HTTP/1.1\r\nHost: a\n\r\n"),
    CASE("CR CR LF", 400, GET "X: a\r\r\n\r\n"),
    CASE("folded header, space (llhttp)", 400, GET "X: a\r\n b\r\n\r\n"),
    CASE("folded header, tab (llhttp)", 400, GET "X: a\r\n\tb\r\n\r\n"),
    CASE("folded transfer-encoding", 400, POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    CASE("first header line begins with a space", 400, "GET /livez HTTP/1.1\r\n Host: a\r\n\r\n"),
    CASE("NUL in a value", 400, GET "X: a\0b\r\n\r\n"),
    CASE("NUL in the path", 400, "GET /li\0vez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("DEL in a value", 400, GET "X: a\x7f\r\n\r\n"),
    CASE("two empty lines in front", 400, "\r\n\r\n" GET "\r\n"),
    /* request lines */
    CASE("HTTP/0.9 (llhttp)", 400, "GET /livez\r\n\r\n"),
    CASE("HTTP/0.9 version", 505, "GET /livez HTTP/0.9\r\nHost: a\r\n\r\n"),
    CASE("HTTP/2.0", 505, "GET /livez HTTP/2.0\r\nHost: a\r\n\r\n"),
    CASE("HTTP/3.7", 505, "GET /livez HTTP/3.7\r\nHost: a\r\n\r\n"),
    CASE("HTTP/1.2", 505, "GET /livez HTTP/1.2\r\nHost: a\r\n\r\n"),
    CASE("HTTP/1.10", 400, "GET /livez HTTP/1.10\r\nHost: a\r\n\r\n"),
    CASE("lower-case http", 400, "GET /livez http/1.1\r\nHost: a\r\n\r\n"),
    CASE("ICE instead of HTTP", 400, "GET /livez ICE/1.0\r\nHost: a\r\n\r\n"),
    CASE("HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    CASE("two spaces", 400, "GET  /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("space behind the version", 400, "GET /livez HTTP/1.1 \r\nHost: a\r\n\r\n"),
    CASE("tab as separator", 400, "GET\t/livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("leading space", 400, " GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("no target", 400, "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("space in the path", 400, "GET /li vez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("lower-case method", 501, "get /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("unknown method", 501, "BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("CONNECT", 501, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("absolute form (llhttp)", 400, "GET http://a/livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("asterisk form", 400, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("path without slash", 400, "GET livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("byte 0x80 in the path (llhttp)", 400, "GET /v1/topics/\x80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("UTF-8 in the path (llhttp)", 400, "GET /v1/topics/\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"),
    CASE("byte 0xff in the query", 400, "GET /livez?\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    /* Host, Upgrade, names */
    CASE("no Host (llhttp)", 400, "GET /livez HTTP/1.1\r\n\r\n"),
    CASE("two Hosts (llhttp)", 400, GET "Host: b\r\n\r\n"),
    CASE("Host with a path", 400, "GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    CASE("Host with a space", 400, "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n"),
    CASE("Host with an at sign", 400, "GET /livez HTTP/1.1\r\nHost: x@a\r\n\r\n"),
    CASE("Upgrade to websocket", 400, GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    CASE("Upgrade to h2c", 400,
         GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"),
    CASE("Upgrade without Connection", 400, GET "Upgrade: h2c\r\n\r\n"),
    CASE("Trailer announced", 400,
         POST "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n\r\n"),
    CASE("header without colon", 400, GET "Broken\r\n\r\n"),
    CASE("header without name (llhttp)", 400, GET ": a\r\n\r\n"),
    CASE("header name with a space", 400, GET "X Y: a\r\n\r\n"),
    CASE("header name with a bracket", 400, GET "X[: a\r\n\r\n"),
    CASE("header name beyond ASCII", 400, GET "X\xc3: a\r\n\r\n"),
    CASE("unknown expectation", 417, POST "Expect: magic\r\nContent-Length: 2\r\n\r\nab"),
    /* chunks */
    CASE("chunk extension (llhttp)", 400, CHUNKED "2;a=b\r\nab\r\n0\r\n\r\n"),
    CASE("chunk extension on the last chunk (llhttp)", 400, CHUNKED "2\r\nab\r\n0;x\r\n\r\n"),
    CASE("trailer (llhttp)", 400, CHUNKED "2\r\nab\r\n0\r\nX: y\r\n\r\n"),
    CASE("content-length in a trailer (llhttp)", 400, CHUNKED "0\r\nContent-Length: 5\r\n\r\n"),
    CASE("chunk size 0x2", 400, CHUNKED "0x2\r\nab\r\n0\r\n\r\n"),
    CASE("chunk size -1", 400, CHUNKED "-1\r\nab\r\n0\r\n\r\n"),
    CASE("chunk size +2", 400, CHUNKED "+2\r\nab\r\n0\r\n\r\n"),
    CASE("chunk size with space", 400, CHUNKED "2 \r\nab\r\n0\r\n\r\n"),
    CASE("chunk size overflows", 400, CHUNKED "10000000000000002\r\nab\r\n0\r\n\r\n"),
    CASE("chunk size of nine digits", 400, CHUNKED "000000002\r\nab\r\n0\r\n\r\n"),
    CASE("chunk size empty", 400, CHUNKED "\r\nab\r\n0\r\n\r\n"),
    CASE("bare LF behind a chunk size", 400, CHUNKED "2\nab\r\n0\r\n\r\n"),
    CASE("bare CR behind a chunk size", 400, CHUNKED "2\rab\r\n0\r\n\r\n"),
    CASE("bare LF behind chunk data", 400, CHUNKED "2\r\nab\n0\r\n\r\n"),
    CASE("chunk longer than its size", 400, CHUNKED "2\r\nabc\r\n0\r\n\r\n"),
    CASE("bare LF behind the last chunk", 400, CHUNKED "2\r\nab\r\n0\n\n"),
    CASE("bare LF ends the chunks", 400, CHUNKED "2\r\nab\r\n0\r\n\n"),
    CASE("bare CR ends the chunks", 400, CHUNKED "2\r\nab\r\n0\r\n\rX"),
};
#define CASES_COUNT (sizeof cases / sizeof cases[0])

static size_t case_bytes(const struct hostile *hostile)
{
    return hostile->bytes_count;
}

static void check_refused(struct fixture *fixture, struct fake_stream *stream,
                          const struct hostile *hostile, size_t cut)
{
    struct reply reply;
    cr_assert(fixture_reply(stream, &reply), "%s, cut at %zu: no reply", hostile->name, cut);
    cr_assert_eq(reply.status, hostile->status, "%s, cut at %zu: %s%s", hostile->name, cut,
                 reply.head, reply.body);
    cr_assert_str_eq(reply_header(&reply, "content-type"), "application/problem+json");
    cr_assert_str_eq(reply_header(&reply, "connection"), "close", "%s", hostile->name);
    reply_close(&reply);
    cr_assert_eq(stream->output_bytes, 0, "%s, cut at %zu: a second reply: %s", hostile->name, cut,
                 stream->output);
    cr_assert(stream->closed, "%s, cut at %zu: the connection stays open", hostile->name, cut);
    cr_assert_eq(fixture->node.submitted_total, 0, "%s, cut at %zu: a request reached the node",
                 hostile->name, cut);
}

/* A fresh connection per attempt; closed streams are swept so that the fake stays fast. */
static void attempt(const struct hostile *hostile, size_t cut, size_t read_bytes_max)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    fixture.io.read_bytes_max = read_bytes_max;
    struct fake_stream *stream = fixture_connect(&fixture);
    size_t bytes = case_bytes(hostile);
    if (cut > 0) fixture_send_bytes(&fixture, stream, hostile->bytes, cut);
    if (!stream->closed) {
        fake_stream_send(stream, hostile->bytes + cut, bytes - cut);
        fixture_send(&fixture, stream, SMUGGLED);
    }
    check_refused(&fixture, stream, hostile, cut);
    fixture_close(&fixture);
}

Test(http_hostile, corpus_has_at_least_sixty_cases)
{
    cr_assert_geq(CASES_COUNT, 60);
}

Test(http_hostile, each_case_is_refused_and_nothing_behind_it_is_parsed)
{
    for (size_t i = 0; i < CASES_COUNT; i++)
        attempt(&cases[i], 0, 0);
}

Test(http_hostile, each_case_is_refused_when_it_comes_byte_by_byte)
{
    for (size_t i = 0; i < CASES_COUNT; i++)
        attempt(&cases[i], 0, 1);
}

Test(http_hostile, each_case_is_refused_when_cut_at_any_byte, .timeout = 900)
{
    for (size_t i = 0; i < CASES_COUNT; i++) {
        for (size_t cut = 1; cut < case_bytes(&cases[i]); cut++)
            attempt(&cases[i], cut, 0);
    }
}

Test(http_hostile, a_good_request_before_a_bad_one_is_answered_first)
{
    for (size_t i = 0; i < CASES_COUNT; i++) {
        struct fixture fixture;
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        fake_stream_send(stream, GET "\r\n", strlen(GET "\r\n"));
        fake_stream_send(stream, cases[i].bytes, case_bytes(&cases[i]));
        fixture_send(&fixture, stream, SMUGGLED);
        fixture_expect(stream, 200, NULL);
        check_refused(&fixture, stream, &cases[i], 0);
        fixture_close(&fixture);
    }
}

/* ---- what must get through, over any cut ------------------------------------------------------------------- */

struct good {
    const char *name;
    const char *bytes;
    const char *body;
};

static const struct good goods[] = {
    {"content-length", POST "Content-Length: 5\r\n\r\nhello", "hello"},
    {"no body", POST "\r\n", ""},
    {"content-length 0", POST "Content-Length: 0\r\n\r\n", ""},
    {"one chunk", CHUNKED "5\r\nhello\r\n0\r\n\r\n", "hello"},
    {"several chunks, upper and lower case, leading zero",
     CHUNKED "0A\r\n0123456789\r\na\r\nabcdefghij\r\n1\r\nx\r\n0\r\n\r\n", "0123456789abcdefghijx"},
    {"empty chunked body", CHUNKED "0\r\n\r\n", ""},
    {"chunk data that looks like a request", CHUNKED "16\r\nGET /x HTTP/1.1\r\nHost:\r\n00\r\n\r\n",
     "GET /x HTTP/1.1\r\nHost:"},
    {"Chunked in another case", POST "TRANSFER-ENCODING: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
     "ok"},
    {"empty header value", POST "X-Empty:\r\nContent-Length: 2\r\n\r\nok", "ok"},
    {"space around a value", POST "X:  \t a \t \r\nContent-Length: \t2 \r\n\r\nok", "ok"},
    {"no space behind the colon", POST "X:a\r\nContent-Length:2\r\n\r\nok", "ok"},
    {"UTF-8 in a value", POST "X: \xc3\xa4\r\nContent-Length: 2\r\n\r\nok", "ok"},
    {"one empty line in front", "\r\n" POST "Content-Length: 2\r\n\r\nok", "ok"},
    {"binary body with CR and LF", POST "Content-Length: 6\r\n\r\n\r\r\n\n\r\n", "\r\r\n\n\r\n"},
    {"port in Host",
     "POST /v1/topics/t/messages HTTP/1.1\r\nHost: [::1]:7070\r\nContent-Length: 2\r\n\r\nok",
     "ok"},
    {"escaped path",
     "POST /v1/topics/%74/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok", "ok"},
};

static void check_good(const struct good *good, size_t cut, size_t read_bytes_max)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    fixture.io.read_bytes_max = read_bytes_max;
    struct fake_stream *stream = fixture_connect(&fixture);
    if (cut > 0) fixture_send_bytes(&fixture, stream, good->bytes, cut);
    fixture_send(&fixture, stream, good->bytes + cut);
    cr_assert_eq(fixture.node.requests_count, 1, "%s, cut at %zu: %s", good->name, cut,
                 stream->output);
    struct node_request *request = fixture.node.requests[0];
    cr_assert_str_eq(request->topic, "t");
    struct record_batch_reader reader;
    struct record_view record;
    bool end;
    cr_assert_eq(
        record_batch_reader_open(&reader, request->produce.batch, request->produce.bytes, 1 << 20),
        RECORD_BATCH_OK);
    cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
    cr_assert_eq(record.value_bytes, strlen(good->body), "%s, cut at %zu", good->name, cut);
    cr_assert_eq(memcmp(record.value, good->body, record.value_bytes), 0);
    record_batch_reader_close(&reader);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 201, NULL);
    cr_assert(!stream->closed);
    fixture_close(&fixture);
}

Test(http_hostile, a_good_request_gets_through_over_any_cut, .timeout = 300)
{
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
        check_good(&goods[i], 0, 1);
        for (size_t cut = 0; cut < strlen(goods[i].bytes); cut++)
            check_good(&goods[i], cut, 0);
    }
}

/* Random damage of good requests: whatever happens, the sanitizers stay quiet, and the answers are the same whether the
 * bytes come at once or one by one. */
Test(http_hostile, damaged_requests_are_answered_alike_over_any_cut, .timeout = 300)
{
    uint32_t state = 12345;
    for (int round = 0; round < 3000; round++) {
        const struct good *good = &goods[(size_t)round % (sizeof goods / sizeof goods[0])];
        size_t bytes = strlen(good->bytes);
        char *damaged = malloc(2 * bytes);
        memcpy(damaged, good->bytes, bytes);
        memcpy(damaged + bytes, good->bytes, bytes);
        for (int change = 0; change < 1 + round % 3; change++) {
            state = state * 1664525u + 1013904223u;
            damaged[(state >> 8) % bytes] = (char)(state >> 24);
        }
        char *at_once = fixture_converse(damaged, 2 * bytes, 0);
        char *one_by_one = fixture_converse(damaged, 2 * bytes, 1);
        cr_assert_str_eq(at_once, one_by_one, "round %d", round);
        free(at_once);
        free(one_by_one);
        free(damaged);
    }
}
