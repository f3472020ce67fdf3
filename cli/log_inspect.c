/* Events of an inspection as lines for people or as JSON. For people an object is a block of `name value` lines, and a list of
 * plain objects is a table. Problems come when they are found and are printed behind all fields. */
#include "log_inspect.h"

#include "log_members.h"

#include <snapshot/inspect.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX    8u
#define COLUMNS_MAX  16u
#define VALUE_BYTES  64u
#define MAGIC_BYTES  4u
#define PROBLEMS_MAX 10000u

struct problem_line {
    uint64_t pos;
    char text[192];
};

struct column {
    char name[24];
    char value[VALUE_BYTES];
};

struct printer {
    enum log_inspect_output output;
    uint32_t depth;
    bool is_list[DEPTH_MAX];
    bool has_items[DEPTH_MAX];
    /* Table: the fields of the list item that is being told. */
    struct column columns[COLUMNS_MAX];
    uint32_t columns_count;
    uint32_t widths[COLUMNS_MAX];
    char head[COLUMNS_MAX * 24u]; /* of the table that is being printed: its names */
    struct problem_line *problems;
    uint64_t problems_count;
};

void log_print_json_text(const char *text)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            printf("\\%c", *p);
        } else if (*p < 0x20 || *p >= 0x7f) {
            printf("\\u%04x", *p);
        } else {
            putchar(*p);
        }
    }
    putchar('"');
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

static void json_name(struct printer *printer, const char *name)
{
    if (printer->has_items[printer->depth]) putchar(',');
    printer->has_items[printer->depth] = true;
    if (!name) return;
    log_print_json_text(name);
    putchar(':');
}

/* ---- tables ----------------------------------------------------------------------------------------- */

static void indent(const struct printer *printer)
{
    for (uint32_t i = 0; i < printer->depth; i++) {
        fputs("  ", stdout);
    }
}

static bool in_item(const struct printer *printer)
{
    return printer->depth > 0 && printer->is_list[printer->depth - 1];
}

/* The last one is as wide as it is: no line ends with blanks. */
static void print_cells(const struct printer *printer, bool names)
{
    indent(printer);
    for (uint32_t i = 0; i < printer->columns_count; i++) {
        const struct column *column = &printer->columns[i];
        const bool is_last = i + 1 == printer->columns_count;
        printf("%-*s%s", is_last ? 0 : (int)printer->widths[i],
               names ? column->name : column->value, is_last ? "\n" : " ");
    }
}

static void print_row(struct printer *printer)
{
    char head[sizeof printer->head] = "";
    for (uint32_t i = 0; i < printer->columns_count; i++) {
        strncat(head, printer->columns[i].name, sizeof head - strlen(head) - 1);
        strncat(head, " ", sizeof head - strlen(head) - 1);
    }
    if (strcmp(head, printer->head) != 0) {
        memcpy(printer->head, head, sizeof head);
        for (uint32_t i = 0; i < printer->columns_count; i++) {
            uint32_t name = (uint32_t)strlen(printer->columns[i].name);
            uint32_t value = (uint32_t)strlen(printer->columns[i].value);
            printer->widths[i] = name > value ? name : value;
            if (printer->widths[i] < 10) printer->widths[i] = 10;
        }
        print_cells(printer, /* names= */ true);
    }
    print_cells(printer, /* names= */ false);
    printer->columns_count = 0;
}

/* ---- events ----------------------------------------------------------------------------------------- */

static bool is_quiet(const struct printer *printer)
{
    return printer->output == LOG_INSPECT_VERDICT || printer->output == LOG_INSPECT_VERDICT_JSON;
}

static void begin(void *data, const char *name, bool is_list)
{
    struct printer *printer = data;
    if (is_quiet(printer)) return;
    if (printer->output == LOG_INSPECT_JSON) {
        json_name(printer, name);
        putchar(is_list ? '[' : '{');
    } else {
        if (printer->columns_count > 0) print_row(printer);
        if (name) {
            indent(printer);
            puts(name);
            printer->head[0] = 0;
        }
    }
    if (printer->depth + 1 < DEPTH_MAX) printer->depth++;
    printer->is_list[printer->depth] = is_list;
    printer->has_items[printer->depth] = false;
}

static void end(void *data)
{
    struct printer *printer = data;
    if (is_quiet(printer)) return;
    if (printer->output == LOG_INSPECT_JSON) {
        putchar(printer->is_list[printer->depth] ? ']' : '}');
    } else if (printer->columns_count > 0) {
        print_row(printer);
    }
    printer->depth--;
}

static void value(struct printer *printer, const char *name, const char *text, bool is_quoted)
{
    if (is_quiet(printer)) return;
    if (printer->output == LOG_INSPECT_JSON) {
        json_name(printer, name);
        if (is_quoted) {
            log_print_json_text(text);
        } else {
            fputs(text, stdout);
        }
        return;
    }
    if (in_item(printer) && printer->columns_count < COLUMNS_MAX && strlen(text) < VALUE_BYTES) {
        struct column *column = &printer->columns[printer->columns_count++];
        snprintf(column->name, sizeof column->name, "%s", name ? name : "");
        snprintf(column->value, sizeof column->value, "%s", text);
        return;
    }
    if (printer->columns_count > 0) print_row(printer);
    indent(printer);
    printf("%s%s%s\n", name ? name : "-", *text ? " " : "", text);
}

static void number(void *data, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    value(data, name, text, false);
}

static void signed_number(void *data, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    value(data, name, text, false);
}

/* People get the members of a configuration instead of its bytes, programs behind them. */
static void text(void *data, const char *name, const char *content)
{
    const struct printer *printer = data;
    char members[LOG_MEMBERS_BYTES];
    const bool may_be =
        name && (strcmp(name, "configuration") == 0 || strcmp(name, "payload") == 0);
    const bool is_configuration = may_be && log_members_text(content, members);
    if (!is_configuration || printer->output == LOG_INSPECT_JSON) value(data, name, content, true);
    if (is_configuration) value(data, "members", members, true);
}

static void flag(void *data, const char *name, bool is_set)
{
    value(data, name, is_set ? "true" : "false", false);
}

static void problem(void *data, uint64_t pos, const char *reason)
{
    struct printer *printer = data;
    /* A file of noise has more problems than anybody reads; they are counted all the same. */
    if (printer->problems_count++ >= PROBLEMS_MAX) return;
    struct problem_line *problems =
        realloc(printer->problems, (size_t)printer->problems_count * sizeof *problems);
    if (!problems) {
        fputs("raftmq log: out of memory\n", stderr);
        exit(1);
    }
    printer->problems = problems;
    struct problem_line *line = &problems[printer->problems_count - 1];
    line->pos = pos;
    snprintf(line->text, sizeof line->text, "%s", reason);
}

/* ---- a file ----------------------------------------------------------------------------------------- */

enum log_file_kind log_file_kind(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    if (strcmp(name, "identity") == 0) return LOG_FILE_IDENTITY;
    if (strcmp(name, "votes") == 0) return LOG_FILE_VOTES;
    if (dot && strcmp(dot, ".segment") == 0) return LOG_FILE_SEGMENT;
    if (dot && strcmp(dot, ".snap") == 0) return LOG_FILE_SNAPSHOT;
    if (strstr(name, ".snap.copy")) return LOG_FILE_SNAPSHOT;
    struct disk_file *file;
    char magic[8] = "";
    if (disk_open(disk_posix(), path, DISK_READ, &file) != 0) return LOG_FILE_NONE;
    ssize_t got = disk_pread(file, magic, sizeof magic, 0);
    uint64_t bytes = 0;
    if (disk_size(file, &bytes) != 0) got = 0;
    disk_close(file);
    if (got != (ssize_t)sizeof magic) return LOG_FILE_NONE;
    if (memcmp(magic, "RMQI", MAGIC_BYTES) == 0) return LOG_FILE_IDENTITY;
    if (memcmp(magic, "RMQV", MAGIC_BYTES) == 0) return LOG_FILE_VOTES;
    if (memcmp(magic, "RMQS", MAGIC_BYTES) != 0) return LOG_FILE_NONE;
    /* Both begin alike. Segments come in whole blocks with a mark behind the first, whose magic is rarely rotten, too. */
    if (disk_open(disk_posix(), path, DISK_READ, &file) != 0) return LOG_FILE_NONE;
    got = disk_pread(file, magic, MAGIC_BYTES, 4096);
    disk_close(file);
    bool has_mark = got == MAGIC_BYTES && memcmp(magic, "RMQM", MAGIC_BYTES) == 0;
    return has_mark ? LOG_FILE_SEGMENT : LOG_FILE_SNAPSHOT;
}

static const char *kind_name(enum log_file_kind kind)
{
    switch (kind) {
    case LOG_FILE_NONE:
        break;
    case LOG_FILE_SEGMENT:
        return "segment";
    case LOG_FILE_SNAPSHOT:
        return "snapshot";
    case LOG_FILE_IDENTITY:
        return "identity";
    case LOG_FILE_VOTES:
        return "votes";
    }
    return "unknown";
}

static void inspect(const char *path, enum log_file_kind kind, bool with_pairs,
                    const struct inspect_sink *sink)
{
    struct disk *disk = disk_posix();
    switch (kind) {
    case LOG_FILE_NONE:
        break;
    case LOG_FILE_SEGMENT:
        segment_log_inspect_segment(disk, path, sink);
        break;
    case LOG_FILE_SNAPSHOT:
        snapshot_inspect(disk, path, with_pairs, sink);
        break;
    case LOG_FILE_IDENTITY:
        node_identity_inspect(disk, path, sink);
        break;
    case LOG_FILE_VOTES:
        node_store_inspect(disk, path, sink);
        break;
    }
}

static uint64_t shown_count(const struct printer *printer)
{
    return printer->problems_count < PROBLEMS_MAX ? printer->problems_count : PROBLEMS_MAX;
}

static void print_problems_json(struct printer *printer)
{
    json_name(printer, "problems");
    putchar('[');
    for (uint64_t i = 0; i < shown_count(printer); i++) {
        printf("%s{\"pos\":%" PRIu64 ",\"reason\":", i > 0 ? "," : "", printer->problems[i].pos);
        log_print_json_text(printer->problems[i].text);
        putchar('}');
    }
    fputs("]}", stdout);
}

static void print_problems(const struct printer *printer, const char *path)
{
    for (uint64_t i = 0; i < shown_count(printer); i++) {
        printf("problem %s at %" PRIu64 ": %s\n", path, printer->problems[i].pos,
               printer->problems[i].text);
    }
    if (printer->problems_count > PROBLEMS_MAX) {
        printf("problem %s: %" PRIu64 " more\n", path, printer->problems_count - PROBLEMS_MAX);
    }
}

uint64_t log_inspect_file(const char *path, enum log_file_kind kind, enum log_inspect_output output,
                          bool with_pairs)
{
    struct printer printer = {.output = output};
    const struct inspect_sink sink = {
        .data = &printer,
        .begin = begin,
        .end = end,
        .number = number,
        .signed_number = signed_number,
        .text = text,
        .flag = flag,
        .problem = problem,
    };
    bool is_json = output == LOG_INSPECT_JSON || output == LOG_INSPECT_VERDICT_JSON;
    if (is_json) {
        putchar('{');
        json_name(&printer, "path");
        log_print_json_text(path);
        json_name(&printer, "kind");
        log_print_json_text(kind_name(kind));
    } else if (output == LOG_INSPECT_TABLE) {
        printf("# %s %s\n", kind_name(kind), path);
    }
    inspect(path, kind, with_pairs, &sink);
    if (is_json) {
        print_problems_json(&printer);
    } else {
        print_problems(&printer, path);
    }
    if (output == LOG_INSPECT_VERDICT) {
        printf("%s %s: ", kind_name(kind), path);
        if (printer.problems_count == 0) {
            puts("ok");
        } else {
            printf("%" PRIu64 " problem%s\n", printer.problems_count,
                   printer.problems_count == 1 ? "" : "s");
        }
    }
    free(printer.problems);
    return printer.problems_count;
}
