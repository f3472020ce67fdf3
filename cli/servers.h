/* The nodes a command may talk to, and the one it talks to now.
 *
 * Starts with what the user gave and grows by what GET /v1/cluster tells, so that a failover needs no list on the
 * command line. */
#ifndef CLI_SERVERS_H
#define CLI_SERVERS_H

#include <stdbool.h>
#include <stdint.h>

#define SERVERS_MAX          32u
#define SERVER_ADDRESS_BYTES 264u

struct servers {
    char addresses[SERVERS_MAX][SERVER_ADDRESS_BYTES]; /* host:port, IPv6 hosts in brackets */
    uint32_t count;
    uint32_t given_count; /* the first ones are the user's */
    uint32_t current;
};

/* "http://host:port/,host:port,..." False: `error` says why; *servers is untouched. */
bool servers_parse(struct servers *servers, const char *list, char *error, uint32_t error_bytes);
/* Add host:port unless it is known or the table is full. */
void servers_add(struct servers *servers, const char *address);
const char *servers_current(const struct servers *servers);
void servers_next(struct servers *servers);
/* Make a known address the current one. */
void servers_prefer(struct servers *servers, const char *address);

/* host:port, with the port between 1 and 65535; NULL when well formed, else a reason. */
const char *server_address_problem(const char *address);

#endif
