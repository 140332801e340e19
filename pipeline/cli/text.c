/* Text for a screen of 80 columns. */
#include <stdio.h>
#include <string.h>
#include "pipeline/cli/cli.h"

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
        printf("%.*s", n, p);
        col += n;
        p += n;
        p += strspn(p, " ");
    }
    putchar('\n');
}
