/* http_date.c - dates as HTTP writes them. RFC 9110 section 5.6.7.
 *
 *   Sun, 06 Nov 1994 08:49:37 GMT     IMF-fixdate: written, and read
 *   Sunday, 06-Nov-94 08:49:37 GMT    RFC 850: read
 *   Sun Nov  6 08:49:37 1994          asctime(): read
 *
 * Own arithmetic instead of gmtime_r() and strptime(): no locale, no time zone,
 * no lock, and the same answer everywhere. Names are case-sensitive as the
 * grammar has them; a day's name that does not fit its date is let pass, since
 * nothing is decided by it. */
#include <limits.h>

#include "wire/chars.h"
#include "wire/http.h"

enum { DAY_S = 86400 };

static const char day_names[7][10] = {
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
};
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct date {
    int year, month, day; /* month from 1 */
    int hour, minute, second;
};

/* Days since 1970-01-01 in the Gregorian calendar. Years begin in March here,
 * so that the leap day comes last and months follow one formula. */
static int64_t days_from_date(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The inverse, for years 0 to 9999. */
static void date_from_days(int64_t days, struct date *date) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int of_era = (int)(days - era * 146097);
    int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year + year / 4 - year / 100);
    int month = (5 * of_year + 2) / 153;
    date->day = of_year - (153 * month + 2) / 5 + 1;
    date->month = month < 10 ? month + 3 : month - 9;
    date->year = (int)(year + era * 400 + (date->month <= 2));
}

static void write_two(char *out, int number) {
    out[0] = (char)('0' + number / 10);
    out[1] = (char)('0' + number % 10);
}

void http_date_write(char out[30], int64_t unix_s) {
    const int64_t first = -62167219200, last = 253402300799; /* years 0000 to 9999 */
    unix_s = unix_s < first ? first : unix_s > last ? last : unix_s;
    int64_t days = unix_s / DAY_S;
    int of_day = (int)(unix_s % DAY_S);
    if (of_day < 0) {
        of_day += DAY_S;
        days--;
    }
    struct date date;
    date_from_days(days, &date);
    memcpy(out, "Mon, 00 Jan 0000 00:00:00 GMT", 30);
    memcpy(out, day_names[((days + 3) % 7 + 7) % 7], 3); /* day 0 was a Thursday */
    write_two(out + 5, date.day);
    memcpy(out + 8, month_names + 3 * (date.month - 1), 3);
    write_two(out + 12, date.year / 100);
    write_two(out + 14, date.year % 100);
    write_two(out + 17, of_day / 3600);
    write_two(out + 20, of_day / 60 % 60);
    write_two(out + 23, of_day % 60);
}

/* ---- reading ------------------------------------------------------------ */

/* Each take_…() takes its part off the front of *rest, or returns false. */

static bool take(struct bytes *rest, struct bytes part) {
    if (!bytes_starts(*rest, part))
        return false;
    rest->at += part.len;
    rest->len -= part.len;
    return true;
}

static bool take_number(struct bytes *rest, unsigned digits, int *number) {
    *number = 0;
    if (rest->len < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        if (!char_is(rest->at[i], CHAR_DIGIT))
            return false;
        *number = *number * 10 + (rest->at[i] - '0');
    }
    rest->at += digits;
    rest->len -= digits;
    return true;
}

static bool take_month(struct bytes *rest, int *month) {
    for (*month = 1; *month <= 12; ++*month)
        if (take(rest, (struct bytes){month_names + 3 * (*month - 1), 3}))
            return true;
    return false;
}

static bool take_time(struct bytes *rest, struct date *date) {
    return take_number(rest, 2, &date->hour) && take(rest, BYTES(":")) &&
           take_number(rest, 2, &date->minute) && take(rest, BYTES(":")) &&
           take_number(rest, 2, &date->second);
}

/* The day's name, long or short; *is_long says which. */
static bool take_day_name(struct bytes *rest, bool *is_long) {
    for (int i = 0; i < 7; i++) {
        if ((*is_long = take(rest, bytes_of(day_names[i]))))
            return true;
        if (take(rest, (struct bytes){day_names[i], 3}))
            return true;
    }
    return false;
}

static bool take_imf(struct bytes *rest, struct date *date) {
    return take(rest, BYTES(", ")) && take_number(rest, 2, &date->day) && take(rest, BYTES(" ")) &&
           take_month(rest, &date->month) && take(rest, BYTES(" ")) &&
           take_number(rest, 4, &date->year) && take(rest, BYTES(" ")) && take_time(rest, date) &&
           take(rest, BYTES(" GMT"));
}

/* Years of two digits turn at 1970, as POSIX has it. The RFC's rule, "not more
 * than 50 years ahead", needs to know today and gives the same for every date
 * that anybody means in this form. */
static bool take_rfc850(struct bytes *rest, struct date *date) {
    if (!(take(rest, BYTES(", ")) && take_number(rest, 2, &date->day) && take(rest, BYTES("-")) &&
          take_month(rest, &date->month) && take(rest, BYTES("-")) &&
          take_number(rest, 2, &date->year) && take(rest, BYTES(" ")) && take_time(rest, date) &&
          take(rest, BYTES(" GMT"))))
        return false;
    date->year += date->year < 70 ? 2000 : 1900;
    return true;
}

static bool take_asctime(struct bytes *rest, struct date *date) {
    if (!(take(rest, BYTES(" ")) && take_month(rest, &date->month) && take(rest, BYTES(" "))))
        return false;
    bool padded = take(rest, BYTES(" "));
    return take_number(rest, padded ? 1 : 2, &date->day) && take(rest, BYTES(" ")) &&
           take_time(rest, date) && take(rest, BYTES(" ")) && take_number(rest, 4, &date->year);
}

static bool date_is_valid(const struct date *date) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);
    int last = date->month == 2 && leap ? 29 : days[date->month - 1];
    return date->day >= 1 && date->day <= last && date->hour < 24 && date->minute < 60 &&
           date->second <= 60; /* 60: a leap second */
}

bool http_date_read(struct bytes text, int64_t *unix_s) {
    struct bytes rest = bytes_trim(text);
    struct date date;
    bool is_long;
    if (!take_day_name(&rest, &is_long))
        return false;
    bool taken = is_long                         ? take_rfc850(&rest, &date)
                 : rest.len && rest.at[0] == ',' ? take_imf(&rest, &date)
                                                 : take_asctime(&rest, &date);
    if (!taken || rest.len || !date_is_valid(&date))
        return false;
    *unix_s = days_from_date(date.year, date.month, date.day) * DAY_S + date.hour * 3600 +
              date.minute * 60 + date.second;
    return true;
}

/* ---- Retry-After -------------------------------------------------------- */

static uint32_t read_seconds(struct bytes digits) {
    uint64_t number = 0;
    for (size_t i = 0; i < digits.len && number <= UINT32_MAX; i++)
        number = number * 10 + (uint64_t)(digits.at[i] - '0');
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

bool http_retry_after_read(struct bytes text, int64_t unix_now_s, uint32_t *seconds) {
    text = bytes_trim(text);
    size_t digits = 0;
    while (digits < text.len && char_is(text.at[digits], CHAR_DIGIT))
        digits++;
    if (digits && digits == text.len) {
        *seconds = read_seconds(text);
        return true;
    }
    int64_t then;
    if (!http_date_read(text, &then))
        return false;
    /* A clock may say anything: no subtraction before it is known to fit. */
    bool later = then > unix_now_s;
    bool far = unix_now_s < then - (int64_t)UINT32_MAX;
    *seconds = !later ? 0 : far ? UINT32_MAX : (uint32_t)(then - unix_now_s);
    return true;
}
