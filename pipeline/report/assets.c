/* The page's script and style, as they stand beside this file. */
#include "pipeline/report/parts.h"

#define EMBED(name, path)                                                                                        \
    __asm__(".pushsection .rodata\n.global " #name "\n.hidden " #name "\n" #name ":\n.incbin \"" path "\"\n"          \
            ".global " #name "_end\n.hidden " #name "_end\n" #name "_end:\n.byte 0\n.popsection\n")

EMBED(ep_rep_script, "pipeline/report/report.js");
EMBED(ep_rep_style, "pipeline/report/report.css");
