/* The page's script and style, as they stand beside this file. */
#include "pipeline/report/parts.h"

/* name: the bytes, name_size: how many (32 bits). */
#define EMBED(name, path)                                                                                              \
    __asm__(".pushsection .rodata\n.balign 4\n.global " #name "_size\n.hidden " #name "_size\n" #name "_size:\n"        \
            ".long 2f - 1f\n.global " #name "\n.hidden " #name "\n" #name ":\n1:\n.incbin \"" path "\"\n2:\n.popsection\n")

EMBED(ep_rep_script, "pipeline/report/report.js");
EMBED(ep_rep_style, "pipeline/report/report.css");
