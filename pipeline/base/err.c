#include "pipeline/base/err.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* vsnprintf may have cut a character in two: drop the rest of it. */
static void drop_partial_character(char *s)
{
    size_t n = strlen(s), i = n;
    while (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0x80) i--;
    if (i == 0) return;
    unsigned char lead = (unsigned char)s[i - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n - (i - 1) < want) s[i - 1] = '\0';
}

static void strip_newlines(char *s)
{
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == '\r')) s[--n] = '\0';
}

ep_status ep_fail(struct ep_err *e, ep_status code, const char *fmt, ...)
{
    assert(code != EP_OK);
    if (code == EP_OK) code = EP_E_COMPUTE;
    if (e->code != EP_OK) {
        if (e->later < UINT_MAX) e->later++;
        return code;
    }
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n < 0) e->msg[0] = '\0';
    if (n >= (int)sizeof e->msg) drop_partial_character(e->msg);
    strip_newlines(e->msg);
    e->code = code;
    e->later = 0;
    return code;
}

ep_status ep_context(struct ep_err *e, const char *fmt, ...)
{
    if (e->code == EP_OK) return EP_OK;
    /* Half of the room at most: the cause at the end is worth more than where it happened. */
    char front[sizeof e->msg / 2];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(front, sizeof front, fmt, ap);
    va_end(ap);
    if (n < 0) return e->code;
    if (n >= (int)sizeof front) drop_partial_character(front);
    size_t nf = strlen(front), nm = strlen(e->msg);
    bool cut = nf + nm >= sizeof e->msg;
    if (cut) nm = sizeof e->msg - 1 - nf;
    memmove(e->msg + nf, e->msg, nm);
    memcpy(e->msg, front, nf);
    e->msg[nf + nm] = '\0';
    if (cut) drop_partial_character(e->msg);
    return e->code;
}
