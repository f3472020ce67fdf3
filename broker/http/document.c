#include "document.h"

#include "json.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_t *http__document_load(const uint8_t *text, size_t bytes, char *ret_problem,
                            size_t problem_bytes)
{
    const char *refused = http__json_gate(text, bytes);
    if (refused) {
        snprintf(ret_problem, problem_bytes, "%s", refused);
        return NULL;
    }
    json_error_t error;
    json_t *value =
        json_loadb((const char *)text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!value) {
        /* The library's text quotes the input: message bytes stay out of replies. */
        const char *what = "it is not valid JSON";
        switch (json_error_code(&error)) {
        case json_error_duplicate_key:
            what = "an object has the same member twice";
            break;
        case json_error_invalid_utf8:
            what = "it is not valid UTF-8";
            break;
        case json_error_numeric_overflow:
            what = "a number is too large";
            break;
        case json_error_premature_end_of_input:
            what = "it ends in the middle";
            break;
        case json_error_end_of_input_expected:
            what = "bytes follow behind its end";
            break;
        case json_error_null_character:
        case json_error_null_byte_in_key:
            what = "it has a NUL where none is allowed";
            break;
        case json_error_unknown:
        case json_error_out_of_memory:
        case json_error_stack_overflow:
        case json_error_cannot_open_file:
        case json_error_invalid_argument:
        case json_error_invalid_syntax:
        case json_error_invalid_format:
        case json_error_wrong_type:
        case json_error_null_value:
        case json_error_item_not_found:
        case json_error_index_out_of_range:
            break;
        }
        snprintf(ret_problem, problem_bytes, "%s (line %d, column %d)", what, error.line,
                 error.column);
    }
    return value;
}

void http__document_problem(struct http_document *document, const char *format, ...)
{
    if (document->problem[0]) return; /* the first one is the cause */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(document->problem, sizeof document->problem, format, arguments);
    va_end(arguments);
}

bool http__document_open(struct http_document *document, const uint8_t *text, size_t bytes)
{
    *document = (struct http_document){0};
    if (bytes == 0) {
        document->root = json_object();
        if (!document->root) http__document_problem(document, "the node is out of memory");
        return document->root != NULL;
    }
    document->root = http__document_load(text, bytes, document->problem, sizeof document->problem);
    if (!document->root) return false;
    if (!json_is_object(document->root)) {
        http__document_problem(document, "the body must be a JSON object");
        return false;
    }
    return true;
}

void http__document_close(struct http_document *document)
{
    json_decref(document->root);
    document->root = NULL;
}

json_t *http__document_take(struct http_document *document, const char *name)
{
    json_t *value = json_object_get(document->root, name);
    if (value) {
        assert(document->taken_count < HTTP_DOCUMENT_MEMBERS_MAX);
        document->taken[document->taken_count++] = name;
    }
    return value;
}

void http__document_u64(struct http_document *document, const char *name, uint64_t min,
                        uint64_t max, uint64_t *value, bool *ret_present)
{
    json_t *member = http__document_take(document, name);
    if (ret_present) *ret_present = member != NULL;
    if (!member) return;
    json_int_t number = json_integer_value(member); /* 0 for other kinds */
    if (!json_is_integer(member) || number < 0 || (uint64_t)number < min ||
        (uint64_t)number > max) {
        http__document_problem(document, "\"%s\" must be an integer from %" PRIu64 " to %" PRIu64,
                               name, min, max);
        return;
    }
    *value = (uint64_t)number;
}

void http__document_duration(struct http_document *document, const char *name, int64_t *value_ms)
{
    json_t *member = http__document_take(document, name);
    if (!member) return;
    const char *text = json_string_value(member);
    int64_t ms;
    if (text && strcmp(text, "forever") == 0) {
        *value_ms = -1;
    } else if (text && http__text_duration(text, json_string_length(member), &ms) && ms > 0) {
        *value_ms = ms;
    } else {
        http__document_problem(
            document, "\"%s\" must be a duration like \"36h\" or \"7d\", or \"forever\"", name);
    }
}

void http__document_size(struct http_document *document, const char *name, int64_t *value)
{
    json_t *member = http__document_take(document, name);
    if (!member) return;
    const char *text = json_string_value(member);
    uint64_t bytes;
    if (text && strcmp(text, "unlimited") == 0) {
        *value = -1;
    } else if (text && http__text_size(text, json_string_length(member), &bytes) && bytes > 0) {
        *value = (int64_t)bytes;
    } else if (json_is_integer(member) && json_integer_value(member) > 0) {
        *value = json_integer_value(member);
    } else {
        http__document_problem(
            document, "\"%s\" must be a number of bytes, a text like \"10G\", or \"unlimited\"",
            name);
    }
}

static bool is_taken(const struct http_document *document, const char *name)
{
    for (uint32_t i = 0; i < document->taken_count; i++) {
        if (strcmp(document->taken[i], name) == 0) return true;
    }
    return false;
}

/* A client's own word is repeated only when it cannot do harm in a log or a terminal. */
static bool is_printable(const char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7e) return false;
    }
    return true;
}

bool http__document_finish(struct http_document *document)
{
    if (document->problem[0]) return false;
    const char *name;
    json_t *member;
    json_object_foreach(document->root, name, member) {
        if (is_taken(document, name)) continue;
        http__document_problem(document, "the body has an unknown field \"%.40s\"",
                               is_printable(name) ? name : "?");
        return false;
    }
    return true;
}
