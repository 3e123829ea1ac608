/* evutil_str.c - the string calls of event2/util.h. */
#include "event2/util.h"

#include <stdio.h>
#include <stdlib.h>

/* tolower(3) without the locale. */
static int lower(char c) {
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? u + ('a' - 'A') : u;
}

int evutil_ascii_strcasecmp(const char *str1, const char *str2) {
    while (*str1 != '\0' && lower(*str1) == lower(*str2)) {
        str1++;
        str2++;
    }
    return lower(*str1) - lower(*str2);
}

int evutil_ascii_strncasecmp(const char *str1, const char *str2, size_t n) {
    for (; n > 0; n--, str1++, str2++) {
        int res = lower(*str1) - lower(*str2);

        if (res != 0 || *str1 == '\0')
            return res;
    }
    return 0;
}

ev_int64_t evutil_strtoll(const char *s, char **endptr, int base) {
    return strtoll(s, endptr, base);
}

int evutil_vsnprintf(char *buf, size_t buflen, const char *format, va_list ap) {
    int n;

    if (buflen == 0)
        return 0;
    n = vsnprintf(buf, buflen, format, ap);
    buf[buflen - 1] = '\0'; /* also where vsnprintf failed half-way */
    return n;
}

int evutil_snprintf(char *buf, size_t buflen, const char *format, ...) {
    va_list ap;
    int n;

    va_start(ap, format);
    n = evutil_vsnprintf(buf, buflen, format, ap);
    va_end(ap);
    return n;
}
