/* Goal: the strict readers take exactly their form. Method: tables of texts that must and must not be read. */
#include "text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define U64(text, ...) http__text_u64(text, sizeof text - 1, __VA_ARGS__)

Test(http_text, decimal_numbers_are_strict)
{
    uint64_t value;
    cr_assert(U64("0", &value) && value == 0);
    cr_assert(U64("18446744073709551615", &value) && value == UINT64_MAX);
    static const char *const refused[] = {"",
                                          "+1",
                                          "-1",
                                          " 1",
                                          "1 ",
                                          "01",
                                          "1e9",
                                          "0x1",
                                          "1.0",
                                          "1_0",
                                          "18446744073709551616",
                                          "99999999999999999999",
                                          "100000000000000000000"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cr_assert(!http__text_u64(refused[i], strlen(refused[i]), &value), "%s", refused[i]);
    }
    cr_assert(!http__text_u64("1\0002", 3, &value));
}

Test(http_text, signed_numbers_reach_both_ends_and_no_further)
{
    int64_t value;
    cr_assert(http__text_i64("-9223372036854775808", 20, &value) && value == INT64_MIN);
    cr_assert(http__text_i64("9223372036854775807", 19, &value) && value == INT64_MAX);
    cr_assert(!http__text_i64("9223372036854775808", 19, &value));
    cr_assert(!http__text_i64("-9223372036854775809", 20, &value));
    cr_assert(!http__text_i64("-0", 2, &value));
    cr_assert(!http__text_i64("--1", 3, &value));
    cr_assert(!http__text_i64("-", 1, &value));
}

Test(http_text, durations_need_a_unit)
{
    int64_t ms;
    struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},       {"0s", 0},          {"500ms", 500},    {"30s", 30000},
                {"5m", 300000}, {"36h", 129600000}, {"7d", 604800000}, {"1w", 604800000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(http__text_duration(good[i].text, strlen(good[i].text), &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms);
    }
    static const char *const refused[] = {"30", "s",    "-1s", "1.5s", "1 s",
                                          "1S", "1mss", "1y",  "",     "9223372036854775807s"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cr_assert(!http__text_duration(refused[i], strlen(refused[i]), &ms), "%s", refused[i]);
    }
}

Test(http_text, sizes_count_in_powers_of_1024)
{
    uint64_t bytes;
    cr_assert(http__text_size("65536", 5, &bytes) && bytes == 65536);
    cr_assert(http__text_size("64K", 3, &bytes) && bytes == 65536);
    cr_assert(http__text_size("1M", 2, &bytes) && bytes == 1048576);
    cr_assert(http__text_size("2G", 2, &bytes) && bytes == 2147483648);
    cr_assert(!http__text_size("1k", 2, &bytes));
    cr_assert(!http__text_size("1MB", 3, &bytes));
    cr_assert(!http__text_size("K", 1, &bytes));
    cr_assert(!http__text_size("8589934592G", 11, &bytes));
}

Test(http_text, instants_are_read_as_written)
{
    struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},
                {"-1", -1},
                {"1970-01-01T00:00:00Z", 0},
                {"2026-01-01T00:00:00Z", 1767225600000},
                {"2024-02-29T12:34:56.789Z", 1709210096789},
                {"2026-01-01T01:00:00+01:00", 1767225600000},
                {"2025-12-31T23:30:00.5-00:30", 1767225600500},
                {"1969-12-31T23:59:59.999Z", -1},
                {"0000-01-01T00:00:00Z", -62167219200000},
                {"9999-12-31T23:59:59.999999999Z", 253402300799999}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms;
        cr_assert(http__text_time(good[i].text, strlen(good[i].text), &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s: %lld", good[i].text, (long long)ms);
    }
    static const char *const refused[] = {"",
                                          "2026-01-01",
                                          "2026-01-01T00:00:00",
                                          "2026-13-01T00:00:00Z",
                                          "2026-02-29T00:00:00Z",
                                          "2026-01-00T00:00:00Z",
                                          "2026-01-01T24:00:00Z",
                                          "2026-01-01T00:60:00Z",
                                          "2026-01-01T00:00:00.Z",
                                          "2026-01-01T00:00:00+1:00",
                                          "2026-01-01 00:00:00Z",
                                          "2026-01-01T00:00:00ZZ",
                                          "2026-01-01T00:00:00+24:00",
                                          "yesterday"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int64_t ms;
        cr_assert(!http__text_time(refused[i], strlen(refused[i]), &ms), "%s", refused[i]);
    }
}

Test(http_text, instants_that_are_written_can_be_read_again)
{
    char text[HTTP_TIME_BYTES];
    int64_t ms;
    static const int64_t times[] = {0,
                                    -1,
                                    1767225600123,
                                    -62167219200000,
                                    253402300799999,
                                    -62167219200001,
                                    253402300800000,
                                    INT64_MIN,
                                    INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        size_t bytes = http__text_format_time(times[i], text);
        cr_assert(http__text_time(text, bytes, &ms), "%s", text);
        cr_assert_eq(ms, times[i], "%s", text);
    }
    for (int64_t day = -800000; day < 800000; day += 97) {
        int64_t time = day * 86400000 + 3723004;
        size_t bytes = http__text_format_time(time, text);
        if (text[4] != '-' || text[0] == '-') continue; /* outside of four-digit years */
        cr_assert(http__text_time(text, bytes, &ms) && ms == time, "%s", text);
    }
    http__text_format_time(1767225600123, text);
    cr_assert_str_eq(text, "2026-01-01T00:00:00.123Z");
    http__text_format_date(784111777000, text);
    cr_assert_str_eq(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

Test(http_text, names_are_plain_and_never_a_path)
{
    char long_name[130];
    memset(long_name, 'a', sizeof long_name);
    cr_assert(http__text_is_name("orders-1.eu_west", 16));
    cr_assert(http__text_is_name("...", 3));
    cr_assert(http__text_is_name(long_name, 128));
    cr_assert(!http__text_is_name(long_name, 129));
    cr_assert(!http__text_is_name("", 0));
    cr_assert(!http__text_is_name(".", 1));
    cr_assert(!http__text_is_name("..", 2));
    cr_assert(!http__text_is_name("a/b", 3));
    cr_assert(!http__text_is_name("a b", 3));
    cr_assert(!http__text_is_name("a\0b", 3));
    cr_assert(!http__text_is_name("\xc3\xa4", 2));
}

Test(http_text, utf8_is_well_formed_or_not)
{
    struct {
        const char *text;
        bool valid;
    } cases[] = {{"", true},
                 {"plain ascii that is long", true},
                 {"\xc3\xa4", true},
                 {"\xe2\x82\xac", true},
                 {"\xf0\x9f\x98\x80", true},
                 {"\xf4\x8f\xbf\xbf", true},
                 {"\xed\x9f\xbf", true},
                 {"\xee\x80\x80", true},
                 {"\x7f", true},
                 {"\x80", false},
                 {"\xc3", false},
                 {"\xc3(", false},
                 {"\xc0\x80", false},
                 {"\xc1\xbf", false},
                 {"\xe0\x80\x80", false},
                 {"\xe0\x9f\xbf", false},
                 {"\xf0\x8f\xbf\xbf", false}, /* overlong */
                 {"\xed\xa0\x80", false},
                 {"\xed\xbf\xbf", false}, /* surrogates */
                 {"\xf4\x90\x80\x80", false},
                 {"\xf5\x80\x80\x80", false},
                 {"\xff", false},
                 {"\xe2\x82", false},
                 {"\xe2(\xa1", false},
                 {"\xf0\x9f\x98", false},
                 {"12345678\x80", false},
                 {"1234567\xc3\xa4", true},
                 {"1234567\xc3", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(http__text_is_utf8((const uint8_t *)cases[i].text, strlen(cases[i].text)),
                     cases[i].valid, "case %zu", i);
    }
}

Test(http_text, base64_round_trips_and_is_strict)
{
    uint8_t data[256], decoded[256];
    size_t decoded_bytes;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
        struct http_buffer out = {0};
        http__text_base64_encode(&out, data, bytes);
        cr_assert(http__text_base64_decode((char *)out.data, out.bytes, decoded, &decoded_bytes));
        cr_assert_eq(decoded_bytes, bytes);
        cr_assert_eq(memcmp(decoded, data, bytes), 0);
        http__buffer_close(&out);
    }
    static const char *const refused[] = {"A",    "AA",   "AAA",      "AA=A", "A===", "====",
                                          "AB==", "AAB=", "AA==AAAA", "AA A", "AA-_", "AAAA\n"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        cr_assert(
            !http__text_base64_decode(refused[i], strlen(refused[i]), decoded, &decoded_bytes),
            "%s", refused[i]);
    }
}

Test(http_text, percent_escapes_are_decoded_once)
{
    size_t bytes;
    char once[] = "a%2541b";
    cr_assert(http__text_percent_decode(once, strlen(once), &bytes));
    cr_assert_eq(bytes, 5);
    cr_assert_eq(memcmp(once, "a%41b", 5), 0);
    static const char *const refused[] = {"%", "%4", "%zz", "a%", "%00", "%-1"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[8];
        strcpy(text, refused[i]);
        cr_assert(!http__text_percent_decode(text, strlen(text), &bytes), "%s", refused[i]);
    }
}
