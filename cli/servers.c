#include "servers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *server_address_problem(const char *address)
{
    size_t bytes = strlen(address);
    if (bytes == 0) return "is empty";
    if (bytes >= SERVER_ADDRESS_BYTES) return "is too long";
    if (strstr(address, "://")) return "is a URL and not host:port";
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address) return "is not host:port";
    const char *bracket = strchr(address, ']');
    if (address[0] == '[') {
        if (!bracket || bracket + 1 != colon || bracket == address + 1) return "is not [IPv6]:port";
    } else if (bracket || strchr(address, ':') != colon) {
        return "needs brackets around its IPv6 address";
    }
    for (const char *c = address; *c; c++) {
        if ((unsigned char)*c <= ' ' || strchr("/@?#,\"\\", *c)) return "is not host:port";
    }
    size_t digits = strspn(colon + 1, "0123456789");
    long port =
        digits > 0 && digits <= 5 && colon[1 + digits] == '\0' ? strtol(colon + 1, NULL, 10) : 0;
    if (port < 1 || port > 65535) return "needs a port from 1 to 65535";
    return NULL;
}

void servers_add(struct servers *servers, const char *address)
{
    if (servers->count == SERVERS_MAX || server_address_problem(address)) return;
    for (uint32_t i = 0; i < servers->count; i++) {
        if (strcmp(servers->addresses[i], address) == 0) return;
    }
    snprintf(servers->addresses[servers->count++], SERVER_ADDRESS_BYTES, "%s", address);
}

static bool add_url(struct servers *servers, const char *url, size_t bytes, char *error,
                    uint32_t error_bytes)
{
    char address[SERVER_ADDRESS_BYTES];
    const char *start = url;
    if (bytes > 7 && strncmp(url, "http://", 7) == 0) start += 7;
    const char *scheme = memmem(start, bytes - (size_t)(start - url), "://", 3);
    if (scheme) {
        snprintf(error, error_bytes, "%.*s is not supported: give http://host:port",
                 scheme - start > 20 ? 20 : (int)(scheme - start), start);
        return false;
    }
    size_t left = bytes - (size_t)(start - url);
    while (left > 0 && start[left - 1] == '/') {
        left--;
    }
    if (left >= sizeof(address)) left = sizeof(address) - 1;
    memcpy(address, start, left);
    address[left] = '\0';
    const char *problem = server_address_problem(address);
    if (problem) {
        snprintf(error, error_bytes, "server '%s' %s; give http://host:port", address, problem);
        return false;
    }
    if (servers->count == SERVERS_MAX) {
        snprintf(error, error_bytes, "at most %u servers are taken", SERVERS_MAX);
        return false;
    }
    servers_add(servers, address);
    return true;
}

bool servers_parse(struct servers *servers, const char *list, char *error, uint32_t error_bytes)
{
    struct servers parsed = {0};
    for (const char *url = list;;) {
        size_t bytes = strcspn(url, ",");
        if (!add_url(&parsed, url, bytes, error, error_bytes)) return false;
        if (url[bytes] == '\0') break;
        url += bytes + 1;
    }
    parsed.given_count = parsed.count;
    *servers = parsed;
    return true;
}

const char *servers_current(const struct servers *servers)
{
    assert(servers->count > 0);
    return servers->addresses[servers->current];
}

void servers_next(struct servers *servers)
{
    assert(servers->count > 0);
    servers->current = (servers->current + 1) % servers->count;
}

void servers_prefer(struct servers *servers, const char *address)
{
    for (uint32_t i = 0; i < servers->count; i++) {
        if (strcmp(servers->addresses[i], address) == 0) servers->current = i;
    }
}
