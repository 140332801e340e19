/* What pixels carry beside their spectrum: shift, model parameters and their covariance, flags. */
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5array.h"
#include "pipeline/io/source_private.h"

static const struct { const char *path; size_t per_pixel, bytes; } carried[EP_NCARRY] = {
    [EP_CARRY_SHIFT] = {"shift", 1, 8},
    [EP_CARRY_THETA] = {"covariance/theta", EP_NTHETA, 8},
    [EP_CARRY_CMAT] = {"covariance/cmat", EP_NCMAT, 8},
    [EP_CARRY_FLAG] = {"flags", 1, 4}, /* last: the others stay aligned in the buffer of a piece */
};

static bool has(const struct ep_source *s, int k)
{
    return s->carry[k] > 0;
}

static size_t pixel_bytes(int k)
{
    return carried[k].per_pixel * carried[k].bytes;
}

static void *target(const struct ep_block *b, int k)
{
    return k == EP_CARRY_SHIFT ? (void *)b->shift : k == EP_CARRY_THETA ? (void *)b->theta
         : k == EP_CARRY_CMAT ? (void *)b->cmat : (void *)b->flag;
}

static ep_status open_one(struct ep_source *s, int k, struct ep_err *e)
{
    struct ep_str path = {0};
    hsize_t d[H5S_MAX_RANK];
    size_t nnav = s->d.nnav, per = carried[k].per_pixel;
    ep_str_addf(&path, "%s/%s", s->it->group, carried[k].path);
    s->carry[k] = ep_h5_dataset(s->f->id, path.s);
    EP_AUTO_HID space = s->carry[k] < 0 ? H5I_INVALID_HID : H5Dget_space(s->carry[k]);
    EP_AUTO_HID type = s->carry[k] < 0 ? H5I_INVALID_HID : H5Dget_type(s->carry[k]);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    bool ok = space >= 0 && (class == H5T_FLOAT || class == H5T_INTEGER);
    if (ok && !nnav) { /* a single spectrum: a scalar or arrays of one */
        ok = H5Sget_simple_extent_npoints(space) == (hssize_t)per;
    } else if (ok) {
        ok = H5Sget_simple_extent_dims(space, d, NULL) == (int)nnav + (per > 1) && (per == 1 || d[nnav] == per);
        for (size_t i = 0; ok && i < nnav; i++) ok = d[i] == s->d.nav[i].size;
    }
    if (ok) ok = (s->carried[k] = ep_h5_array_open(s->carry[k], k == EP_CARRY_FLAG ? H5T_NATIVE_UINT32 : H5T_NATIVE_DOUBLE)) != NULL;
    ep_status st = ok ? EP_OK : ep_fail(e, EP_E_INPUT, "%s: %s is missing or does not fit the data", s->f->path, path.s);
    ep_str_free(&path);
    s->carries = true;
    return st;
}

ep_status ep_src_carry_open(struct ep_source *s, struct ep_err *e)
{
    ep_status st = EP_OK;
    if (s->it->has_shift) st = open_one(s, EP_CARRY_SHIFT, e);
    if (st == EP_OK && s->it->model) st = open_one(s, EP_CARRY_THETA, e);
    if (st == EP_OK && s->it->model) st = open_one(s, EP_CARRY_CMAT, e);
    if (st == EP_OK && s->it->has_flags) st = open_one(s, EP_CARRY_FLAG, e);
    return st;
}

void ep_src_carry_close(struct ep_source *s)
{
    for (int k = 0; k < EP_NCARRY; k++) {
        ep_h5_array_close(s->carried[k]);
        ep_hid_done(&s->carry[k]);
    }
}

static ep_status read_one(struct ep_source *s, int k, struct ep_area a, unsigned char *to, struct ep_err *e)
{
    size_t nnav = s->d.nnav, per = carried[k].per_pixel, t = 0;
    struct ep_box x = {.hi = {s->n[EP_T], s->n[EP_Y], 1, 1}, .row0 = a.y0, .row1 = a.y0 + a.ny};
    struct ep_part p;
    bool ok = nnav || ep_h5_array_read_all(s->carried[k], to);
    while (nnav && ok && ep_src_next(s, &x, &t, &p)) {
        hsize_t start[4] = {p.t, p.y0, a.x0, 0}, count[4] = {1, p.y1 - p.y0, a.nx, per};
        size_t skip = EP_MAX_NAV - nnav;
        ok = ep_h5_array_read(s->carried[k], start + skip, count + skip, to);
        to += (p.y1 - p.y0) * a.nx * pixel_bytes(k);
    }
    return ok ? EP_OK : ep_fail(e, EP_E_INPUT, "%s: %s/%s can't be read (%s)", s->f->path, s->it->group, carried[k].path, ep_damaged_hint(s->it));
}

ep_status ep_src_carry_fetch(struct ep_source *s, const struct ep_block *b, struct ep_piece *p, struct ep_err *e)
{
    size_t pixels = b->a.ny * b->a.nx, total = 0, at = 0;
    for (int k = 0; k < EP_NCARRY; k++)
        if (has(s, k)) total += pixels * pixel_bytes(k);
    ep_status st = ep_reserve(&p->raw, &p->capacity, total, "what pixels carry", e);
    for (int k = 0; st == EP_OK && k < EP_NCARRY; k++) {
        if (!has(s, k)) continue;
        st = read_one(s, k, b->a, (unsigned char *)p->raw + at, e);
        at += pixels * pixel_bytes(k);
    }
    p->bytes = total;
    return st;
}

void ep_src_carry_fill(struct ep_source *s, struct ep_block *b, const struct ep_piece *p)
{
    size_t pixels = b->a.ny * b->a.nx, at = 0;
    for (int k = 0; k < EP_NCARRY; k++) {
        if (!has(s, k)) continue;
        if (target(b, k)) memcpy(target(b, k), (unsigned char *)p->raw + at, pixels * pixel_bytes(k));
        at += pixels * pixel_bytes(k);
    }
}

void ep_src_carry_clear(const struct ep_source *s, struct ep_block *b)
{
    for (int k = 0; k < EP_NCARRY; k++)
        if (!has(s, k) && target(b, k)) memset(target(b, k), 0, b->a.ny * b->a.nx * pixel_bytes(k));
}

void ep_src_carry_copy(const struct ep_source *s, struct ep_block *b, const struct ep_box *x)
{
    const void *from[EP_NCARRY] = {s->mem->shift, s->mem->theta, s->mem->cmat, s->mem->flags};
    for (int k = 0; k < EP_NCARRY; k++) {
        unsigned char *to = target(b, k);
        size_t bytes = pixel_bytes(k), n = (x->hi[EP_X] - x->lo[EP_X]) * bytes;
        for (size_t y = x->row0; to && y < x->row1; y++) {
            unsigned char *row = to + ((y - b->a.y0) * b->a.nx + (x->lo[EP_X] - b->a.x0)) * bytes;
            if (from[k]) memcpy(row, (const unsigned char *)from[k] + (y * s->n[EP_X] + x->lo[EP_X]) * bytes, n);
            else memset(row, 0, n);
        }
    }
}
