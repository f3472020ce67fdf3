/* Flags: parsed by the table, checked by kind, and taken from the strongest source that names them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

static const struct flag flags[] = {{"config", 'c', FLAG_TEXT, "FILE", NULL, NULL, "x"},
                                    {"size", 0, FLAG_BYTES, "SIZE", "1K", NULL, "x"},
                                    {"wait-time", 'w', FLAG_DURATION, "TIME", NULL, "1s", "x"},
                                    {"mode", 'm', FLAG_CHOICE, "fast|safe", "safe", NULL, "x"},
                                    {"header", 'H', FLAG_LIST, "K:V", NULL, NULL, "x"},
                                    {"loud", 'l', FLAG_BARE, NULL, NULL, NULL, "x"},
                                    {"create", 0, FLAG_SWITCH, "on|off", "off", NULL, "x"},
                                    {NULL, 0, FLAG_BARE, NULL, NULL, NULL, NULL}};
static const struct verb verb = {
    .name = "try", .arguments = "NAME", .arguments_max = 2, .flags = flags, .reads_settings = true};

static struct options options;
static char error[OPTIONS_ERROR_BYTES];

static char words[16][128];
static char *argv[17];

/* The words stay in place for as long as the options that point at them. */
static enum options_status parse(int count, const char *const *given)
{
    static bool used;
    if (used) options_close(&options);
    used = true;
    snprintf(words[0], sizeof(words[0]), "try");
    argv[0] = words[0];
    for (int i = 0; i < count; i++) {
        snprintf(words[i + 1], sizeof(words[0]), "%s", given[i]);
        argv[i + 1] = words[i + 1];
    }
    argv[count + 1] = NULL;
    return options_parse(&options, &verb, count + 1, argv, error);
}

#define PARSE(...)                                                \
    parse(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
          (const char *const[]){__VA_ARGS__})

static void close_options(void)
{
    options_close(&options);
}

Test(cli_options, flags_and_arguments_may_stand_in_any_order, .fini = close_options)
{
    cr_assert_eq(PARSE("a", "--size", "2K", "b", "-l"), OPTIONS_OK, "%s", error);
    cr_assert_eq(options.arguments_count, 2);
    cr_assert_str_eq(options.arguments[1], "b");
    cr_assert_eq(options_number(&options, "size"), 2048);
    cr_assert(options_on(&options, "loud"));
}

Test(cli_options, presets_hold_until_something_stronger_is_said, .fini = close_options)
{
    cr_assert_eq(parse(0, NULL), OPTIONS_OK);
    cr_assert_eq(options_number(&options, "size"), 1024);
    cr_assert_not(options_is_set(&options, "size"));
    cr_assert(options_has(&options, "size"));
    cr_assert_not(options_has(&options, "wait-time"));
    cr_assert_not(options_on(&options, "create"));
}

Test(cli_options, a_value_after_an_equals_sign_is_optional_where_the_table_says_so,
     .fini = close_options)
{
    cr_assert_eq(PARSE("--wait-time"), OPTIONS_OK);
    cr_assert_eq(options_number(&options, "wait-time"), 1000000);
    cr_assert_eq(PARSE("--wait-time=3s"), OPTIONS_OK);
    cr_assert_eq(options_number(&options, "wait-time"), 3000000);
}

Test(cli_options, list_flags_keep_every_value_in_order, .fini = close_options)
{
    cr_assert_eq(PARSE("-H", "a:1", "-Hb:2"), OPTIONS_OK);
    cr_assert_eq(options.list_count, 2);
    cr_assert_str_eq(options.list[1], "b:2");
}

Test(cli_options, wrong_values_are_refused_with_flag_and_value, .fini = close_options)
{
    cr_assert_eq(PARSE("--size", "many"), OPTIONS_WRONG);
    cr_assert(strstr(error, "--size"));
    cr_assert(strstr(error, "many"));
    cr_assert_eq(PARSE("-m", "slow"), OPTIONS_WRONG);
    cr_assert(strstr(error, "fast|safe"));
    cr_assert_eq(PARSE("--create", "perhaps"), OPTIONS_WRONG);
    cr_assert_eq(PARSE("-m", "fas"), OPTIONS_WRONG, "the beginning of a choice is no choice");
}

Test(cli_options, an_unknown_flag_is_named_and_the_nearest_suggested, .fini = close_options)
{
    cr_assert_eq(PARSE("--sise", "1"), OPTIONS_WRONG);
    cr_assert(strstr(error, "--sise"), "%s", error);
    cr_assert(strstr(error, "did you mean --size"), "%s", error);
    cr_assert_eq(PARSE("-Z"), OPTIONS_WRONG);
    cr_assert(strstr(error, "-Z"), "%s", error);
    cr_assert_eq(PARSE("--size"), OPTIONS_WRONG);
    cr_assert(strstr(error, "needs a value"), "%s", error);
}

Test(cli_options, the_beginning_of_a_name_is_not_the_name, .fini = close_options)
{
    cr_assert_eq(PARSE("--siz", "1"), OPTIONS_WRONG);
    cr_assert(strstr(error, "--siz; did you mean --size"), "%s", error);
    cr_assert_eq(PARSE("--siz=1"), OPTIONS_WRONG);
    cr_assert_eq(PARSE("--size=1"), OPTIONS_OK, "%s", error);
}

Test(cli_options, too_many_arguments_are_refused, .fini = close_options)
{
    cr_assert_eq(PARSE("a", "b", "c"), OPTIONS_WRONG);
    cr_assert(strstr(error, "'c'"), "%s", error);
    cr_assert_null(strstr(error, "did you mean"), "%s", error);
    cr_assert_eq(PARSE("a", "b", "--wait-time", "3s"), OPTIONS_WRONG);
    cr_assert_str_eq(error, "'3s' is one argument too many; did you mean --wait-time=3s");
    cr_assert_eq(PARSE("a", "b", "--wait-time", "c"), OPTIONS_WRONG);
    cr_assert_null(strstr(error, "did you mean"), "it is no time: %s", error);
}

Test(cli_options, help_wins_over_everything_behind_it, .fini = close_options)
{
    cr_assert_eq(PARSE("--help", "--nonsense"), OPTIONS_HELP);
}

Test(cli_options, the_command_line_beats_the_environment_beats_the_file_beats_the_preset,
     .fini = close_options)
{
    char path[] = "/tmp/raftmq-options-test.XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    dprintf(fd, "size = 3K\nmode = fast\ncreate = on\n");
    close(fd);
    setenv("RAFTMQ_SIZE", "4K", 1);
    setenv("RAFTMQ_MODE", "", 1); /* empty counts as unset */
    cr_assert_eq(PARSE("-c", path), OPTIONS_OK, "%s", error);
    cr_assert_eq(options_number(&options, "size"), 4096);
    cr_assert_eq(options_source(&options, "size"), OPTION_ENVIRONMENT);
    cr_assert_str_eq(options_text(&options, "mode"), "fast");
    cr_assert_eq(options_source(&options, "mode"), OPTION_FILE);
    cr_assert(options_on(&options, "create"));
    cr_assert_eq(PARSE("-c", path, "--size", "5K"), OPTIONS_OK);
    cr_assert_eq(options_number(&options, "size"), 5120);
    unlink(path);
}

Test(cli_options, a_wrong_value_in_the_environment_is_named_by_its_variable, .fini = close_options)
{
    setenv("RAFTMQ_WAIT_TIME", "soon", 1);
    cr_assert_eq(parse(0, NULL), OPTIONS_WRONG);
    cr_assert(strstr(error, "RAFTMQ_WAIT_TIME"), "%s", error);
}
