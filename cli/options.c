#include "options.h"

#include <assert.h>
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "quantity.h"

/* A node that cannot do what it was asked says why after 10 s: the preset of --timeout lies behind that. */
const struct flag options_common_flags[] = {
    {"server", 's', FLAG_TEXT, "URL,...", "http://127.0.0.1:7070", NULL,
     "nodes to talk to; each is tried in turn"},
    {"output", 'o', FLAG_CHOICE, "table|json|ndjson|tsv", NULL, NULL,
     "form of the answer (default: table on a terminal, else tsv)"},
    {"timeout", 0, FLAG_DURATION, "TIME", "12s", NULL,
     "give up on a request that no node has served for this long; produce and consume, once they "
     "have begun: 60s unless this is given"},
    {"quiet", 'q', FLAG_BARE, NULL, NULL, NULL, "no progress and no summary on stderr"},
    {NULL, 0, FLAG_BARE, NULL, NULL, NULL, NULL},
};

static const struct flag help_flag = {"help", 'h', FLAG_BARE, NULL, NULL, NULL, "show this help"};

static void add_flags(struct options *options, const struct flag *flags)
{
    for (const struct flag *flag = flags; flag && flag->name; flag++) {
        assert(options->values_count < OPTIONS_FLAGS_MAX);
        options->values[options->values_count++].flag = flag;
    }
}

static struct option_value *find_value(const struct options *options, const char *name)
{
    for (int i = 0; i < options->values_count; i++) {
        if (strcmp(options->values[i].flag->name, name) == 0) {
            return (struct option_value *)&options->values[i];
        }
    }
    return NULL;
}

static const struct option_value *value_of(const struct options *options, const char *name)
{
    const struct option_value *value = find_value(options, name);
    assert(value); /* every name in the code is in the verb's table */
    return value;
}

/* One of the words of "a|b|c". */
static bool is_choice(const char *words, const char *text)
{
    size_t bytes = strlen(text);
    for (const char *word = words; bytes > 0;) {
        size_t word_bytes = strcspn(word, "|");
        if (word_bytes == bytes && memcmp(word, text, bytes) == 0) return true;
        if (word[word_bytes] == '\0') break;
        word += word_bytes + 1;
    }
    return false;
}

/* NULL when the text fits the kind, else what would fit. */
static const char *misfit(const struct flag *flag, const char *text, uint64_t *ret_number)
{
    bool on = false;
    switch (flag->kind) {
    case FLAG_BARE:
        *ret_number = 1;
        return quantity_parse_switch(text, &on) ? (*ret_number = on, NULL) : "on or off";
    case FLAG_TEXT:
    case FLAG_LIST:
        return NULL;
    case FLAG_CHOICE:
        return is_choice(flag->placeholder, text) ? NULL : flag->placeholder;
    case FLAG_SWITCH:
        return quantity_parse_switch(text, &on) ? (*ret_number = on, NULL) : "on or off";
    case FLAG_COUNT:
        return quantity_parse_count(text, ret_number) ? NULL : "a number, such as 100 or 10k";
    case FLAG_POSITIVE:
        return quantity_parse_count(text, ret_number) && *ret_number > 0
                   ? NULL
                   : "a number from 1 on, such as 100 or 10k";
    case FLAG_BYTES:
        return quantity_parse_bytes(text, ret_number) ? NULL : "a size, such as 100, 64K or 1M";
    case FLAG_DURATION:
        return quantity_parse_duration(text, ret_number)
                   ? NULL
                   : "a time, such as 5ms, 10s, 2m, 3h, 7d or 2w";
    case FLAG_RATE:
        return quantity_parse_rate(text, ret_number) ? NULL : "a rate, such as 2000/s or 10k/s";
    }
    return "something else";
}

static bool assign(struct options *options, struct option_value *value, const char *text,
                   enum option_source source, const char *where, char *error)
{
    uint64_t number = 0;
    const char *wanted = misfit(value->flag, text, &number);
    if (wanted) {
        snprintf(error, OPTIONS_ERROR_BYTES, "%s: '%.100s' is not %s", where, text, wanted);
        return false;
    }
    if (value->flag->kind == FLAG_LIST && source == OPTION_COMMAND_LINE) {
        if (options->list_count == OPTIONS_LIST_MAX) {
            snprintf(error, OPTIONS_ERROR_BYTES, "%s: at most %d are taken", where,
                     OPTIONS_LIST_MAX);
            return false;
        }
        char *copy = strdup(text);
        assert(copy);
        options->list[options->list_count++] = copy;
    }
    free(value->text);
    value->text = strdup(text);
    assert(value->text);
    value->number = number;
    value->source = source;
    return true;
}

bool options_set(struct options *options, const char *name, const char *text,
                 enum option_source source, const char *where, char *error)
{
    struct option_value *value = find_value(options, name);
    if (!value) {
        const char *names[OPTIONS_FLAGS_MAX];
        for (int i = 0; i < options->values_count; i++) {
            names[i] = options->values[i].flag->name;
        }
        const char *near = options_nearest(name, names, options->values_count);
        snprintf(error, OPTIONS_ERROR_BYTES, "%s: there is no setting '%.60s'%s%s%s", where, name,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        return false;
    }
    if (value->source >= source) return true;
    return assign(options, value, text, source, where, error);
}

static bool read_environment(struct options *options, char *error)
{
    for (int i = 0; i < options->values_count; i++) {
        struct option_value *value = &options->values[i];
        bool common = value->flag >= options_common_flags && value->flag < options_common_flags + 4;
        if (!options->verb->reads_settings && !common) continue;
        char name[96];
        snprintf(name, sizeof(name), "RAFTMQ_%s", value->flag->name);
        for (char *c = name; *c; c++) {
            *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        }
        const char *text = getenv(name);
        if (!text || *text == '\0')
            continue; /* an empty variable counts as unset: compose files produce them */
        if (!options_set(options, value->flag->name, text, OPTION_ENVIRONMENT, name, error)) {
            return false;
        }
    }
    return true;
}

static bool read_presets(struct options *options, char *error)
{
    for (int i = 0; i < options->values_count; i++) {
        struct option_value *value = &options->values[i];
        if (value->source != OPTION_UNSET || !value->flag->preset) continue;
        if (!assign(options, value, value->flag->preset, OPTION_PRESET, value->flag->name, error)) {
            return false;
        }
    }
    return true;
}

static void describe_unknown(const struct options *options, const char *given, char *error)
{
    const char *names[OPTIONS_FLAGS_MAX];
    for (int i = 0; i < options->values_count; i++) {
        names[i] = options->values[i].flag->name;
    }
    char word[64];
    const char *start = given + strspn(given, "-");
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(start, "="), start);
    const char *near =
        strlen(word) > 1 ? options_nearest(word, names, options->values_count) : NULL;
    snprintf(error, OPTIONS_ERROR_BYTES, "there is no flag %.80s%s%s%s", given,
             near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

/* getopt_long takes any beginning of a name: --form for --format, where --from was meant. We want the whole name. */
static bool is_shortened(const char *word, const char *name)
{
    size_t bytes = strcspn(word + 2, "=");
    return bytes != strlen(name) || strncmp(word + 2, name, bytes) != 0;
}

/* getopt_long with tables made from the flags. */
static enum options_status read_command_line(struct options *options, int argc, char **argv,
                                             char *error)
{
    struct option longs[OPTIONS_FLAGS_MAX + 1] = {{0}};
    char shorts[OPTIONS_FLAGS_MAX * 3 + 2] = ":";
    for (int i = 0; i < options->values_count; i++) {
        const struct flag *flag = options->values[i].flag;
        int argument = flag->kind == FLAG_BARE ? no_argument
                       : flag->implied         ? optional_argument
                                               : required_argument;
        longs[i] = (struct option){.name = flag->name, .has_arg = argument, .val = 256 + i};
        if (!flag->letter) continue;
        size_t used = strlen(shorts);
        shorts[used] = flag->letter;
        memcpy(shorts + used + 1, "::", (size_t)argument);
        shorts[used + 1 + (size_t)argument] = '\0';
    }
    optind = 0;
    opterr = 0;
    for (;;) {
        /* getopt may step over several words at once; the one it complains about is the one before optind. */
        int code = getopt_long(argc, argv, shorts, longs, NULL);
        if (code == -1) break;
        if (code == '?') {
            char letter[3] = {'-', (char)optopt, '\0'};
            bool is_letter = optopt > 0 && optopt < 256;
            describe_unknown(options, is_letter ? letter : argv[optind - 1], error);
            return OPTIONS_WRONG;
        }
        if (code == ':') {
            snprintf(error, OPTIONS_ERROR_BYTES, "%.80s needs a value", argv[optind - 1]);
            return OPTIONS_WRONG;
        }
        const char *word = argv[optind - (optarg && optarg == argv[optind - 1] ? 2 : 1)];
        if (code >= 256 && is_shortened(word, options->values[code - 256].flag->name)) {
            describe_unknown(options, word, error);
            return OPTIONS_WRONG;
        }
        struct option_value *value = NULL;
        for (int i = 0; i < options->values_count; i++) {
            const struct flag *flag = options->values[i].flag;
            if (code == 256 + i || (flag->letter && code == flag->letter)) {
                value = &options->values[i];
            }
        }
        assert(value);
        if (value->flag == &help_flag) return OPTIONS_HELP;
        const char *text = optarg                           ? optarg
                           : value->flag->kind == FLAG_BARE ? "on"
                                                            : value->flag->implied;
        char where[80];
        snprintf(where, sizeof(where), "--%s", value->flag->name);
        if (!assign(options, value, text, OPTION_COMMAND_LINE, where, error)) return OPTIONS_WRONG;
    }
    options->arguments = argv + optind;
    options->arguments_count = argc - optind;
    return OPTIONS_OK;
}

/* A flag whose value may be left out takes one only behind a sign: whoever left a blank meant it. NULL: none was given. */
static const struct flag *whose_value(const struct options *options, const char *text)
{
    uint64_t number;
    for (int i = 0; i < options->values_count; i++) {
        const struct option_value *value = &options->values[i];
        if (value->source != OPTION_COMMAND_LINE || !value->flag->implied) continue;
        if (!misfit(value->flag, text, &number)) return value->flag;
    }
    return NULL;
}

static bool check_arguments(const struct options *options, char *error)
{
    const struct verb *verb = options->verb;
    if (options->arguments_count < verb->arguments_min) {
        snprintf(error, OPTIONS_ERROR_BYTES, "%s is missing", verb->arguments);
        return false;
    }
    if (verb->arguments_max >= 0 && options->arguments_count > verb->arguments_max) {
        const char *text = options->arguments[verb->arguments_max];
        const struct flag *flag = whose_value(options, text);
        snprintf(error, OPTIONS_ERROR_BYTES, "'%.100s' is one argument too many%s%s%s%.60s", text,
                 flag ? "; did you mean --" : "", flag ? flag->name : "", flag ? "=" : "",
                 flag ? text : "");
        return false;
    }
    return true;
}

/* A form that the verb does not have is refused where it was asked of this verb; a variable is meant for all of them. */
static bool check_output(const struct options *options, char *error)
{
    const char *outputs = options->verb->outputs;
    const struct option_value *value = find_value(options, "output");
    if (!outputs || !value || value->source != OPTION_COMMAND_LINE) return true;
    if (is_choice(outputs, value->text)) return true;
    if (outputs[0] != '\0') {
        snprintf(error, OPTIONS_ERROR_BYTES, "--output: '%.20s' is not %s", value->text, outputs);
    } else {
        snprintf(error, OPTIONS_ERROR_BYTES, "--output: it prints text only%s",
                 find_value(options, "json") ? ", or JSON with --json" : "");
    }
    return false;
}

enum options_status options_parse(struct options *options, const struct verb *verb, int argc,
                                  char **argv, char *error)
{
    memset(options, 0, sizeof(*options));
    options->verb = verb;
    add_flags(options, verb->flags);
    if (verb->reaches_cluster) add_flags(options, options_common_flags);
    assert(options->values_count < OPTIONS_FLAGS_MAX);
    options->values[options->values_count++].flag = &help_flag;

    enum options_status status = read_command_line(options, argc, argv, error);
    if (status != OPTIONS_OK) return status;
    if (!check_arguments(options, error)) return OPTIONS_WRONG;
    if (!check_output(options, error)) return OPTIONS_WRONG;
    if (!read_environment(options, error)) return OPTIONS_WRONG;
    if (verb->reads_settings && options_text(options, "config") &&
        !config_read(options, options_text(options, "config"), error)) {
        return OPTIONS_WRONG;
    }
    return read_presets(options, error) ? OPTIONS_OK : OPTIONS_WRONG;
}

void options_close(struct options *options)
{
    for (int i = 0; i < options->values_count; i++) {
        free(options->values[i].text);
    }
    for (int i = 0; i < options->list_count; i++) {
        free(options->list[i]);
    }
    memset(options, 0, sizeof(*options));
}

bool options_is_set(const struct options *options, const char *name)
{
    return value_of(options, name)->source > OPTION_PRESET;
}

bool options_has(const struct options *options, const char *name)
{
    return value_of(options, name)->source != OPTION_UNSET;
}

bool options_on(const struct options *options, const char *name)
{
    const struct option_value *value = value_of(options, name);
    assert(value->flag->kind == FLAG_BARE || value->flag->kind == FLAG_SWITCH);
    return value->number != 0;
}

const char *options_text(const struct options *options, const char *name)
{
    return value_of(options, name)->text;
}

uint64_t options_number(const struct options *options, const char *name)
{
    return value_of(options, name)->number;
}

enum option_source options_source(const struct options *options, const char *name)
{
    return value_of(options, name)->source;
}

/* Edit distance of two short words, two rows at a time. */
static int distance(const char *a, const char *b)
{
    int previous[65], current[65];
    int b_count = (int)strnlen(b, 64);
    for (int j = 0; j <= b_count; j++) {
        previous[j] = j;
    }
    for (int i = 1; a[i - 1] && i <= 64; i++) {
        current[0] = i;
        for (int j = 1; j <= b_count; j++) {
            int best = previous[j - 1] + (a[i - 1] != b[j - 1]);
            if (previous[j] + 1 < best) best = previous[j] + 1;
            if (current[j - 1] + 1 < best) best = current[j - 1] + 1;
            current[j] = best;
        }
        memcpy(previous, current, sizeof(previous));
    }
    return previous[b_count];
}

const char *options_nearest(const char *word, const char *const *candidates, int candidates_count)
{
    const char *nearest = NULL;
    int nearest_distance = 0;
    for (int i = 0; i < candidates_count; i++) {
        int apart = distance(word, candidates[i]);
        bool near = apart <= 2 && apart < (int)strlen(candidates[i]);
        if (near && (!nearest || apart < nearest_distance)) {
            nearest = candidates[i];
            nearest_distance = apart;
        }
    }
    return nearest;
}
