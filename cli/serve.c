/* `raftmq serve`: the process around one node.
 *
 *     settings ──► io loop ──► node ──► HTTP server ──► run ──► SIGTERM: both drain ──► exit 0
 *
 * Nothing is written to stdout; the log goes to stderr, and its first line names all addresses. */
#include <assert.h>
#include <broker/http.h>
#include <broker/io_uv.h>
#include <broker/node.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <segment_log/node_store.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "exit_code.h"
#include "listen.h"
#include "logger.h"
#include "message.h"
#include "node_lock.h"
#include "peers.h"
#include "servers.h"
#include "verbs.h"
#include "version.h"

#define WORKERS_COUNT  4u
#define STOP_GRACE_US  2000000u /* beyond drain-ms, for replies to leave */
#define HEARTBEATS_MIN 5u       /* in the shortest election timeout (PROTOCOL C9) */

struct serve {
    struct logger logger;
    struct io *io;
    struct node *node;
    struct http_server *http;
    uint64_t node_id;
    struct peer_config peers[PEER_NODES_MAX];
    uint32_t peers_count;
    char advertise_http[SERVER_ADDRESS_BYTES];
    char advertise_peer[SERVER_ADDRESS_BYTES];
    uint32_t drain_ms;
    struct io_timer stop_timer;
    bool stopping, node_stopped, http_stopped;
    int watched_fd;
};

/* ---- callbacks of node and HTTP server ------------------------------------------------------------------------- */

static void on_log(void *data, const char *level, const char *line)
{
    struct serve *serve = data;
    logger_line(&serve->logger, level, line);
}

static void on_fatal(void *data, enum node_fatal code, const char *reason)
{
    struct serve *serve = data;
    logger_format(&serve->logger, "error", "event=\"node stops\" code=%d reason=\"%s\"", (int)code,
                  reason);
    _exit((int)code); /* at once: nothing this process still holds may be trusted or sent */
}

/* ---- stopping -------------------------------------------------------------------------------------------------- */

static void stop_when_drained(struct serve *serve)
{
    if (serve->node_stopped && serve->http_stopped) io_uv_stop(serve->io);
}

static void on_node_stopped(void *data)
{
    struct serve *serve = data;
    serve->node_stopped = true;
    stop_when_drained(serve);
}

static void on_http_stopped(void *data)
{
    struct serve *serve = data;
    serve->http_stopped = true;
    stop_when_drained(serve);
}

static void stop_anyway(struct io_timer *timer)
{
    struct serve *serve = timer->data;
    logger_line(&serve->logger, "warn", "event=\"drain time is over, leaving what is in flight\"");
    _exit(
        EXIT_CODE_OK); /* disk jobs may be under way, so nothing can be freed; what was acked is durable */
}

static void on_signal(void *data, int number)
{
    struct serve *serve = data;
    const char *name = number == SIGTERM ? "SIGTERM" : "SIGINT";
    if (serve->stopping) {
        logger_format(&serve->logger, "warn", "event=\"second signal, exiting at once\" signal=%s",
                      name);
        _exit(128 + number);
    }
    serve->stopping = true;
    logger_format(&serve->logger, "info", "event=\"stopping\" signal=%s drain_ms=%" PRIu32, name,
                  serve->drain_ms);
    io_timer_start(serve->io, &serve->stop_timer, serve->drain_ms * 1000ull + STOP_GRACE_US);
    node_stop(serve->node, serve->drain_ms, on_node_stopped, serve);
    http_server_stop(serve->http, on_http_stopped, serve);
}

/* The other end of the pipe is held by the process that started us: it is gone when reads return. */
static void *watch_fd(void *data)
{
    struct serve *serve = data;
    char byte;
    ssize_t bytes;
    do {
        bytes = read(serve->watched_fd, &byte, 1);
    } while (bytes > 0 || (bytes < 0 && errno == EINTR));
    _exit(EXIT_CODE_FAILED);
}

/* ---- settings -------------------------------------------------------------------------------------------------- */

static bool refuse(const char *hint, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(const char *hint, const char *format, ...)
{
    char text[OPTIONS_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    message_error("serve: %s", text);
    if (hint) message_hint("%s", hint);
    return false;
}

static bool parse_peers(struct serve *serve, const char *list)
{
    char error[PEERS_ERROR_BYTES];
    return peers_parse(list, serve->peers, &serve->peers_count, error) ||
           refuse("for example --peers n1=10.0.0.1:7071,n2=10.0.0.2:7071,n3=10.0.0.3:7071", "--%s",
                  error);
}

static bool read_node_id(struct serve *serve, const struct options *options)
{
    const char *text = options_text(options, "node-id");
    char host[256] = "";
    if (text) {
        if (peers_parse_node_id(text, &serve->node_id)) return true;
        return refuse("for example --node-id n1", "'%.60s' is not a node id", text);
    }
    gethostname(host, sizeof(host) - 1);
    if (host[0] == 'n' && peers_parse_node_id(host, &serve->node_id)) return true;
    if (!options_has(options, "peers")) {
        serve->node_id = 1; /* a cluster of one needs no name */
        return true;
    }
    if (!parse_peers(serve, options_text(options, "peers"))) return false;
    return refuse("--node-id n1, or RAFTMQ_NODE_ID=n1",
                  "which node of --peers is this? The hostname '%.60s' does not say", host);
}

static bool check_address(const struct options *options, const char *name)
{
    const char *address = options_text(options, name);
    const char *problem = address ? server_address_problem(address) : NULL;
    return !problem ||
           refuse("host:port, such as 127.0.0.1:7070", "--%s '%.100s' %s", name, address, problem);
}

static bool check_addresses(const struct options *options)
{
    if (!check_address(options, "listen-http") || !check_address(options, "listen-peer") ||
        !check_address(options, "advertise-http") || !check_address(options, "advertise-peer")) {
        return false;
    }
    const char *http = options_text(options, "listen-http");
    const char *peer = options_text(options, "listen-peer");
    return !listen_addresses_meet(http, peer) ||
           refuse(
               "clients and peers need a port each: choose another --listen-http or --listen-peer",
               "--listen-http %.100s and --listen-peer %.100s are the same port", http, peer);
}

/* What others are told: as set, else the listener; a wildcard is no address, so the hostname stands in for it. */
static void choose_advertised(char *ret_address, const char *set, const char *listen)
{
    char host[200] = "localhost";
    if (set || !listen_is_wildcard(listen)) {
        snprintf(ret_address, SERVER_ADDRESS_BYTES, "%s", set ? set : listen);
        return;
    }
    gethostname(host, sizeof(host) - 1);
    snprintf(ret_address, SERVER_ADDRESS_BYTES, "%s%s", host, strrchr(listen, ':'));
}

static const struct peer_config *find_self(const struct serve *serve)
{
    for (uint32_t i = 0; i < serve->peers_count; i++) {
        if (serve->peers[i].node_id == serve->node_id) return &serve->peers[i];
    }
    return NULL;
}

/* A node that joins names those of the cluster; it stands in its own list all the same. */
static bool add_self(struct serve *serve)
{
    uint32_t at = serve->peers_count;
    if (at == PEER_NODES_MAX) {
        return refuse("name some nodes of the cluster, it tells of the others",
                      "--peers: at most %u nodes are supported, this one included", PEER_NODES_MAX);
    }
    for (; at > 0 && serve->peers[at - 1].node_id > serve->node_id; at--) {
        serve->peers[at] = serve->peers[at - 1];
    }
    serve->peers[at].node_id = serve->node_id;
    snprintf(serve->peers[at].address, sizeof(serve->peers[at].address), "%.255s",
             serve->advertise_peer);
    serve->peers_count++;
    return true;
}

static bool read_peers(struct serve *serve, const struct options *options)
{
    const char *list = options_text(options, "peers");
    const char *advertise = options_text(options, "advertise-peer");
    const char *listen = options_text(options, "listen-peer");
    if (!list && options_on(options, "join")) {
        return refuse("for example --join --peers n1=10.0.0.1:7071,n2=10.0.0.2:7071",
                      "--join needs --peers with some nodes of the cluster");
    }
    if (!list) {
        choose_advertised(serve->advertise_peer, advertise, listen);
        serve->peers_count = 1;
        serve->peers[0].node_id = serve->node_id;
        snprintf(serve->peers[0].address, sizeof(serve->peers[0].address), "%.255s",
                 serve->advertise_peer);
        return true;
    }
    if (!parse_peers(serve, list)) return false;
    if (options_on(options, "join") && !find_self(serve)) {
        choose_advertised(serve->advertise_peer, advertise, listen);
        return add_self(serve);
    }
    const struct peer_config *self = find_self(serve);
    if (!self) {
        return refuse(
            "the list is the same on every node, and names them all; --join is for a node "
            "that is new to a running cluster",
            "this is n%" PRIu64 ", and --peers %.200s does not name it", serve->node_id, list);
    }
    snprintf(serve->advertise_peer, sizeof(serve->advertise_peer), "%s",
             advertise ? advertise : self->address);
    return true;
}

static bool read_timing(const struct options *options)
{
    uint64_t heartbeat = options_number(options, "heartbeat-ms");
    uint64_t min = options_number(options, "election-timeout-ms-min");
    uint64_t max = options_number(options, "election-timeout-ms-max");
    if (heartbeat < 1 || heartbeat > 60000) {
        return refuse(NULL, "--heartbeat-ms %" PRIu64 " is not between 1 and 60000", heartbeat);
    }
    if (min < heartbeat * HEARTBEATS_MIN) {
        return refuse("a follower must miss several heartbeats before it stands for election",
                      "--election-timeout-ms-min %" PRIu64 " is below %u heartbeats of %" PRIu64
                      " ms",
                      min, HEARTBEATS_MIN, heartbeat);
    }
    if (max <= min || max > 600000) {
        return refuse(
            "timeouts are drawn between the two, so that nodes do not stand at the same time",
            "--election-timeout-ms-max %" PRIu64 " is not between %" PRIu64 " and 600000", max,
            min + 1);
    }
    return true;
}

static bool read_settings(struct serve *serve, const struct options *options)
{
    serve->logger = (struct logger){.fd = STDERR_FILENO,
                                    .level_max = logger_level(options_text(options, "log-level"))};
    if (!read_node_id(serve, options)) return false;
    serve->logger.node_id = serve->node_id;
    serve->drain_ms = (uint32_t)(options_number(options, "drain-ms") < 3600000
                                     ? options_number(options, "drain-ms")
                                     : 3600000);
    if (!check_addresses(options)) return false;
    choose_advertised(serve->advertise_http, options_text(options, "advertise-http"),
                      options_text(options, "listen-http"));
    return read_peers(serve, options) && read_timing(options);
}

/* ---- what stops a start before anything is made ------------------------------------------------------------------ */

static void tell_stop(const struct serve *serve, enum node_fatal code, const char *reason,
                      const char *hint)
{
    logger_format(&serve->logger, "error", "event=\"node stops\" code=%d reason=\"%s\" hint=\"%s\"",
                  (int)code, reason, hint);
}

/* Whose: "clients" or "peers". */
static void tell_no_listener(const struct serve *serve, const struct options *options,
                             const char *whose, const char *flag, int status)
{
    char reason[SERVER_ADDRESS_BYTES + 128], hint[128];
    snprintf(reason, sizeof(reason), "cannot listen for %s on %s: %s", whose,
             options_text(options, flag), strerror(-status));
    snprintf(hint, sizeof(hint),
             status == -EADDRINUSE ? "another process has the port: end it or choose another --%s"
                                   : "check --%s",
             flag);
    tell_stop(serve, NODE_FATAL_BUSY, reason, hint);
}

static bool can_listen(const struct serve *serve, const struct options *options, const char *whose,
                       const char *flag)
{
    const int status = io_uv_try_address(options_text(options, flag));
    if (status == 0) return true;
    tell_no_listener(serve, options, whose, flag, status);
    return false;
}

static bool is_of_strangers(const struct serve *serve, const char *directory)
{
    char names[320], reason[DISK_PATH_MAX + 400], hint[DISK_PATH_MAX + 64];
    if (node_directory_find_strangers(disk_posix(), directory, names, sizeof(names)) <= 0) {
        return false; /* what cannot be listed the node finds, too */
    }
    const size_t bytes = strlen(directory);
    snprintf(reason, sizeof(reason), "the data directory %s holds nothing of raftmq, but %s",
             directory, names);
    snprintf(hint, sizeof(hint), "name an empty directory, such as %s%sdata", directory,
             bytes > 0 && directory[bytes - 1] == '/' ? "" : "/");
    tell_stop(serve, NODE_FATAL_CONFIG, reason, hint);
    return true;
}

/* 0, or the exit status: nothing was made in a new directory, and nothing changed in any. */
static int check_start(const struct serve *serve, const struct options *options)
{
    const char *directory = options_text(options, "data-dir");
    char held[DISK_PATH_MAX];
    if (is_of_strangers(serve, directory)) return NODE_FATAL_CONFIG;
    /* Who starts one node twice is told of the directory: the ports are taken by the same one. */
    if (node_lock_is_held(directory, held, sizeof(held))) return 0;
    if (!can_listen(serve, options, "clients", "listen-http") ||
        !can_listen(serve, options, "peers", "listen-peer")) {
        return NODE_FATAL_BUSY;
    }
    return 0;
}

static void warn_open(const struct serve *serve, const struct options *options, const char *whose,
                      const char *flag)
{
    const char *address = options_text(options, flag);
    if (listen_is_loopback(address)) return;
    logger_format(
        &serve->logger, "warn",
        "event=\"the port for %s is open to other machines, and there is no authentication "
        "yet: let only a trusted network reach it\" address=%s",
        whose, address);
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

static void raise_file_limit(const struct serve *serve)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        logger_line(&serve->logger, "warn", "event=\"cannot raise the limit of open files\"");
    }
}

static void log_addresses(const struct serve *serve, const struct options *options)
{
    char peers[1024] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < serve->peers_count && used < sizeof(peers) - 1; i++) {
        int bytes = snprintf(peers + used, sizeof(peers) - used, "%sn%" PRIu64 "=%s", i ? "," : "",
                             serve->peers[i].node_id, serve->peers[i].address);
        used += bytes > 0 ? (size_t)bytes : 0;
    }
    logger_format(
        &serve->logger, "info",
        "event=\"starting\" version=%s http=%s peer=%s advertise_http=%s advertise_peer=%s "
        "peers=%s data=\"%s\" pid=%d",
        version_text(), options_text(options, "listen-http"), options_text(options, "listen-peer"),
        serve->advertise_http, serve->advertise_peer, peers, options_text(options, "data-dir"),
        (int)getpid());
}

static bool create_node(struct serve *serve, const struct options *options)
{
    struct node_options node_options = {
        .io = serve->io,
        .disk = disk_posix(),
        .data_directory = options_text(options, "data-dir"),
        .node_id = serve->node_id,
        .listen_peer = options_text(options, "listen-peer"),
        .advertise_peer = serve->advertise_peer,
        .advertise_http = serve->advertise_http,
        .advertise_kafka = "",
        .peers = serve->peers,
        .peers_count = serve->peers_count,
        .join_only = options_on(options, "join"),
        .auto_create_topics = options_on(options, "auto-create"),
        .heartbeat_ms = options_number(options, "heartbeat-ms"),
        .election_timeout_ms_min = options_number(options, "election-timeout-ms-min"),
        .election_timeout_ms_max = options_number(options, "election-timeout-ms-max"),
        .segment_bytes_max = options_number(options, "segment-bytes"),
        .cache_bytes_max = options_number(options, "cache-bytes"),
        .inflight_bytes_max = options_number(options, "max-inflight-bytes"),
        .checkpoint_entries = options_number(options, "checkpoint-entries"),
        .reserve_bytes = options_number(options, "reserve-bytes"),
        .fatal = on_fatal,
        .log = on_log,
        .data = serve,
        .version = version_text(),
    };
    serve->node = node_create(&node_options);
    return serve->node != NULL;
}

static bool create_http(struct serve *serve, const struct options *options)
{
    struct http_server_options http_options = {
        .io = serve->io,
        .node = serve->node,
        .node_id = serve->node_id,
        .listen_address = options_text(options, "listen-http"),
        .auto_create_topics = options_on(options, "auto-create"),
        .version = version_text(),
        .log = on_log,
        .data = serve,
    };
    int status = http_server_create(&http_options, &serve->http);
    if (status == 0) return true;
    tell_no_listener(serve, options, "clients", "listen-http", status);
    return false;
}

int serve_command(const struct options *options)
{
    struct serve *serve = calloc(1, sizeof(*serve));
    if (!serve) return EXIT_CODE_FAILED;
    if (!read_settings(serve, options)) {
        free(serve);
        return EXIT_CODE_USAGE;
    }
    log_addresses(serve, options);
    int code = check_start(serve, options);
    if (code != 0) {
        free(serve);
        return code;
    }
    warn_open(serve, options, "clients", "listen-http");
    warn_open(serve, options, "peers", "listen-peer");
    raise_file_limit(serve);
    if (options_has(options, "exit-with-fd")) {
        pthread_t thread;
        serve->watched_fd = (int)options_number(options, "exit-with-fd");
        int failed = pthread_create(&thread, NULL, watch_fd, serve);
        assert(!failed);
        pthread_detach(thread);
    }
    code = NODE_FATAL_CONFIG;
    serve->io = io_uv_create(WORKERS_COUNT);
    if (!serve->io) {
        logger_line(&serve->logger, "error", "event=\"cannot start the event loop\"");
    } else if (create_node(serve, options)) {
        code = EXIT_CODE_OK;
        if (!create_http(serve, options))
            _exit(NODE_FATAL_BUSY); /* the node's disk jobs are under way */
    }
    if (code == EXIT_CODE_OK) {
        serve->stop_timer = (struct io_timer){.fire = stop_anyway, .data = serve};
        io_uv_on_signal(serve->io, SIGTERM, on_signal, serve);
        io_uv_on_signal(serve->io, SIGINT, on_signal, serve);
        io_uv_run(serve->io);
        io_timer_stop(serve->io, &serve->stop_timer);
        logger_line(&serve->logger, "info", "event=\"stopped\"");
    }
    if (serve->node && !serve->node_stopped) {
        /* Disk jobs of the node still run and use its memory: the process ends under them, as by a kill. The data
         * directory is made for that. */
        fflush(NULL);
        _exit(code);
    }
    http_server_destroy(serve->http);
    if (serve->node) node_destroy(serve->node);
    io_uv_destroy(serve->io);
    if (!options_has(options, "exit-with-fd")) free(serve); /* the watching thread still reads it */
    return code;
}
