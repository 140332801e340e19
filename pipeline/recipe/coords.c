/* Coordinates and their values: numbers when they have a unit, else texts. */
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/units.h"
#include "pipeline/recipe/parts.h"

long ep_coord_find(const struct ep_recipe *r, const char *name)
{
    for (size_t i = 0; i < r->ncoords; i++)
        if (!strcmp(r->coords[i].name, name)) return (long)i;
    return -1;
}

const char *const *ep_coord_names(const struct ep_recipe *r, struct ep_arena *a)
{
    const char **names = EP_ARENA_ARRAY(a, const char *, r->ncoords + 1);
    for (size_t i = 0; i < r->ncoords; i++) names[i] = r->coords[i].name;
    return names;
}

long ep_coord_need(const struct ep_recipe *r, struct ep_arena *a, const char *name, struct ep_pos pos,
                   const char *what, struct ep_diag *d)
{
    long c = ep_coord_find(r, name);
    if (c < 0 && r->ncoords == 0)
        ep_diag_error(d, pos, "%s: there is no coordinate '%s': no path of `inputs` has a placeholder {%s}",
                      what, name, name);
    else if (c < 0)
        ep_diag_error(d, pos, "%s: there is no coordinate '%s'%s", what, name,
                      ep_hint(a, name, ep_coord_names(r, a), "Coordinates"));
    return c;
}

bool ep_coord_text(const struct ep_recipe *r, size_t coord, const char *text, struct ep_arena *a,
                   struct ep_coord_val *out, struct ep_err *e)
{
    const struct ep_coord_def *c = &r->coords[coord];
    *out = (struct ep_coord_val){.text = text};
    if (!c->number) return true;
    if (ep_unit_parse(text, c->unit, &out->num, e)) return false;
    out->text = ep_show_number(a, out->num);
    return true;
}

bool ep_coord_value(const struct ep_recipe *r, size_t coord, const struct ep_value *v, struct ep_arena *a,
                    struct ep_coord_val *out, const char *what, struct ep_diag *d)
{
    const struct ep_coord_def *c = &r->coords[coord];
    if (v->kind == EP_V_LIST || v->kind == EP_V_MAP || v->kind == EP_V_NULL) {
        ep_diag_error(d, v->pos, "%s: %s = %s is %s: one value is needed", what, c->name, ep_show(a, v),
                      ep_vkind_name(v->kind));
        return false;
    }
    if (c->number && v->kind == EP_V_NUMBER && v->num - v->num == 0) {   /* finite, and maybe written 0x19 */
        *out = (struct ep_coord_val){ep_show_number(a, v->num), v->num};
        return true;
    }
    struct ep_err e = {0};
    if (ep_coord_text(r, coord, v->text, a, out, &e)) return true;
    ep_diag_error(d, v->pos, "%s: %s: %s", what, c->name, e.msg);
    return false;
}

int ep_coord_compare(const struct ep_recipe *r, size_t coord, const struct ep_coord_val *x,
                     const struct ep_coord_val *y)
{
    if (!x->text || !y->text) return (x->text != NULL) - (y->text != NULL);
    if (r->coords[coord].number) return (x->num > y->num) - (x->num < y->num);
    return strcmp(x->text, y->text);
}

char *ep_coords_label(const struct ep_recipe *r, const struct ep_coord_val *v, struct ep_arena *a)
{
    struct ep_str b = {0};
    ep_str_add(&b, "");
    for (size_t i = 0; i < r->ncoords; i++)
        if (v[i].text) ep_str_addf(&b, "%s%s=%s", b.n ? ", " : "", r->coords[i].name, v[i].text);
    char *s = ep_arena_strdup(a, b.s);
    ep_str_free(&b);
    return s;
}
