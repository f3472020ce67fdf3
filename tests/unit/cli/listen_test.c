/* Two listeners of one process, and who reaches them. */
#include <criterion/criterion.h>

#include "listen.h"

Test(cli_listen, addresses_that_one_process_cannot_both_have_meet)
{
    static const struct {
        const char *address, *other;
        bool meet;
    } cases[] = {
        {"127.0.0.1:7070", "127.0.0.1:7071", false}, {"127.0.0.1:7070", "127.0.0.1:7070", true},
        {"127.0.0.1:7070", "127.0.0.1:07070", true}, {"localhost:7070", "127.0.0.1:7070", true},
        {"[::1]:7070", "LOCALHOST:7070", true},      {"localhost:7070", "localhost:7071", false},
        {"0.0.0.0:7070", "10.0.0.1:7070", true},     {"10.0.0.1:7070", "[::]:7070", true},
        {"10.0.0.1:7070", "10.0.0.2:7070", false},   {"10.0.0.1:7070", "10.0.0.11:7070", false},
        {"Broker-1:7070", "broker-1:7070", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(listen_addresses_meet(cases[i].address, cases[i].other), cases[i].meet,
                     "%s and %s", cases[i].address, cases[i].other);
        cr_assert_eq(listen_addresses_meet(cases[i].other, cases[i].address), cases[i].meet,
                     "%s and %s", cases[i].other, cases[i].address);
    }
}

Test(cli_listen, what_others_can_reach_is_no_loopback)
{
    static const char *const loopback[] = {"127.0.0.1:1", "127.1.2.3:7070", "localhost:7070",
                                           "[::1]:7070"};
    static const char *const open[] = {
        "0.0.0.0:7070",          "[::]:7070",   "10.0.0.1:7070",         "broker-1:7070",
        "127.evil.example:7070", "[::11]:7070", "localhost.example:7070"};
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        cr_assert(listen_is_loopback(loopback[i]), "%s", loopback[i]);
        cr_assert_not(listen_is_wildcard(loopback[i]), "%s", loopback[i]);
    }
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        cr_assert_not(listen_is_loopback(open[i]), "%s", open[i]);
    }
    cr_assert(listen_is_wildcard(open[0]));
    cr_assert(listen_is_wildcard(open[1]));
}
