/* The list of a cluster's nodes as `--peers` takes it: "n1=host:port,n2=host:port" or "n1,n2,n3", where a bare name is
 * also the host and the port is 7071. */
#ifndef CLI_PEERS_H
#define CLI_PEERS_H

#include <broker/peer.h>

#define PEERS_DEFAULT_PORT 7071u
#define PEERS_ERROR_BYTES  256u

/* "n3" or "3" to 3; ids are 1..65535. False: not a node id. */
bool peers_parse_node_id(const char *text, uint64_t *ret_node_id);

/* At most PEER_NODES_MAX nodes, by ascending id. False: `error` says what is wrong (no name, a name twice, an address
 * twice, a bad address). */
bool peers_parse(const char *list, struct peer_config *ret_peers, uint32_t *ret_peers_count,
                 char *error);

#endif
