#include "quantity.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct unit {
    const char *name;
    double factor;
};

/* Digits, at most one point, then a unit of the table. Plain integers stay exact over the full 64 bits: only a fraction
 * goes through a double. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_value)
{
    size_t whole = strspn(text, "0123456789");
    if (whole == 0 || whole > 20) return false;
    const char *rest = text + whole;
    double fraction = 0;
    if (*rest == '.') {
        size_t digits = strspn(rest + 1, "0123456789");
        if (digits == 0 || digits > 18) return false;
        double scale = 0.1;
        for (size_t i = 1; i <= digits; i++, scale /= 10) {
            fraction += (rest[i] - '0') * scale;
        }
        rest += 1 + digits;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < whole; i++) {
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value)) return false;
    }
    for (const struct unit *unit = units; unit->name; unit++) {
        if (strcmp(unit->name, rest) != 0) continue;
        if (__builtin_mul_overflow(value, (uint64_t)unit->factor, &value)) return false;
        uint64_t part = (uint64_t)llround(fraction * unit->factor);
        /* "1.5" of something that has no parts is a mistake, not a rounding. */
        if (fraction > 0 && part == 0) return false;
        if (fraction > 0 && unit->factor < 2) return false;
        if (__builtin_add_overflow(value, part, ret_value)) return false;
        return true;
    }
    return false;
}

bool quantity_parse_count(const char *text, uint64_t *ret_count)
{
    static const struct unit units[] = {{"", 1},    {"k", 1e3}, {"K", 1e3}, {"m", 1e6},
                                        {"M", 1e6}, {"g", 1e9}, {"G", 1e9}, {NULL, 0}};
    uint64_t count;
    if (!parse_with_unit(text, units, &count)) return false;
    *ret_count = count;
    return true;
}

bool quantity_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const double kib = 1024, mib = 1048576, gib = 1073741824;
    const struct unit units[] = {
        {"", 1},      {"B", 1},          {"k", kib},          {"K", kib},  {"KiB", kib},
        {"m", mib},   {"M", mib},        {"MiB", mib},        {"g", gib},  {"G", gib},
        {"GiB", gib}, {"T", gib * 1024}, {"kB", 1e3},         {"KB", 1e3}, {"MB", 1e6},
        {"GB", 1e9},  {"TB", 1e12},      {"TiB", gib * 1024}, {NULL, 0}};
    uint64_t bytes;
    if (!parse_with_unit(text, units, &bytes)) return false;
    *ret_bytes = bytes;
    return true;
}

bool quantity_parse_duration(const char *text, uint64_t *ret_us)
{
    static const struct unit units[] = {
        {"", 1e6},     {"us", 1},     {"ms", 1e3},    {"s", 1e6},         {"m", 60e6},
        {"min", 60e6}, {"h", 3600e6}, {"d", 86400e6}, {"w", 7 * 86400e6}, {NULL, 0}};
    uint64_t us;
    if (!parse_with_unit(text, units, &us)) return false;
    *ret_us = us;
    return true;
}

bool quantity_parse_rate(const char *text, uint64_t *ret_per_second)
{
    char copy[QUANTITY_TEXT_BYTES];
    size_t bytes = strlen(text);
    if (bytes >= sizeof(copy)) return false;
    memcpy(copy, text, bytes + 1);
    if (bytes > 2 && strcmp(copy + bytes - 2, "/s") == 0) copy[bytes - 2] = '\0';
    return quantity_parse_count(copy, ret_per_second);
}

/* Exactly `digits` digits at *cursor within [min, max]. */
static bool take_number(const char **cursor, int digits, int min, int max, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*cursor)[i])) return false;
        number = number * 10 + ((*cursor)[i] - '0');
    }
    if (number < min || number > max) return false;
    *cursor += digits;
    *ret_number = number;
    return true;
}

static bool take_char(const char **cursor, const char *allowed)
{
    if (**cursor == '\0' || !strchr(allowed, **cursor)) return false;
    *cursor += 1;
    return true;
}

static bool take_fraction_ms(const char **cursor, int *ret_ms)
{
    *ret_ms = 0;
    if (**cursor != '.') return true;
    *cursor += 1;
    if (!isdigit((unsigned char)**cursor)) return false;
    for (int scale = 100; isdigit((unsigned char)**cursor); *cursor += 1, scale /= 10) {
        *ret_ms += (**cursor - '0') * scale;
    }
    return true;
}

static bool take_zone(const char **cursor, int *ret_minutes)
{
    if (take_char(cursor, "Zz")) {
        *ret_minutes = 0;
        return true;
    }
    int sign = **cursor == '-' ? -1 : 1;
    int hours, minutes;
    if (!take_char(cursor, "+-")) return false;
    if (!take_number(cursor, 2, 0, 23, &hours) || !take_char(cursor, ":") ||
        !take_number(cursor, 2, 0, 59, &minutes)) {
        return false;
    }
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

static bool parse_rfc3339(const char *text, int64_t *ret_unix_ms)
{
    const char *cursor = text;
    struct tm tm = {0};
    int year, month, ms = 0, zone_minutes = 0;
    if (!take_number(&cursor, 4, 1970, 9999, &year) || !take_char(&cursor, "-") ||
        !take_number(&cursor, 2, 1, 12, &month) || !take_char(&cursor, "-") ||
        !take_number(&cursor, 2, 1, 31, &tm.tm_mday)) {
        return false;
    }
    if (*cursor != '\0') {
        if (!take_char(&cursor, "Tt ") || !take_number(&cursor, 2, 0, 23, &tm.tm_hour) ||
            !take_char(&cursor, ":") || !take_number(&cursor, 2, 0, 59, &tm.tm_min) ||
            !take_char(&cursor, ":") || !take_number(&cursor, 2, 0, 60, &tm.tm_sec) ||
            !take_fraction_ms(&cursor, &ms) || !take_zone(&cursor, &zone_minutes)) {
            return false;
        }
    }
    if (*cursor != '\0') return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    struct tm date = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday};
    (void)timegm(&date);
    if (date.tm_mon != tm.tm_mon) return false; /* timegm carried 31 February into March */
    time_t seconds = timegm(&tm);
    *ret_unix_ms = ((int64_t)seconds - (int64_t)zone_minutes * 60) * 1000 + ms;
    return true;
}

bool quantity_parse_time(const char *text, int64_t *ret_unix_ms)
{
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits <= 18 && text[digits] == '\0') {
        *ret_unix_ms = strtoll(text, NULL, 10);
        return true;
    }
    return parse_rfc3339(text, ret_unix_ms);
}

bool quantity_parse_switch(const char *text, bool *ret_on)
{
    static const char *const on[] = {"on", "true", "yes", "1"};
    static const char *const off[] = {"off", "false", "no", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0) {
            *ret_on = strcmp(text, on[i]) == 0;
            return true;
        }
    }
    return false;
}

char *quantity_count(char *buffer, uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    char *out = buffer;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return buffer;
}

char *quantity_bytes(char *buffer, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 999.5 && unit < 5) {
        value /= 1000;
        unit++;
    }
    const char *form = unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s";
    snprintf(buffer, QUANTITY_TEXT_BYTES, form, value, units[unit]);
    return buffer;
}

char *quantity_duration(char *buffer, uint64_t us)
{
    uint64_t seconds = us / 1000000u;
    if (us < 1000) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%" PRIu64 " us", us);
    } else if (us < 99950) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%.1f ms", (double)us / 1e3);
    } else if (us < 999500) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%.0f ms", (double)us / 1e3);
    } else if (us < 60000000) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%.2f s", (double)us / 1e6);
    } else if (seconds < 3600) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60,
                 seconds % 60);
    } else if (seconds < 86400) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600,
                 seconds / 60 % 60);
    } else {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400,
                 seconds / 3600 % 24);
    }
    return buffer;
}

char *quantity_time(char *buffer, int64_t unix_ms)
{
    int64_t ms = unix_ms % 1000;
    int64_t whole = unix_ms / 1000;
    if (ms < 0) {
        ms += 1000;
        whole -= 1;
    }
    time_t seconds = (time_t)whole;
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099) {
        snprintf(buffer, QUANTITY_TEXT_BYTES, "%" PRId64, unix_ms);
        return buffer;
    }
    size_t bytes = strftime(buffer, QUANTITY_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buffer + bytes, QUANTITY_TEXT_BYTES - bytes, ".%03dZ", (int)ms);
    return buffer;
}

char *quantity_byte_rate(char *buffer, uint64_t bytes, uint64_t us)
{
    double per_second = us ? (double)bytes * 1e6 / (double)us : 0;
    char size[QUANTITY_TEXT_BYTES];
    snprintf(buffer, QUANTITY_TEXT_BYTES, "%.40s/s", quantity_bytes(size, (uint64_t)per_second));
    return buffer;
}

char *quantity_count_rate(char *buffer, uint64_t count, uint64_t us)
{
    double per_second = us ? (double)count * 1e6 / (double)us : 0;
    return quantity_count(buffer, (uint64_t)llround(per_second));
}
