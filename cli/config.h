/* The config file of `raftmq serve`: INI, the same names as the flags.
 *
 *     data-dir = /var/lib/raftmq
 *     [listen]
 *     http = 0.0.0.0:7070          ; same as listen-http
 *
 * Section and key are joined by a dash; dots and underscores count as dashes. An unknown key is an error, with file and
 * line: a typing mistake must not leave a node with a default nobody chose. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "options.h"

bool config_read(struct options *options, const char *path, char *error);

#endif
