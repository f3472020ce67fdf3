/* raftmq log dump|verify: what stands in the log files of a stopped node. */
#ifndef CLI_LOG_COMMAND_H
#define CLI_LOG_COMMAND_H

/* `argv` starts with "log", then "dump" or "verify", flags and paths: data directories or directories of groups.
 * Reads only. Returns 0: all is whole; 1: a problem was found (it is named); 2: usage; 3: there is no log. */
int log_command_main(int argc, char **argv);

#endif
