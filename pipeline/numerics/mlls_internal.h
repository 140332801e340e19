/* Shared by mlls_*.c only. */
#ifndef EP_NUMERICS_MLLS_INTERNAL_H
#define EP_NUMERICS_MLLS_INTERNAL_H
#include "pipeline/numerics/mlls.h"
/* Lowest onset of a modelled column, eV. */
double ep_mlls_onset(const struct ep_mlls_column *c);
/* The column at energy e, not broadened; t: the column's parameters. */
double ep_mlls_edge(const struct ep_mlls *m, const struct ep_mlls_column *c, const double *t, double e);
#endif
