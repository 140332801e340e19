/* What the parts of the look of mlls share. */
#ifndef EP_STAGES_MLLS_SUM_H
#define EP_STAGES_MLLS_SUM_H
#include "stages/mlls_plan.h"

struct ep_mlls_sum {
    const struct ep_mlls_params *par;
    size_t nch, nlow, ny, nx;
    double channel, low_channel;   /* eV */
    double first, low_first;       /* eV of the first channels */
    bool shifted, low_shifted;
    struct ep_mlls_noise noise;    /* of one pixel */
    uint8_t *keep;                 /* [ny * nx]; NULL: all */
    size_t ncol;
    struct ep_mlls_column *col;
    struct ep_edge_model *edge;    /* of all columns */
    double *shape;                 /* [ncol][nch] */
    const char **name;             /* [ncol] */
    double beam_kev, collection_mrad;
    struct ep_eels_optics optics;  /* as known */
};

/* up, down: the channels [up, n + down) that all pixels cover; of both spectra. */
struct ep_mlls_acc { int64_t n, up[2], down[2]; double sum[]; };

struct ep_mlls_fitted {
    struct ep_mlls m;
    struct ep_losses *plural;
    struct ep_counts low;
    struct ep_mlls_noise noise;    /* of the sum */
    struct ep_mlls_fit *f;
    size_t nvar, cap;
    struct variant { char name[40]; int group; double *counts; } *var;
    double *systematic;            /* [ncol] */
};

/* mlls_columns.c: the columns of the fit, from the parameters and references. */
ep_status ep_mlls_columns(struct ep_mlls_sum *q, const struct ep_prepare *p, struct ep_err *e);
/* mlls_variants.c: the fit and its variants; to be freed, also after a failure. */
ep_status ep_mlls_fit_sum(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_fitted *t, struct ep_err *e);
void ep_mlls_free_fitted(struct ep_mlls_fitted *t);
/* mlls_tables.c */
ep_status ep_mlls_tables(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, const struct ep_mlls_fitted *t, struct ep_signal **out, struct ep_err *e);
#endif
