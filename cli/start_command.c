#include "start_command.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "peers.h"

static bool is_taken(const json_t *nodes, const char *address)
{
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        const char *http = reply_text(node, "http", "");
        if (strncmp(http, "http://", 7) == 0) http += 7;
        if (strcmp(http, address) == 0) return true;
        if (strcmp(reply_text(node, "peer", ""), address) == 0) return true;
    }
    return false;
}

static void http_address(const char *peer_address, const json_t *nodes, char *buffer, size_t bytes)
{
    const char *colon = strrchr(peer_address, ':');
    const int host_bytes = colon ? (int)(colon - peer_address) : (int)strlen(peer_address);
    const long peer_port = colon ? strtol(colon + 1, NULL, 10) : 0;
    const long ports[] = {peer_port - 1, peer_port + 1};
    for (size_t i = 0; i < 2; i++) {
        if (peer_port < 1 || ports[i] < 1 || ports[i] > 65535) continue;
        snprintf(buffer, bytes, "%.*s:%ld", host_bytes, peer_address, ports[i]);
        if (!is_taken(nodes, buffer)) return;
    }
    snprintf(buffer, bytes, "%.*s:PORT", host_bytes, peer_address);
}

/* Those that vote can tell it of the rest. */
static void peers_list(uint64_t node, const json_t *nodes, char *buffer, size_t bytes)
{
    size_t i, used = 0;
    json_t *member;
    buffer[0] = '\0';
    json_array_foreach(nodes, i, member)
    {
        char name[REPLY_NODE_BYTES];
        const char *peer = reply_text(member, "peer", "");
        if (!*peer || !*reply_text(member, "vote", "")) continue;
        if (reply_number(member, "id", 0) == node) continue;
        const int length = snprintf(buffer + used, bytes - used, "%s%s=%s", used > 0 ? "," : "",
                                    reply_node(member, "id", name), peer);
        if (length < 0 || (size_t)length >= bytes - used) {
            buffer[used] = '\0'; /* no half of an address */
            return;
        }
        used += (size_t)length;
    }
}

void start_command(uint64_t node, const char *peer_address, const json_t *nodes, char *buffer)
{
    char peer[SERVER_ADDRESS_BYTES], http[SERVER_ADDRESS_BYTES + 16], peers[1024];
    if (peer_address) {
        snprintf(peer, sizeof(peer), "%s", peer_address);
    } else {
        snprintf(peer, sizeof(peer), "HOST:%u", PEERS_DEFAULT_PORT);
    }
    http_address(peer, nodes, http, sizeof(http));
    peers_list(node, nodes, peers, sizeof(peers));
    snprintf(buffer, START_COMMAND_BYTES,
             "raftmq serve --join --node-id n%" PRIu64 " --data-dir n%" PRIu64
             "-data --listen-http %s --listen-peer %s --peers %s",
             node, node, http, peer, peers);
}
