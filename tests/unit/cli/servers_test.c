/* The list of servers: parsed strictly, grown by what the cluster tells, walked in a circle. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "servers.h"

static struct servers servers;
static char error[256];

Test(cli_servers, urls_and_bare_addresses_are_taken)
{
    cr_assert(servers_parse(&servers, "http://a:1/,b:2,http://[::1]:3", error, sizeof(error)), "%s",
              error);
    cr_assert_eq(servers.count, 3);
    cr_assert_str_eq(servers.addresses[0], "a:1");
    cr_assert_str_eq(servers.addresses[2], "[::1]:3");
}

Test(cli_servers, a_bad_list_is_refused_and_the_old_one_kept)
{
    cr_assert(servers_parse(&servers, "a:1", error, sizeof(error)));
    static const char *const wrong[] = {"",         "a",       "a:",          ":1",
                                        "a:x",      "a:70000", "https://a:1", "a:1,",
                                        "a:1/path", "a b:1",   "a@b:1",       "::1:1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error[0] = '\0';
        cr_assert_not(servers_parse(&servers, wrong[i], error, sizeof(error)), "'%s'", wrong[i]);
        cr_assert_neq(error[0], '\0', "'%s' is refused without a word", wrong[i]);
        cr_assert_eq(servers.count, 1);
    }
}

Test(cli_servers, another_scheme_is_named)
{
    cr_assert_not(servers_parse(&servers, "ftp://a:1", error, sizeof(error)));
    cr_assert(strstr(error, "ftp is not supported"), "%s", error);
    cr_assert_not(servers_parse(&servers, "a:1,https://b:1", error, sizeof(error)));
    cr_assert(strstr(error, "https is not supported"), "%s", error);
}

Test(cli_servers, what_is_learned_is_added_once_and_never_beyond_the_table)
{
    cr_assert(servers_parse(&servers, "a:1", error, sizeof(error)));
    servers_add(&servers, "a:1");
    servers_add(&servers, "not an address");
    cr_assert_eq(servers.count, 1);
    for (int i = 0; i < 100; i++) {
        char address[32];
        snprintf(address, sizeof(address), "h%d:1", i);
        servers_add(&servers, address);
    }
    cr_assert_eq(servers.count, SERVERS_MAX);
}

Test(cli_servers, next_goes_around)
{
    cr_assert(servers_parse(&servers, "a:1,b:1", error, sizeof(error)));
    servers_prefer(&servers, "b:1");
    cr_assert_str_eq(servers_current(&servers), "b:1");
    servers_next(&servers);
    cr_assert_str_eq(servers_current(&servers), "a:1");
    servers_prefer(&servers, "unknown:1");
    cr_assert_str_eq(servers_current(&servers), "a:1");
}
