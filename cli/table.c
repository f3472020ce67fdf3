#include "table.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quantity.h"

enum table_format table_format_of(const char *name, FILE *out)
{
    if (!name) return isatty(fileno(out)) ? TABLE_TEXT : TABLE_TSV;
    if (strcmp(name, "json") == 0) return TABLE_JSON;
    if (strcmp(name, "ndjson") == 0) return TABLE_NDJSON;
    if (strcmp(name, "tsv") == 0) return TABLE_TSV;
    assert(strcmp(name, "table") == 0);
    return TABLE_TEXT;
}

void table_init(struct table *table, const struct table_column *columns, uint32_t columns_count)
{
    assert(columns_count >= 1);
    assert(columns_count <= TABLE_COLUMNS_MAX);
    memset(table, 0, sizeof(*table));
    table->columns = columns;
    table->columns_count = columns_count;
}

void table_close(struct table *table)
{
    for (uint32_t i = 0; i < table->cells_count; i++) {
        free(table->cells[i].shown);
        free(table->cells[i].value);
    }
    free(table->cells);
    memset(table, 0, sizeof(*table));
}

static struct table_cell *add_cell(struct table *table, const char *shown, const char *value)
{
    if (table->cells_count == table->cells_capacity) {
        table->cells_capacity = table->cells_capacity ? table->cells_capacity * 2 : 64;
        table->cells = realloc(table->cells, table->cells_capacity * sizeof(*table->cells));
        assert(table->cells);
    }
    struct table_cell *cell = &table->cells[table->cells_count++];
    memset(cell, 0, sizeof(*cell));
    cell->shown = strdup(shown);
    cell->value = strdup(value);
    assert(cell->shown);
    assert(cell->value);
    return cell;
}

void table_add_text(struct table *table, const char *text)
{
    add_cell(table, text, text)->kind = TABLE_CELL_TEXT;
}

void table_add_measure(struct table *table, uint64_t number, const char *shown)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, number);
    struct table_cell *cell = add_cell(table, shown, digits);
    cell->kind = TABLE_CELL_NUMBER;
    cell->number = number;
}

void table_add_number(struct table *table, uint64_t number)
{
    char shown[QUANTITY_TEXT_BYTES];
    table_add_measure(table, number, quantity_count(shown, number));
}

void table_add_none(struct table *table)
{
    add_cell(table, "-", "")->kind = TABLE_CELL_NULL;
}

/* Columns on the terminal that a UTF-8 text takes: continuation bytes take none. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void print_row(const struct table *table, const int *widths, const char *const *texts,
                      FILE *out)
{
    uint32_t count = table->columns_count;
    while (count > 1 && texts[count - 1][0] == '\0') {
        count--; /* no line ends with blanks */
    }
    for (uint32_t c = 0; c < count; c++) {
        int pad = widths[c] - width_of(texts[c]);
        bool last = c + 1 == count;
        if (table->columns[c].right) fprintf(out, "%*s", pad, "");
        fputs(texts[c], out);
        if (!table->columns[c].right && !last) fprintf(out, "%*s", pad, "");
        if (!last) fputs("  ", out);
    }
    fputc('\n', out);
}

static void print_text(const struct table *table, FILE *out)
{
    int widths[TABLE_COLUMNS_MAX];
    const char *texts[TABLE_COLUMNS_MAX];
    for (uint32_t c = 0; c < table->columns_count; c++) {
        widths[c] = width_of(table->columns[c].title);
        texts[c] = table->columns[c].title;
    }
    for (uint32_t i = 0; i < table->cells_count; i++) {
        int width = width_of(table->cells[i].shown);
        if (width > widths[i % table->columns_count]) widths[i % table->columns_count] = width;
    }
    print_row(table, widths, texts, out);
    for (uint32_t i = 0; i < table->cells_count; i += table->columns_count) {
        for (uint32_t c = 0; c < table->columns_count; c++) {
            texts[c] = table->cells[i + c].shown;
        }
        print_row(table, widths, texts, out);
    }
}

/* Tabs and line ends inside of a value would break the row: they become spaces. */
static void print_tsv_value(const char *value, FILE *out)
{
    for (; *value; value++) {
        fputc(*value == '\t' || *value == '\n' || *value == '\r' ? ' ' : *value, out);
    }
}

static void print_tsv(const struct table *table, FILE *out)
{
    for (uint32_t i = 0; i < table->cells_count; i++) {
        print_tsv_value(table->cells[i].value, out);
        fputc((i + 1) % table->columns_count == 0 ? '\n' : '\t', out);
    }
}

static json_t *row_to_json(const struct table *table, uint32_t first)
{
    json_t *row = json_object();
    for (uint32_t c = 0; c < table->columns_count; c++) {
        const struct table_cell *cell = &table->cells[first + c];
        json_t *value = cell->kind == TABLE_CELL_NULL     ? json_null()
                        : cell->kind == TABLE_CELL_NUMBER ? json_integer((json_int_t)cell->number)
                                                          : json_string(cell->value);
        json_object_set_new(row, table->columns[c].name, value ? value : json_null());
    }
    return row;
}

void table_print(const struct table *table, enum table_format format, FILE *out)
{
    assert(table->cells_count % table->columns_count == 0);
    switch (format) {
    case TABLE_TEXT:
        print_text(table, out);
        return;
    case TABLE_TSV:
        print_tsv(table, out);
        return;
    case TABLE_JSON: {
        json_t *rows = json_array();
        for (uint32_t i = 0; i < table->cells_count; i += table->columns_count) {
            json_array_append_new(rows, row_to_json(table, i));
        }
        json_dumpf(rows, out, JSON_INDENT(2));
        fputc('\n', out);
        json_decref(rows);
        return;
    }
    case TABLE_NDJSON:
        for (uint32_t i = 0; i < table->cells_count; i += table->columns_count) {
            json_t *row = row_to_json(table, i);
            json_dumpf(row, out, JSON_COMPACT);
            fputc('\n', out);
            json_decref(row);
        }
        return;
    }
}
