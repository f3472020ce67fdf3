/* The table of everything `raftmq` can do. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "options.h"

extern const struct verb verbs[];
extern const int verbs_count;

/* The verb that argv[0..] begins with; *ret_words = 1 or 2 words of argv are its name. NULL: none; then *ret_noun_known
 * says whether the first word is at least a noun ("topic"). */
const struct verb *verbs_find(int argc, char **argv, int *ret_words, bool *ret_noun_known);

/* "topic create" */
const char *verb_title(const struct verb *verb, char *buffer, size_t buffer_bytes);

int produce_command(const struct options *options);
int consume_command(const struct options *options);
int topic_create_command(const struct options *options);
int topic_list_command(const struct options *options);
int topic_describe_command(const struct options *options);
int topic_set_command(const struct options *options);
int topic_place_command(const struct options *options);
int topic_delete_command(const struct options *options);
int group_list_command(const struct options *options);
int group_describe_command(const struct options *options);
int group_seek_command(const struct options *options);
int group_set_command(const struct options *options);
int cluster_status_command(const struct options *options);
int cluster_add_command(const struct options *options);
int cluster_remove_command(const struct options *options);
int cluster_replace_command(const struct options *options);
int cluster_changes_command(const struct options *options);
int cluster_transfer_command(const struct options *options);
int log_scrub_command(const struct options *options);
int health_command(const struct options *options);
int bench_produce_command(const struct options *options);
int bench_commit_command(const struct options *options);
int bench_consume_command(const struct options *options);
int bench_failover_command(const struct options *options);
int serve_command(const struct options *options);
int dev_command(const struct options *options);
int version_command(const struct options *options);
int help_command(const struct options *options);
int completion_command(const struct options *options);

#endif
