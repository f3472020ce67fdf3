#include "failure.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

#define LINE_BYTES 1024u

static const struct sim *the_sim;
static uint64_t the_seed;
static const char *the_replay;

static void write_line(const char *invariant)
{
    char line[LINE_BYTES];
    const int bytes = snprintf(
        line, sizeof(line),
        "FAILED %s seed=0x%" PRIx64 " tick=%" PRIu64 " time_us=%" PRIu64 "%s%s\n", invariant,
        the_seed, the_sim ? sim_events_count(the_sim) : 0, the_sim ? sim_now_us(the_sim) : 0,
        the_replay ? "  replay: " : "", the_replay ? the_replay : "");
    if (bytes > 0) (void)!write(STDERR_FILENO, line, (size_t)bytes);
}

/* The process is lost anyway: that the state is looked at from inside of a signal handler can cost the line, no more. */
static void on_signal(int number)
{
    signal(number, SIG_DFL);
    write_line(number == SIGABRT ? "assertion" : "crash");
    raise(number);
}

void failure_begin(const struct sim *sim, uint64_t seed, const char *replay)
{
    the_sim = sim;
    the_seed = seed;
    the_replay = replay;
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    signal(SIGFPE, on_signal);
}

void failure_end(void)
{
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
    the_sim = NULL;
    the_replay = NULL;
}

void failure(const char *invariant, const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fflush(stderr);
    write_line(invariant);
    signal(SIGABRT, SIG_DFL); /* the line is out */
    abort();
}
