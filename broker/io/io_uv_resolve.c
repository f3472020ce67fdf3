/* Addresses: "host:port" to socket addresses and back. Numbers are read at once; a name is looked up on a thread of its
 * own, because getaddrinfo() may block for many seconds, and the workers of the job queues write the log. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io_uv_private.h"

/* ---- text --------------------------------------------------------------------------------------------------- */

static int parse_port(const char *text, uint16_t *ret_port)
{
    uint32_t port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') return -EINVAL;
    for (size_t i = 0; i < digits; i++) {
        port = port * 10u + (uint32_t)(text[i] - '0');
    }
    if (port > UINT16_MAX) return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

int io_uv__address_split(const char *address, char *host, uint16_t *ret_port)
{
    const char *begin = address;
    const char *end;
    const char *colon;
    if (*begin == '[') {
        begin++;
        end = strchr(begin, ']');
        if (!end || end == begin) return -EINVAL;
        colon = end + 1;
        if (*colon != ':') return -EINVAL;
    } else {
        colon = end = strchr(begin, ':');
        if (!colon) return -EINVAL; /* a second colon fails as a port: IPv6 needs its brackets */
    }
    size_t bytes = (size_t)(end - begin);
    if (bytes >= IO_UV_HOST_MAX) return -EINVAL;
    memcpy(host, begin, bytes);
    host[bytes] = '\0';
    return parse_port(colon + 1, ret_port);
}

socklen_t io_uv__address_bytes(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

void io_uv__address_format(const struct sockaddr_storage *address, char *buffer, size_t bytes)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(buffer, bytes, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(buffer, bytes, "%s:%u", host, ntohs(v4->sin_port));
    }
}

/* ---- lookups that may block ------------------------------------------------------------------------------ */

static int status_of_gai(int code)
{
    switch (code) {
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -ENXIO; /* no such name, or none with an address that we can use */
    }
}

static int resolve(const char *host, uint16_t port, int flags,
                   struct io_uv_addresses *ret_addresses)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo *list = NULL;
    int code = getaddrinfo(*host ? host : NULL, service, &hints, &list);
    if (code != 0) return status_of_gai(code);
    ret_addresses->items_count = 0;
    for (struct addrinfo *item = list; item; item = item->ai_next) {
        if (item->ai_family != AF_INET && item->ai_family != AF_INET6) continue;
        if (ret_addresses->items_count == IO_UV_ADDRESSES_MAX) break;
        memcpy(&ret_addresses->items[ret_addresses->items_count++], item->ai_addr,
               item->ai_addrlen);
    }
    freeaddrinfo(list);
    return ret_addresses->items_count > 0 ? 0 : -ENXIO;
}

int io_uv__resolve_numeric(const char *host, uint16_t port, struct io_uv_addresses *ret_addresses)
{
    return resolve(host, port, AI_NUMERICHOST, ret_addresses);
}

int io_uv__resolve_passive(const char *host, uint16_t port, struct io_uv_addresses *ret_addresses)
{
    struct io_uv_addresses found;
    int status = resolve(host, port, AI_PASSIVE, &found);
    if (status < 0) return status;
    /* IPv4 first: we bind one address, and a client that is told "localhost" tries ::1 and then 127.0.0.1, but one that
     * is told 127.0.0.1 tries nothing else. */
    ret_addresses->items_count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < found.items_count; i++) {
            bool is_v4 = found.items[i].ss_family == AF_INET;
            if (is_v4 == (pass == 0)) {
                ret_addresses->items[ret_addresses->items_count++] = found.items[i];
            }
        }
    }
    return 0;
}

/* ---- lookups off the loop -------------------------------------------------------------------------------- */

static void resolver_destroy(struct io_uv_resolver *resolver)
{
    pthread_mutex_destroy(&resolver->mutex);
    free(resolver);
}

static void lookups_free(struct io_uv_lookup *list)
{
    while (list) {
        struct io_uv_lookup *lookup = list;
        list = lookup->next;
        free(lookup);
    }
}

/* Take waiting lookups until there are none, or nobody wants them any more. */
static void *look_up(void *argument)
{
    struct io_uv_resolver *resolver = argument;
    pthread_mutex_lock(&resolver->mutex);
    while (resolver->wake && resolver->waiting_head) {
        struct io_uv_lookup *lookup = resolver->waiting_head;
        resolver->waiting_head = lookup->next;
        if (!resolver->waiting_head) resolver->waiting_tail = NULL;
        pthread_mutex_unlock(&resolver->mutex);
        lookup->status = resolve(lookup->host, lookup->port, 0, &lookup->addresses);
        pthread_mutex_lock(&resolver->mutex);
        if (resolver->wake) {
            lookup->next = resolver->finished;
            resolver->finished = lookup;
            uv_async_send(resolver->wake);
        } else {
            free(lookup);
        }
    }
    resolver->threads_count--;
    bool is_last = !resolver->wake && resolver->threads_count == 0;
    pthread_mutex_unlock(&resolver->mutex);
    if (is_last) resolver_destroy(resolver);
    return NULL;
}

/* Called with the mutex held. False: no thread could be made. */
static bool start_thread(struct io_uv_resolver *resolver)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&thread, &detached, look_up, resolver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    if (status == 0) resolver->threads_count++;
    return status == 0;
}

struct io_uv_lookup *io_uv__lookup_start(struct io_uv *io, struct io_uv_stream *stream,
                                         const char *host, uint16_t port)
{
    struct io_uv_resolver *resolver = io->resolver;
    struct io_uv_lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup) return NULL;
    lookup->stream = stream;
    lookup->port = port;
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    pthread_mutex_lock(&resolver->mutex);
    bool has_thread = resolver->threads_count > 0;
    if (resolver->threads_count < IO_UV_LOOKUPS_MAX && start_thread(resolver)) has_thread = true;
    if (has_thread) {
        if (resolver->waiting_tail) {
            resolver->waiting_tail->next = lookup;
        } else {
            resolver->waiting_head = lookup;
        }
        resolver->waiting_tail = lookup;
    }
    pthread_mutex_unlock(&resolver->mutex);
    if (!has_thread) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

static void lookups_finished(uv_async_t *wake)
{
    struct io_uv *io = wake->data;
    struct io_uv_resolver *resolver = io->resolver;
    pthread_mutex_lock(&resolver->mutex);
    struct io_uv_lookup *list = resolver->finished;
    resolver->finished = NULL;
    pthread_mutex_unlock(&resolver->mutex);
    while (list) {
        struct io_uv_lookup *lookup = list;
        list = lookup->next;
        if (lookup->stream) {
            io_uv__stream_resolved(lookup->stream, lookup->status, &lookup->addresses);
        }
        free(lookup);
    }
}

int io_uv__resolver_init(struct io_uv *io)
{
    struct io_uv_resolver *resolver = calloc(1, sizeof(*resolver));
    if (!resolver) return -ENOMEM;
    int status = uv_async_init(&io->loop, &io->lookup_wake, lookups_finished);
    if (status < 0) {
        free(resolver);
        return status;
    }
    io->lookup_wake.data = io;
    pthread_mutex_init(&resolver->mutex, NULL);
    resolver->wake = &io->lookup_wake;
    io->resolver = resolver;
    return 0;
}

void io_uv__resolver_close(struct io_uv *io)
{
    struct io_uv_resolver *resolver = io->resolver;
    pthread_mutex_lock(&resolver->mutex);
    resolver->wake = NULL;
    struct io_uv_lookup *waiting = resolver->waiting_head;
    struct io_uv_lookup *finished = resolver->finished;
    resolver->waiting_head = resolver->waiting_tail = resolver->finished = NULL;
    bool is_last = resolver->threads_count == 0;
    pthread_mutex_unlock(&resolver->mutex);
    lookups_free(waiting);
    lookups_free(finished);
    io->resolver = NULL;
    if (is_last) resolver_destroy(resolver);
    uv_close((uv_handle_t *)&io->lookup_wake, NULL);
}
