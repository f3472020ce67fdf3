#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit_code.h"
#include "help.h"
#include "message.h"
#include "options.h"
#include "verbs.h"

/* Words before the verb that are flags common to all: `raftmq -s URL -q produce orders`. Returns how many, counting
 * their values. */
static int leading_flags(int argc, char **argv)
{
    int count = 0;
    while (count < argc && argv[count][0] == '-' && argv[count][1] != '\0') {
        const char *word = argv[count++];
        for (const struct flag *flag = options_common_flags; flag->name; flag++) {
            bool is_long = strncmp(word, "--", 2) == 0 && strcmp(word + 2, flag->name) == 0;
            bool is_letter = flag->letter && word[1] == flag->letter && word[2] == '\0';
            if ((is_long || is_letter) && flag->kind != FLAG_BARE && count < argc) count++;
        }
    }
    return count;
}

static int refuse_verb(int argc, char **argv, bool noun_known)
{
    if (noun_known) {
        if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
            help_print_noun(argv[0], stdout);
            return EXIT_CODE_OK;
        }
        if (argc > 1 && argv[1][0] != '-')
            message_error("%s has no verb '%.60s'", argv[0], argv[1]);
        help_print_noun(argv[0], stderr);
        return EXIT_CODE_USAGE;
    }
    const char *names[128];
    char plain_names[128][32]; /* without the aliases */
    int count = 0;
    for (int i = 0; i < verbs_count && count < 128; i++) {
        snprintf(plain_names[i], sizeof(plain_names[i]), "%.*s", (int)strcspn(verbs[i].name, "|"),
                 verbs[i].name);
        names[count++] = verbs[i].noun ? verbs[i].noun : plain_names[i];
    }
    const char *near = options_nearest(argv[0], names, count);
    message_error("there is no verb '%.60s'", argv[0]);
    if (near) message_hint("did you mean %s?", near);
    message_hint("raftmq help   lists all");
    return EXIT_CODE_USAGE;
}

static int refuse_options(const struct verb *verb, const char *error)
{
    char title[64], usage[160];
    message_error("%s: %s", verb_title(verb, title, sizeof(title)), error);
    help_usage(verb, usage, sizeof(usage));
    message_hint("%s   %s", usage, verb->summary);
    message_hint("raftmq help %s   lists its flags", title);
    return EXIT_CODE_USAGE;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    struct options options;
    char error[OPTIONS_ERROR_BYTES] = "";
    int code = EXIT_CODE_OK;
    switch (options_parse(&options, verb, argc, argv, error)) {
    case OPTIONS_OK:
        code = verb->run(&options);
        break;
    case OPTIONS_HELP:
        help_print_verb(verb, stdout);
        break;
    case OPTIONS_WRONG:
        code = refuse_options(verb, error);
        break;
    }
    options_close(&options);
    return code;
}

/* argv for the verb: its last word, the leading flags, and what follows. NULL-terminated; free(). */
static char **arrange(char **words, int leading, int verb_words, int rest)
{
    char **arranged = calloc((size_t)(leading + rest) + 2, sizeof(*arranged));
    if (!arranged) abort();
    arranged[0] = words[leading + verb_words - 1];
    memcpy(arranged + 1, words, (size_t)leading * sizeof(*words));
    memcpy(arranged + 1 + leading, words + leading + verb_words, (size_t)rest * sizeof(*words));
    return arranged;
}

/* A full disk must not pass for success; a reader that went away had enough. */
static int end_output(int code)
{
    (void)message_output_flush();
    return code == EXIT_CODE_OK && message_output_is_lost() ? EXIT_CODE_FAILED : code;
}

static int run_words(int argc, char **argv)
{
    int leading = leading_flags(argc - 1, argv + 1);
    for (int i = 1; i <= leading; i++) {
        bool is_help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        if (is_help) {
            help_print_all(stdout);
            return EXIT_CODE_OK;
        }
        if (strcmp(argv[i], "--version") == 0) {
            struct options none = {0};
            return version_command(&none);
        }
    }
    char **words = argv + 1 + leading;
    int words_count = argc - 1 - leading, verb_words = 0;
    if (words_count == 0) {
        if (leading > 0) {
            message_error("a verb is missing after %s", argv[leading]);
            message_hint("raftmq help   lists all");
        } else {
            help_print_all(stderr);
        }
        return EXIT_CODE_USAGE;
    }
    bool noun_known;
    const struct verb *verb = verbs_find(words_count, words, &verb_words, &noun_known);
    if (!verb) return refuse_verb(words_count, words, noun_known);
    if (verb->run_raw) return verb->run_raw(words_count, words);
    char **arranged = arrange(argv + 1, leading, verb_words, words_count - verb_words);
    int code = run_verb(verb, leading + words_count - verb_words + 1, arranged);
    free(arranged);
    return code;
}

int command_main(int argc, char **argv)
{
    return end_output(run_words(argc, argv));
}
