/* `raftmq dev`: a cluster to play with. Three node processes that can be killed, started again when they are, and gone
 * when this process is. */
#include <assert.h>
#include <broker/io_uv.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "exit_code.h"
#include "local_cluster.h"
#include "message.h"
#include "quantity.h"
#include "verbs.h"

#define READY_US   30000000u
#define RESTART_US 1000000u
#define STOP_US    12000000u

struct dev;

struct dev_restart {
    struct dev *dev;
    uint32_t number;
    struct io_timer timer;
};

struct dev {
    struct local_cluster cluster;
    struct io *io;
    struct io_job ready_job;
    struct io_job_queue *queue;
    struct dev_restart restarts[LOCAL_CLUSTER_NODES_MAX];
    volatile bool give_up;
    bool ready, restart, waiting, quiet;
    uint32_t leader;
    uint64_t started_us;
    enum exit_code code;
};

static void stop(struct dev *dev)
{
    dev->give_up = true;
    io_uv_stop(dev->io);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static void print_ready(const struct dev *dev)
{
    const struct local_cluster *cluster = &dev->cluster;
    uint32_t count = cluster->options.nodes_count;
    char took[QUANTITY_TEXT_BYTES];
    printf("%" PRIu32 "-node cluster ready in %s\n", count,
           quantity_duration(took, clock_monotonic_us() - dev->started_us));
    printf("NODE  ROLE         PID  HTTP\n");
    for (uint32_t i = 0; i < count; i++) {
        const struct local_node *node = &cluster->nodes[i];
        printf("n%-5" PRIu32 "%-9s%7d  %s\n", node->number,
               node->number == dev->leader ? "leader" : "follower", (int)node->pid, node->http);
    }
    printf("\ntry, in another terminal:\n");
    if (cluster->options.base_port != 7070) {
        printf("  export RAFTMQ_SERVER=");
        for (uint32_t i = 0; i < count && i < 3; i++) { /* any node knows the others */
            printf("%s%s", i ? "," : "", cluster->nodes[i].http);
        }
        putchar('\n');
    }
    printf("  echo hi | raftmq produce demo\n"
           "  raftmq consume demo --from earliest\n"
           "  raftmq cluster status\n");
    printf("\ndata and logs in %s%s; Ctrl-C ends the cluster\n", cluster->directory,
           cluster->is_fresh && !cluster->options.keep ? " (removed at the end)" : "");
    (void)message_output_flush();
}

/* ---- readiness -------------------------------------------------------------------------------------------------- */

static void wait_ready(struct io_job *job)
{
    struct dev *dev = job->data;
    dev->ready = local_cluster_wait_ready(&dev->cluster, READY_US, &dev->give_up, &dev->leader);
}

static void waited(struct io_job *job)
{
    struct dev *dev = job->data;
    dev->waiting = false;
    if (dev->give_up) {
        io_uv_stop(dev->io);
        return;
    }
    if (!dev->ready) {
        char log[LOCAL_CLUSTER_PATH_BYTES + 16];
        local_cluster_log_path(&dev->cluster, 1, log, sizeof(log));
        message_error("the nodes are not ready after %u s", READY_US / 1000000u);
        message_hint("their logs say why: %s and its neighbours", log);
        dev->cluster.options.keep = true;
        dev->code = EXIT_CODE_FAILED;
        stop(dev);
        return;
    }
    if (!dev->quiet) print_ready(dev);
}

/* ---- deaths ------------------------------------------------------------------------------------------------------ */

static void start_again(struct io_timer *timer)
{
    struct dev_restart *restart = timer->data;
    struct dev *dev = restart->dev;
    if (dev->give_up) return;
    if (!local_cluster_start(&dev->cluster, restart->number)) {
        message_error("%s", dev->cluster.error);
        return;
    }
    message_note("n%" PRIu32 " started again, pid %d", restart->number,
                 (int)dev->cluster.nodes[restart->number - 1].pid);
}

static void describe_death(int status, char *text, size_t bytes)
{
    if (WIFSIGNALED(status)) {
        snprintf(text, bytes, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        snprintf(text, bytes, "exited with status %d", WEXITSTATUS(status));
    }
}

static void take_death(struct dev *dev, uint32_t number, int status)
{
    char how[96], words[1024];
    describe_death(status, how, sizeof(how));
    local_cluster_last_words(&dev->cluster, number, words, sizeof(words));
    if (!dev->ready) {
        message_error("n%" PRIu32 " %s before the cluster was ready", number, how);
        if (words[0]) message_hint("%s", words);
        if (strstr(words, "in use")) message_hint("--base-port chooses other ports");
        dev->code = EXIT_CODE_FAILED;
        stop(dev);
        return;
    }
    message_note("n%" PRIu32 " %s%s", number, how, dev->restart ? "; it starts again in 1 s" : "");
    if (WIFEXITED(status) && words[0]) message_hint("%s", words);
    if (dev->restart) io_timer_start(dev->io, &dev->restarts[number - 1].timer, RESTART_US);
}

static void on_child(void *data, int number)
{
    struct dev *dev = data;
    int status;
    (void)number;
    if (dev->give_up) return;
    for (uint32_t node; !dev->give_up && (node = local_cluster_reap(&dev->cluster, &status)) > 0;) {
        take_death(dev, node, status);
    }
}

static void on_signal(void *data, int number)
{
    struct dev *dev = data;
    (void)number;
    stop(dev);
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

static bool start_all(struct dev *dev)
{
    for (uint32_t i = 1; i <= dev->cluster.options.nodes_count; i++) {
        dev->restarts[i - 1] = (struct dev_restart){
            .dev = dev, .number = i, .timer = {.fire = start_again, .data = &dev->restarts[i - 1]}};
        if (!local_cluster_start(&dev->cluster, i)) {
            message_error("%s", dev->cluster.error);
            return false;
        }
    }
    return true;
}

static void run(struct dev *dev)
{
    io_uv_on_signal(dev->io, SIGCHLD, on_child, dev);
    io_uv_on_signal(dev->io, SIGINT, on_signal, dev);
    io_uv_on_signal(dev->io, SIGTERM, on_signal, dev);
    io_uv_on_signal(dev->io, SIGHUP, on_signal, dev);
    dev->queue = io_job_queue_create(dev->io);
    assert(dev->queue);
    if (!start_all(dev)) {
        dev->code = EXIT_CODE_FAILED;
        return;
    }
    dev->ready_job = (struct io_job){.run = wait_ready, .done = waited, .data = dev};
    dev->waiting = true;
    io_job_submit(dev->io, dev->queue, &dev->ready_job);
    io_uv_run(dev->io);
    while (dev->waiting) { /* waited() stops the loop */
        io_uv_run(dev->io);
    }
    for (uint32_t i = 0; i < dev->cluster.options.nodes_count; i++) {
        io_timer_stop(dev->io, &dev->restarts[i].timer);
    }
}

static bool read_options(const struct options *options, struct local_cluster_options *ret_options)
{
    uint64_t nodes = options_number(options, "nodes");
    uint64_t base_port = options_number(options, "base-port");
    if (nodes < 1 || nodes > LOCAL_CLUSTER_NODES_MAX) {
        message_error("dev: --nodes %" PRIu64 " is not between 1 and %u", nodes,
                      LOCAL_CLUSTER_NODES_MAX);
        return false;
    }
    if (base_port < 1 || base_port + 10 * nodes > 65535) {
        message_error("dev: --base-port %" PRIu64 " leaves no room for the ports of %" PRIu64
                      " nodes",
                      base_port, nodes);
        return false;
    }
    *ret_options = (struct local_cluster_options){
        .nodes_count = (uint32_t)nodes,
        .base_port = (uint32_t)base_port,
        .directory = options_text(options, "data-dir"),
        .keep = options_on(options, "keep"),
        .pid_directory = options_text(options, "pid-file"),
        .segment_bytes = options_text(options, "segment-bytes"),
        .log_level = options_text(options, "log-level"),
    };
    return true;
}

int dev_command(const struct options *options)
{
    struct local_cluster_options cluster_options;
    if (!read_options(options, &cluster_options)) return EXIT_CODE_USAGE;
    message_set_quiet(options_on(options, "quiet"));
    struct dev *dev = calloc(1, sizeof(*dev));
    assert(dev);
    dev->started_us = clock_monotonic_us();
    dev->quiet = options_on(options, "quiet");
    dev->restart = options_on(options, "restart");
    dev->io = io_uv_create(1);
    if (!dev->io || !local_cluster_init(&dev->cluster, &cluster_options)) {
        message_error("%s", dev->io ? dev->cluster.error : "cannot start the event loop");
        dev->code = EXIT_CODE_FAILED;
    } else if (!local_cluster_ports_are_free(&dev->cluster)) {
        message_error("dev: %s", dev->cluster.error);
        message_hint("is a cluster running already? --base-port chooses other ports");
        dev->code = EXIT_CODE_FAILED;
        local_cluster_close(&dev->cluster);
    } else {
        run(dev);
        local_cluster_stop(&dev->cluster, STOP_US);
        local_cluster_close(&dev->cluster);
    }
    if (dev->queue) io_job_queue_destroy(dev->io, dev->queue);
    io_uv_destroy(dev->io);
    int code = (int)dev->code;
    free(dev);
    return code;
}
