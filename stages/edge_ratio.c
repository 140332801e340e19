/* The jump ratio: raw counts behind an edge over raw counts before it. */
#include <stdlib.h>
#include "stages/quotient.h"

struct par { double post[2], pre[2]; };

static const struct ep_param params[] = {
    { .name = "post", .type = EP_P_WINDOW, .offset = offsetof(struct par, post), .unit = "eV", .required = true,
      .doc = "The window behind the edge: from the first energy (included) to the second (not included)." },
    { .name = "pre", .type = EP_P_WINDOW, .offset = offsetof(struct par, pre), .unit = "eV", .required = true,
      .doc = "The window before the edge, best as wide as the other." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "Spectra as counted, before any background step.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true, .min = 1, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "edge_ratio", EP_MAP, "", "Counts behind the edge over counts before it." },
    { "numerator", EP_MAP, "counts", "The counts of the window behind the edge." },
    { "denominator", EP_MAP, "counts", "The counts of the window before the edge." },
    { "covariance", EP_MAP, "counts^2", "Covariance of the two, which is zero for counts of different channels." },
};

static struct ep_quotient quotient(const void *par)
{
    const struct par *p = par;
    return (struct ep_quotient){ "edge_ratio", "Jump ratio", "post", "pre", { { p->post[0], p->post[1] }, { p->pre[0], p->pre[1] } } };
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_quotient q = quotient(p);
    if (in->modelled) ep_declare_error(d, "input", "a jump ratio is taken of raw counts: give the image from before the background step");
    if (p->pre[1] > p->post[0] + 1e-9)
        ep_declare_error(d, "pre", "the window before the edge, %g to %g eV, does not end where the one behind it, %g to %g eV, begins", p->pre[0],
                         p->pre[1], p->post[0], p->post[1]);
    ep_quotient_declare(d, &q);
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    (void)out;
    struct ep_quotient q = quotient(d->par);
    ep_quotient_want(d, &q, in);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    struct ep_quotient q = quotient(p->par);
    return ep_quotient_prepare(p, &q, plan);
}

const struct ep_stage ep_stage_edge_ratio = {
    .name = "edge_ratio",
    .summary = "Divides the counts behind an edge by those before it: the jump ratio map.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), section 2.6.5.",
    .method = "Raw counts of two windows are divided; nothing is fitted, so the map is less noisy than a net map and shows where an "
              "element is, and changes of thickness and diffraction contrast largely cancel. It is no amount: the ratio of a specimen "
              "without the element is that of the background in the two windows, and grows with neither concentration nor thickness in "
              "proportion. Sigma is counting noise. Where the counts before the edge are below 3 sigma the pixel is flagged "
              "low_denominator.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = ep_quotient_apply,
};
