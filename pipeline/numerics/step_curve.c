#include "pipeline/numerics/step_curve.h"

#include <math.h>

const char *const ep_step_names[EP_STEP_MODELS] = { "erf", "erfc", "jump_erfc", "two_step" };

size_t ep_step_shape(enum ep_step_model m)
{
    return m == EP_STEP_ERF ? 2 : m == EP_STEP_TWO ? 4 : 3;
}

/* Gauss-Legendre, 10 points on [-1, 1], the positive half. The poles at +-i are far enough for 1e-12. */
static const double node[5] = { 0.1488743389816312, 0.4333953941292472, 0.6794095682990244, 0.8650633666889845, 0.9739065285171717 };
static const double weight[5] = { 0.2955242247147529, 0.2692667193099963, 0.2190863625159820, 0.1494513491505806, 0.0666713443086881 };

/* 0 <= a <= 1. */
static double owen_inside(double h, double a)
{
    double sum = 0, hh = -0.5 * h * h;
    if (hh < -40) return 0;                    /* below 1e-17 */
    for (int i = 0; i < 5; i++)
        for (int side = -1; side <= 1; side += 2) {
            double x = 0.5 * a * (1 + side * node[i]), q = 1 + x * x;
            sum += weight[i] * exp(hh * q) / q;
        }
    return 0.5 * a * sum / (2 * M_PI);
}

static double phi(double z)
{
    return 0.5 * erfc(-z * M_SQRT1_2);
}

double ep_owen_t(double h, double a)
{
    double sign = a < 0 ? -1 : 1;
    h = fabs(h);
    a = fabs(a);
    if (a == 0) return 0;
    if (a <= 1) return sign * owen_inside(h, a);
    /* T(h, a) + T(ah, 1/a) = (Phi(h) + Phi(ah))/2 - Phi(h) Phi(ah), written with tails so that nothing cancels. */
    double p = phi(-h), q = phi(-a * h);
    return sign * (0.5 * (p + q) - p * q - owen_inside(a * h, 1 / a));
}

static double erf_step(double u, double c, double log_w, double blur)
{
    double w = exp(log_w);
    return 0.5 * erfc((u - c) / sqrt(w * w + 2 * blur));
}

void ep_step_parts(enum ep_step_model m, const double *shape, double blur, double u, double part[2])
{
    part[1] = 0;
    if (m == EP_STEP_ERF) {
        part[0] = erf_step(u, shape[0], shape[1], blur);
    } else if (m != EP_STEP_TWO) {
        double s = shape[1], probe = exp(shape[2]), sigma = sqrt(probe * probe + blur), z = (u - shape[0]) / hypot(s, sigma);
        double tail = phi(-z) + 2 * ep_owen_t(z, s / sigma);
        part[0] = m == EP_STEP_JUMP ? phi(-(u - shape[0]) / sigma) : tail;
        if (m == EP_STEP_JUMP) part[1] = tail;
    } else {
        part[0] = erf_step(u, shape[0], shape[2], blur);
        part[1] = erf_step(u, shape[1], shape[3], blur);
    }
}
