/* Tests that go through every point of something: each disk call, each byte, each instant of a change. In plain builds they
 * take them all. Sanitizers take eight times as long, and look at what the code does at a point and not at which one it is
 * right, so there they take every third. RAFTMQ_EVERY_POINT=1 in the environment asks for all in every build. */
#ifndef SUPPORT_THINNED_H
#define SUPPORT_THINNED_H

#include <stdbool.h>
#include <stdint.h>

/* Is this point to be tried? Of three that follow each other one is; which one is drawn from their number and from @salt, so
 * it is the same in every run, and nothing that comes back every few points is missed for ever. Tests that go through the
 * same points in several ways give each a @salt of its own. */
bool thinned_takes(uint64_t salt, uint64_t point);

/* How many of @count points in a row are tried at least: for tests that make sure of having tried enough. */
uint64_t thinned_least(uint64_t count);

#endif
