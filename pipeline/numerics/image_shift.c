/* Both maps are smoothed with one Gaussian: then values between pixels need no interpolation whose noise depends on the place
 * (which draws shifts towards half pixels), and maps of other pixel sizes are compared alike.
 *
 * With A = S + n_A, B = S(. - shift)/scale + n_B and white noise of densities N = variance times pixel area, the shift s solves
 *     integral grad B (A - offset - scale B) = 0,
 * and from it
 *     Cov(s) = H^-1 V H^-1,  H = scale * integral grad A grad B',
 *     V = integral (N_A + scale^2 N_B) scale grad A2 grad B2' + scale^2 area N_A N_B/(32 pi w^4),
 * A2, B2 being smoothed once more (width w sqrt 2); the second term is noise on noise. Products of gradients of the two maps are
 * free of the noise that a map's own gradient squared holds: a direction in which nothing is seen gives H = 0 within its error
 * (area N_A N_B 3/(128 pi w^6))^(1/2), not a false certainty. The method is that of Lucas and Kanade (Proc. 7th Int. Joint Conf.
 * Artif. Intell. (1981) 674) with these products; the bound on shifts: D. Robinson and P. Milanfar, IEEE Trans. Image Process. 13
 * (2004) 1185.
 *
 * Offset and scale are fitted too: of each gradient only what an offset and a scale cannot imitate counts (its part at right angles to 1
 * and to S), or a wedge would seem to tell the shift. Where more than noise is left, the scatter of what parts of the field say
 * (the sandwich of P. J. Huber, Proc. 5th Berkeley Symp. 1 (1967) 221) may be wider than the noise says, and stands instead: parts are
 * blocks, and strips of them along and across the direction that is known best.
 */
#include "pipeline/numerics/image_shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846
#define INSIDE 0.97                /* two standard deviations from the border */

/* ---- the first guess ---- */

static double span(size_t n, double h)
{
    return (double)n * fabs(h);
}

/* A grid of square pixels over the field of im. */
static struct ep_image coarse_grid(const struct ep_image *im, double h)
{
    double w = span(im->nx, im->hx), t = span(im->ny, im->hy);
    struct ep_image g = { .ny = (size_t)fmax(1, floor(t / h)), .nx = (size_t)fmax(1, floor(w / h)), .hy = h, .hx = h };
    double cy = im->y0 + im->hy * (double)(im->ny - 1) / 2, cx = im->x0 + im->hx * (double)(im->nx - 1) / 2;
    g.y0 = cy - h * (double)(g.ny - 1) / 2;
    g.x0 = cx - h * (double)(g.nx - 1) / 2;
    return g;
}

/* Normalised correlation over the pixels that both have at an offset of whole pixels (J. P. Lewis, Vision Interface (1995) 120). */
static double correlation(const double *a, const struct ep_image *ga, const double *b, const struct ep_image *gb, long di, long dj,
                          double *n)
{
    double s = 0, sa = 0, sb = 0, aa = 0, bb = 0, ab = 0;
    for (long i = di < 0 ? -di : 0; i < (long)ga->ny && i + di < (long)gb->ny; i++)
        for (long j = dj < 0 ? -dj : 0; j < (long)ga->nx && j + dj < (long)gb->nx; j++) {
            double x = a[(size_t)i * ga->nx + (size_t)j], y = b[(size_t)(i + di) * gb->nx + (size_t)(j + dj)];
            if (isnan(x) || isnan(y)) continue;
            s += 1;
            sa += x;
            sb += y;
            aa += x * x;
            bb += y * y;
            ab += x * y;
        }
    *n = s;
    if (s < 4) return -1;
    double va = aa - sa * sa / s, vb = bb - sb * sb / s, c = ab - sa * sb / s;
    return va > 1e-12 * aa && vb > 1e-12 * bb ? c / sqrt(va * vb) : -1;
}

static size_t finite_count(const double *v, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += isfinite(v[i]) != 0;
    return k;
}

/* All shifts on a grid of spacing h within `reach` of (*y, *x); at least a third of the smaller map must overlap. Where many shifts
 * are as good, the smaller one. */
static ep_status search(const struct ep_image *a, const struct ep_image *b, double h, double reach, double max_shift, double *y, double *x,
                        struct ep_err *e)
{
    struct ep_image ga = coarse_grid(a, h), gb = coarse_grid(b, h);
    size_t na = ga.ny * ga.nx, nb = gb.ny * gb.nx;
    double *va = malloc((na + nb) * sizeof *va);
    if (!va) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (registering)", (na + nb) * sizeof *va);
    double *vb = va + na;
    ep_status st = ep_image_sample(a, &ga, 0, 0, 0.7 * h, 0.8, va, NULL, NULL, e);
    if (!st) st = ep_image_sample(b, &gb, 0, 0, 0.7 * h, 0.8, vb, NULL, NULL, e);
    size_t fa = st ? 0 : finite_count(va, na), fb = st ? 0 : finite_count(vb, nb);
    double best = -INFINITY, fewest = (double)(fa < fb ? fa : fb) / 3, sy = *y, sx = *x;
    /* Pixel (i, j) of ga over pixel (i + di, j + dj) of gb is the shift gb.y0 - ga.y0 + di h. */
    double oy = gb.y0 - ga.y0, ox = gb.x0 - ga.x0;
    long i0 = lround((*y - oy) / h), j0 = lround((*x - ox) / h), r = (long)ceil(reach / h);
    for (long di = i0 - r; di <= i0 + r && !st; di++)
        for (long dj = j0 - r; dj <= j0 + r; dj++) {
            double ty = oy + (double)di * h, tx = ox + (double)dj * h, n, far = hypot(ty, tx) / (max_shift + h);
            if (far > 1) continue;
            double c = correlation(va, &ga, vb, &gb, di, dj, &n);
            if (n < fewest || c <= -1 || c - 0.05 * far * far <= best) continue;
            best = c - 0.05 * far * far;
            sy = ty;
            sx = tx;
        }
    free(va);
    if (!st && best == -INFINITY)
        return ep_fail(e, EP_E_COMPUTE, "the two maps do not overlap by a third within a shift of %g nm, or one of them is flat", max_shift);
    *y = sy;
    *x = sx;
    return st;
}

static double pixel(const struct ep_image *a, const struct ep_image *b)
{
    return fmax(fmax(fabs(a->hy), fabs(a->hx)), fmax(fabs(b->hy), fabs(b->hx)));
}

static ep_status first_guess(const struct ep_image *a, const struct ep_image *b, double max_shift, double *y, double *x, struct ep_err *e)
{
    double h = pixel(a, b), field = fmax(fmax(span(a->ny, a->hy), span(a->nx, a->hx)), fmax(span(b->ny, b->hy), span(b->nx, b->hx)));
    double coarse = h;
    while (field / coarse > 40) coarse *= 2;
    *y = *x = 0;
    ep_status st = search(a, b, coarse, max_shift, max_shift, y, x, e);
    for (double k = coarse / 2; !st && k >= 0.99 * h; k /= 2) st = search(a, b, k, 2.5 * k, max_shift, y, x, e);
    return st;
}

/* ---- refinement ---- */

struct block;
struct level {
    const struct ep_image *a, *b;
    double width, na, nb;              /* noise: variance times pixel area */
    double *va, *gay, *gax, *vb, *gby, *gbx;    /* on a's grid; b's at the shift */
    size_t n;
    double area;                       /* of one pixel of a */
    double offset, scale, h[3], g[2], chi2, compared;
    double dir[2];                     /* y, x of a unit vector, along and across which the field is divided into blocks */
    struct block *block;               /* [BLOCKS * BLOCKS] */
};

/* Intensities: a = offset + scale b, the scale free of b's noise (what smoothing leaves of it: N/(4 pi w^2)). */
static bool match_intensity(struct level *l)
{
    double n = 0, sa = 0, sb = 0, bb = 0, ab = 0, aa = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (isnan(l->va[i]) || isnan(l->vb[i])) continue;
        n += 1;
        sa += l->va[i];
        sb += l->vb[i];
    }
    if (n < 9) return false;
    sa /= n;
    sb /= n;
    for (size_t i = 0; i < l->n; i++) {
        if (isnan(l->va[i]) || isnan(l->vb[i])) continue;
        double x = l->va[i] - sa, y = l->vb[i] - sb;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    double noise = l->nb / (4 * PI * l->width * l->width), var = bb / n - noise;
    if (var < 0.05 * bb / n) var = 0.05 * bb / n;
    l->scale = ab / n / var;
    l->offset = sa - l->scale * sb;
    l->compared = n;
    double left = aa / n - 2 * l->scale * ab / n + l->scale * l->scale * bb / n;
    l->chi2 = left / ((l->na + l->scale * l->scale * l->nb) / (4 * PI * l->width * l->width) + 1e-300);
    return l->scale > 0;
}

/* The gradients less their parts along 1 and along the other map's values (whose noise is another). */
struct projection { double a, b, ga[2], gb[2], ka[2], kb[2]; };

static struct projection project(const struct level *l, double width)
{
    struct projection p = { 0, 0, { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 } };
    double n = 0, aa = 0, bb = 0, spread = 1 / (4 * PI * width * width);
    for (size_t i = 0; i < l->n; i++) {
        if (isnan(l->va[i]) || isnan(l->vb[i])) continue;
        n += 1;
        p.a += l->va[i];
        p.b += l->vb[i];
        p.ga[0] += l->gay[i];
        p.ga[1] += l->gax[i];
        p.gb[0] += l->gby[i];
        p.gb[1] += l->gbx[i];
    }
    if (n == 0) return p;
    p.a /= n;
    p.b /= n;
    for (int k = 0; k < 2; k++) {
        p.ga[k] /= n;
        p.gb[k] /= n;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (isnan(l->va[i]) || isnan(l->vb[i])) continue;
        double a = l->va[i] - p.a, b = l->vb[i] - p.b;
        aa += a * a / n;
        bb += b * b / n;
        p.ka[0] += l->gay[i] * b / n;
        p.ka[1] += l->gax[i] * b / n;
        p.kb[0] += l->gby[i] * a / n;
        p.kb[1] += l->gbx[i] * a / n;
    }
    aa = fmax(aa - l->na * spread, 0.05 * aa);
    bb = fmax(bb - l->nb * spread, 0.05 * bb);
    for (int k = 0; k < 2; k++) {
        p.ka[k] = bb > 0 ? p.ka[k] / bb : 0;
        p.kb[k] = aa > 0 ? p.kb[k] / aa : 0;
    }
    return p;
}

struct slopes { double a[2], b[2]; };

static struct slopes slopes_at(const struct level *l, const struct projection *p, size_t i)
{
    double a = l->va[i] - p->a, b = l->vb[i] - p->b;
    return (struct slopes){ { l->gay[i] - p->ga[0] - p->ka[0] * b, l->gax[i] - p->ga[1] - p->ka[1] * b },
                            { l->gby[i] - p->gb[0] - p->kb[0] * a, l->gbx[i] - p->gb[1] - p->kb[1] * a } };
}

#define BLOCKS 5                   /* of the field, in each direction */
struct block { double h[3], g[2]; };

static size_t block_of(const struct level *l, size_t i)
{
    const struct ep_image *a = l->a;
    double y = (double)(i / a->nx) + 0.5 - (double)a->ny / 2, x = (double)(i % a->nx) + 0.5 - (double)a->nx / 2;
    double ey = span(a->ny, a->hy) / 2, ex = span(a->nx, a->hx) / 2, along[2], reach[2] = { 0, 0 };
    for (int k = 0; k < 2; k++) {
        double dy = k ? l->dir[1] : l->dir[0], dx = k ? -l->dir[0] : l->dir[1];
        along[k] = y * a->hy * dy + x * a->hx * dx;
        reach[k] = fabs(ey * dy) + fabs(ex * dx);
    }
    size_t at[2];
    for (int k = 0; k < 2; k++) at[k] = (size_t)fmin(fmax(0, (along[k] / reach[k] + 1) / 2 * BLOCKS), BLOCKS - 1);
    return at[1] * BLOCKS + at[0];
}

static void normal_equations(struct level *l)
{
    struct projection p = project(l, l->width);
    struct block *sum = l->block;
    memset(sum, 0, BLOCKS * BLOCKS * sizeof *sum);
    memset(l->h, 0, sizeof l->h);
    memset(l->g, 0, sizeof l->g);
    for (size_t i = 0; i < l->n; i++) {
        if (isnan(l->va[i]) || isnan(l->vb[i])) continue;
        double r = l->va[i] - l->offset - l->scale * l->vb[i], w = l->scale * l->area;
        struct slopes s = slopes_at(l, &p, i);
        struct block *b = &sum[block_of(l, i)];
        b->g[0] += w * s.b[0] * r;
        b->g[1] += w * s.b[1] * r;
        b->h[0] += w * s.a[0] * s.b[0];
        b->h[1] += w * 0.5 * (s.a[0] * s.b[1] + s.a[1] * s.b[0]);
        b->h[2] += w * s.a[1] * s.b[1];
    }
    for (size_t k = 0; k < BLOCKS * BLOCKS; k++) {
        for (int m = 0; m < 3; m++) l->h[m] += sum[k].h[m];
        for (int m = 0; m < 2; m++) l->g[m] += sum[k].g[m];
    }
}

static ep_status evaluate(struct level *l, double y, double x, bool *ok, struct ep_err *e)
{
    ep_status st = ep_image_sample(l->b, l->a, y, x, l->width, INSIDE, l->vb, l->gby, l->gbx, e);
    if (st) return st;
    *ok = match_intensity(l);
    if (*ok) normal_equations(l);
    return EP_OK;
}

/* Eigenvectors of a symmetric 2 x 2 matrix (yy, yx, xx): val[0] >= val[1], v = the first's (y, x); the other is (x, -y). */
static void eigen(const double m[3], double val[2], double v[2])
{
    double mean = (m[0] + m[2]) / 2, d = hypot((m[2] - m[0]) / 2, m[1]), angle = atan2(2 * m[1], m[2] - m[0]) / 2;
    val[0] = mean + d;
    val[1] = mean - d;
    v[0] = sin(angle);
    v[1] = cos(angle);
}

/* Directions in which H stands out of its own noise. */
static unsigned known_directions(const struct level *l, const double val[2])
{
    double w2 = l->width * l->width, area = l->compared * l->area;
    double noise = l->scale * sqrt(area * l->na * l->nb * 3 / (128 * PI * w2 * w2 * w2));
    double least = fmax(4 * noise, 1e-3 * val[0]);     /* the latter: what sampling or a wedge may feign */
    return val[0] > least ? val[1] > least ? 2 : 1 : 0;
}

static ep_status no_shift(const struct level *l, struct ep_err *e)
{
    return ep_fail(e, EP_E_COMPUTE, "nothing that both maps show determines their shift (they have %g pixels in common)", l->compared);
}

/* Newton's steps, of at most a pixel, in the directions that are known. */
static ep_status refine(struct level *l, double *y, double *x, unsigned *known, double v[2], struct ep_err *e)
{
    double px = pixel(l->a, l->b), val[2];
    bool ok;
    for (int round = 0; round < 60; round++) {
        ep_status st = evaluate(l, *y, *x, &ok, e);
        if (st) return st;
        if (!ok) return no_shift(l, e);
        eigen(l->h, val, v);
        *known = known_directions(l, val);
        if (*known == 0) return no_shift(l, e);
        double s0 = (v[0] * l->g[0] + v[1] * l->g[1]) / val[0], s1 = (v[1] * l->g[0] - v[0] * l->g[1]) / val[1];
        if (*known == 1) s1 = -(v[1] * *y - v[0] * *x);       /* nothing is known: none */
        s0 = fmax(-px, fmin(px, s0));
        if (*known == 2) s1 = fmax(-px, fmin(px, s1));
        *y += s0 * v[0] + s1 * v[1];
        *x += s0 * v[1] - s1 * v[0];
        if (fabs(s0) < 1e-5 * px && fabs(s1) < 1e-5 * px) return EP_OK;
    }
    return EP_OK;      /* noise on noise may leave the last digits in motion */
}

/* Noise densities around the pixels of a: from each map's variances, else the mean. */
static ep_status local_noise(const struct level *l, const struct ep_image *im, double y, double x, double mean, double *out, struct ep_err *e)
{
    struct ep_image var = *im;
    var.val = im->var;
    ep_status st = im->var ? ep_image_sample(&var, l->a, y, x, l->width, INSIDE, out, NULL, NULL, e) : EP_OK;
    for (size_t i = 0; i < l->n && !st; i++) out[i] = im->var && isfinite(out[i]) ? out[i] * fabs(im->hy * im->hx) : mean;
    return st;
}

/* V of the head of this file, from the maps smoothed once more. */
static ep_status noise_matrix(struct level *l, double y, double x, double v[3], struct ep_err *e)
{
    double twice = l->width * sqrt(2), w4 = pow(l->width, 4), s = l->scale;
    double *na = malloc(2 * (l->n + 1) * sizeof *na);
    v[0] = v[1] = v[2] = 0;
    if (!na) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (registering)", 2 * l->n * sizeof *na);
    double *nb = na + l->n;
    ep_status st = ep_image_sample(l->a, l->a, 0, 0, twice, INSIDE, l->va, l->gay, l->gax, e);
    if (!st) st = ep_image_sample(l->b, l->a, y, x, twice, INSIDE, l->vb, l->gby, l->gbx, e);
    if (!st) st = local_noise(l, l->a, 0, 0, l->na, na, e);
    if (!st) st = local_noise(l, l->b, y, x, l->nb, nb, e);
    v[0] = v[2] = s * s * l->compared * l->area * l->na * l->nb / (32 * PI * w4);
    struct projection p = project(l, twice);
    for (size_t i = 0; i < l->n && !st; i++) {
        if (isnan(l->va[i]) || isnan(l->vb[i])) continue;
        double n = (na[i] + s * s * nb[i]) * s * l->area;
        struct slopes t = slopes_at(l, &p, i);
        v[0] += n * t.a[0] * t.b[0];
        v[1] += n * 0.5 * (t.a[0] * t.b[1] + t.a[1] * t.b[0]);
        v[2] += n * t.a[1] * t.b[1];
    }
    free(na);
    return st;
}

static double quadratic(const double m[3], const double u[2], const double w[2])
{
    return m[0] * u[0] * w[0] + m[1] * (u[0] * w[1] + u[1] * w[0]) + m[2] * u[1] * w[1];
}

/* Variance of the shift along u from what parts of the field, ny by nx of its blocks each, pull at it: H^-1 g_k. (Leaving parts out would do
 * where all hold alike; here one may hold the rest, as a bright edge does, and without it the others say nothing.) */
static double pulls(const struct level *l, size_t ny, size_t nx, const double u[2], bool both)
{
    double n = 0, sum = 0, sum2 = 0, det = l->h[0] * l->h[2] - l->h[1] * l->h[1];
    for (size_t k = 0; k < BLOCKS * BLOCKS; k++) {
        double g[2] = { 0, 0 }, held = 0;
        if (k / BLOCKS % ny || k % BLOCKS % nx) continue;
        for (size_t i = 0; i < ny * nx; i++) {
            const struct block *b = &l->block[k + i / nx * BLOCKS + i % nx];
            for (int m = 0; m < 2; m++) g[m] += b->g[m];
            held += fabs(b->h[0]) + fabs(b->h[2]);
        }
        if (held == 0) continue;
        double by = both ? (u[0] * (l->h[2] * g[0] - l->h[1] * g[1]) + u[1] * (l->h[0] * g[1] - l->h[1] * g[0])) / det
                         : (u[0] * g[0] + u[1] * g[1]) / quadratic(l->h, u, u);
        n += 1;
        sum += by;
        sum2 += by * by;
    }
    return n > 1 ? n / (n - 1) * (sum2 - sum * sum / n) : 0;
}

/* An edge that moves against the others does so along all of its length: whole strips of the field disagree, which blocks, taken for
 * independent, make too little of. The widest counts. */
static double scatter(const struct level *l, const double u[2], bool both)
{
    return fmax(pulls(l, 1, 1, u, both), fmax(pulls(l, 1, BLOCKS, u, both), pulls(l, BLOCKS, 1, u, both)));
}

static void uncertainty(const struct level *l, const double v[3], const double dir[2], struct ep_shift *out)
{
    double e1[2] = { dir[0], dir[1] }, e2[2] = { dir[1], -dir[0] }, val[2], unused[2], px = pixel(l->a, l->b);
    double more = fmax(1, l->chi2);
    eigen(l->h, val, unused);
    out->var_along = more * fmax(0, quadratic(v, e1, e1)) / (val[0] * val[0]);
    out->var_across = INFINITY;
    double cross = 0;
    bool unlike = l->chi2 > 2;                                  /* more than noise is left */
    if (unlike) out->var_along = fmax(out->var_along, scatter(l, e1, out->known == 2));
    if (out->known == 2) {
        out->var_across = more * fmax(0, quadratic(v, e2, e2)) / (val[1] * val[1]);
        cross = more * quadratic(v, e1, e2) / (val[0] * val[1]);
        if (unlike) out->var_across = fmax(out->var_across, scatter(l, e2, true));
        if (!(out->var_across < 4 * px * px)) {                 /* beyond what a linear estimate can say */
            out->known = 1;
            out->var_across = INFINITY;
        }
    }
    const double tilt = 0.01;                                   /* below it a direction counts as an axis */
    bool open = out->known < 2;
    double across = open ? 0 : out->var_across;
    out->var_y = open && fabs(e2[0]) > tilt ? INFINITY : e1[0] * e1[0] * out->var_along + e2[0] * e2[0] * across + 2 * e1[0] * e2[0] * cross;
    out->var_x = open && fabs(e2[1]) > tilt ? INFINITY : e1[1] * e1[1] * out->var_along + e2[1] * e2[1] * across + 2 * e1[1] * e2[1] * cross;
    out->cov = e1[0] * e1[1] * out->var_along + e2[0] * e2[1] * across + (e1[0] * e2[1] + e1[1] * e2[0]) * cross;
    if (open && fabs(e2[0]) > tilt && fabs(e2[1]) > tilt) out->cov = NAN;
}

static ep_status shift_at(struct level *l, double max_shift, struct ep_shift *out, double *residual, struct ep_err *e)
{
    double y, x, dir[2], v[3];
    bool ok;
    ep_status st = first_guess(l->a, l->b, max_shift, &y, &x, e);
    if (!st) st = ep_image_sample(l->a, l->a, 0, 0, l->width, INSIDE, l->va, l->gay, l->gax, e);
    if (!st) st = refine(l, &y, &x, &out->known, dir, e);
    if (!st) memcpy(l->dir, dir, sizeof l->dir);
    if (!st) st = evaluate(l, y, x, &ok, e);
    if (st) return st;
    if (!ok) return no_shift(l, e);
    for (size_t i = 0; residual && i < l->n; i++) residual[i] = l->va[i] - l->offset - l->scale * l->vb[i];
    st = noise_matrix(l, y, x, v, e);
    if (st) return st;
    if (dir[0] + dir[1] < 0) {
        dir[0] = -dir[0];
        dir[1] = -dir[1];
    }
    uncertainty(l, v, dir, out);
    if (!isfinite(out->var_along)) return no_shift(l, e);
    out->ny = dir[0];
    out->nx = dir[1];
    out->along = y * dir[0] + x * dir[1];
    out->across = y * dir[1] - x * dir[0];
    if (out->known == 1) {
        out->across = 0;
        y = out->along * dir[0];
        x = out->along * dir[1];
    }
    out->y = y;
    out->x = x;
    out->offset = l->offset;
    out->scale = l->scale;
    out->chi2 = l->chi2;
    out->compared = (size_t)l->compared;
    return EP_OK;
}

/* Wider averages show what noise hides: taken where they determine more directions. */
static ep_status best_width(struct level *l, double max_shift, struct ep_shift *out, double *residual, struct ep_err *e)
{
    double *trial = residual ? malloc((l->n + 1) * sizeof *trial) : NULL, start = l->width;
    if (residual && !trial) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (registering)", l->n * sizeof *trial);
    ep_status st = EP_OK, last = EP_OK;
    struct ep_err why = { 0 };
    out->known = 0;
    for (int k = 0; k < 3 && out->known < 2; k++) {
        struct ep_shift s = { .known = 0 };
        struct ep_err now = { 0 };
        l->width = start * (double)(1 << k);
        last = shift_at(l, max_shift, &s, trial, &now);
        if (last && k == 0) why = now;
        if (last || s.known <= out->known) continue;
        *out = s;
        if (residual) memcpy(residual, trial, l->n * sizeof *trial);
    }
    if (out->known == 0) st = ep_fail(e, why.code ? why.code : EP_E_COMPUTE, "%s", why.msg);
    free(trial);
    return st;
}

ep_status ep_image_shift(const struct ep_image *a, const struct ep_image *b, double max_shift, struct ep_shift *out, double *residual,
                         struct ep_err *e)
{
    size_t n = a->ny * a->nx;
    memset(out, 0, sizeof *out);
    double na = ep_image_noise(a), nb = ep_image_noise(b);
    if (!finite_count(a->val, n) || !finite_count(b->val, b->ny * b->nx))
        return ep_fail(e, EP_E_COMPUTE, "one of the two maps has no pixel with a value");
    double *room = malloc(6 * n * sizeof *room);
    if (!room) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (registering)", 6 * n * sizeof *room);
    struct block block[BLOCKS * BLOCKS];
    struct level l = { .block = block, .dir = { 0, 1 }, .a = a, .b = b, .n = n, .area = fabs(a->hy * a->hx), .width = 1.2 * pixel(a, b), .va = room,
                       .gay = room + n, .gax = room + 2 * n, .vb = room + 3 * n, .gby = room + 4 * n, .gbx = room + 5 * n };
    l.na = isfinite(na) ? na * l.area : 0;
    l.nb = isfinite(nb) ? nb * fabs(b->hy * b->hx) : 0;
    ep_status st = best_width(&l, max_shift, out, residual, e);
    free(room);
    return st;
}
