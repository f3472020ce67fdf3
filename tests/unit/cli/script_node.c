#include "script_node.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_BYTES_MAX 65536u

/* False: it is over, or nothing came for `timeout_ms`. */
static bool wait_readable(const struct script_node *node, int from, int timeout_ms)
{
    struct pollfd wanted[2] = {{.fd = node->stopping[0], .events = POLLIN},
                               {.fd = from, .events = POLLIN}};
    return poll(wanted, 2, timeout_ms) > 0 && wanted[0].revents == 0;
}

/* One request to its end; false when the other side has closed, or it is over. */
static bool read_request(struct script_node *node, int connection)
{
    static _Thread_local char bytes[REQUEST_BYTES_MAX + 1];
    size_t count = 0;
    while (count < REQUEST_BYTES_MAX && wait_readable(node, connection, -1)) {
        const ssize_t taken = recv(connection, bytes + count, REQUEST_BYTES_MAX - count, 0);
        if (taken <= 0) return false;
        count += (size_t)taken;
        bytes[count] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        if (!end) continue;
        const char *length = strcasestr(bytes, "content-length: ");
        const size_t body_bytes = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (count < (size_t)(end - bytes) + 4 + body_bytes) continue;
        if (strncmp(bytes, "GET ", 4) != 0) node->got_write = true;
        return true;
    }
    return false;
}

static void stop_listening(struct script_node *node)
{
    if (node->listener >= 0) close(node->listener);
    node->listener = -1;
}

static void serve(struct script_node *node, int connection)
{
    while (read_request(node, connection)) {
        const int number = atomic_fetch_add(&node->requests_count, 1);
        const struct script_step *step =
            &node->steps[number < node->steps_count ? number : node->steps_count - 1];
        if (step->after_ms > 0) {
            struct pollfd over = {.fd = node->stopping[0], .events = POLLIN};
            if (poll(&over, 1, (int)step->after_ms) > 0) return;
        }
        if (step->answer) {
            (void)!send(connection, step->answer, strlen(step->answer), MSG_NOSIGNAL);
        }
        if (step->dies) stop_listening(node);
        if (!step->keeps) return;
    }
}

static void *run(void *data)
{
    struct script_node *node = data;
    while (node->listener >= 0 && wait_readable(node, node->listener, -1)) {
        const int connection = accept(node->listener, NULL, NULL);
        if (connection < 0) continue;
        serve(node, connection);
        close(connection);
    }
    return NULL;
}

void script_node_start(struct script_node *node, const struct script_step *steps, int steps_count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    *node = (struct script_node){.steps = steps, .steps_count = steps_count};
    cr_assert_eq(pipe(node->stopping), 0);
    node->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(node->listener, (struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(listen(node->listener, 8), 0);
    cr_assert_eq(getsockname(node->listener, (struct sockaddr *)&address, &bytes), 0);
    snprintf(node->address, sizeof(node->address), "127.0.0.1:%u", ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&node->thread, NULL, run, node), 0);
}

void script_node_stop(struct script_node *node)
{
    close(node->stopping[1]);
    pthread_join(node->thread, NULL);
    stop_listening(node);
    close(node->stopping[0]);
}
