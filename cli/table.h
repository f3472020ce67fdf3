/* Rows for people and for machines: an aligned table, JSON, NDJSON or TSV from the same cells. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16u

enum table_format {
    TABLE_TEXT,
    TABLE_JSON,
    TABLE_NDJSON,
    TABLE_TSV,
};

struct table_column {
    const char *title; /* of the text table: "LAG" */
    const char *name;  /* of JSON and the TSV head: "lag" */
    bool right;        /* numbers stand right */
};

struct table_cell {
    char *shown; /* in the text table */
    char *value; /* in TSV, and in JSON when it is a text */
    enum { TABLE_CELL_TEXT, TABLE_CELL_NUMBER, TABLE_CELL_NULL } kind;
    uint64_t number;
};

struct table {
    const struct table_column *columns;
    uint32_t columns_count;
    struct table_cell *cells; /* rows * columns_count */
    uint32_t cells_count, cells_capacity;
};

/* "table", "json", "ndjson", "tsv"; NULL: text on a terminal, else TSV. */
enum table_format table_format_of(const char *name, FILE *out);

void table_init(struct table *table, const struct table_column *columns, uint32_t columns_count);
void table_close(struct table *table);
/* Cells from left to right; a row ends by itself when its last column is filled. */
void table_add_text(struct table *table, const char *text);
void table_add_number(struct table *table, uint64_t number);
/* A number with its own form for people, such as a size or a duration. */
void table_add_measure(struct table *table, uint64_t number, const char *shown);
void table_add_none(struct table *table); /* "-", null */
void table_print(const struct table *table, enum table_format format, FILE *out);

#endif
