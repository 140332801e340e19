/* The ratio of two windows of one spectrum, such as the pre-peak of an edge over its main peak. */
#include <stdlib.h>
#include "stages/quotient.h"

struct par { double numerator[2], denominator[2]; };

static const struct ep_param params[] = {
    { .name = "numerator", .type = EP_P_WINDOW, .offset = offsetof(struct par, numerator), .unit = "eV", .required = true,
      .doc = "The energies whose sum stands above: from the first (included) to the second (not included)." },
    { .name = "denominator", .type = EP_P_WINDOW, .offset = offsetof(struct par, denominator), .unit = "eV", .required = true,
      .doc = "The energies whose sum stands below." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "Spectra, as a rule what a background step left.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true, .min = 1, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "ratio", EP_MAP, "", "Numerator over denominator." },
    { "numerator", EP_MAP, "counts", "The sum over the numerator's window." },
    { "denominator", EP_MAP, "counts", "The sum over the denominator's window." },
    { "covariance", EP_MAP, "counts^2", "Covariance of the two sums, which share the errors of one background." },
};

static struct ep_quotient quotient(const void *par)
{
    const struct par *p = par;
    return (struct ep_quotient){ "ratio", "Ratio", "numerator", "denominator",
                                 { { p->numerator[0], p->numerator[1] }, { p->denominator[0], p->denominator[1] } } };
}

static void declare(struct ep_declare *d)
{
    struct ep_quotient q = quotient(d->par);
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

const struct ep_stage ep_stage_ratio = {
    .name = "ratio",
    .summary = "Divides the counts of one energy window by those of another of the same spectrum.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), section 5.6.",
    .method = "Both windows are summed on the same net spectrum; sigma is that of the quotient by the delta method, with the covariance of "
              "the two sums, since one background was taken off under both. Where the denominator is below 3 sigma the pixel is flagged "
              "low_denominator; where it is not above zero there is no value. The mean of the ratios of pixels is biased at low counts "
              "(0.138 for 0.102): for a region sum the spectra first (sum_spectrum, then background, then ratio), or let collect "
              "divide the sums of numerator and denominator. One eV of offset of the energy axis changes an O K pre-peak ratio by "
              "6 to 34 %: align first.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = ep_quotient_apply,
};
