/* The config file: the same names as the flags, and no mistake passes in silence. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static const struct flag flags[] = {{"config", 0, FLAG_TEXT, "FILE", NULL, NULL, "x"},
                                    {"listen-http", 0, FLAG_TEXT, "A", NULL, NULL, "x"},
                                    {"data-dir", 0, FLAG_TEXT, "D", NULL, NULL, "x"},
                                    {"segment-bytes", 0, FLAG_BYTES, "S", NULL, NULL, "x"},
                                    {NULL, 0, FLAG_BARE, NULL, NULL, NULL, NULL}};
static const struct verb verb = {.name = "try", .flags = flags, .reads_settings = true};

static struct options options;
static char error[OPTIONS_ERROR_BYTES];
static char path[64];
static bool used;

static void close_options(void)
{
    options_close(&options);
}

static bool read_text(const char *text)
{
    char word[] = "try";
    char *argv[] = {word, NULL};
    if (used) options_close(&options);
    used = true;
    cr_assert_eq(options_parse(&options, &verb, 1, argv, error), OPTIONS_OK);
    snprintf(path, sizeof(path), "/tmp/raftmq-config-test.XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    bool fine = config_read(&options, path, error);
    unlink(path);
    return fine;
}

Test(cli_config, keys_are_the_names_of_the_flags_also_by_section, .fini = close_options)
{
    cr_assert(read_text("# a comment\ndata-dir = /d ; where\n[listen]\nhttp = "
                        "0.0.0.0:7070\n[segment]\nbytes=1M\n"),
              "%s", error);
    cr_assert_str_eq(options_text(&options, "data-dir"), "/d");
    cr_assert_str_eq(options_text(&options, "listen-http"), "0.0.0.0:7070");
    cr_assert_eq(options_number(&options, "segment-bytes"), 1048576);
}

Test(cli_config, dots_and_underscores_count_as_dashes, .fini = close_options)
{
    cr_assert(read_text("data_dir = /a\nlisten.http = b:1\n"), "%s", error);
    cr_assert_str_eq(options_text(&options, "data-dir"), "/a");
    cr_assert_str_eq(options_text(&options, "listen-http"), "b:1");
}

static void expect_refused(const char *text, const char *word)
{
    error[0] = '\0';
    cr_assert_not(read_text(text), "%s", text);
    cr_assert(strstr(error, word), "'%s' does not say '%s'", error, word);
}

Test(cli_config, unknown_keys_wrong_values_and_repetitions_are_errors, .fini = close_options)
{
    expect_refused("data-dri = /d\n", "did you mean 'data-dir'");
    expect_refused("data-dir = /d\n\nnonsense = 1\n", "line 3");
    expect_refused("segment-bytes = large\n", "large");
    expect_refused("data-dir = /a\ndata_dir = /b\n", "twice");
    expect_refused("config = other\n", "cannot stand");
    expect_refused("just words\n", "line 1");
}

Test(cli_config, a_missing_file_is_an_error_with_its_name, .fini = close_options)
{
    char word[] = "try";
    char *argv[] = {word, NULL};
    cr_assert_eq(options_parse(&options, &verb, 1, argv, error), OPTIONS_OK);
    cr_assert_not(config_read(&options, "/nowhere/raftmq.conf", error));
    cr_assert(strstr(error, "/nowhere/raftmq.conf"));
    cr_assert(strstr(error, "No such file"), "%s", error);
}
