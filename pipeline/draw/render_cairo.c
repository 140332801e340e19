/* A page as PDF and PNG; the size of texts. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/draw/cairo_load.h"
#include "pipeline/draw/render.h"

/* ---- text --------------------------------------------------------------------------------------------------- */

/* Glyphs where their widths put them, at any resolution: the same layout on a page of 300 and of 1200 dots per inch. */
struct ep_texts_drawn { PangoFontMap *map; PangoContext *context; PangoLayout *layout; };

static struct ep_texts_drawn *texts_new(void)
{
    struct ep_texts_drawn *t = ep_xcalloc(1, sizeof *t);
    cairo_font_options_t *o = cairo_font_options_create();
    cairo_font_options_set_hint_style(o, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(o, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(o, CAIRO_ANTIALIAS_GRAY);
    t->map = pango_cairo_font_map_new();
    pango_cairo_font_map_set_resolution((PangoCairoFontMap *)t->map, 72);
    t->context = pango_font_map_create_context(t->map);
    pango_cairo_context_set_font_options(t->context, o);
    pango_context_set_round_glyph_positions(t->context, FALSE);
    t->layout = pango_layout_new(t->context);
    pango_layout_set_single_paragraph_mode(t->layout, TRUE);
    cairo_font_options_destroy(o);
    return t;
}

void ep_texts_free(struct ep_texts_drawn *t)
{
    if (!t) return;
    g_object_unref(t->layout);
    g_object_unref(t->context);
    g_object_unref(t->map);
    free(t);
}

/* The line that is drawn, and its extents in points around the start of its baseline. */
static PangoLayoutLine *text_line(struct ep_texts_drawn *t, const struct ep_page *p, const char *text, double size, bool bold, struct ep_box *box)
{
    PangoFontDescription *d = pango_font_description_new();
    pango_font_description_set_family(d, p->font);
    pango_font_description_set_absolute_size(d, size * PANGO_SCALE);
    if (bold) pango_font_description_set_weight(d, PANGO_WEIGHT_BOLD);
    pango_layout_set_font_description(t->layout, d);
    pango_layout_set_text(t->layout, text, -1);
    pango_font_description_free(d);
    PangoLayoutLine *line = pango_layout_get_line_readonly(t->layout, 0);
    PangoRectangle r;
    pango_layout_line_get_extents(line, NULL, &r);
    *box = (struct ep_box){(double)r.x / PANGO_SCALE, (double)r.y / PANGO_SCALE, (double)r.width / PANGO_SCALE, (double)r.height / PANGO_SCALE};
    return line;
}

double ep_text_width(struct ep_page *p, const char *text, double size, bool bold)
{
    struct ep_box b;
    if (!p->texts) p->texts = texts_new();
    text_line(p->texts, p, text, size, bold, &b);
    return b.w;
}

static double anchored(enum ep_anchor a, double w)
{
    return a == EP_START ? 0 : a == EP_MIDDLE ? -w / 2 : -w;
}

struct ep_box ep_text_box(struct ep_page *p, const struct ep_shape *s)
{
    double w = ep_text_width(p, s->text, s->size, s->bold), left = anchored(s->anchor, w);
    double up = 0.75 * s->size, down = 0.22 * s->size;      /* capitals and descenders, of about any font */
    if (!s->upright) return (struct ep_box){s->p[0].x + left, s->p[0].y - up, w, up + down};
    return (struct ep_box){s->p[0].x - up, s->p[0].y - left - w, up + down, w};
}

static void draw_text(cairo_t *c, struct ep_texts_drawn *t, const struct ep_page *p, const struct ep_shape *s)
{
    struct ep_box b;
    PangoLayoutLine *line = text_line(t, p, s->text, s->size, s->bold, &b);
    cairo_translate(c, s->p[0].x, s->p[0].y);
    if (s->upright) cairo_rotate(c, -M_PI / 2);
    cairo_move_to(c, anchored(s->anchor, b.w), 0);
    pango_cairo_show_layout_line(c, line);
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

/* Each pixel as a square of `times` dots. */
static cairo_surface_t *picture_surface(const struct ep_shape *s, size_t times)
{
    cairo_surface_t *im = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(s->nx * times), (int)(s->ny * times));
    unsigned char *data = cairo_image_surface_get_data(im);
    if (!data) return im;
    size_t stride = (size_t)cairo_image_surface_get_stride(im);
    cairo_surface_flush(im);
    for (size_t y = 0; y < s->ny * times; y++)
        for (size_t x = 0; x < s->nx * times; x++) {
            const unsigned char *v = s->rgb + 3 * (y / times * s->nx + x / times);
            uint32_t word = (uint32_t)v[0] << 16 | (uint32_t)v[1] << 8 | v[2];
            memcpy(data + y * stride + 4 * x, &word, sizeof word);
        }
    cairo_surface_mark_dirty(im);
    return im;
}

static void draw_picture(cairo_t *c, const struct ep_shape *s)
{
    cairo_surface_t *im = picture_surface(s, 1);
    cairo_translate(c, s->box.x, s->box.y);
    cairo_scale(c, s->box.w / (double)s->nx, s->box.h / (double)s->ny);
    cairo_rectangle(c, 0, 0, (double)s->nx, (double)s->ny);
    cairo_clip(c);
    cairo_set_source_surface(c, im, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c), CAIRO_FILTER_NEAREST);
    cairo_paint(c);
    cairo_surface_destroy(im);
}

static void draw_path(cairo_t *c, const struct ep_shape *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (i == 0) cairo_move_to(c, s->p[i].x, s->p[i].y);
        else cairo_line_to(c, s->p[i].x, s->p[i].y);
    if (s->kind == EP_SHAPE_AREA) {
        cairo_close_path(c);
        cairo_fill(c);
        return;
    }
    bool dots = s->dash[0] == 0 && s->dash[1] > 0;
    cairo_set_line_width(c, s->width);
    cairo_set_line_cap(c, dots ? CAIRO_LINE_CAP_ROUND : CAIRO_LINE_CAP_BUTT);
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(c, s->dash, s->dash[1] > 0 ? 2 : 0, 0);
    cairo_stroke(c);
}

static void draw(cairo_t *c, struct ep_texts_drawn *t, const struct ep_page *p)
{
    cairo_set_source_rgba(c, 1, 1, 1, 1);
    cairo_paint(c);
    for (size_t i = 0; i < p->n; i++) {
        const struct ep_shape *s = &p->shape[i];
        cairo_save(c);
        if (s->clip.w > 0) {
            cairo_rectangle(c, s->clip.x, s->clip.y, s->clip.w, s->clip.h);
            cairo_clip(c);
        }
        cairo_set_source_rgba(c, s->colour.r, s->colour.g, s->colour.b, s->colour.a);
        if (s->kind == EP_SHAPE_TEXT) draw_text(c, t, p, s);
        else if (s->kind == EP_SHAPE_PICTURE) draw_picture(c, s);
        else draw_path(c, s);
        cairo_restore(c);
    }
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static cairo_status_t add_bytes(void *to, const unsigned char *bytes, unsigned n)
{
    ep_str_addn(to, (const char *)bytes, n);
    return CAIRO_STATUS_SUCCESS;
}

static ep_status checked(cairo_status_t st, const char *what, struct ep_err *e)
{
    return st ? ep_fail(e, EP_E_COMPUTE, "drawing to %s: %s", what, cairo_status_to_string(st)) : EP_OK;
}

static ep_status draw_on(cairo_surface_t *to, double scale, const struct ep_page *p, const char *what, struct ep_err *e)
{
    struct ep_texts_drawn *t = texts_new();
    cairo_t *c = cairo_create(to);
    cairo_scale(c, scale, scale);
    draw(c, t, p);
    ep_status st = checked(cairo_status(c), what, e);
    cairo_destroy(c);
    ep_texts_free(t);
    return st;
}

ep_status ep_page_pdf(const struct ep_page *p, struct ep_str *out, struct ep_err *e)
{
    ep_status st = ep_draw_ready(e);
    if (st) return st;
    cairo_surface_t *to = cairo_pdf_surface_create_for_stream(add_bytes, out, p->w, p->h);
    cairo_pdf_surface_set_metadata(to, CAIRO_PDF_METADATA_CREATE_DATE, NULL);
    if (p->title) cairo_pdf_surface_set_metadata(to, CAIRO_PDF_METADATA_TITLE, p->title);
    if (p->subject) cairo_pdf_surface_set_metadata(to, CAIRO_PDF_METADATA_SUBJECT, p->subject);
    cairo_pdf_surface_set_metadata(to, CAIRO_PDF_METADATA_CREATOR, "eelpipe");
    st = draw_on(to, 1, p, "PDF", e);
    cairo_surface_finish(to);
    if (!st) st = checked(cairo_surface_status(to), "PDF", e);
    cairo_surface_destroy(to);
    return st;
}

static ep_status surface_png(cairo_surface_t *im, struct ep_str *out, struct ep_err *e)
{
    return checked(cairo_surface_write_to_png_stream(im, add_bytes, out), "PNG", e);
}

static uint32_t png_crc(const unsigned char *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? UINT32_C(0xedb88320) ^ c >> 1 : c >> 1;
    }
    return ~c;
}

static void big_endian(unsigned char *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* cairo does not say how large a pixel is: a chunk pHYs behind the header does. */
static void add_resolution(const struct ep_str *png, double dpi, struct ep_str *out)
{
    enum { HEADER = 8 + 25 };
    unsigned char chunk[21] = {0, 0, 0, 9, 'p', 'H', 'Y', 's'};
    uint32_t per_metre = (uint32_t)lround(dpi / 0.0254);
    big_endian(chunk + 8, per_metre);
    big_endian(chunk + 12, per_metre);
    chunk[16] = 1;
    big_endian(chunk + 17, png_crc(chunk + 4, 13));
    ep_str_addn(out, png->s, HEADER);
    ep_str_addn(out, (const char *)chunk, sizeof chunk);
    ep_str_addn(out, png->s + HEADER, png->n - HEADER);
}

ep_status ep_page_png(const struct ep_page *p, double dpi, struct ep_str *out, struct ep_err *e)
{
    ep_status st = ep_draw_ready(e);
    if (st) return st;
    struct ep_str png = {0};
    double scale = dpi / 72;
    cairo_surface_t *to = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(p->w * scale - 1e-6), (int)ceil(p->h * scale - 1e-6));
    st = checked(cairo_surface_status(to), "PNG", e);
    if (!st) st = draw_on(to, scale, p, "PNG", e);
    if (!st) st = surface_png(to, &png, e);
    if (!st) add_resolution(&png, dpi, out);
    cairo_surface_destroy(to);
    ep_str_free(&png);
    return st;
}

ep_status ep_picture_png(const struct ep_shape *s, struct ep_str *out, struct ep_err *e)
{
    ep_status st = ep_draw_ready(e);
    if (st) return st;
    size_t times = 1;       /* viewers that smooth what they enlarge have less to smooth */
    while (times < 8 && times * 2 * (s->nx > s->ny ? s->nx : s->ny) <= 2048) times *= 2;
    cairo_surface_t *im = picture_surface(s, times);
    st = surface_png(im, out, e);
    cairo_surface_destroy(im);
    return st;
}
