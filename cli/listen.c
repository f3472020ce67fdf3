#include "listen.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has_host(const char *address, const char *host)
{
    const size_t bytes = strlen(host);
    return strncasecmp(address, host, bytes) == 0 && address[bytes] == ':';
}

bool listen_is_wildcard(const char *address)
{
    return has_host(address, "0.0.0.0") || has_host(address, "[::]");
}

bool listen_is_loopback(const char *address)
{
    return has_host(address, "localhost") || has_host(address, "[::1]") ||
           (strncmp(address, "127.", 4) == 0 &&
            strspn(address, "0123456789.") == (size_t)(strrchr(address, ':') - address));
}

/* localhost is one of the two. */
static bool is_same_loopback(const char *address, const char *other)
{
    return has_host(address, "localhost") &&
           (has_host(other, "127.0.0.1") || has_host(other, "[::1]"));
}

bool listen_addresses_meet(const char *address, const char *other)
{
    const char *port = strrchr(address, ':') + 1;
    const char *other_port = strrchr(other, ':') + 1;
    if (strtol(port, NULL, 10) != strtol(other_port, NULL, 10)) return false;
    const size_t bytes = (size_t)(port - address);
    if (bytes == (size_t)(other_port - other) && strncasecmp(address, other, bytes) == 0) {
        return true;
    }
    return listen_is_wildcard(address) || listen_is_wildcard(other) ||
           is_same_loopback(address, other) || is_same_loopback(other, address);
}
