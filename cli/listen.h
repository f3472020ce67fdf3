/* The addresses that `raftmq serve` listens on, as texts: host:port that server_address_problem() accepts. */
#ifndef CLI_LISTEN_H
#define CLI_LISTEN_H

#include <stdbool.h>

/* 0.0.0.0 or [::]: every address of the machine. */
bool listen_is_wildcard(const char *address);

/* Nobody beyond this machine reaches it. Of names only localhost is known: another one is resolved later. */
bool listen_is_loopback(const char *address);

/* One process cannot listen on both. */
bool listen_addresses_meet(const char *address, const char *other);

#endif
