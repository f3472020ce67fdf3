/* Numbers with units: what people type is read exactly or refused, and what is shown reads back. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "quantity.h"

static void expect_duration(const char *text, uint64_t us)
{
    uint64_t found = 0;
    cr_assert(quantity_parse_duration(text, &found), "%s", text);
    cr_assert_eq(found, us, "%s: %lu", text, (unsigned long)found);
}

Test(cli_quantity, durations_take_units_from_microseconds_to_weeks)
{
    expect_duration("250us", 250);
    expect_duration("5ms", 5000);
    expect_duration("1.5s", 1500000);
    expect_duration("10", 10000000);
    expect_duration("2m", 120000000);
    expect_duration("3h", 10800000000ull);
    expect_duration("7d", 604800000000ull);
    expect_duration("2w", 1209600000000ull);
    expect_duration("0", 0);
}

Test(cli_quantity, nonsense_is_refused_and_the_output_untouched)
{
    static const char *const wrong[] = {"",    "-1",  "+1", " 1",    "1 ",   "1x",
                                        "x",   "1.",  ".5", "1..2s", "0x10", "99999999999999999999",
                                        "1e3", "5 ms"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t value = 42;
        cr_assert_not(quantity_parse_duration(wrong[i], &value), "'%s'", wrong[i]);
        cr_assert_not(quantity_parse_bytes(wrong[i], &value), "'%s'", wrong[i]);
        cr_assert_not(quantity_parse_count(wrong[i], &value), "'%s'", wrong[i]);
        cr_assert_eq(value, 42);
    }
}

Test(cli_quantity, a_value_that_does_not_fit_is_refused_not_wrapped)
{
    uint64_t value = 42;
    cr_assert(quantity_parse_count("18446744073709551615", &value));
    cr_assert_eq(value, UINT64_MAX);
    cr_assert_not(quantity_parse_count("18446744073709551616", &value));
    cr_assert_not(quantity_parse_bytes("99999999999T", &value));
    cr_assert_not(quantity_parse_duration("18446744073709551615d", &value));
}

Test(cli_quantity, sizes_are_binary_unless_written_out_as_decimal)
{
    uint64_t bytes = 0;
    cr_assert(quantity_parse_bytes("64K", &bytes));
    cr_assert_eq(bytes, 65536);
    cr_assert(quantity_parse_bytes("1MiB", &bytes));
    cr_assert_eq(bytes, 1048576);
    cr_assert(quantity_parse_bytes("1MB", &bytes));
    cr_assert_eq(bytes, 1000000);
    cr_assert(quantity_parse_bytes("1.5k", &bytes));
    cr_assert_eq(bytes, 1536);
    cr_assert_not(quantity_parse_bytes("1.5", &bytes));
}

Test(cli_quantity, rates_take_a_trailing_per_second)
{
    uint64_t rate = 0;
    cr_assert(quantity_parse_rate("2k/s", &rate));
    cr_assert_eq(rate, 2000);
    cr_assert(quantity_parse_rate("500", &rate));
    cr_assert_eq(rate, 500);
    cr_assert_not(quantity_parse_rate("/s", &rate));
    cr_assert_not(quantity_parse_rate("5/m", &rate));
}

static void expect_time(const char *text, int64_t unix_ms)
{
    int64_t found = -1;
    cr_assert(quantity_parse_time(text, &found), "%s", text);
    cr_assert_eq(found, unix_ms, "%s: %ld", text, (long)found);
}

Test(cli_quantity, times_are_unix_milliseconds_or_rfc_3339)
{
    expect_time("0", 0);
    expect_time("1700000000123", 1700000000123);
    expect_time("1970-01-01T00:00:01Z", 1000);
    expect_time("2023-11-14T22:13:20.123Z", 1700000000123);
    expect_time("2023-11-14T23:13:20+01:00", 1700000000000);
    expect_time("2023-11-14T16:43:20-05:30", 1700000000000);
    expect_time("1970-01-02", 86400000);
    expect_time("2024-02-29T00:00:00Z", 1709164800000);
}

Test(cli_quantity, dates_that_do_not_exist_are_refused)
{
    static const char *const wrong[] = {"2023-02-29T00:00:00Z",
                                        "2023-02-31",
                                        "2023-13-01",
                                        "2023-00-01",
                                        "2023-01-00",
                                        "2023-01-01T24:00:00Z",
                                        "2023-01-01T00:60:00Z",
                                        "2023-01-01T00:00:00",
                                        "2023-1-1",
                                        "2023-01-01T00:00:00.Z",
                                        "yesterday",
                                        ""};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int64_t ms = 42;
        cr_assert_not(quantity_parse_time(wrong[i], &ms), "'%s'", wrong[i]);
        cr_assert_eq(ms, 42);
    }
}

Test(cli_quantity, a_time_that_was_shown_reads_back)
{
    char text[QUANTITY_TEXT_BYTES];
    expect_time(quantity_time(text, 1700000000123), 1700000000123);
    cr_assert_str_eq(quantity_time(text, 0), "1970-01-01T00:00:00.000Z");
    cr_assert_str_eq(quantity_time(text, -1), "1969-12-31T23:59:59.999Z");
}

Test(cli_quantity, numbers_are_shown_for_people)
{
    char text[QUANTITY_TEXT_BYTES];
    cr_assert_str_eq(quantity_count(text, 0), "0");
    cr_assert_str_eq(quantity_count(text, 999), "999");
    cr_assert_str_eq(quantity_count(text, 1234567), "1,234,567");
    cr_assert_str_eq(quantity_count(text, UINT64_MAX), "18,446,744,073,709,551,615");
    cr_assert_str_eq(quantity_bytes(text, 512), "512 B");
    cr_assert_str_eq(quantity_bytes(text, 1200000000), "1.2 GB");
    cr_assert_str_eq(quantity_duration(text, 850), "850 us");
    cr_assert_str_eq(quantity_duration(text, 2100), "2.1 ms");
    cr_assert_str_eq(quantity_duration(text, 412000), "412 ms");
    cr_assert_str_eq(quantity_duration(text, 1250000), "1.25 s");
    cr_assert_str_eq(quantity_duration(text, 11520000000ull), "3h12m");
    cr_assert_str_eq(quantity_byte_rate(text, 96200000, 1000000), "96.2 MB/s");
    cr_assert_str_eq(quantity_byte_rate(text, 1, 0), "0 B/s");
}
