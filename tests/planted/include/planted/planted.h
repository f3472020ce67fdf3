/* Planted bugs: wrong turns in product code that only builds with -DRAFTMQ_PLANTED_BUGS=ON can take, one at a time,
 * to show that the tests notice each of them (docs/TESTING.md).
 *
 *     if (!PLANTED(B1_COMMITS_OLDER_TERMS) && term != node->hard.term) return;
 *
 * In every other build PLANTED() is the constant false: the compiler drops the wrong turn, and no symbol, string or
 * branch of it is left. In a build with bugs the environment names the one that is on, RAFTMQ_PLANTED_BUG=NAME; it is
 * read before main() and never changes, so the pure core sees a constant. */
#ifndef PLANTED_PLANTED_H
#define PLANTED_PLANTED_H

#include <stdbool.h>

#ifdef RAFTMQ_PLANTED_BUGS

#include <planted/bugs.h>

enum planted_bug {
    PLANTED_NOTHING,
#define X(name, area, what) PLANTED_##name,
    PLANTED_BUGS(X)
#undef X
};

extern enum planted_bug planted_bug_on;

#define PLANTED(name) (planted_bug_on == PLANTED_##name)

#else

#define PLANTED(name) false

#endif

#endif
