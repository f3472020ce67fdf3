/* The clock of the client side. The broker reads time from struct io only; commands that have no event loop read it
 * here, and nowhere else in cli/. */
#ifndef CLI_CLOCK_H
#define CLI_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void);
void clock_sleep_us(uint64_t us); /* full length, also when signals interrupt it */

#endif
