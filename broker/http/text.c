#include "text.h"

#include <assert.h>
#include <stdio.h>

/* ---- numbers ---------------------------------------------------------------------------------------------- */

bool http__text_u64(const char *text, size_t bytes, uint64_t *ret_value)
{
    if (bytes == 0 || bytes > 20) return false;
    if (text[0] == '0' && bytes > 1) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

bool http__text_i64(const char *text, size_t bytes, int64_t *ret_value)
{
    bool negative = bytes > 0 && text[0] == '-';
    uint64_t value;
    if (!http__text_u64(text + negative, bytes - negative, &value)) return false;
    if (negative) {
        if (value == 0 || value > (uint64_t)INT64_MAX + 1) return false;
        *ret_value = value > (uint64_t)INT64_MAX ? INT64_MIN : -(int64_t)value;
        return true;
    }
    if (value > (uint64_t)INT64_MAX) return false;
    *ret_value = (int64_t)value;
    return true;
}

static size_t digits_count(const char *text, size_t bytes)
{
    size_t count = 0;
    while (count < bytes && text[count] >= '0' && text[count] <= '9')
        count++;
    return count;
}

bool http__text_duration(const char *text, size_t bytes, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
    size_t digits = digits_count(text, bytes);
    uint64_t number;
    if (!http__text_u64(text, digits, &number)) return false;
    if (digits == bytes) {
        if (number != 0) return false; /* 30 of what? */
        *ret_ms = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t unit_bytes = strlen(units[i].unit);
        if (bytes - digits != unit_bytes || memcmp(text + digits, units[i].unit, unit_bytes) != 0) {
            continue;
        }
        if (number > (uint64_t)(INT64_MAX / units[i].ms)) return false;
        *ret_ms = (int64_t)number * units[i].ms;
        return true;
    }
    return false;
}

bool http__text_size(const char *text, size_t bytes, uint64_t *ret_bytes)
{
    size_t digits = digits_count(text, bytes);
    uint64_t number;
    if (!http__text_u64(text, digits, &number)) return false;
    unsigned shift = 0;
    if (digits + 1 == bytes) {
        switch (text[digits]) {
        case 'K':
            shift = 10;
            break;
        case 'M':
            shift = 20;
            break;
        case 'G':
            shift = 30;
            break;
        default:
            return false;
        }
    } else if (digits != bytes) {
        return false;
    }
    if (number > (uint64_t)INT64_MAX >> shift) return false;
    *ret_bytes = number << shift;
    return true;
}

/* ---- instants --------------------------------------------------------------------------------------------- */

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar; months from March, so that the leap day is the
 * last of its year, and eras of 400 years (146,097 days). */
static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct date {
    int64_t year;
    unsigned month, day, weekday; /* weekday: 0 = Sunday */
    unsigned hour, minute, second, ms;
};

static struct date date_of_ms(int64_t unix_ms)
{
    int64_t days = unix_ms / 86400000;
    int64_t rest = unix_ms % 86400000;
    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    struct date date = {
        .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
        .month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9),
        .weekday = (unsigned)(((days % 7) + 11) % 7),
        .hour = (unsigned)(rest / 3600000),
        .minute = (unsigned)(rest / 60000 % 60),
        .second = (unsigned)(rest / 1000 % 60),
        .ms = (unsigned)(rest % 1000),
    };
    date.year = year_of_era + era * 400 + (date.month <= 2);
    return date;
}

static bool two_digits(const char *text, unsigned max, unsigned *ret_value)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') return false;
    *ret_value = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    return *ret_value <= max;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* "Z", "+hh:mm" or "-hh:mm"; the whole rest of the text. */
static bool zone_offset(const char *text, size_t bytes, int64_t *ret_ms)
{
    unsigned hours, minutes;
    *ret_ms = 0;
    if (bytes == 1) return text[0] == 'Z' || text[0] == 'z';
    if (bytes != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return false;
    if (!two_digits(text + 1, 23, &hours) || !two_digits(text + 4, 59, &minutes)) return false;
    int64_t ms = ((int64_t)hours * 60 + minutes) * 60000;
    *ret_ms = text[0] == '+' ? ms : -ms;
    return true;
}

static bool rfc3339(const char *text, size_t bytes, int64_t *ret_ms)
{
    unsigned century, year, month, day, hour, minute, second;
    if (bytes < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':') {
        return false;
    }
    if (text[10] != 'T' && text[10] != 't') return false;
    if (!two_digits(text, 99, &century) || !two_digits(text + 2, 99, &year)) return false;
    if (!two_digits(text + 5, 12, &month) || !two_digits(text + 8, 31, &day)) return false;
    if (!two_digits(text + 11, 23, &hour) || !two_digits(text + 14, 59, &minute)) return false;
    if (!two_digits(text + 17, 59, &second)) return false;
    year += century * 100;
    if (month == 0 || day == 0 || day > days_of_month(year, month)) return false;
    size_t at = 19;
    int64_t fraction_ms = 0;
    if (text[at] == '.') {
        size_t digits = digits_count(text + at + 1, bytes - at - 1);
        if (digits == 0 || digits > 9) return false;
        for (size_t i = 0; i < 3; i++) {
            fraction_ms = fraction_ms * 10 + (i < digits ? text[at + 1 + i] - '0' : 0);
        }
        at += 1 + digits;
    }
    int64_t offset_ms;
    if (!zone_offset(text + at, bytes - at, &offset_ms)) return false;
    int64_t seconds = ((days_of_date(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    *ret_ms = seconds * 1000 + fraction_ms - offset_ms;
    return true;
}

bool http__text_time(const char *text, size_t bytes, int64_t *ret_ms)
{
    return http__text_i64(text, bytes, ret_ms) || rfc3339(text, bytes, ret_ms);
}

/* `digits` decimal digits of a number that has no more. */
static char *put_digits(char *at, unsigned value, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; value /= 10)
        at[i] = (char)('0' + value % 10);
    assert(value == 0);
    return at + digits;
}

/* In every answer to a produce, hence without printf. */
size_t http__text_format_time(int64_t unix_ms, char *ret_text)
{
    static const int64_t year_0_ms = -62167219200000;
    static const int64_t year_10000_ms = 253402300800000;
    if (unix_ms < year_0_ms || unix_ms >= year_10000_ms) {
        int length = snprintf(ret_text, HTTP_TIME_BYTES, "%lld", (long long)unix_ms);
        assert(length > 0 && (size_t)length < HTTP_TIME_BYTES);
        return (size_t)length;
    }
    struct date date = date_of_ms(unix_ms);
    const struct {
        unsigned value, digits;
        char behind;
    } fields[] = {{(unsigned)date.year, 4, '-'},
                  {date.month, 2, '-'},
                  {date.day, 2, 'T'},
                  {date.hour, 2, ':'},
                  {date.minute, 2, ':'},
                  {date.second, 2, '.'},
                  {date.ms, 3, 'Z'}};
    char *at = ret_text;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        at = put_digits(at, fields[i].value, fields[i].digits);
        *at++ = fields[i].behind;
    }
    *at = '\0';
    return (size_t)(at - ret_text);
}

size_t http__text_format_date(int64_t unix_ms, char *ret_text)
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct date date = date_of_ms(unix_ms);
    int length = snprintf(ret_text, HTTP_TIME_BYTES, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                          weekdays[date.weekday], date.day % 100u, months[date.month - 1],
                          (unsigned)date.year % 10000u, date.hour % 100u, date.minute % 100u,
                          date.second % 100u);
    assert(length > 0 && (size_t)length < HTTP_TIME_BYTES);
    return (size_t)length;
}

/* ---- names and encodings ---------------------------------------------------------------------------------- */

bool http__text_is_name(const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > 128) return false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
        if (!allowed) return false;
    }
    if (text[0] == '.' && (bytes == 1 || (bytes == 2 && text[1] == '.'))) return false;
    return true;
}

bool http__text_is_utf8(const uint8_t *text, size_t bytes)
{
    size_t i = 0;
    while (i < bytes) {
        /* Eight ASCII bytes at a time: most payloads are nothing else. */
        uint64_t word;
        if (bytes - i >= sizeof word) {
            memcpy(&word, text + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        uint8_t lead = text[i];
        if (lead < 0x80) {
            i++;
            continue;
        }
        /* Lead byte -> length, and the range of the second byte that excludes overlong forms (E0, F0), surrogates
         * (ED) and what lies above U+10FFFF (F4): table 3-7 of the Unicode standard. */
        size_t length;
        uint8_t low = 0x80, high = 0xBF;
        if (lead >= 0xC2 && lead <= 0xDF) {
            length = 2;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            length = 3;
            if (lead == 0xE0) low = 0xA0;
            if (lead == 0xED) high = 0x9F;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            length = 4;
            if (lead == 0xF0) low = 0x90;
            if (lead == 0xF4) high = 0x8F;
        } else {
            return false;
        }
        if (bytes - i < length) return false;
        if (text[i + 1] < low || text[i + 1] > high) return false;
        for (size_t k = 2; k < length; k++) {
            if ((text[i + k] & 0xC0) != 0x80) return false;
        }
        i += length;
    }
    return true;
}

void http__text_base64_encode(struct http_buffer *out, const uint8_t *data, size_t bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t encoded = (bytes + 2) / 3 * 4;
    if (bytes == 0) return;
    if (!http__buffer_reserve(out, encoded)) {
        out->failed = true;
        return;
    }
    char *to = (char *)out->data + out->bytes;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)data[i] << 16;
        if (left > 1) group |= (uint32_t)data[i + 1] << 8;
        if (left > 2) group |= data[i + 2];
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[group >> 12 & 63];
        *to++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *to++ = left > 2 ? alphabet[group & 63] : '=';
    }
    out->bytes += encoded;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

bool http__text_base64_decode(const char *text, size_t bytes, uint8_t *ret_data, size_t *ret_bytes)
{
    if (bytes % 4 != 0) return false;
    size_t out = 0;
    for (size_t i = 0; i < bytes; i += 4) {
        bool last = i + 4 == bytes;
        size_t padding = 0;
        if (last && text[i + 3] == '=') padding = text[i + 2] == '=' ? 2 : 1;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < 4 - padding ? base64_value(text[i + k]) : 0;
            if (value < 0) return false;
            group = group << 6 | (uint32_t)value;
        }
        if (padding == 2 && (group & 0xFFFF) != 0) return false;
        if (padding == 1 && (group & 0xFF) != 0) return false;
        ret_data[out++] = (uint8_t)(group >> 16);
        if (padding < 2) ret_data[out++] = (uint8_t)(group >> 8);
        if (padding < 1) ret_data[out++] = (uint8_t)group;
    }
    *ret_bytes = out;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool http__text_percent_decode(char *text, size_t bytes, size_t *ret_bytes)
{
    size_t out = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (c == '%') {
            if (bytes - i < 3) return false;
            int high = hex_value(text[i + 1]);
            int low = hex_value(text[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0') return false;
        text[out++] = c;
    }
    *ret_bytes = out;
    return true;
}
