/* One static table of verbs and flags (verbs.c) drives parsing, --help and completion, so that they cannot drift.
 *
 * The value of a flag comes from, first hit wins: the command line, the environment (RAFTMQ_<FLAG>, dashes as
 * underscores), the config file (for verbs that have --config), the preset of the table. Every value is checked against
 * the flag's kind when it is read, whatever its source, so that a command only sees values that make sense. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flag_kind {
    FLAG_BARE, /* takes no value */
    FLAG_TEXT,
    FLAG_LIST,   /* text, may be given several times */
    FLAG_CHOICE, /* one of the words of `placeholder`, separated by | */
    FLAG_SWITCH, /* on or off */
    FLAG_COUNT,
    FLAG_POSITIVE, /* a count from 1 on */
    FLAG_BYTES,
    FLAG_DURATION, /* kept in microseconds */
    FLAG_RATE,     /* per second */
};

struct flag {
    const char *name; /* NULL ends a table */
    char letter;      /* 0: none */
    enum flag_kind kind;
    const char *placeholder; /* shown in the help */
    const char *preset;      /* NULL: unset */
    const char *
        implied; /* not NULL: the value is optional (--watch[=1s]) and this is it when it is left out */
    const char *help; /* NULL: hidden */
};

enum option_source {
    OPTION_UNSET,
    OPTION_PRESET,
    OPTION_FILE,
    OPTION_ENVIRONMENT,
    OPTION_COMMAND_LINE,
};

#define OPTIONS_FLAGS_MAX 48
#define OPTIONS_LIST_MAX  64

struct option_value {
    const struct flag *flag;
    enum option_source source;
    char *text; /* owned copy */
    uint64_t number;
};

struct options;

struct verb {
    const char *noun;      /* "topic"; NULL for a verb that stands alone */
    const char *name;      /* "create"; alias of a single verb after a '|': "produce|pub" */
    const char *arguments; /* shown in the help: "TOPIC [FILE...]" */
    int arguments_min;
    int arguments_max; /* -1: any number */
    const char *summary;
    const char *notes; /* more lines for --help, examples; may be NULL */
    const struct flag *flags;
    bool reaches_cluster; /* also takes the flags common to all verbs that talk to a cluster */
    const char *outputs;  /* what --output can be, words separated by |; "": nothing; NULL: all */
    bool reads_settings;  /* --config and the environment are read for every flag (serve) */
    int (*run)(const struct options *options);
    int (*run_raw)(int argc, char **argv); /* parses by itself: gets everything from its noun on */
    bool hidden;
};

struct options {
    const struct verb *verb;
    struct option_value values[OPTIONS_FLAGS_MAX];
    int values_count;
    char *list[OPTIONS_LIST_MAX]; /* of the one FLAG_LIST flag a verb may have; owned */
    int list_count;
    char **arguments; /* borrowed from argv */
    int arguments_count;
};

enum options_status {
    OPTIONS_OK,
    OPTIONS_HELP,  /* --help was asked for */
    OPTIONS_WRONG, /* `error` says what and what to do */
};

#define OPTIONS_ERROR_BYTES 512u

/* Parse argv[1..] for `verb` (argv[0] is skipped). The struct is initialised here; options_close() in every case. */
enum options_status options_parse(struct options *options, const struct verb *verb, int argc,
                                  char **argv, char *error);
void options_close(struct options *options);

/* Value access by flag name. Asking for a flag that the verb does not have is a bug and aborts. */
bool options_is_set(const struct options *options, const char *name); /* by more than a preset */
bool options_has(const struct options *options, const char *name);    /* by anything */
bool options_on(const struct options *options,
                const char *name); /* bare flag given, or switch on */
const char *options_text(const struct options *options, const char *name); /* NULL when unset */
uint64_t options_number(const struct options *options, const char *name);  /* 0 when unset */
enum option_source options_source(const struct options *options, const char *name);

/* The flags common to all verbs that reach a cluster, ended by a NULL name. */
extern const struct flag options_common_flags[];

/* Set one value as if it came from `source`, unless a stronger source has set it. False: unknown flag or a value that
 * does not fit, and `error` says so. Used by the config file reader. */
bool options_set(struct options *options, const char *name, const char *text,
                 enum option_source source, const char *where, char *error);

/* The candidate nearest to `word` in spelling, for "did you mean"; NULL when none is near. */
const char *options_nearest(const char *word, const char *const *candidates, int candidates_count);

#endif
