/* What the parts of eds_lines share: its parameters, the families of lines that are fitted, the model made of them. */
#ifndef EP_STAGES_EDS_LINES_PLAN_H
#define EP_STAGES_EDS_LINES_PLAN_H
#include "pipeline/numerics/eds_fit.h"
#include "pipeline/numerics/xray.h"
#include "pipeline/stage.h"

struct ep_eds_extra { const char *name, *family; double energy, weight; };
struct ep_eds_par {
    struct ep_texts elements, artefacts, lines;
    double range[2], resolution, detector_thickness;
    int64_t background_terms;
    bool refine, escape, free_subshells;
    struct ep_records extra_lines;
};

#define EP_EDS_NAME 24
struct ep_eds_family {
    char name[EP_EDS_NAME];       /* "Ti_K", an output */
    char alpha[EP_EDS_NAME];      /* "Ti_Ka", another one; equal to name: none */
    bool artefact, typed;
    struct ep_xray_family x;
    size_t column, ncolumn;       /* of the model: one, or one for each subshell */
};
struct ep_eds_families { size_t n, cap; struct ep_eds_family *v; };

/* From parameters and the recipe's elements; reports every mistake. */
void ep_eds_choose(struct ep_declare *d, const struct ep_desc *in, struct ep_eds_families *out);
/* The same families, from the names of the outputs that declare made of them. */
void ep_eds_chosen(const struct ep_prepare *p, const struct ep_desc *in, struct ep_eds_families *out);
void ep_eds_families_free(struct ep_eds_families *f);
/* The energies to fit, in eV: as given, or around the lines. */
void ep_eds_range(const struct ep_eds_par *par, const struct ep_desc *in, const struct ep_eds_families *f, double range[2]);

/* The model of the families on channels ch. line[k] of the model is line `of_line[k]` of family `of_family[k]`. */
struct ep_eds_setup {
    struct ep_eds_families f;
    struct ep_range ch;
    struct ep_eds *m;
    size_t *of_family, *of_line;  /* [m->nline] */
};
ep_status ep_eds_setup_new(const struct ep_prepare *p, struct ep_eds_setup **out, struct ep_err *e);
void ep_eds_setup_free(struct ep_eds_setup *s);
/* Counts of a family (alpha: of its alpha lines) per count of each of its columns: q[m->ncol], zero elsewhere. */
void ep_eds_share(const struct ep_eds_setup *s, size_t family, bool alpha, const double *theta, double *q);
/* Name of a column: "Ti_K", or "La_L3" when subshells are free. */
void ep_eds_column_name(const struct ep_eds_setup *s, size_t column, char out[EP_EDS_NAME]);

/* Outputs of the look, in this order; those of the families follow. */
enum { EP_EDS_SUM, EP_EDS_SUM_FIT, EP_EDS_SUM_BACK, EP_EDS_FIT, EP_EDS_FAMILIES, EP_EDS_LINES, EP_EDS_CORRELATION, EP_EDS_SHARED, EP_EDS_NLOOK };
extern const struct ep_stage ep_eds_lines_look;
extern const struct ep_param ep_eds_params[];
extern const struct ep_port ep_eds_ports[1];
#endif
