/* The table of planted bugs for programs: name, area and description, one bug per line, with tabs between. */
#include <planted/bugs.h>

#include <stdio.h>

int main(void)
{
#define X(name, area, what) puts(#name "\t" #area "\t" what);
    PLANTED_BUGS(X)
#undef X
    return 0;
}
