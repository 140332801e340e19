/* What a preview shows. Private to pipeline/cli/. */
#ifndef EP_CLI_PREVIEW_H
#define EP_CLI_PREVIEW_H
#include "pipeline/base/mem.h"
#include "pipeline/cli/cli.h"

#define PREVIEW_WINDOWS 8
struct preview_window { const char *name; double lo, hi; bool fit; };
struct preview {
    const char *title, *unit;
    size_t n; double *x, *y;          /* eV, in rising or falling order */
    double *fit, *sigma;              /* NULL: the step fits nothing; sigma of a count where the fit holds */
    bool residual;                    /* what is left of the fit is its residual: there is no net spectrum */
    size_t nwindow; struct preview_window window[PREVIEW_WINDOWS];
};
/* The energies to show: the windows and half their extent beside them; everything when there are none. */
void preview_range(const struct preview *p, double range[2]);
/* As text: `width` columns, `height` lines of chart. */
void preview_text(const struct preview *p, size_t width, size_t height, struct ep_str *out);
/* As a picture, in the format that the name of the file tells. EP_E_RECIPE on another. */
ep_status preview_draw(const struct preview *p, const char *path, struct ep_str *out, struct ep_err *e);
#endif
