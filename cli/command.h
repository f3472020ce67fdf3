/* `raftmq ...` without main(): finds the verb, parses its flags and runs it. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

int command_main(int argc, char **argv);

#endif
