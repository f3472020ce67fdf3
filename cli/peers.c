#include "peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "servers.h"

bool peers_parse_node_id(const char *text, uint64_t *ret_node_id)
{
    const char *digits = *text == 'n' ? text + 1 : text;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 5 || digits[count] != '\0') return false;
    long id = strtol(digits, NULL, 10);
    if (id < 1 || id > 65535) return false;
    *ret_node_id = (uint64_t)id;
    return true;
}

static bool parse_one(const char *item, size_t bytes, struct peer_config *ret_peer, char *error)
{
    char text[SERVER_ADDRESS_BYTES + 16];
    if (bytes == 0 || bytes >= sizeof(text)) {
        snprintf(error, PEERS_ERROR_BYTES, "peers: %s",
                 bytes == 0 ? "an entry is empty" : "an entry is too long");
        return false;
    }
    memcpy(text, item, bytes);
    text[bytes] = '\0';
    char *address = strchr(text, '=');
    if (address) *address++ = '\0';
    if (!peers_parse_node_id(text, &ret_peer->node_id)) {
        snprintf(error, PEERS_ERROR_BYTES, "peers: '%.60s' is not a node name such as n1", text);
        return false;
    }
    int length = address ? snprintf(ret_peer->address, sizeof(ret_peer->address), "%s", address)
                         : snprintf(ret_peer->address, sizeof(ret_peer->address), "%s:%u", text,
                                    PEERS_DEFAULT_PORT);
    const char *problem = length >= (int)sizeof(ret_peer->address)
                              ? "is too long"
                              : server_address_problem(ret_peer->address);
    if (problem) {
        snprintf(error, PEERS_ERROR_BYTES, "peers: the address '%.100s' of n%" PRIu64 " %s",
                 ret_peer->address, ret_peer->node_id, problem);
        return false;
    }
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct peer_config *left = a, *right = b;
    return (left->node_id > right->node_id) - (left->node_id < right->node_id);
}

static bool check_distinct(const struct peer_config *peers, uint32_t count, char *error)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i + 1; j < count; j++) {
            if (peers[i].node_id == peers[j].node_id) {
                snprintf(error, PEERS_ERROR_BYTES, "peers: n%" PRIu64 " is named twice",
                         peers[i].node_id);
                return false;
            }
            if (strcmp(peers[i].address, peers[j].address) == 0) {
                snprintf(error, PEERS_ERROR_BYTES,
                         "peers: n%" PRIu64 " and n%" PRIu64 " have the same address %.100s",
                         peers[i].node_id, peers[j].node_id, peers[i].address);
                return false;
            }
        }
    }
    return true;
}

bool peers_parse(const char *list, struct peer_config *ret_peers, uint32_t *ret_peers_count,
                 char *error)
{
    struct peer_config peers[PEER_NODES_MAX];
    uint32_t count = 0;
    for (const char *item = list;;) {
        size_t bytes = strcspn(item, ",");
        if (count == PEER_NODES_MAX) {
            snprintf(error, PEERS_ERROR_BYTES, "peers: at most %u nodes are supported",
                     PEER_NODES_MAX);
            return false;
        }
        if (!parse_one(item, bytes, &peers[count++], error)) return false;
        if (item[bytes] == '\0') break;
        item += bytes + 1;
    }
    qsort(peers, count, sizeof(peers[0]), by_id);
    if (!check_distinct(peers, count, error)) return false;
    memcpy(ret_peers, peers, count * sizeof(peers[0]));
    *ret_peers_count = count;
    return true;
}
