/* The table of verbs is whole: found by name, no flag twice, every preset of its own kind. */
#include <broker/node.h>
#include <broker/node_request.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "exit_code.h"
#include "help.h"
#include "verbs.h"

Test(cli_verbs, are_found_by_noun_and_verb_and_by_alias)
{
    int words;
    bool noun;
    char topic[] = "topic", create[] = "create", pub[] = "pub", produce[] = "produce",
         part[] = "prod";
    char *two[] = {topic, create}, *alias[] = {pub}, *single[] = {produce}, *wrong[] = {part},
         *only[] = {topic};
    const struct verb *verb = verbs_find(2, two, &words, &noun);
    cr_assert(verb);
    cr_assert_eq(words, 2);
    cr_assert_str_eq(verb->name, "create");
    cr_assert_eq(verbs_find(1, alias, &words, &noun), verbs_find(1, single, &words, &noun));
    cr_assert_eq(words, 1);
    cr_assert_null(verbs_find(1, wrong, &words, &noun));
    cr_assert_not(noun);
    cr_assert_null(verbs_find(1, only, &words, &noun));
    cr_assert(noun);
}

Test(cli_verbs, a_noun_explains_itself_when_asked_and_is_an_error_alone)
{
    char name[] = "raftmq", cluster[] = "cluster", help[] = "--help", letter[] = "-h",
         wrong[] = "x";
    char *asked[] = {name, cluster, help, NULL}, *shortly[] = {name, cluster, letter, NULL},
         *alone[] = {name, cluster, NULL}, *unknown[] = {name, cluster, wrong, NULL};
    cr_assert_eq(command_main(3, asked), 0);
    cr_assert_eq(command_main(3, shortly), 0);
    cr_assert_eq(command_main(2, alone), 2);
    cr_assert_eq(command_main(3, unknown), 2);
}

Test(cli_verbs, no_verb_has_two_flags_of_one_name_or_letter)
{
    for (int v = 0; v < verbs_count; v++) {
        const struct flag *all[OPTIONS_FLAGS_MAX];
        int count = 0;
        for (const struct flag *flag = verbs[v].flags; flag->name; flag++) {
            all[count++] = flag;
        }
        for (const struct flag *flag = options_common_flags; verbs[v].reaches_cluster && flag->name;
             flag++) {
            all[count++] = flag;
        }
        for (int i = 0; i < count; i++) {
            cr_assert_neq(all[i]->letter, 'h', "-h is help, not --%s of %s", all[i]->name,
                          verbs[v].name);
            for (int j = 0; j < i; j++) {
                cr_assert_str_neq(all[i]->name, all[j]->name, "%s", verbs[v].name);
                cr_assert(!all[i]->letter || all[i]->letter != all[j]->letter, "%s: -%c",
                          verbs[v].name, all[i]->letter);
            }
        }
    }
}

Test(cli_verbs, every_preset_is_a_value_of_its_flag)
{
    for (int v = 0; v < verbs_count; v++) {
        struct verb verb = verbs[v];
        struct options options;
        char error[OPTIONS_ERROR_BYTES] = "", word[] = "x";
        char *argv[] = {word, NULL};
        verb.arguments_min = 0;
        verb.reads_settings = false;
        cr_assert_eq(options_parse(&options, &verb, 1, argv, error), OPTIONS_OK, "%s: %s",
                     verb.name, error);
        options_close(&options);
    }
}

Test(cli_verbs, the_help_of_a_verb_names_every_flag_that_is_not_hidden)
{
    for (int v = 0; v < verbs_count; v++) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        help_print_verb(&verbs[v], out);
        fclose(out);
        for (const struct flag *flag = verbs[v].flags; flag->name; flag++) {
            char name[64];
            snprintf(name, sizeof(name), "--%s", flag->name);
            cr_assert_eq(strstr(text, name) != NULL, flag->help != NULL, "%s of %s", name,
                         verbs[v].name);
        }
        free(text);
    }
}

/* Parse these words, the verb among them; false: `error` says why they are refused. */
static bool takes(char **line, int count, char *error)
{
    int taken;
    bool noun_known;
    struct options options;
    const struct verb *verb = verbs_find(count, line, &taken, &noun_known);
    cr_assert(verb, "%s", line[0]);
    const enum options_status status =
        options_parse(&options, verb, count - taken + 1, line + taken - 1, error);
    options_close(&options);
    return status == OPTIONS_OK;
}

#define TAKES(...) \
    takes((char *[]){__VA_ARGS__, NULL}, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *), error)

Test(cli_verbs, a_form_that_a_verb_does_not_print_is_refused_with_those_that_it_does)
{
    static char topic[] = "topic", list[] = "list", create[] = "create", produce[] = "produce",
                bench[] = "bench", consume[] = "consume", name[] = "t", o[] = "-o", json[] = "json",
                tsv[] = "tsv";
    char error[OPTIONS_ERROR_BYTES] = "";
    cr_assert(TAKES(topic, list, o, tsv), "%s", error);
    cr_assert(TAKES(topic, create, name, o, json), "%s", error);
    cr_assert(TAKES(consume, name, o, json), "%s", error);
    cr_assert_not(TAKES(topic, create, name, o, tsv));
    cr_assert_str_eq(error, "--output: 'tsv' is not table|json|ndjson");
    cr_assert_not(TAKES(produce, name, o, json));
    cr_assert_str_eq(error, "--output: it prints text only");
    cr_assert_not(TAKES(bench, produce, o, json));
    cr_assert_str_eq(error, "--output: it prints text only, or JSON with --json");
    setenv("RAFTMQ_OUTPUT", "json", 1); /* for all verbs, as far as they can */
    cr_assert(TAKES(produce, name), "%s", error);
    unsetenv("RAFTMQ_OUTPUT");
}

Test(cli_verbs, none_is_no_number_of_messages)
{
    static char produce[] = "produce", consume[] = "consume", name[] = "t", n[] = "-n",
                batch[] = "--batch", zero[] = "0", one[] = "1";
    char error[OPTIONS_ERROR_BYTES] = "";
    cr_assert(TAKES(consume, name, n, one), "%s", error);
    cr_assert_not(TAKES(consume, name, n, zero));
    cr_assert_str_eq(error, "--count: '0' is not a number from 1 on, such as 100 or 10k");
    cr_assert_not(TAKES(produce, name, batch, zero));
}

Test(cli_verbs, the_help_names_an_alias_as_it_is_typed)
{
    for (int v = 0; v < verbs_count; v++) {
        char *text = NULL, wanted[128];
        size_t bytes = 0;
        const char *alias = strchr(verbs[v].name, '|');
        if (!alias) continue;
        FILE *out = open_memstream(&text, &bytes);
        help_print_verb(&verbs[v], out);
        fclose(out);
        snprintf(wanted, sizeof(wanted), "also: raftmq %s%s%s\n",
                 verbs[v].noun ? verbs[v].noun : "", verbs[v].noun ? " " : "", alias + 1);
        cr_assert(strstr(text, wanted), "%s", wanted);
        free(text);
    }
}

/* Help is read on a terminal, and pasted. */
static void check_lines(const char *text, const char *what)
{
    for (const char *line = text; *line;) {
        const size_t bytes = strcspn(line, "\n");
        cr_assert_leq(bytes, 100, "help of %s: %.*s", what, (int)bytes, line);
        cr_assert(bytes == 0 || line[bytes - 1] != ' ', "help of %s: '%.*s'", what, (int)bytes,
                  line);
        line += bytes + (line[bytes] == '\n');
    }
}

Test(cli_verbs, no_line_of_help_is_wide_or_ends_with_a_blank)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    help_print_all(out);
    fclose(out);
    check_lines(text, "all");
    free(text);
    for (int v = 0; v < verbs_count; v++) {
        out = open_memstream(&text, &bytes);
        help_print_verb(&verbs[v], out);
        if (verbs[v].noun) help_print_noun(verbs[v].noun, out);
        fclose(out);
        check_lines(text, verbs[v].name);
        free(text);
    }
}

Test(cli_verbs, the_help_names_every_exit_status_of_the_tool_and_of_a_node)
{
    static const int statuses[] = {
        EXIT_CODE_OK,          EXIT_CODE_FAILED,   EXIT_CODE_USAGE,   EXIT_CODE_NOT_FOUND,
        EXIT_CODE_UNAVAILABLE, EXIT_CODE_CONFLICT, EXIT_CODE_UNKNOWN, EXIT_CODE_PARTIAL,
        EXIT_CODE_INTERRUPTED, NODE_FATAL_DISK,    NODE_FATAL_DAMAGE, NODE_FATAL_CONFIG,
        NODE_FATAL_BUSY};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    help_print_all(out);
    fclose(out);
    const char *list = strstr(text, "Exit status: ");
    cr_assert(list);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char behind_blank[8], behind_line[8];
        snprintf(behind_blank, sizeof(behind_blank), " %d ", statuses[i]);
        snprintf(behind_line, sizeof(behind_line), "\n%d ", statuses[i]);
        cr_assert(strstr(list, behind_blank) || strstr(list, behind_line), "%d", statuses[i]);
    }
    free(text);
}

Test(cli_verbs, every_state_of_a_change_is_explained)
{
    int words;
    bool noun;
    char cluster[] = "cluster", changes[] = "changes";
    char *both[] = {cluster, changes};
    const struct verb *verb = verbs_find(2, both, &words, &noun);
    cr_assert(verb);
    for (int state = NODE_CHANGE_UNKNOWN; state <= NODE_CHANGE_RECORDING; state++) {
        char line[64];
        snprintf(line, sizeof(line), "  %-11s",
                 node_change_state_text((enum node_change_state)state));
        cr_assert(strstr(verb->notes, line), "'%s'", line);
    }
}
