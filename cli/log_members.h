/* The members of a group as a file has them, for people. */
#ifndef CLI_LOG_MEMBERS_H
#define CLI_LOG_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#define LOG_MEMBERS_BYTES 512u

/* A configuration in hex (docs/FORMATS.md) as "voters n4 n5 n6, learners n7, joint old: n1 n5 n6". False: it is none; buffer,
 * LOG_MEMBERS_BYTES, is not touched. */
bool log_members_text(const char *hex, char *buffer);

#endif
