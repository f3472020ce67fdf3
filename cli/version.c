#include "version.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>

#include "exit_code.h"
#include "verbs.h"

const char *version_text(void)
{
    return RAFTMQ_VERSION;
}

int version_command(const struct options *options)
{
    (void)options;
    printf("raftmq %s", RAFTMQ_VERSION);
    if (RAFTMQ_COMMIT[0]) printf(" (%s)", RAFTMQ_COMMIT);
    printf("\nlibuv %s  llhttp %s  xxHash %s  jansson %s  libcurl %s  inih %s\n",
           RAFTMQ_LIBUV_VERSION, RAFTMQ_LLHTTP_VERSION, RAFTMQ_XXHASH_VERSION,
           jansson_version_str(), curl_version_info(CURLVERSION_NOW)->version, RAFTMQ_INIH_VERSION);
    return EXIT_CODE_OK;
}
