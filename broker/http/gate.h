/* The byte gate in front of llhttp: it decides alone where a head and a chunked body end, and lets only the one strict
 * spelling of HTTP/1.1 through. llhttp 8.1, which Debian ships, takes a bare CR as the end of a header or of the head
 * (CVE-2023-30589, CVE-2025-23167), a bare LF after the request line, folded headers, headers without a name, chunk
 * extensions and trailers.
 *
 * Invariants, kept over any split of the bytes into reads:
 *  1. In heads and chunk lines every CR is followed by LF and every LF is preceded by CR; no other control byte, except
 *     HTAB inside of a header line behind its first byte.
 *  2. No header line begins with space or HTAB (folding).
 *  3. The request line is printable ASCII. Bytes from 0x80 on exist only in header lines.
 *  4. A chunk line is 1 to 8 hex digits: no extension. The last chunk is followed by an empty line: no trailer.
 *  5. Bytes, lines and chunks are counted here.
 * After a bad verdict the gate must not be fed again. */
#ifndef BROKER_HTTP_GATE_H
#define BROKER_HTTP_GATE_H

#include "status.h"

struct http_limits;

enum http_gate_verdict {
    HTTP_GATE_MORE, /* everything was consumed, the end is not there yet */
    HTTP_GATE_DONE, /* the end is at the returned count of bytes */
    HTTP_GATE_BAD,  /* `problem` and `detail` say why */
};

struct http_gate {
    const struct http_limits *limits;
    enum http_problem problem;
    const char *detail;
    /* head */
    uint32_t head_bytes;
    uint32_t line_bytes;  /* of the current line, CR included */
    uint32_t lines_count; /* complete lines */
    bool after_cr;
    bool skipped_empty_line; /* one CRLF in front of a request line is tolerated (RFC 9112 §2.2) */
    /* chunked body */
    uint8_t chunk_state;
    uint8_t chunk_digits;
    uint32_t chunks_count;
    uint64_t chunk_bytes; /* left of the current chunk's data */
};

void http__gate_head_begin(struct http_gate *gate, const struct http_limits *limits);
/* Bytes of the head, up to and with the empty line. Returns how many were looked at. */
size_t http__gate_head(struct http_gate *gate, const uint8_t *data, size_t bytes,
                       enum http_gate_verdict *ret_verdict);

void http__gate_chunks_begin(struct http_gate *gate);
/* Bytes of a chunked body. Consumes either a run of chunk data (*ret_is_data) or bytes around it. DONE: the body is
 * complete. */
size_t http__gate_chunks(struct http_gate *gate, const uint8_t *data, size_t bytes,
                         bool *ret_is_data, enum http_gate_verdict *ret_verdict);

#endif
