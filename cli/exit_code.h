/* Exit codes of `raftmq`: what a script may rely on.
 *
 * The two that matter most: 4 means that nothing was stored and the same command may simply be run again; 6 means that
 * the outcome is unknown, which is never reported as a failure (PROTOCOL C9). */
#ifndef CLI_EXIT_CODE_H
#define CLI_EXIT_CODE_H

#include <stdbool.h>

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_NOT_FOUND = 3,
    EXIT_CODE_UNAVAILABLE = 4, /* nothing was stored */
    EXIT_CODE_CONFLICT = 5,
    EXIT_CODE_UNKNOWN = 6, /* stored or not: unknown */
    EXIT_CODE_PARTIAL = 7, /* some messages were refused, the others are stored */
    EXIT_CODE_INTERRUPTED = 130,
};

/* The exit code for an HTTP status. `writes`: the request could have changed something, so a 502 or 504 is an unknown
 * outcome and not merely an unavailable service. Status 0 (no answer at all) is the caller's to judge and not accepted here. */
enum exit_code exit_code_of_http(int http_status, bool writes);

/* True when the same request may succeed on another node or a moment later: 429, 502, 503, 504. */
bool exit_code_http_is_retryable(int http_status);

#endif
