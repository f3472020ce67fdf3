#include "gate.h"

#include <broker/http.h>

#include <assert.h>

static enum http_gate_verdict refuse(struct http_gate *gate, enum http_problem problem,
                                     const char *detail)
{
    gate->problem = problem;
    gate->detail = detail;
    return HTTP_GATE_BAD;
}

/* ---- heads ------------------------------------------------------------------------------------------------ */

void http__gate_head_begin(struct http_gate *gate, const struct http_limits *limits)
{
    *gate = (struct http_gate){.limits = limits};
}

static enum http_gate_verdict end_of_line(struct http_gate *gate)
{
    bool empty = gate->line_bytes == 1; /* the CR alone */
    gate->after_cr = false;
    gate->line_bytes = 0;
    if (!empty) {
        gate->lines_count++;
        return HTTP_GATE_MORE;
    }
    if (gate->lines_count > 0) return HTTP_GATE_DONE;
    if (gate->skipped_empty_line) {
        return refuse(gate, HTTP_BAD_REQUEST, "empty lines stand where a request line is expected");
    }
    gate->skipped_empty_line = true;
    gate->head_bytes = 0;
    return HTTP_GATE_MORE;
}

static enum http_gate_verdict head_byte(struct http_gate *gate, uint8_t c)
{
    bool request_line = gate->lines_count == 0;
    if (++gate->head_bytes > gate->limits->head_bytes_max) {
        return refuse(gate, HTTP_HEAD_TOO_LARGE, "send fewer or shorter headers");
    }
    if (gate->after_cr) {
        if (c != '\n') return refuse(gate, HTTP_BAD_REQUEST, "a CR is not followed by LF");
        return end_of_line(gate);
    }
    if (request_line && gate->line_bytes >= gate->limits->request_line_bytes_max && c != '\r') {
        return refuse(gate, HTTP_URI_TOO_LONG, "send a shorter path and query");
    }
    gate->line_bytes++;
    if (c == '\r') {
        gate->after_cr = true;
        return HTTP_GATE_MORE;
    }
    if (c == '\n') return refuse(gate, HTTP_BAD_REQUEST, "an LF is not preceded by CR");
    if (gate->line_bytes == 1 && !request_line) {
        if (c == ' ' || c == '\t') return refuse(gate, HTTP_BAD_REQUEST, "a header line is folded");
        if (gate->lines_count > gate->limits->headers_max) {
            return refuse(gate, HTTP_HEAD_TOO_LARGE, "send fewer headers");
        }
    }
    if (c == '\t' && !request_line) return HTTP_GATE_MORE;
    if (c < 0x20 || c == 0x7f) {
        return refuse(gate, HTTP_BAD_REQUEST, "the head contains a control character");
    }
    if (c >= 0x80 && request_line) {
        return refuse(gate, HTTP_BAD_REQUEST,
                      "the request line contains a byte outside of ASCII; percent-encode it");
    }
    return HTTP_GATE_MORE;
}

/* Most bytes of a head are printable ASCII inside of a line and change no state: count a run of them at once. */
static size_t skip_plain(struct http_gate *gate, const uint8_t *data, size_t bytes)
{
    if (gate->after_cr || gate->line_bytes == 0) return 0;
    size_t room = gate->limits->head_bytes_max - gate->head_bytes;
    if (gate->lines_count == 0 && gate->limits->request_line_bytes_max - gate->line_bytes < room) {
        room = gate->limits->request_line_bytes_max - gate->line_bytes;
    }
    if (room < bytes) bytes = room;
    size_t run = 0;
    while (run < bytes && data[run] >= 0x20 && data[run] < 0x7f)
        run++;
    gate->head_bytes += (uint32_t)run;
    gate->line_bytes += (uint32_t)run;
    return run;
}

size_t http__gate_head(struct http_gate *gate, const uint8_t *data, size_t bytes,
                       enum http_gate_verdict *ret_verdict)
{
    assert(gate->problem == HTTP_NO_PROBLEM);
    *ret_verdict = HTTP_GATE_MORE;
    for (size_t i = 0; i < bytes; i++) {
        i += skip_plain(gate, data + i, bytes - i);
        if (i == bytes) break;
        *ret_verdict = head_byte(gate, data[i]);
        if (*ret_verdict != HTTP_GATE_MORE) return i + 1;
    }
    return bytes;
}

/* ---- chunks ----------------------------------------------------------------------------------------------- */

enum chunk_state {
    CHUNK_SIZE, /* hex digits, then CR */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_LAST_CR, /* the empty line after the last chunk */
    CHUNK_LAST_LF,
};

void http__gate_chunks_begin(struct http_gate *gate)
{
    gate->chunk_state = CHUNK_SIZE;
    gate->chunk_digits = 0;
    gate->chunks_count = 0;
    gate->chunk_bytes = 0;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static enum http_gate_verdict chunk_size_byte(struct http_gate *gate, uint8_t c)
{
    if (c == '\r') {
        if (gate->chunk_digits == 0) return refuse(gate, HTTP_BAD_REQUEST, "a chunk has no size");
        gate->chunk_state = CHUNK_SIZE_LF;
        return HTTP_GATE_MORE;
    }
    int digit = hex_value(c);
    if (digit < 0) {
        return refuse(gate, HTTP_BAD_REQUEST,
                      c == ';' ? "chunk extensions are not accepted" : "a chunk size is malformed");
    }
    if (++gate->chunk_digits > 8) return refuse(gate, HTTP_BAD_REQUEST, "a chunk is too large");
    gate->chunk_bytes = gate->chunk_bytes << 4 | (uint64_t)digit;
    return HTTP_GATE_MORE;
}

static enum http_gate_verdict chunk_size_end(struct http_gate *gate)
{
    gate->chunk_digits = 0;
    if (gate->chunk_bytes == 0) {
        gate->chunk_state = CHUNK_LAST_CR;
        return HTTP_GATE_MORE;
    }
    gate->chunk_state = CHUNK_DATA;
    if (++gate->chunks_count > gate->limits->chunks_max) {
        return refuse(gate, HTTP_BODY_TOO_LARGE, "the body has too many chunks");
    }
    return HTTP_GATE_MORE;
}

static enum http_gate_verdict chunk_byte(struct http_gate *gate, uint8_t c)
{
    switch ((enum chunk_state)gate->chunk_state) {
    case CHUNK_SIZE:
        return chunk_size_byte(gate, c);
    case CHUNK_SIZE_LF:
        if (c == '\n') return chunk_size_end(gate);
        break;
    case CHUNK_DATA:
        assert(false);
        break;
    case CHUNK_DATA_CR:
        if (c != '\r') {
            return refuse(gate, HTTP_BAD_REQUEST, "a chunk is longer than its size");
        }
        gate->chunk_state = CHUNK_DATA_LF;
        return HTTP_GATE_MORE;
    case CHUNK_DATA_LF:
        if (c != '\n') break;
        gate->chunk_state = CHUNK_SIZE;
        return HTTP_GATE_MORE;
    case CHUNK_LAST_CR:
        if (c != '\r') return refuse(gate, HTTP_BAD_REQUEST, "trailers are not accepted");
        gate->chunk_state = CHUNK_LAST_LF;
        return HTTP_GATE_MORE;
    case CHUNK_LAST_LF:
        if (c == '\n') return HTTP_GATE_DONE;
        break;
    }
    return refuse(gate, HTTP_BAD_REQUEST, "a CR is not followed by LF");
}

size_t http__gate_chunks(struct http_gate *gate, const uint8_t *data, size_t bytes,
                         bool *ret_is_data, enum http_gate_verdict *ret_verdict)
{
    assert(gate->problem == HTTP_NO_PROBLEM);
    *ret_verdict = HTTP_GATE_MORE;
    *ret_is_data = gate->chunk_state == CHUNK_DATA;
    if (*ret_is_data) {
        size_t run = bytes < gate->chunk_bytes ? bytes : (size_t)gate->chunk_bytes;
        gate->chunk_bytes -= run;
        if (gate->chunk_bytes == 0) gate->chunk_state = CHUNK_DATA_CR;
        return run;
    }
    for (size_t i = 0; i < bytes; i++) {
        *ret_verdict = chunk_byte(gate, data[i]);
        if (*ret_verdict != HTTP_GATE_MORE) return i + 1;
        if (gate->chunk_state == CHUNK_DATA) return i + 1;
    }
    return bytes;
}
