/* Pieces of HTML: texts, numbers, pictures. Private to pipeline/report/. */
#ifndef EP_REPORT_HTML_H
#define EP_REPORT_HTML_H
#include <stdbool.h>
#include <stdint.h>
#include "pipeline/base/mem.h"

/* Text, escaped for elements and for attributes in double quotes; control characters become blanks. */
void ep_html_text(struct ep_str *o, const char *s);
void ep_html_textn(struct ep_str *o, const char *s, size_t n);
/* fmt is markup of the program; each %s among its arguments is escaped. Only %s, %d, %zu and %%. */
void ep_html_addf(struct ep_str *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "12.35 ± 0.41": as many digits as the sigma has two of; without a sigma six digits; "–" for NaN. Plain text. */
void ep_html_number(struct ep_str *o, double v, double sigma);
/* JSON for a <script type="application/json">: nothing in it can end the element. */
void ep_html_json(struct ep_str *o, const struct ep_str *json);
void ep_html_base64(struct ep_str *o, const void *bytes, size_t n);
/* As a policy wants it: 'sha256-...'. */
void ep_html_sha256(struct ep_str *o, const void *bytes, size_t n);
/* Values packed for the page: bytes of equal weight together, zlib, base64. keep: bits of each that count. */
void ep_html_pack(struct ep_str *o, const uint32_t *words, size_t n, unsigned keep);
/* A PNG of palette indices as a data: address. */
void ep_html_png(struct ep_str *o, size_t ny, size_t nx, const unsigned char *index, const unsigned char palette[][3], size_t colours);
#endif
