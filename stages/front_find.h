/* Finding one front: what the stage `front` does with the points of a profile, or of one scan line of a map. */
#ifndef EP_STAGES_FRONT_FIND_H
#define EP_STAGES_FRONT_FIND_H
#include "pipeline/numerics/step_fit.h"
#include "stages/pixels.h"

enum ep_front_model { EP_FRONT_AUTO, EP_FRONT_ERF, EP_FRONT_ERFC, EP_FRONT_JUMP_ERFC, EP_FRONT_TWO_STEP, EP_FRONT_NOISE };
extern const char *const ep_front_models[];      /* their words, ended by NULL */
enum ep_front_slopes { EP_SLOPE_NONE, EP_SLOPE_HIGH, EP_SLOPE_BOTH };
enum ep_front_sampling { EP_SAMPLED_UNKNOWN, EP_SAMPLED_POINT, EP_SAMPLED_AREA };
struct ep_front_par { int model, slopes, sampling; double threshold, k, probe, pixel, registration_sigma, bin, width, range[2]; };

/* x in nm, in order; band as in ep_step_data. binned: points are bins and not pixels; split: pixels were divided between them. */
struct ep_front_points { size_t n, nband; double *x, *y, *sigma, *band, bin, pixel; bool binned, split; };
struct ep_quantity { double v, sigma; };

struct ep_front {
    struct ep_quantity position, displacement, width, length, step, low, high;
    double length_upper;
    double noise, model, isotonic, chi, bins;              /* sigmas of the position: counting, models */
    double blur;                                           /* change of the position by what is not known of the pixels' blur */
    double registration;                                   /* sigma of where this run's distance axis lies */
    const char *name;                                      /* of the curve; NULL: none fits */
    size_t which;                                          /* its model */
    int low_side;
    bool weak, outside;                                    /* the step is below 3 sigma; the front lies outside the field */
    struct ep_str flags;                                   /* the caller's to free */
};
/* A row of the reference run's table; table NULL: none. self: this run is the reference. */
struct ep_front_reference { const struct ep_signal *table; size_t row; bool self; };

/* registration: sigma of this run's, in nm. models: bits for the step fit, 0: as the parameters say. curve: a profile for the fitted
 * curve, or NULL. A profile without a step is data, not a fault: then there is a flag and no position. */
ep_status ep_front_find(const struct ep_front_par *p, unsigned models, const struct ep_front_points *pt, double registration,
                        const struct ep_front_reference *ref, struct ep_signal *curve, struct ep_front *out, struct ep_err *e);
void ep_front_flag(struct ep_front *f, const char *text);
/* A number of the reference's row; NAN where there is none. */
double ep_front_of_reference(const struct ep_front_reference *ref, const char *name);

/* Front by front along a boundary: out[0] becomes the table of the lines, out[1] the curve through them. */
struct ep_prepare;
enum { EP_FRONT_INPUT, EP_FRONT_NORMALIZE, EP_FRONT_RELATIVE, EP_FRONT_ALONG, EP_FRONT_MASK, EP_FRONT_REGISTER };
ep_status ep_front_lines(const struct ep_front_par *p, const struct ep_prepare *pr, struct ep_signal **out, struct ep_err *e);
/* The columns that a line's table shares with that of a profile: rows of fronts. */
ep_status ep_front_columns(const struct ep_front_par *p, const struct ep_front *f, size_t n, const char *unit, struct ep_signal *t, struct ep_err *e);
#endif
