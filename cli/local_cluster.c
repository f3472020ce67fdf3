#include "local_cluster.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"

#define POLL_US 5000u
/* The whole cluster ends at once, so the last leaders find nobody to hand over to: they need not wait long for it. */
#define DRAIN_MS "500"

static bool fail(struct local_cluster *cluster, const char *what, const char *path)
{
    snprintf(cluster->error, sizeof(cluster->error), "%s %.300s: %s", what, path, strerror(errno));
    return false;
}

static bool make_directory(struct local_cluster *cluster)
{
    const char *given = cluster->options.directory;
    if (given) {
        snprintf(cluster->directory, sizeof(cluster->directory), "%s", given);
        if (mkdir(given, 0700) != 0 && errno != EEXIST) {
            return fail(cluster, "cannot make the directory", given);
        }
        return true;
    }
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (!base || access(base, W_OK) != 0) base = getenv("TMPDIR");
    if (!base || access(base, W_OK) != 0) base = "/tmp";
    snprintf(cluster->directory, sizeof(cluster->directory), "%.300s/raftmq-dev.XXXXXX", base);
    if (!mkdtemp(cluster->directory)) return fail(cluster, "cannot make a directory in", base);
    cluster->is_fresh = true;
    return true;
}

bool local_cluster_init(struct local_cluster *cluster, const struct local_cluster_options *options)
{
    assert(options->nodes_count >= 1);
    assert(options->nodes_count <= LOCAL_CLUSTER_NODES_MAX);
    memset(cluster, 0, sizeof(*cluster));
    cluster->options = *options;
    cluster->pipe_read = cluster->pipe_write = -1;
    for (uint32_t i = 0; i < options->nodes_count; i++) {
        struct local_node *node = &cluster->nodes[i];
        uint32_t port = options->base_port + 10 * i;
        node->number = i + 1;
        snprintf(node->http, sizeof(node->http), "127.0.0.1:%" PRIu32, port);
        snprintf(node->peer, sizeof(node->peer), "127.0.0.1:%" PRIu32, port + 1);
    }
    if (!make_directory(cluster)) return false;
    const char *pids = options->pid_directory;
    if (pids && mkdir(pids, 0700) != 0 && errno != EEXIST) {
        return fail(cluster, "cannot make the directory", pids);
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(cluster, "cannot make a pipe in", cluster->directory);
    cluster->pipe_read = ends[0];
    cluster->pipe_write = ends[1];
    return true;
}

static bool port_is_free(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return true; /* the node will say what is wrong */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool free =
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno != EADDRINUSE;
    close(fd);
    return free;
}

bool local_cluster_ports_are_free(struct local_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->options.nodes_count * 2; i++) {
        uint32_t port = cluster->options.base_port + 10 * (i / 2) + i % 2;
        if (port_is_free((uint16_t)port)) continue;
        snprintf(cluster->error, sizeof(cluster->error),
                 "port %" PRIu32 " of n%" PRIu32 " is in use", port, i / 2 + 1);
        return false;
    }
    return true;
}

static void peers_text(const struct local_cluster *cluster, char *text, size_t bytes)
{
    size_t used = 0;
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        int length = snprintf(text + used, bytes - used, "%sn%" PRIu32 "=%s", i ? "," : "", i + 1,
                              cluster->nodes[i].peer);
        assert(length > 0);
        assert((size_t)length < bytes - used);
        used += (size_t)length;
    }
}

void local_cluster_log_path(const struct local_cluster *cluster, uint32_t number, char *buffer,
                            size_t buffer_bytes)
{
    snprintf(buffer, buffer_bytes, "%s/n%" PRIu32 ".log", cluster->directory, number);
}

static void write_pid_file(const struct local_cluster *cluster, const struct local_node *node)
{
    char path[LOCAL_CLUSTER_PATH_BYTES + 32], temporary[LOCAL_CLUSTER_PATH_BYTES + 40];
    if (!cluster->options.pid_directory) return;
    snprintf(path, sizeof(path), "%.390s/n%" PRIu32 ".pid", cluster->options.pid_directory,
             node->number);
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (node->pid == 0) {
        unlink(path);
        return;
    }
    FILE *file = fopen(temporary, "we");
    if (!file) return;
    fprintf(file, "%d\n", (int)node->pid);
    fclose(file);
    rename(temporary, path); /* a reader sees a whole number or none */
}

/* Between fork and exec: system calls only, for other threads of the parent may have held locks. */
static void become_node(int log, int pipe_read, pid_t parent, char *const *argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1); /* it died before the line above */
    int null = open("/dev/null", O_RDWR);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0 || fcntl(pipe_read, F_SETFD, 0) < 0) {
        _exit(1);
    }
    setpgid(0, 0); /* Ctrl-C in a terminal reaches the parent alone, which ends us in order */
    execv("/proc/self/exe", argv);
    _exit(127);
}

bool local_cluster_start(struct local_cluster *cluster, uint32_t number)
{
    assert(number >= 1);
    assert(number <= cluster->options.nodes_count);
    struct local_node *node = &cluster->nodes[number - 1];
    assert(node->pid == 0);
    char peers[LOCAL_CLUSTER_NODES_MAX * (SERVER_ADDRESS_BYTES + 8)], id[16], fd[16];
    char data[LOCAL_CLUSTER_PATH_BYTES + 16], log_path[LOCAL_CLUSTER_PATH_BYTES + 16];
    peers_text(cluster, peers, sizeof(peers));
    snprintf(id, sizeof(id), "n%" PRIu32, number);
    snprintf(fd, sizeof(fd), "%d", cluster->pipe_read);
    snprintf(data, sizeof(data), "%s/n%" PRIu32, cluster->directory, number);
    local_cluster_log_path(cluster, number, log_path, sizeof(log_path));
    const char *argv[32] = {"raftmq",           "serve",
                            "--node-id",        id,
                            "--data-dir",       data,
                            "--listen-http",    node->http,
                            "--listen-peer",    node->peer,
                            "--advertise-http", node->http,
                            "--advertise-peer", node->peer,
                            "--peers",          peers,
                            "--auto-create",    "on",
                            "--exit-with-fd",   fd,
                            "--log-level",      cluster->options.log_level,
                            "--drain-ms",       DRAIN_MS};
    if (cluster->options.segment_bytes) {
        argv[24] = "--segment-bytes";
        argv[25] = cluster->options.segment_bytes;
    }
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) return fail(cluster, "cannot open", log_path);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        char *const *words;
        memcpy(&words, &(const char *const *){argv},
               sizeof(words)); /* execv does not write to them */
        become_node(log, cluster->pipe_read, parent, words);
    }
    close(log);
    if (pid < 0) return fail(cluster, "cannot start", id);
    node->pid = pid;
    write_pid_file(cluster, node);
    return true;
}

static void signal_node(struct local_cluster *cluster, uint32_t number, int signal)
{
    const struct local_node *node = &cluster->nodes[number - 1];
    if (node->pid > 0) kill(node->pid, signal);
}

uint32_t local_cluster_reap(struct local_cluster *cluster, int *ret_status)
{
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        struct local_node *node = &cluster->nodes[i];
        int status;
        if (node->pid == 0 || waitpid(node->pid, &status, WNOHANG) != node->pid) continue;
        node->pid = 0;
        write_pid_file(cluster, node);
        *ret_status = status;
        return node->number;
    }
    return 0;
}

static uint32_t running_count(const struct local_cluster *cluster)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        count += cluster->nodes[i].pid != 0;
    }
    return count;
}

void local_cluster_stop(struct local_cluster *cluster, uint64_t patience_us)
{
    uint64_t deadline_us = clock_monotonic_us() + patience_us;
    int status;
    bool killed = false;
    for (uint32_t i = 1; i <= cluster->options.nodes_count; i++) {
        signal_node(cluster, i, SIGTERM);
    }
    while (running_count(cluster) > 0) {
        while (local_cluster_reap(cluster, &status) > 0) {
        }
        if (running_count(cluster) == 0) break;
        if (!killed && clock_monotonic_us() >= deadline_us) {
            killed = true;
            for (uint32_t i = 1; i <= cluster->options.nodes_count; i++) {
                signal_node(cluster, i, SIGKILL);
            }
        }
        clock_sleep_us(POLL_US);
    }
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

void local_cluster_close(struct local_cluster *cluster)
{
    local_cluster_stop(cluster, 0);
    if (cluster->pipe_read >= 0) close(cluster->pipe_read);
    if (cluster->pipe_write >= 0) close(cluster->pipe_write);
    cluster->pipe_read = cluster->pipe_write = -1;
    if (cluster->is_fresh && !cluster->options.keep) {
        nftw(cluster->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
}

void local_cluster_last_words(const struct local_cluster *cluster, uint32_t number, char *buffer,
                              size_t buffer_bytes)
{
    char path[LOCAL_CLUSTER_PATH_BYTES + 16], line[2048];
    bool is_error = false;
    buffer[0] = '\0';
    local_cluster_log_path(cluster, number, path, sizeof(path));
    FILE *file = fopen(path, "re");
    if (!file) return;
    if (fseek(file, -65536, SEEK_END) != 0) rewind(file);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        bool error = strstr(line, "level=error") != NULL;
        if (is_error && !error) continue;
        is_error = error;
        snprintf(buffer, buffer_bytes, "%s", line);
    }
    fclose(file);
}

/* One look at one node. */
static bool is_ready(const struct local_node *node, uint64_t *ret_leader)
{
    struct client client;
    struct reply reply;
    client_init_for(&client, node->http, 500000);
    bool ready = client_get_once(&client, "/readyz", &reply) == EXIT_CODE_OK;
    reply_close(&reply);
    if (ready && client_get_once(&client, "/v1/cluster", &reply) == EXIT_CODE_OK) {
        char name[REPLY_NODE_BYTES];
        reply_node(reply.json, "leader", name);
        *ret_leader = strtoull(name[0] ? name + 1 : "0", NULL, 10);
        reply_close(&reply);
    }
    client_close(&client);
    return ready;
}

bool local_cluster_wait_ready(const struct local_cluster *cluster, uint64_t timeout_us,
                              const volatile bool *give_up, uint32_t *ret_leader)
{
    uint64_t deadline_us = clock_monotonic_us() + timeout_us;
    while (!*give_up && clock_monotonic_us() < deadline_us) {
        uint32_t ready_count = 0;
        uint64_t leader = 0;
        for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
            uint64_t named = 0;
            if (!is_ready(&cluster->nodes[i], &named)) break;
            ready_count++;
            if (named > 0) leader = named;
        }
        if (ready_count == cluster->options.nodes_count && leader > 0) {
            *ret_leader = (uint32_t)leader;
            return true;
        }
        clock_sleep_us(POLL_US);
    }
    return false;
}
