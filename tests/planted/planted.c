#include <planted/planted.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum planted_bug planted_bug_on = PLANTED_NOTHING;

static const char *const names[] = {[PLANTED_NOTHING] = "NOTHING",
#define X(name, area, what) [PLANTED_##name] = #name,
                                    PLANTED_BUGS(X)
#undef X
};

/* A name that is not in the table must not pass for "no bug is on": the test would pass for the wrong reason. */
__attribute__((constructor)) static void read_environment(void)
{
    const char *wanted = getenv("RAFTMQ_PLANTED_BUG");
    if (wanted == NULL) return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], wanted) != 0) continue;
        planted_bug_on = (enum planted_bug)i;
        return;
    }
    fprintf(stderr, "RAFTMQ_PLANTED_BUG: there is no bug \"%s\"\n", wanted);
    exit(2);
}
