/* Listening sockets, accepted by hand: libuv answers a lack of descriptors by closing the connections that wait, we
 * leave them in the backlog and try again, so a burst delays clients instead of failing them. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "io_uv_private.h"

#define BACKLOG 1024

static void accept_ready(uv_poll_t *poll, int status, int events);

static void accept_resume(struct io_timer *timer)
{
    struct io_uv_listener *listener = timer->data;
    uv_poll_start(&listener->poll, UV_READABLE, accept_ready);
}

/* Level-triggered polling would spin on a connection that cannot be accepted. */
static void accept_pause(struct io_uv_listener *listener)
{
    uv_poll_stop(&listener->poll);
    io_uv__timer_start(listener->base.io, &listener->retry, IO_UV_ACCEPT_RETRY_US);
}

static void accept_ready(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct io_uv_listener *listener = poll->data;
    struct io_uv *io = io_uv_of(listener->base.io);
    if (status < 0) {
        accept_pause(listener);
        return;
    }
    for (int i = 0; i < IO_UV_ACCEPTS_MAX && !listener->is_closed; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct io_uv_stream *stream = io_uv__stream_accept(io, fd);
            if (stream) listener->accept(&listener->base, &stream->base);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            accept_pause(listener);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
        /* Anything else is the error of one connection that is gone (accept(2)): on to the next. */
    }
}

static int open_socket(const struct sockaddr_storage *address, bool listens)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1, off = 0;
    /* A restarted node takes its port back at once. */
    int status = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (status == 0 && address->ss_family == AF_INET6) {
        status = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (status == 0) {
        status = bind(fd, (const struct sockaddr *)address, io_uv__address_bytes(address));
    }
    if (status == 0 && listens) status = listen(fd, BACKLOG);
    if (status < 0) {
        status = -errno;
        close(fd);
        return status;
    }
    return fd;
}

static int open_first(const char *address, bool listens)
{
    char host[IO_UV_HOST_MAX];
    uint16_t port;
    struct io_uv_addresses addresses;
    int status = io_uv__address_split(address, host, &port);
    if (status < 0) return status;
    status = io_uv__resolve_passive(host, port, &addresses);
    if (status < 0) return status;
    int first_error = 0;
    for (uint32_t i = 0; i < addresses.items_count; i++) {
        int fd = open_socket(&addresses.items[i], listens);
        if (fd >= 0) return fd;
        if (first_error == 0) first_error = fd;
        /* Another program has the port: binding another family of it would hide that from the operator. */
        if (fd == -EADDRINUSE) break;
    }
    return first_error;
}

/* A socket that is bound and does not listen takes no connection from anybody, and meets one that listens. */
int io_uv_try_address(const char *address)
{
    const int fd = open_first(address, false);
    if (fd < 0) return fd;
    close(fd);
    return 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t bytes = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &bytes);
    if (bound.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
    return ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

int io_uv__listen(struct io *base, const char *address, io_accept_cb accept, void *data,
                  struct io_listener **ret_listener)
{
    struct io_uv *io = io_uv_of(base);
    assert(accept);
    int fd = open_first(address, true);
    if (fd < 0) return fd;
    struct io_uv_listener *listener = io_uv__allocate(sizeof(*listener));
    listener->base = (struct io_listener){.io = base, .data = data, .port = port_of(fd)};
    listener->accept = accept;
    listener->fd = fd;
    listener->retry = (struct io_timer){.fire = accept_resume, .data = listener};
    int status = uv_poll_init(&io->loop, &listener->poll, fd);
    if (status < 0) {
        close(fd);
        free(listener);
        return status;
    }
    listener->poll.data = listener;
    listener->next = io->listeners;
    listener->previous = &io->listeners;
    if (listener->next) listener->next->previous = &listener->next;
    io->listeners = listener;
    uv_poll_start(&listener->poll, UV_READABLE, accept_ready);
    *ret_listener = &listener->base;
    return 0;
}

static void poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void io_uv__listener_close(struct io_listener *base)
{
    struct io_uv_listener *listener = (struct io_uv_listener *)base;
    assert(!listener->is_closed);
    listener->is_closed = true;
    io_uv__timer_stop(base->io, &listener->retry);
    *listener->previous = listener->next;
    if (listener->next) listener->next->previous = listener->previous;
    uv_close((uv_handle_t *)&listener->poll, poll_closed);
    close(listener->fd); /* at once, so that the port is free when this returns */
}
