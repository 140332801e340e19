/* The list of shapes. */
#include "pipeline/draw/render.h"

#include <stdlib.h>
#include <string.h>

struct ep_page *ep_page_new(double w, double h, const char *font)
{
    struct ep_page *p = ep_xcalloc(1, sizeof *p);
    p->w = w;
    p->h = h;
    p->font = ep_arena_strdup(&p->arena, font);
    return p;
}

void ep_page_free(struct ep_page *p)
{
    if (!p) return;
    ep_texts_free(p->texts);
    ep_arena_free(&p->arena);
    free(p->shape);
    free(p);
}

static struct ep_shape *add(struct ep_page *p, enum ep_shape_kind kind, const char *name, size_t n, const struct ep_point *pts, struct ep_colour c)
{
    EP_PUSH(p->shape, p->n, p->cap);
    struct ep_shape *s = &p->shape[p->n - 1];
    s->kind = kind;
    s->name = ep_arena_strdup(&p->arena, name);
    s->colour = c;
    s->n = n;
    s->p = EP_ARENA_ARRAY(&p->arena, struct ep_point, n + 1);
    if (n) memcpy(s->p, pts, n * sizeof *pts);
    return s;
}

struct ep_shape *ep_page_line(struct ep_page *p, const char *name, size_t n, const struct ep_point *pts, double width, struct ep_colour c)
{
    struct ep_shape *s = add(p, EP_SHAPE_LINE, name, n, pts, c);
    s->width = width;
    return s;
}

struct ep_shape *ep_page_area(struct ep_page *p, const char *name, size_t n, const struct ep_point *pts, struct ep_colour c)
{
    return add(p, EP_SHAPE_AREA, name, n, pts, c);
}

struct ep_shape *ep_page_rect(struct ep_page *p, const char *name, struct ep_box b, struct ep_colour c)
{
    const struct ep_point pts[4] = {{b.x, b.y}, {b.x + b.w, b.y}, {b.x + b.w, b.y + b.h}, {b.x, b.y + b.h}};
    return ep_page_area(p, name, 4, pts, c);
}

struct ep_shape *ep_page_text(struct ep_page *p, const char *name, double x, double y, const char *text, double size, enum ep_anchor a)
{
    struct ep_shape *s = add(p, EP_SHAPE_TEXT, name, 1, &(struct ep_point){x, y}, EP_BLACK);
    s->text = ep_arena_strdup(&p->arena, text);
    s->size = size;
    s->anchor = a;
    return s;
}

struct ep_shape *ep_page_picture(struct ep_page *p, const char *name, struct ep_box box, size_t ny, size_t nx, const unsigned char *rgb)
{
    struct ep_shape *s = add(p, EP_SHAPE_PICTURE, name, 0, NULL, EP_BLACK);
    unsigned char *copy = ep_arena_alloc(&p->arena, 3 * ny * nx + 1);
    memcpy(copy, rgb, 3 * ny * nx);
    s->box = box;
    s->ny = ny;
    s->nx = nx;
    s->rgb = copy;
    return s;
}

const struct ep_shape *ep_page_find(const struct ep_page *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->shape[i].name, name)) return &p->shape[i];
    return NULL;
}
