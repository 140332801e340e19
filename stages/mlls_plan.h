/* What the parts of mlls share: its parameters, the model made of them, what the fit of the sum hands to the pixels. */
#ifndef EP_STAGES_MLLS_PLAN_H
#define EP_STAGES_MLLS_PLAN_H
#include "pipeline/numerics/mlls.h"
#include "pipeline/stage.h"

struct ep_mlls_colpar {
    const char *name, *edge, *spectrum;
    struct ep_texts edges, learned, low_loss;
    struct ep_numbers tie, peaks;
};
enum { EP_MLLS_REMOVED, EP_MLLS_KEPT, EP_MLLS_CONVOLVED };
enum { EP_MLLS_MEAN, EP_MLLS_MODEL_WEIGHTS };
struct ep_mlls_params {
    struct ep_records columns;
    double range[2], count[2], scale[2], separable;
    struct ep_numbers background;
    int plural, weights;
    bool systematics, nonneg;
    const char *per;
};
enum { EP_MLLS_INPUT, EP_MLLS_LOW, EP_MLLS_REFERENCES, EP_MLLS_MASK, EP_MLLS_RELATIVE, EP_MLLS_NPORTS };
extern const struct ep_param ep_mlls_params[];
extern const struct ep_port ep_mlls_ports[EP_MLLS_NPORTS];

static inline const struct ep_mlls_colpar *ep_mlls_colpar(const struct ep_mlls_params *p, size_t k)
{
    return (const struct ep_mlls_colpar *)p->columns.v + k;
}
static inline bool ep_mlls_modelled(const struct ep_mlls_colpar *c)
{
    return c->edge || c->edges.n;
}
/* The share of a column's counts above which its systematic means that it can't be separated; the first is what is asked for, of the others it is
 * enough that they are there. */
static inline double ep_mlls_limit(const struct ep_mlls_params *p, size_t k)
{
    return k && p->separable < 1 ? 1 : p->separable;
}
/* The low loss is there and used. */
static inline bool ep_mlls_plural(const struct ep_mlls_params *p, const struct ep_items *in)
{
    return p->plural != EP_MLLS_KEPT && in[EP_MLLS_LOW].n > 0;
}

/* Outputs of the look, in this order; those of the columns (spectra per count in the window) follow. */
enum { EP_MLLS_SUM, EP_MLLS_MODEL, EP_MLLS_BACK, EP_MLLS_PLURAL, EP_MLLS_FIT, EP_MLLS_COUNTS, EP_MLLS_COVARIANCE, EP_MLLS_SHAPES,
       EP_MLLS_CORRELATION, EP_MLLS_VARIANTS, EP_MLLS_NLOOK };
extern const struct ep_stage ep_mlls_look;

#define EP_MLLS_BLOCK 64               /* pixels in one matrix product */
#define EP_MLLS_MOST 32                /* columns of a pixel's fit */
/* The stage's parts, by file. */
void ep_mlls_declare(struct ep_declare *d);
void ep_mlls_want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in);
ep_status ep_mlls_prepare(const struct ep_prepare *p, void **plan, struct ep_err *e);
void ep_mlls_free_plan(void *plan);
ep_status ep_mlls_apply(const struct ep_apply *a, struct ep_err *e);
#endif
