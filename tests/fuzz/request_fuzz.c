/* libFuzzer on what a node does with the requests that other nodes pass on. One that leads all it knows, over the simulated
 * disk, gets them as a peer sent them: each is refused by the codec, answered, or waits still when the time is over. The node
 * lives, and what it answers can be read by the one that asked.
 *
 * layout: per request: bytes (2; bit 15: time passes before it comes), body of a REQUEST frame */
#include "input.h"

#include "sim_cluster.h"

#include <broker/request_codec.h>

#include <string.h>

#define REQUESTS_MAX 16u
#define LATER        0x8000u
#define STEP_US      20000u
#define END_US       1000000u

struct asked {
    struct request_codec_decoded decoded;
    struct cluster_call call;
    uint8_t *batch;
    bool is_asked;
};

/* Two partitions, a message, a group that has read it. */
static struct cluster *make_cluster(void)
{
    struct cluster_options options;
    cluster_options_init(&options, 7, 1);
    struct cluster *cluster = cluster_create(&options);
    cluster_start(cluster, 0);
    static struct cluster_call call;
    cluster_fill_create(&call, "orders", 2, 1);
    cluster_submit(cluster, 0, &call);
    fuzz_check(cluster_wait(&call, 10 * END_US) && call.request.status == NODE_OK, "no topic");
    cluster_call_close(&call);
    fuzz_check(cluster_produce(cluster, 0, "orders", 5, -1, 0, NULL) == NODE_OK, "no message");
    cluster_fill_commit(&call, "orders", "billing", 1);
    cluster_submit(cluster, 0, &call);
    fuzz_check(cluster_wait(&call, 10 * END_US) && call.request.status == NODE_OK, "no commit");
    cluster_call_close(&call);
    return cluster;
}

static void ask(struct cluster *cluster, struct asked *asked, const uint8_t *body, size_t bytes)
{
    struct request_codec_decoded *decoded = &asked->decoded;
    if (!request_codec_decode(body, bytes, decoded)) return;
    if (decoded->batch_bytes > 0) {
        asked->batch = malloc(decoded->batch_bytes);
        fuzz_check(asked->batch, "no memory");
        memcpy(asked->batch, decoded->batch, decoded->batch_bytes);
    }
    memset(&asked->call, 0, sizeof asked->call);
    asked->call.request = decoded->request; /* its names stay in `decoded` */
    asked->call.request.produce.batch = asked->batch;
    asked->call.request.produce.bytes = decoded->batch_bytes;
    asked->is_asked = true;
    cluster_submit(cluster, 0, &asked->call);
}

static void check_answer(const struct asked *asked)
{
    const struct node_request *answered = &asked->call.request;
    const size_t bytes = response_codec_encode(asked->decoded.number, answered, NULL, 0);
    fuzz_check(bytes > 0, "an answer that cannot be sent");
    uint8_t *body = malloc(bytes + answered->ret_view.bytes_total);
    fuzz_check(body, "no memory");
    (void)response_codec_encode(asked->decoded.number, answered, body, bytes);
    size_t end = bytes;
    for (uint32_t i = 0; i < answered->ret_view.parts_count; i++) {
        memcpy(body + end, answered->ret_view.parts[i].bytes,
               answered->ret_view.parts[i].bytes_count);
        end += answered->ret_view.parts[i].bytes_count;
    }
    static struct node_request read;
    struct response_codec_view view;
    memset(&read, 0, sizeof read);
    fuzz_check(response_codec_decode(body, end, &read, &view), "an answer that cannot be read");
    fuzz_check(read.status == answered->status, "another answer");
    node_topics_free(read.ret_topics, read.ret_topics_count);
    free(read.ret_offsets);
    free(read.ret_changes);
    free(body);
}

static void end(struct asked *asked)
{
    if (!asked->is_asked) return;
    if (asked->call.is_done) {
        check_answer(asked);
    } else {
        cluster_cancel(&asked->call);
    }
    cluster_call_close(&asked->call);
    free(asked->batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    struct cluster *cluster = make_cluster();
    struct asked *asked = calloc(REQUESTS_MAX, sizeof *asked);
    fuzz_check(asked, "no memory");
    for (uint32_t i = 0; i < REQUESTS_MAX && input.bytes > 0; i++) {
        const uint16_t head = fuzz_take_u16(&input);
        size_t count;
        const uint8_t *body = fuzz_take(&input, head & (LATER - 1u), &count);
        if (head & LATER) sim_run_for(cluster->sim, STEP_US);
        ask(cluster, &asked[i], body, count);
    }
    sim_run_for(cluster->sim, END_US);
    for (uint32_t i = 0; i < REQUESTS_MAX; i++)
        end(&asked[i]);
    fuzz_check(cluster->fatals_count == 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    free(asked);
    return 0;
}
