#include "pipeline/base/json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/base/units.h"

/* The length of the UTF-8 character at s (n bytes left), or 0 if it is not one: overlong forms,
 * surrogates and what lies beyond U+10FFFF are not. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    unsigned char c = s[0];
    size_t len = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (len == 0 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (c == 0xE0 && s[1] < 0xA0) return 0;
    if (c == 0xED && s[1] > 0x9F) return 0;
    if (c == 0xF0 && s[1] < 0x90) return 0;
    if (c == 0xF4 && s[1] > 0x8F) return 0;
    return len;
}

static const char *short_escape(unsigned char c)
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

void ep_json_str(struct ep_str *out, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = strlen(s);
    ep_str_addn(out, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t run = i; /* what needs no escape is copied in one go */
        size_t len = 0;
        while (run < n && p[run] >= 0x20 && p[run] != '"' && p[run] != '\\'
               && (len = utf8_len(p + run, n - run)) > 0)
            run += len;
        ep_str_addn(out, s + i, run - i);
        i = run;
        if (i == n) break;
        const char *esc = short_escape(p[i]);
        if (esc) ep_str_add(out, esc);
        else if (p[i] < 0x20) ep_str_addf(out, "\\u%04x", (unsigned)p[i]);
        else ep_str_add(out, "\\ufffd");
        i++;
    }
    ep_str_addn(out, "\"", 1);
}

void ep_json_num(struct ep_str *out, double x)
{
    if (!isfinite(x)) { /* JSON has no word for infinity either */
        ep_str_add(out, "null");
        return;
    }
    if (x == 0) x = fabs(x); /* no -0 */
    char buf[40];
    /* Whatever the locale of this thread is, the point is a point. */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t was = c ? uselocale(c) : (locale_t)0;
    if (fabs(x) <= 1e15 && x == floor(x)) {
        snprintf(buf, sizeof buf, "%.0f", x);
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            double back;
            snprintf(buf, sizeof buf, "%.*g", digits, x);
            if (ep_parse_number(buf, &back) && back == x) break;
        }
    }
    if (c) {
        uselocale(was);
        freelocale(c);
    }
    ep_str_add(out, buf);
}

void ep_json_sep(struct ep_str *out)
{
    if (out->n && !strchr("{[:", out->s[out->n - 1])) ep_str_addn(out, ",", 1);
}

void ep_json_key(struct ep_str *out, const char *key)
{
    if (out->n && !strchr("{[", out->s[out->n - 1])) ep_str_addn(out, ",", 1);
    ep_json_str(out, key);
    ep_str_addn(out, ":", 1);
}
