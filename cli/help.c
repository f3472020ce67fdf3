#include "help.h"

#include <string.h>

#include "exit_code.h"
#include "message.h"
#include "verbs.h"

#define SUMMARY_COLUMN 30
#define COLUMNS        100
#define NO_BREAK       '\037' /* a blank at which no line is broken */

void help_usage(const struct verb *verb, char *buffer, size_t buffer_bytes)
{
    char title[64];
    snprintf(buffer, buffer_bytes, "raftmq %s%s%s", verb_title(verb, title, sizeof(title)),
             verb->arguments ? " " : "", verb->arguments ? verb->arguments : "");
}

/* `left`, and `text` beside it in lines of their own column; under it where `left` is long. No line ends with a blank. */
static void print_beside(const char *left, const char *text, FILE *out)
{
    size_t column = (size_t)fprintf(out, "  %s", left);
    if (column > SUMMARY_COLUMN - 2) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", (int)(SUMMARY_COLUMN - column), "");
    column = SUMMARY_COLUMN;
    while (*text) {
        const size_t bytes = strcspn(text, " ");
        if (column > SUMMARY_COLUMN && column + 1 + bytes > COLUMNS) {
            fprintf(out, "\n%*s", SUMMARY_COLUMN, "");
            column = SUMMARY_COLUMN;
        } else if (column > SUMMARY_COLUMN) {
            fputc(' ', out);
            column++;
        }
        for (size_t i = 0; i < bytes; i++) {
            fputc(text[i] == NO_BREAK ? ' ' : text[i], out);
        }
        column += bytes;
        text += bytes;
        if (*text == ' ') text++;
    }
    fputc('\n', out);
}

static void print_verb_line(const struct verb *verb, FILE *out)
{
    char title[64], left[128];
    snprintf(left, sizeof(left), "%s%s%s", verb_title(verb, title, sizeof(title)),
             verb->arguments ? " " : "", verb->arguments ? verb->arguments : "");
    print_beside(left, verb->summary, out);
}

void help_print_all(FILE *out)
{
    fputs("raftmq: a message queue whose topics are Raft logs\n\nusage: raftmq VERB [FLAGS]\n\n",
          out);
    for (int i = 0; i < verbs_count; i++) {
        if (!verbs[i].hidden) print_verb_line(&verbs[i], out);
    }
    fputs("\nA first minute:\n"
          "  raftmq dev                              three nodes on this machine\n"
          "  echo hi | raftmq produce demo\n"
          "  raftmq consume demo --from earliest\n"
          "\nraftmq help VERB  explains one.  RAFTMQ_SERVER=http://host:port,...  names another "
          "cluster.\n"
          "\nExit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 unavailable and nothing stored,\n"
          "5 conflict, 6 outcome unknown, 7 some messages refused, 130 interrupted.\n"
          "A node (serve) also: 65 data damaged or not understood, 74 disk error,\n"
          "75 directory or port in use, 78 settings that do not fit, or data of another cluster or "
          "version.\n",
          out);
}

void help_print_noun(const char *noun, FILE *out)
{
    fprintf(out, "usage: raftmq %s VERB [FLAGS]\n\n", noun);
    for (int i = 0; i < verbs_count; i++) {
        if (verbs[i].noun && strcmp(verbs[i].noun, noun) == 0) print_verb_line(&verbs[i], out);
    }
}

static void print_flag(const struct flag *flag, FILE *out)
{
    if (!flag->help) return;
    char left[96], text[256], letter[8] = "    ";
    if (flag->letter) snprintf(letter, sizeof(letter), "-%c, ", flag->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s%s", letter, flag->name,
             !flag->placeholder ? ""
             : flag->implied    ? "[="
                                : " ",
             flag->placeholder ? flag->placeholder : "", flag->implied ? "]" : "");
    snprintf(text, sizeof(text), "%s", flag->help);
    if (flag->preset) {
        snprintf(text, sizeof(text), "%s (default%c%s)", flag->help, NO_BREAK, flag->preset);
    }
    print_beside(left, text, out);
}

void help_print_verb(const struct verb *verb, FILE *out)
{
    char usage[160];
    help_usage(verb, usage, sizeof(usage));
    bool has_flags = verb->flags->name || verb->reaches_cluster;
    fprintf(out, "usage: %s%s\n\n%s\n", usage, has_flags ? " [FLAGS]" : "", verb->summary);
    const char *alias = strchr(verb->name, '|');
    if (alias) {
        fprintf(out, "also: raftmq %s%s%s\n", verb->noun ? verb->noun : "", verb->noun ? " " : "",
                alias + 1);
    }
    if (verb->flags->name) fputc('\n', out);
    for (const struct flag *flag = verb->flags; flag->name; flag++) {
        print_flag(flag, out);
    }
    if (verb->reaches_cluster) {
        fputs("\nFor all verbs that talk to a cluster (also as RAFTMQ_SERVER and so on):\n", out);
        for (const struct flag *flag = options_common_flags; flag->name; flag++) {
            struct flag shown = *flag;
            if (verb->outputs && strcmp(flag->name, "output") == 0) {
                if (verb->outputs[0] == '\0') continue;
                shown.placeholder = verb->outputs;
                shown.help = "form of the answer (default: text)";
            }
            print_flag(&shown, out);
        }
    }
    if (verb->notes) fprintf(out, "\n%s\n", verb->notes);
}

int help_command(const struct options *options)
{
    int words;
    bool noun_known;
    if (options->arguments_count == 0) {
        help_print_all(stdout);
        return EXIT_CODE_OK;
    }
    const struct verb *verb =
        verbs_find(options->arguments_count, options->arguments, &words, &noun_known);
    if (verb && verb->run_raw) {
        char help[] = "--help";
        char *argv[] = {options->arguments[0], options->arguments[1], help, NULL};
        return verb->run_raw(3, argv);
    }
    if (verb) {
        help_print_verb(verb, stdout);
    } else if (noun_known) {
        help_print_noun(options->arguments[0], stdout);
    } else {
        message_error("there is no verb '%.60s'", options->arguments[0]);
        message_hint("raftmq help   lists all");
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}

/* Words that may follow: flags of each verb, and verbs of each noun. */
int completion_command(const struct options *options)
{
    if (strcmp(options->arguments[0], "bash") != 0) {
        message_error("completion is there for bash only");
        return EXIT_CODE_USAGE;
    }
    puts("_raftmq() {\n    local words cur=${COMP_WORDS[COMP_CWORD]}\n"
         "    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in");
    for (int i = 0; i < verbs_count; i++) {
        char title[64];
        printf("    \"%s%s\"*) words='", verb_title(&verbs[i], title, sizeof(title)),
               verbs[i].noun ? "" : " ");
        for (const struct flag *flag = verbs[i].flags; flag->name; flag++) {
            if (flag->help) printf("--%s ", flag->name);
        }
        for (const struct flag *flag = options_common_flags; verbs[i].reaches_cluster && flag->name;
             flag++) {
            printf("--%s ", flag->name);
        }
        puts("--help' ;;");
    }
    for (int i = 0; i < verbs_count; i++) {
        if (!verbs[i].noun ||
            (i > 0 && verbs[i - 1].noun && strcmp(verbs[i - 1].noun, verbs[i].noun) == 0)) {
            continue;
        }
        printf("    \"%s \"*) words='", verbs[i].noun);
        for (int j = i;
             j < verbs_count && verbs[j].noun && strcmp(verbs[i].noun, verbs[j].noun) == 0; j++) {
            printf("%.*s ", (int)strcspn(verbs[j].name, "|"), verbs[j].name);
        }
        puts("' ;;");
    }
    printf("    *) words='");
    for (int i = 0; i < verbs_count; i++) {
        if (i > 0 && verbs[i].noun && verbs[i - 1].noun &&
            strcmp(verbs[i].noun, verbs[i - 1].noun) == 0)
            continue;
        printf("%.*s ",
               verbs[i].noun ? (int)strlen(verbs[i].noun) : (int)strcspn(verbs[i].name, "|"),
               verbs[i].noun ? verbs[i].noun : verbs[i].name);
    }
    puts("' ;;\n    esac\n"
         "    [[ $cur == -* || $COMP_CWORD -le 2 ]] && COMPREPLY=($(compgen -W \"$words\" -- "
         "\"$cur\")) ||\n"
         "        COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _raftmq "
         "raftmq");
    return EXIT_CODE_OK;
}
