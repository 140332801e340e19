/* Maps: pixels, scale bar, colour bar. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/draw/chart.h"

struct ep_point ep_map_at(const struct ep_map *m, struct ep_box box, double y, double x)
{
    double row = (y - m->y0) / m->hy + 0.5, col = (x - m->x0) / m->hx + 0.5;      /* 0 at the outer edge of the first pixel */
    return (struct ep_point){box.x + col / (double)m->nx * box.w, box.y + row / (double)m->ny * box.h};
}

/* White is a colour of maps, and of the page. */
static void outline(struct ep_page *p, const char *name, struct ep_box b)
{
    const struct ep_point frame[5] = {{b.x, b.y}, {b.x + b.w, b.y}, {b.x + b.w, b.y + b.h}, {b.x, b.y + b.h}, {b.x, b.y}};
    ep_page_line(p, name, 5, frame, 0.25, (struct ep_colour){0.4, 0.4, 0.4, 1});
}

void ep_draw_map(struct ep_page *p, const char *name, const struct ep_map *m, const struct ep_scale *s, struct ep_box box)
{
    unsigned char *rgb = ep_xcalloc(m->ny * m->nx + 1, 3), none[3] = {184, 184, 184};
    for (size_t i = 0; i < m->ny * m->nx; i++) {
        unsigned char *to = rgb + 3 * i;
        if (isfinite(m->v[i])) ep_colour_of(s->colours, (m->v[i] - s->lo) / (s->hi - s->lo), to);
        else to[0] = none[0], to[1] = none[1], to[2] = none[2];
    }
    ep_page_picture(p, name, box, m->ny, m->nx, rgb);
    outline(p, ep_arena_printf(&p->arena, "%s frame", name), box);
    free(rgb);
}

double ep_draw_scale_bar(struct ep_page *p, const char *name, const struct ep_style *style, const struct ep_map *m, struct ep_box box, double length)
{
    double field = fabs(m->hx) * (double)m->nx, per_nm = box.w / field;
    if (!(length > 0)) length = ep_round_down(field / 3);
    char text[48];
    snprintf(text, sizeof text, "%g %s", length, m->unit);
    double font = style->font * fmin(1, fmin(box.h / (2.4 * style->font), box.w / (ep_text_width(p, text, style->font, true) + 1.2 * style->font)));
    double thick = fmax(1, 0.17 * font), edge = 0.45 * font, size = 0.9 * font, pad = 0.3 * font;
    double words = ep_text_width(p, text, size, true), wide = fmax(words, length * per_nm);
    struct ep_box bar = {box.x + edge + (wide - length * per_nm) / 2, box.y + box.h - edge - thick, length * per_nm, thick};
    double top = bar.y - 0.3 * font - 0.75 * size;      /* a shade behind it: white is to be read on any colour */
    struct ep_box shade = {box.x + edge - pad, top - pad, wide + 2 * pad, bar.y + thick - top + 2 * pad};
    ep_page_rect(p, "shade", shade, (struct ep_colour){0, 0, 0, 0.45});
    ep_page_rect(p, name, bar, EP_WHITE);
    const char *label = ep_arena_printf(&p->arena, "%s text", name);
    struct ep_shape *s = ep_page_text(p, label, box.x + edge + wide / 2, bar.y - 0.3 * font, text, size, EP_MIDDLE);
    s->colour = EP_WHITE;
    s->bold = true;
    return length;
}

static struct ep_ticks bar_ticks(const struct ep_scale *s, double height, const struct ep_style *style, int *power)
{
    *power = ep_tick_power(s->lo, s->hi);
    double f = pow(10, -*power);
    size_t most = (size_t)fmax(2, fmin(6, height / (1.9 * style->font)));
    struct ep_ticks t = ep_ticks(s->lo * f, s->hi * f, most);
    if (t.n > 1 && height * t.step / ((s->hi - s->lo) * f) < 0.9 * style->font) t.v[0] = t.v[t.n - 1], t.n = 1;      /* numbers would touch */
    return t;
}

double ep_colour_bar_room(struct ep_page *p, const struct ep_style *style, const struct ep_scale *s)
{
    int power;
    double widest = 0;
    struct ep_ticks t = bar_ticks(s, 200, style, &power);
    for (size_t i = 0; i < t.n; i++) {
        char text[40];
        ep_tick_text(t.v[i], t.step, text, sizeof text);
        widest = fmax(widest, ep_text_width(p, text, style->font, false));
    }
    return 3 + widest + 1.5 + style->font;
}

static void arrow(struct ep_page *p, const char *name, struct ep_box box, double y, double tip, struct ep_colour c)
{
    const struct ep_point t[3] = {{box.x, y}, {box.x + box.w, y}, {box.x + box.w / 2, tip}};
    const struct ep_point rim[3] = {t[0], t[2], t[1]};
    ep_page_area(p, name, 3, t, c);
    ep_page_line(p, "rim", 3, rim, 0.25, (struct ep_colour){0.4, 0.4, 0.4, 1});
}

void ep_draw_colour_bar(struct ep_page *p, const char *name, const struct ep_style *style, const struct ep_scale *s, struct ep_box box,
                        const char *label, const char *unit, double label_x, bool below, bool above)
{
    enum { STEPS = 128 };
    unsigned char rgb[3 * STEPS];
    double font = style->font;
    struct ep_arena *a = &p->arena;
    for (size_t i = 0; i < STEPS; i++) ep_colour_of(s->colours, 1 - ((double)i + 0.5) / STEPS, rgb + 3 * i);
    ep_page_picture(p, ep_arena_printf(a, "%s/colours", name), box, STEPS, 1, rgb);
    outline(p, ep_arena_printf(a, "%s/frame", name), box);
    if (above) arrow(p, ep_arena_printf(a, "%s/above", name), box, box.y, box.y - 0.8 * box.w, ep_colour_at(s->colours, 1));
    if (below) arrow(p, ep_arena_printf(a, "%s/below", name), box, box.y + box.h, box.y + box.h + 0.8 * box.w, ep_colour_at(s->colours, 0));
    int power;
    struct ep_ticks t = bar_ticks(s, box.h, style, &power);
    double f = pow(10, -power);
    for (size_t i = 0; i < t.n; i++) {
        char text[40];
        double y = box.y + box.h * (1 - (t.v[i] / f - s->lo) / (s->hi - s->lo));
        const struct ep_point line[2] = {{box.x + box.w, y}, {box.x + box.w + 1.5, y}};
        ep_page_line(p, ep_arena_printf(a, "%s/tick", name), 2, line, style->thin, EP_BLACK);
        ep_tick_text(t.v[i], t.step, text, sizeof text);
        ep_page_text(p, ep_arena_printf(a, "%s/number", name), box.x + box.w + 3, y + 0.36 * font, text, font, EP_START);
    }
    char text[160];
    if (!label) return;
    ep_label_text(label, unit, power, text, sizeof text);
    struct ep_shape *shape = ep_page_text(p, ep_arena_printf(a, "%s/label", name), label_x, box.y + box.h / 2, text, font, EP_MIDDLE);
    shape->upright = true;
    shape->size = font * fmax(EP_LEAST_TEXT, fmin(1, (box.h + 1.6 * box.w) / ep_text_width(p, text, font, false)));
}
