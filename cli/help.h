/* Help and completion, printed from the table of verbs. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "options.h"

void help_print_all(FILE *out);
void help_print_noun(const char *noun, FILE *out);
void help_print_verb(const struct verb *verb, FILE *out);
/* "raftmq topic create TOPIC" */
void help_usage(const struct verb *verb, char *buffer, size_t buffer_bytes);

#endif
