/* The histogram: quantiles within its stated error, exact max, nothing lost. */
#include <criterion/criterion.h>

#include "histogram.h"

static struct histogram a;

Test(cli_histogram, an_empty_one_answers_zero)
{
    histogram_init(&a);
    cr_assert_eq(histogram_quantile(&a, 0.5), 0);
    cr_assert_eq(a.max, 0);
}

Test(cli_histogram, quantiles_are_within_a_64th_and_never_flattering)
{
    histogram_init(&a);
    for (uint64_t i = 1; i <= 1000000; i++) {
        histogram_record(&a, i, 1);
    }
    for (int q = 1; q <= 1000; q++) {
        double wanted = 1000.0 * q;
        double found = (double)histogram_quantile(&a, q / 1000.0);
        cr_assert(found >= wanted - 1, "q %d: %f below %f", q, found, wanted);
        cr_assert(found <= wanted * (1 + 1.0 / 64) + 1, "q %d: %f above %f", q, found, wanted);
    }
    cr_assert_eq(histogram_quantile(&a, 1), 1000000);
}

Test(cli_histogram, one_value_is_every_quantile)
{
    histogram_init(&a);
    histogram_record(&a, 777777, 3);
    cr_assert_eq(histogram_quantile(&a, 0), 777777);
    cr_assert_eq(histogram_quantile(&a, 1), 777777);
    cr_assert_eq(a.count, 3);
    cr_assert_eq(a.min, 777777);
}

Test(cli_histogram, values_beyond_the_range_keep_the_exact_maximum)
{
    histogram_init(&a);
    histogram_record(&a, 1, 1);
    histogram_record(&a, UINT64_MAX / 2, 1);
    cr_assert_eq(a.max, UINT64_MAX / 2);
    cr_assert_eq(histogram_quantile(&a, 0.25), 1);
    cr_assert_leq(histogram_quantile(&a, 1), a.max);
}
