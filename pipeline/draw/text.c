/* Texts that have to find room: cut in their middle, broken into lines. */
#include <string.h>
#include "pipeline/draw/page.h"

/* The beginning of the character that byte i is in. */
static size_t character(const char *text, size_t i)
{
    while (i > 0 && ((unsigned char)text[i] & 0xc0) == 0x80) i--;
    return i;
}

const char *ep_text_fit(struct ep_page *p, const char *text, double size, bool bold, double width)
{
    size_t n = strlen(text), most = n;
    const char *out = text;
    while (most > 2 && ep_text_width(p, out, size, bold) > width) {
        most--;
        size_t begin = character(text, (most + 1) / 2), end = n - most / 2;
        while (end < n && ((unsigned char)text[end] & 0xc0) == 0x80) end++;
        out = ep_arena_printf(&p->arena, "%.*s\u2026%s", (int)begin, text, text + end);
    }
    return out;
}

size_t ep_text_wrap(struct ep_page *p, const char *text, double size, bool bold, double width, size_t most, const char **line)
{
    size_t n = 0;
    while (*text == ' ') text++;
    while (*text) {
        size_t whole = strlen(text), end = n + 1 == most ? whole : strcspn(text, " ");
        for (size_t next = end; n + 1 < most && next < whole; end = next) {
            next = end + 1 + strcspn(text + end + 1, " ");
            if (ep_text_width(p, ep_arena_strndup(&p->arena, text, next), size, bold) > width) break;
        }
        line[n++] = ep_text_fit(p, ep_arena_strndup(&p->arena, text, end), size, bold, width);
        text += end;
        while (*text == ' ') text++;
    }
    return n;
}
