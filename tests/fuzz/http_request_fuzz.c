/* libFuzzer on the HTTP front end over the fake world of its unit tests. Beside the sanitizers it has an oracle: the
 * answers must not depend on how the bytes are cut into reads. */
#include "fixture.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    /* Counters tell how much was read so far, which does depend on the cut. */
    if (memmem(data, bytes, "metrics", 7)) return 0;
    size_t cut = data[0] % 64u + 1u;
    char *at_once = fixture_converse(data + 1, bytes - 1, 0);
    char *in_pieces = fixture_converse(data + 1, bytes - 1, cut);
    if (strcmp(at_once, in_pieces) != 0) abort();
    free(at_once);
    free(in_pieces);
    return 0;
}
