/* What white_lines and its look share: parameters, the lines of the element, the energies to fit. */
#ifndef EP_STAGES_WHITE_LINES_PLAN_H
#define EP_STAGES_WHITE_LINES_PLAN_H
#include "pipeline/numerics/white_lines.h"
#include "stages/pixels.h"

enum { EP_WL_METHOD_FIT, EP_WL_METHOD_WINDOWS };
struct ep_wl_par {
    const char *element;
    struct ep_texts obstacles;
    double range[2], l3, l2, search, step_offset;
    double windows[3][2];          /* L3, L2, continuum */
    int method;
};
/* The model from the parameters; every mistake goes to d (which may be NULL). False: there is none. */
bool ep_wl_model(const struct ep_wl_par *par, const struct ep_desc *in, struct ep_declare *d, struct ep_wl *out);
/* Puts the plural losses of the low loss, if one is given, into w; to be freed. */
ep_status ep_wl_plural_losses(const struct ep_prepare *p, struct ep_wl *w, double **to_free, struct ep_err *e);
/* The energies that are fitted, lines shifted by `shift` from their nominal places; and all that may be. */
void ep_wl_range(const struct ep_wl_par *par, const struct ep_wl *w, double shift, double range[2]);
void ep_wl_reach(const struct ep_wl_par *par, const struct ep_wl *w, double range[2]);
/* Variance of a channel of which `mean` net counts are expected over a background b; unit weights where noise is not known. */
struct ep_wl_noise { double gain, noise2; bool known; };
struct ep_wl_noise ep_wl_noise_of(const struct ep_desc *in, const struct ep_model *m);
static inline double ep_wl_variance(const struct ep_wl_noise *n, double mean, double b)
{
    return n->known ? n->gain * (mean + b) + n->noise2 : 1;
}

/* Outputs of the look, in this order. */
enum { EP_WL_SUM, EP_WL_SUM_FIT, EP_WL_TABLE, EP_WL_NLOOK };
extern const char *const ep_wl_shape_names[EP_WL_MAX_SHAPE];
/* Of its columns with the covariance of the amplitudes from errors of the shape, relative to the sum's amplitudes. */
extern const char *const ep_wl_by_shape_names[EP_WL_MEASURED][EP_WL_MEASURED];
extern const struct ep_stage ep_white_lines_look;
extern const struct ep_param ep_wl_params[];
#define EP_WL_PORTS 2
extern const struct ep_port ep_wl_ports[EP_WL_PORTS];
#endif
