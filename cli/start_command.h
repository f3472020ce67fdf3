/* The command that starts a node which a cluster has admitted, for the person who is to run it. */
#ifndef CLI_START_COMMAND_H
#define CLI_START_COMMAND_H

#include <jansson.h>
#include <stdint.h>

#define START_COMMAND_BYTES 2048u

/* "raftmq serve --join --node-id n4 --data-dir n4-data --listen-http ... --listen-peer ... --peers n1=..."
 *
 * Nothing in it is left to the defaults of serve: on a machine where another node runs these are taken. The HTTP port is
 * the one below the peer port, as by default, or above it; PORT where the cluster listens on both.
 *
 * peer_address  host:port of the new node; NULL: nobody said it, and HOST stands for it.
 * nodes         "nodes" of GET /v1/cluster; those of them that vote are named in --peers. NULL or no array: none. Borrowed.
 * buffer        START_COMMAND_BYTES; what does not fit of the peers is left out, they tell of the others. */
void start_command(uint64_t node, const char *peer_address, const json_t *nodes, char *buffer);

#endif
