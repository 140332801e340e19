/* Text for a screen of 80 columns. */
#include <stdio.h>
#include <string.h>
#include "pipeline/cli/cli.h"

size_t cli_columns(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void put_plain(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) putchar((unsigned char)text[i] < 0x20 || text[i] == 0x7F ? ' ' : text[i]);
}

void cli_pad(const char *text, size_t columns)
{
    put_plain(text, strlen(text));
    for (size_t n = cli_columns(text); n < columns; n++) putchar(' ');
}

void cli_wrap(const char *text, int first, int indent)
{
    int col = first;
    for (const char *p = text; *p;) {
        int n = (int)strcspn(p, " ");
        if (p > text && col + 1 + n > CLI_WIDTH) {
            printf("\n%*s", indent, "");
            col = indent;
        } else if (p > text) {
            putchar(' ');
            col++;
        }
        put_plain(p, (size_t)n);
        col += n;
        p += n;
        p += strspn(p, " ");
    }
    putchar('\n');
}
