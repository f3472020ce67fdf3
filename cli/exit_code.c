#include "exit_code.h"

#include <assert.h>

enum exit_code exit_code_of_http(int http_status, bool writes)
{
    assert(http_status > 0);
    if (http_status >= 200 && http_status < 300) return EXIT_CODE_OK;
    switch (http_status) {
    case 400: /* malformed: the command line asked for something that no state of the cluster can satisfy */
    case 422:
        return EXIT_CODE_USAGE;
    case 404:
    case 410:
        return EXIT_CODE_NOT_FOUND;
    case 409:
    case 412:
        return EXIT_CODE_CONFLICT;
    case 429:
    case 503:
    case 507:
        return EXIT_CODE_UNAVAILABLE;
    case 502: /* no node says so, but a proxy that has passed the request on may */
    case 504:
        return writes ? EXIT_CODE_UNKNOWN : EXIT_CODE_UNAVAILABLE;
    default:
        return EXIT_CODE_FAILED;
    }
}

bool exit_code_http_is_retryable(int http_status)
{
    return http_status == 429 || http_status == 502 || http_status == 503 || http_status == 504;
}
