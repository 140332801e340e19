/* Gaussian averages of a map at any place, and the noise of a map. */
#include "pipeline/numerics/image_shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

/* Weights of im's rows (or columns) around one place of the grid. */
struct taps { long first; size_t n; double *k, *dk, sum; };

static size_t taps_max(double h, double width)
{
    return 2 * (size_t)ceil(4 * width / fabs(h)) + 2;
}

static void make_taps(double at, double y0, double h, size_t n, double width, struct taps *t)
{
    double reach = 4 * width / fabs(h), c = (at - y0) / h;
    t->n = 0;
    t->sum = 0;
    if (!(c + reach >= 0 && c - reach <= (double)n - 1)) return;
    double lo = fmax(0, ceil(c - reach)), hi = fmin((double)n - 1, floor(c + reach));
    t->first = (long)lo;
    for (double i = lo; i <= hi; i += 1) {
        double u = (y0 + i * h - at) / width, g = exp(-0.5 * u * u) * fabs(h) / (width * sqrt(2 * PI));
        t->k[t->n] = g;
        t->sum += g;
        t->dk[t->n++] = g * u / width;      /* derivative by `at` */
    }
}

/* One row of the result: sums over rows first, then over columns, of values and of their presence. */
struct rows { double *v, *m, *vy, *my; };

static void sum_rows(const struct ep_image *im, const struct taps *t, const struct rows *r)
{
    size_t nx = im->nx;
    memset(r->v, 0, 4 * nx * sizeof *r->v);
    for (size_t k = 0; k < t->n; k++) {
        const double *z = im->val + ((size_t)t->first + k) * nx;
        for (size_t j = 0; j < nx; j++) {
            if (isnan(z[j])) continue;
            r->v[j] += t->k[k] * z[j];
            r->m[j] += t->k[k];
            r->vy[j] += t->dk[k] * z[j];
            r->my[j] += t->dk[k];
        }
    }
}

struct average { double v, gy, gx; };

static struct average average_at(const struct rows *r, const struct taps *row, const struct taps *t, double inside)
{
    double v = 0, m = 0, vy = 0, my = 0, vx = 0, mx = 0;
    for (size_t k = 0; k < t->n; k++) {
        size_t j = (size_t)t->first + k;
        v += t->k[k] * r->v[j];
        m += t->k[k] * r->m[j];
        vy += t->k[k] * r->vy[j];
        my += t->k[k] * r->my[j];
        vx += t->dk[k] * r->v[j];
        mx += t->dk[k] * r->m[j];
    }
    double whole = row->sum * t->sum;
    if (!(whole >= inside && m >= 0.8 * whole)) return (struct average){ (double)NAN, (double)NAN, (double)NAN };
    return (struct average){ v / m, (vy - v / m * my) / m, (vx - v / m * mx) / m };
}

ep_status ep_image_sample(const struct ep_image *im, const struct ep_image *grid, double dy, double dx, double width, double inside,
                          double *val, double *gy, double *gx, struct ep_err *e)
{
    size_t my = taps_max(im->hy, width), mx = taps_max(im->hx, width);
    size_t need = 4 * im->nx + 2 * my + 2 * mx * grid->nx;
    double *room = malloc(need * sizeof *room);
    struct taps *col = calloc(grid->nx + 1, sizeof *col);
    if (!room || !col) {
        free(room);
        free(col);
        return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (smoothing a map)", need * sizeof *room);
    }
    struct rows r = { room, room + im->nx, room + 2 * im->nx, room + 3 * im->nx };
    double *next = room + 4 * im->nx;
    struct taps row = { .k = next, .dk = next + my };
    next += 2 * my;
    for (size_t j = 0; j < grid->nx; j++, next += 2 * mx) {
        col[j].k = next;
        col[j].dk = next + mx;
        make_taps(grid->x0 + (double)j * grid->hx + dx, im->x0, im->hx, im->nx, width, &col[j]);
    }
    for (size_t i = 0; i < grid->ny; i++) {
        make_taps(grid->y0 + (double)i * grid->hy + dy, im->y0, im->hy, im->ny, width, &row);
        sum_rows(im, &row, &r);
        for (size_t j = 0; j < grid->nx; j++) {
            struct average a = average_at(&r, &row, &col[j], inside);
            val[i * grid->nx + j] = a.v;
            if (gy) gy[i * grid->nx + j] = a.gy;
            if (gx) gx[i * grid->nx + j] = a.gx;
        }
    }
    free(room);
    free(col);
    return EP_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ep_image_noise(const struct ep_image *im)
{
    size_t n = 0, nx = im->nx;
    double *v = malloc((im->ny * nx + 1) * sizeof *v);
    if (!v) return NAN;
    for (size_t i = 0; i < im->ny * nx; i++)
        if (im->var && isfinite(im->val[i]) && isfinite(im->var[i])) v[n++] = im->var[i];
    bool differences = n == 0;
    for (size_t i = 1; differences && i + 1 < im->ny; i++)
        for (size_t j = 1; j + 1 < nx; j++) {
            const double *z = im->val + i * nx + j;
            double d = z[-(ptrdiff_t)nx - 1] - 2 * z[-(ptrdiff_t)nx] + z[-(ptrdiff_t)nx + 1] - 2 * (z[-1] - 2 * z[0] + z[1]) +
                       z[nx - 1] - 2 * z[nx] + z[nx + 1];
            if (isfinite(d)) v[n++] = fabs(d);
        }
    double m = NAN;
    if (n > 0) {
        qsort(v, n, sizeof *v, by_value);
        m = v[n / 2];
        if (differences) {
            m = pow(1.4826 * m / 6, 2);
        } else {
            double limit = m > 0 ? 20 * m : INFINITY, sum = 0;
            size_t k = 0;
            while (k < n && v[k] <= limit) sum += v[k++];
            m = sum / (double)k;
        }
    }
    free(v);
    return m;
}
