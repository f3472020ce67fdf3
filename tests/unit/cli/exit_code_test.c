/* The exit codes that scripts rely on. */
#include <criterion/criterion.h>

#include "exit_code.h"

Test(cli_exit_code, an_unknown_outcome_of_a_write_is_6_and_never_failed)
{
    cr_assert_eq(exit_code_of_http(504, true), 6);
    cr_assert_eq(exit_code_of_http(504, false), 4);
    cr_assert_eq(exit_code_of_http(502, true), 6, "a proxy may have passed it on");
    cr_assert_eq(exit_code_of_http(502, false), 4);
}

Test(cli_exit_code, http_statuses_map_by_the_table)
{
    static const int table[][2] = {{200, 0}, {201, 0}, {204, 0}, {400, 2}, {422, 2},
                                   {404, 3}, {410, 3}, {429, 4}, {503, 4}, {507, 4},
                                   {409, 5}, {412, 5}, {413, 1}, {416, 1}, {500, 1}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cr_assert_eq((int)exit_code_of_http(table[i][0], true), table[i][1], "status %d",
                     table[i][0]);
    }
}

Test(cli_exit_code, only_passing_troubles_are_retried)
{
    static const int again[] = {429, 502, 503, 504},
                     never[] = {200, 400, 404, 409, 413, 416, 500, 507};
    for (size_t i = 0; i < 4; i++) {
        cr_assert(exit_code_http_is_retryable(again[i]), "%d", again[i]);
    }
    for (size_t i = 0; i < 8; i++) {
        cr_assert_not(exit_code_http_is_retryable(never[i]), "%d", never[i]);
    }
}
