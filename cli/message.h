/* What `raftmq` says to the person in front of it, on stderr. Data goes to stdout and never through here; whether it arrived
 * is said here, too. */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include <stdbool.h>

/* "raftmq: ..." */
void message_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "  ..." under the error: what to do next. */
void message_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line of progress or summary. */
void message_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line that the next one overwrites; only when stderr is a terminal. message_progress_end() clears it. */
void message_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void message_progress_end(void);
/* After Ctrl-C on a terminal: leave the line on which "^C" stands. */
void message_interrupted(void);

/* Flush stdout, to which results go. False when it did not take everything, now or before: said once, with a reason, unless a
 * reader went away, who had enough. */
bool message_output_flush(void);
/* True when something that somebody still wanted is missing on stdout. */
bool message_output_is_lost(void);

void message_set_quiet(bool quiet); /* drops notes and progress, never errors */
bool message_progress_is_shown(void);

#endif
