/* The discrete exponential family p_i ~ exp(-r x_i) on a set of points: its log-normaliser K(r) = ln sum exp(-r x_i), its mean
 * M(r) = -K'(r) and variance V(r) = K''(r), and the r that has a given mean. Fits of A exp(-r x) to Poisson counts need
 * nothing else (background_fit.h).
 */
#ifndef EP_NUMERICS_EXP_FAMILY_H
#define EP_NUMERICS_EXP_FAMILY_H
#include <stdbool.h>
#include <stddef.h>

struct ep_family_at { double r, k, mean, var; };

/* Directly from n points (any n). */
struct ep_family_at ep_family_direct(const double *x, size_t n, double r);

/* The r in [lo, hi] with mean M(r) = m, from a start value: a bracketed Newton iteration. 0: found; -1, +1: it lies beyond lo, hi (then
 * *at is the end's); 2: no convergence. */
int ep_family_search(const double *x, size_t n, double lo, double hi, double m, double start, struct ep_family_at *at);

/* Tables on [lo, hi]: polynomials by pieces short enough that degree EP_PIECE_N-1 reaches rounding. */
#define EP_PIECE_N 9
#define EP_PIECE_F 4
struct ep_poly { double mean_lo, mean_hi; double c[EP_PIECE_F][EP_PIECE_N]; };
struct ep_pieces { double lo, hi, step; size_t n; unsigned newton; struct ep_poly *piece; };

/* Number of pieces that points spread over `spread` need. */
size_t ep_pieces_count(double lo, double hi, double spread);
/* Fills functions of r: f(arg, r, out[EP_PIECE_F]). false: no memory. */
bool ep_pieces_new(struct ep_pieces *t, double lo, double hi, size_t pieces, void (*f)(const void *arg, double r, double *out),
                  const void *arg);
/* The same in the caller's room for `pieces` of them; nothing to free. */
void ep_pieces_fill(struct ep_pieces *t, struct ep_poly *room, double lo, double hi, size_t pieces,
                    void (*f)(const void *arg, double r, double *out), const void *arg);
void ep_pieces_free(struct ep_pieces *t);
/* The first n functions, n <= EP_PIECE_F. */
void ep_pieces_eval(const struct ep_pieces *t, double r, int n, double *out);

/* The functions K, M, V of the points arg (struct ep_points). */
struct ep_points { const double *x; size_t n; };
void ep_family_functions(const void *arg, double r, double *out);
/* The table of a family: K, M, V and the inverse of M. */
bool ep_family_table(struct ep_pieces *t, double lo, double hi, size_t pieces, const double *x, size_t n);
/* As ep_family_search (never 2), from the table. Relative accuracy about 1e-14. */
int ep_family_solve(const struct ep_pieces *t, double m, struct ep_family_at *at);
#endif
