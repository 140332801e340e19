/* A page as SVG. cairo's SVG surface turns text into outlines, which nobody can edit, search or read aloud: this one
 * writes <text>. Lengths are in points, as the page's. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/draw/render.h"

static void escaped(struct ep_str *o, const char *text)
{
    for (const char *c = text; *c; c++) {
        const char *as = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : *c == '"' ? "&quot;" : NULL;
        if (as) ep_str_add(o, as);
        else if ((unsigned char)*c >= 0x20) ep_str_addn(o, c, 1);
    }
}

/* A thousandth of a point is a third of a micrometre. */
static void number(struct ep_str *o, double v)
{
    ep_json_num(o, round(v * 1000) / 1000 + 0.0);
}

static void attribute(struct ep_str *o, const char *name, double v)
{
    ep_str_addf(o, " %s=\"", name);
    number(o, v);
    ep_str_add(o, "\"");
}

static void colour(struct ep_str *o, const char *name, struct ep_colour c)
{
    ep_str_addf(o, " %s=\"#%02x%02x%02x\"", name, (unsigned)lround(255 * c.r), (unsigned)lround(255 * c.g), (unsigned)lround(255 * c.b));
    if (c.a < 1) ep_str_addf(o, " %s-opacity=\"%.3g\"", name, c.a);
}

static void base64(struct ep_str *o, const struct ep_str *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes->n; i += 3) {
        unsigned v = 0;
        size_t have = bytes->n - i < 3 ? bytes->n - i : 3;
        for (size_t k = 0; k < 3; k++) v = v << 8 | (k < have ? (unsigned char)bytes->s[i + k] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], have > 1 ? digits[v >> 6 & 63] : '=', have > 2 ? digits[v & 63] : '='};
        ep_str_addn(o, four, 4);
    }
}

static void add_path(struct ep_str *o, const struct ep_shape *s)
{
    ep_str_add(o, "<path d=\"");
    for (size_t i = 0; i < s->n; i++) {
        ep_str_add(o, i ? "L" : "M");
        number(o, s->p[i].x);
        ep_str_add(o, " ");
        number(o, s->p[i].y);
    }
    if (s->kind == EP_SHAPE_AREA) {
        ep_str_add(o, "Z\"");
        colour(o, "fill", s->colour);
        return;
    }
    ep_str_add(o, "\" fill=\"none\" stroke-linejoin=\"round\"");
    colour(o, "stroke", s->colour);
    attribute(o, "stroke-width", s->width);
    if (s->dash[1] <= 0) return;
    ep_str_addf(o, "%s stroke-dasharray=\"", s->dash[0] == 0 ? " stroke-linecap=\"round\"" : "");
    number(o, s->dash[0]);
    ep_str_add(o, " ");
    number(o, s->dash[1]);
    ep_str_add(o, "\"");
}

static void add_text(struct ep_str *o, const struct ep_shape *s)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    ep_str_add(o, "<text");
    attribute(o, "x", s->p[0].x);
    attribute(o, "y", s->p[0].y);
    attribute(o, "font-size", s->size);
    ep_str_addf(o, " text-anchor=\"%s\"", anchors[s->anchor]);
    if (s->bold) ep_str_add(o, " font-weight=\"bold\"");
    if (s->upright) {
        ep_str_add(o, " transform=\"rotate(-90 ");
        number(o, s->p[0].x);
        ep_str_add(o, " ");
        number(o, s->p[0].y);
        ep_str_add(o, ")\"");
    }
    colour(o, "fill", s->colour);
}

static ep_status add_picture(struct ep_str *o, const struct ep_shape *s, struct ep_err *e)
{
    struct ep_str png = {0};
    ep_status st = ep_picture_png(s, &png, e);
    ep_str_add(o, "<image");
    attribute(o, "x", s->box.x);
    attribute(o, "y", s->box.y);
    attribute(o, "width", s->box.w);
    attribute(o, "height", s->box.h);
    ep_str_add(o, " preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" xlink:href=\"data:image/png;base64,");
    base64(o, &png);
    ep_str_add(o, "\"");
    ep_str_free(&png);
    return st;
}

static void add_clips(struct ep_str *o, const struct ep_page *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct ep_box c = p->shape[i].clip;
        if (c.w <= 0 || (i && !memcmp(&c, &p->shape[i - 1].clip, sizeof c))) continue;
        ep_str_addf(o, "<clipPath id=\"clip%zu\"><rect", i);
        attribute(o, "x", c.x);
        attribute(o, "y", c.y);
        attribute(o, "width", c.w);
        attribute(o, "height", c.h);
        ep_str_add(o, "/></clipPath>\n");
    }
}

static ep_status add_shape(struct ep_str *o, const struct ep_shape *s, size_t clip, struct ep_err *e)
{
    ep_status st = EP_OK;
    if (s->kind == EP_SHAPE_TEXT) add_text(o, s);
    else if (s->kind == EP_SHAPE_PICTURE) st = add_picture(o, s, e);
    else add_path(o, s);
    if (s->clip.w > 0) ep_str_addf(o, " clip-path=\"url(#clip%zu)\"", clip);
    ep_str_add(o, " class=\"");
    escaped(o, s->name);
    ep_str_add(o, "\"");
    if (s->kind == EP_SHAPE_TEXT) {
        ep_str_add(o, ">");
        escaped(o, s->text);
        ep_str_add(o, "</text>\n");
    } else ep_str_add(o, "/>\n");
    return st;
}

ep_status ep_page_svg(const struct ep_page *p, struct ep_str *o, struct ep_err *e)
{
    ep_str_add(o, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
                  "xmlns:xlink=\"http://www.w3.org/1999/xlink\" version=\"1.1\"");
    ep_str_addf(o, " width=\"%.4gmm\" height=\"%.6gmm\" viewBox=\"0 0 ", p->w / EP_PT_PER_MM, p->h / EP_PT_PER_MM);
    number(o, p->w);
    ep_str_add(o, " ");
    number(o, p->h);
    ep_str_add(o, "\" font-family=\"");
    escaped(o, p->font);
    ep_str_add(o, "\">\n");
    if (p->title) {
        ep_str_add(o, "<title>");
        escaped(o, p->title);
        ep_str_add(o, "</title>\n");
    }
    if (p->subject) {
        ep_str_add(o, "<desc>");
        escaped(o, p->subject);
        ep_str_add(o, "</desc>\n");
    }
    add_clips(o, p);
    ep_str_add(o, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    ep_status st = EP_OK;
    size_t clip = 0;
    for (size_t i = 0; !st && i < p->n; i++) {
        const struct ep_shape *s = &p->shape[i];
        if (s->clip.w > 0 && !(i && !memcmp(&s->clip, &p->shape[i - 1].clip, sizeof s->clip))) clip = i;
        st = add_shape(o, s, clip, e);
    }
    ep_str_add(o, "</svg>\n");
    return st;
}
