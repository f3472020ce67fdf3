/* Counters and histograms of the front end, in Prometheus text 0.0.4. */
#include "server.h"

#include <inttypes.h>

static const char *const op_names[HTTP_OPS_COUNT] = {
    [HTTP_OP_OTHER] = "other",         [HTTP_OP_PRODUCE] = "produce",
    [HTTP_OP_FETCH] = "fetch",         [HTTP_OP_MESSAGE] = "message",
    [HTTP_OP_TOPICS] = "topics",       [HTTP_OP_OFFSETS] = "offsets",
    [HTTP_OP_PRODUCERS] = "producers", [HTTP_OP_MEMBERSHIP] = "membership",
    [HTTP_OP_STATUS] = "status",
};

/* Upper bounds in microseconds: from a commit on a fast disk to a long poll. */
static const uint64_t bucket_us[HTTP_HISTOGRAM_BUCKETS] = {
    100,   250,   500,    1000,   2500,    5000,    10000,
    25000, 50000, 100000, 250000, 1000000, 5000000, 30000000,
};
static const char *const bucket_names[HTTP_HISTOGRAM_BUCKETS] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
    "0.025",  "0.05",    "0.1",    "0.25",  "1",      "5",     "30",
};

void http__metrics_count(struct http_server *server, const struct http_exchange *exchange)
{
    struct http_metrics *metrics = &server->metrics;
    enum http_op op = exchange->route ? exchange->route->op : HTTP_OP_OTHER;
    uint64_t took_us = io_now_us(server->io) - exchange->started_us;
    uint32_t bucket = 0;
    while (bucket < HTTP_HISTOGRAM_BUCKETS && took_us > bucket_us[bucket])
        bucket++;
    metrics->requests[op][exchange->status / 100 % 6]++;
    metrics->seconds_buckets[op][bucket]++;
    metrics->seconds_us[op] += took_us;
}

static void metric(struct http_buffer *out, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    http__buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                        name, value);
}

static void requests_text(const struct http_metrics *metrics, struct http_buffer *out)
{
    http__buffer_text(out, "# HELP raftmq_http_requests_total Requests answered.\n"
                           "# TYPE raftmq_http_requests_total counter\n");
    for (int op = 0; op < HTTP_OPS_COUNT; op++) {
        for (int class = 2; class < 6; class ++) {
            if (metrics->requests[op][class] == 0) continue;
            http__buffer_format(
                out, "raftmq_http_requests_total{op=\"%s\",status=\"%dxx\"} %" PRIu64 "\n",
                op_names[op], class, metrics->requests[op][class]);
        }
    }
}

static void seconds_text(const struct http_metrics *metrics, struct http_buffer *out)
{
    http__buffer_text(out,
                      "# HELP raftmq_request_seconds From the head of a request to its reply.\n"
                      "# TYPE raftmq_request_seconds histogram\n");
    for (int op = 0; op < HTTP_OPS_COUNT; op++) {
        uint64_t count = 0;
        for (uint32_t i = 0; i <= HTTP_HISTOGRAM_BUCKETS; i++)
            count += metrics->seconds_buckets[op][i];
        if (count == 0) continue;
        uint64_t below = 0;
        for (uint32_t i = 0; i < HTTP_HISTOGRAM_BUCKETS; i++) {
            below += metrics->seconds_buckets[op][i];
            http__buffer_format(
                out,
                "raftmq_request_seconds_bucket{proto=\"http\",op=\"%s\",le=\"%s\"} %" PRIu64 "\n",
                op_names[op], bucket_names[i], below);
        }
        http__buffer_format(
            out,
            "raftmq_request_seconds_bucket{proto=\"http\",op=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
            "raftmq_request_seconds_sum{proto=\"http\",op=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n"
            "raftmq_request_seconds_count{proto=\"http\",op=\"%s\"} %" PRIu64 "\n",
            op_names[op], count, op_names[op], metrics->seconds_us[op] / 1000000,
            metrics->seconds_us[op] % 1000000, op_names[op], count);
    }
}

void http__metrics_text(const struct http_server *server, struct http_buffer *out)
{
    const struct http_metrics *metrics = &server->metrics;
    requests_text(metrics, out);
    seconds_text(metrics, out);
    http__buffer_format(out,
                        "# HELP raftmq_connections Open client connections.\n"
                        "# TYPE raftmq_connections gauge\nraftmq_connections{proto=\"http\"} %u\n",
                        server->connections_count);
    metric(out, "raftmq_http_connections_total", "counter", "Connections accepted.",
           metrics->connections_total);
    metric(out, "raftmq_http_connections_refused_total", "counter",
           "Connections refused because too many were open.", metrics->connections_refused);
    metric(out, "raftmq_http_bad_requests_total", "counter", "Malformed requests.",
           metrics->bad_requests);
    metric(out, "raftmq_http_timeouts_total", "counter", "Connections closed for slowness.",
           metrics->timeouts);
    metric(out, "raftmq_http_cancelled_total", "counter",
           "Requests whose client went away before the answer.", metrics->cancelled);
    metric(out, "raftmq_http_budget_refused_total", "counter",
           "Bodies and replies refused by a memory budget.", metrics->budget_refused);
    metric(out, "raftmq_http_received_bytes_total", "counter", "Bytes read.", metrics->bytes_in);
    metric(out, "raftmq_http_sent_bytes_total", "counter", "Bytes written.", metrics->bytes_out);
    metric(out, "raftmq_http_body_bytes", "gauge", "Bytes of unanswered bodies in memory.",
           server->body_charged);
    metric(out, "raftmq_http_reply_bytes", "gauge", "Bytes of replies that readers have not taken.",
           server->output_bytes);
}
