#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Presentation only: how much this process prints and whether a progress line stands on the terminal. */
static bool quiet_chosen;
static bool progress_stands;
static bool output_failed, output_lost;

void message_set_quiet(bool quiet)
{
    quiet_chosen = quiet;
}

bool message_progress_is_shown(void)
{
    return !quiet_chosen && isatty(STDERR_FILENO);
}

void message_progress_end(void)
{
    if (!progress_stands) return;
    fputs("\r\033[K", stderr);
    progress_stands = false;
}

void message_interrupted(void)
{
    if (message_progress_is_shown()) fputc('\n', stderr);
}

static void print_line(const char *prefix, const char *format, va_list arguments)
{
    const int error = errno; /* for %m */
    message_progress_end();
    (void)
        message_output_flush(); /* where both streams go to one terminal, lines keep their order */
    fputs(prefix, stderr);
    errno = error;
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

/* Whoever flushes first gets the error, and nobody does any more behind that: it is kept. */
bool message_output_flush(void)
{
    errno = 0;
    if (output_failed) return false;
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    const int why = errno ? errno : EIO;
    output_failed = true;
    output_lost = why != EPIPE;
    if (output_lost) message_error("the output is incomplete: %s", strerror(why));
    return false;
}

bool message_output_is_lost(void)
{
    return output_lost;
}

void message_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("raftmq: ", format, arguments);
    va_end(arguments);
}

void message_hint(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("  ", format, arguments);
    va_end(arguments);
}

void message_note(const char *format, ...)
{
    if (quiet_chosen) return;
    va_list arguments;
    va_start(arguments, format);
    print_line("", format, arguments);
    va_end(arguments);
}

void message_progress(const char *format, ...)
{
    if (!message_progress_is_shown()) return;
    va_list arguments;
    va_start(arguments, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, arguments);
    fflush(stderr);
    progress_stands = true;
    va_end(arguments);
}
