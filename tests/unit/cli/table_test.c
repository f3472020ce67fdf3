/* The same cells as text, JSON, NDJSON and TSV. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static const struct table_column columns[] = {{"NAME", "name", false}, {"LAG", "lag", true}};

static char *render(enum table_format format, bool with_rows)
{
    struct table table;
    char *text = NULL;
    size_t bytes = 0;
    table_init(&table, columns, 2);
    if (with_rows) {
        table_add_text(&table, "naïve");
        table_add_number(&table, 1234567);
        table_add_text(&table, "a\tb\n\"c\"");
        table_add_none(&table);
    }
    FILE *out = open_memstream(&text, &bytes);
    table_print(&table, format, out);
    fclose(out);
    table_close(&table);
    return text;
}

Test(cli_table, text_columns_line_up_also_with_wide_characters)
{
    struct table table;
    char *text = NULL;
    size_t bytes = 0;
    table_init(&table, columns, 2);
    table_add_text(&table, "naïve");
    table_add_number(&table, 1234567);
    table_add_text(&table, "x");
    table_add_none(&table);
    FILE *out = open_memstream(&text, &bytes);
    table_print(&table, TABLE_TEXT, out);
    fclose(out);
    cr_assert_str_eq(text, "NAME         LAG\nnaïve  1,234,567\nx              -\n");
    free(text);
    table_close(&table);
}

Test(cli_table, no_line_of_text_ends_with_blanks)
{
    static const struct table_column three[] = {
        {"GROUP", "group", false}, {"PROGRESS", "progress", false}, {"BLOCKED", "blocked", false}};
    struct table table;
    char *text = NULL;
    size_t bytes = 0;
    table_init(&table, three, 3);
    const char *const cells[] = {"orders/0", "", "by n4", "meta", "", ""};
    for (size_t i = 0; i < 6; i++) {
        table_add_text(&table, cells[i]);
    }
    FILE *out = open_memstream(&text, &bytes);
    table_print(&table, TABLE_TEXT, out);
    fclose(out);
    cr_assert_str_eq(text, "GROUP     PROGRESS  BLOCKED\norders/0            by n4\nmeta\n");
    free(text);
    table_close(&table);
}

Test(cli_table, tsv_rows_are_never_broken_by_their_values)
{
    char *text = render(TABLE_TSV, true);
    cr_assert_str_eq(text, "naïve\t1234567\na b \"c\"\t\n");
    free(text);
}

Test(cli_table, json_keeps_numbers_numbers_and_missing_values_null)
{
    char *text = render(TABLE_JSON, true);
    json_t *rows = json_loads(text, 0, NULL);
    cr_assert_eq(json_array_size(rows), 2);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(rows, 0), "lag")), 1234567);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 1), "name")),
                     "a\tb\n\"c\"");
    cr_assert(json_is_null(json_object_get(json_array_get(rows, 1), "lag")));
    json_decref(rows);
    free(text);
}

Test(cli_table, ndjson_is_one_object_a_line)
{
    char *text = render(TABLE_NDJSON, true);
    char *second = strchr(text, '\n') + 1;
    json_t *row = json_loadb(text, (size_t)(second - text), 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(row, "name")), "naïve");
    json_decref(row);
    cr_assert_eq(second[strlen(second) - 1], '\n');
    cr_assert_eq(strchr(second, '\n'), second + strlen(second) - 1);
    free(text);
}

Test(cli_table, an_empty_table_is_still_valid_in_every_form)
{
    char *json = render(TABLE_JSON, false), *ndjson = render(TABLE_NDJSON, false),
         *text = render(TABLE_TEXT, false);
    cr_assert_str_eq(json, "[]\n");
    cr_assert_str_eq(ndjson, "");
    cr_assert_str_eq(text, "NAME  LAG\n");
    free(json);
    free(ndjson);
    free(text);
}
