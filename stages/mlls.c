/* Maps of overlapping edges: columns fitted together, in every pixel.
 *
 * A pixel's counts are too few to choose shapes, so these come from the sum (mlls_look.c): each column with plural scattering put
 * back, and, where plural scattering was taken off or edges are modelled, what is left of the sum, the base: valence losses and
 * background as they were measured. A pixel is then linear: the columns, the base, and two terms by which its thickness may differ
 * from the mean's (plural scattering, and a power of the energy). One matrix serves all pixels, c = L y, and since the counts'
 * variances follow the model, the variance of each amplitude is linear in the amplitudes (numerics/eds_fit.h).
 *
 * A spectrum is its own sum: the results of its fit are written as they are.
 */
#include "stages/mlls_plan.h"

static const char *const plural_words[] = { "removed", "kept", "convolved", NULL };
static const char *const weights_words[] = { "mean", "model", NULL };
static const struct ep_param column_params[] = {
    { .name = "name", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_colpar, name), .required = true,
      .doc = "The name of the column, and of its map." },
    { .name = "edge", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_colpar, edge),
      .doc = "A modelled edge: Li_K, the M2,3 edge of a metal from Sc to Cu, as Mn_M, or a K or L edge, as O_K, Ti_L." },
    { .name = "peaks", .type = EP_P_NUMBERS, .offset = offsetof(struct ep_mlls_colpar, peaks), .min = 1, .max = 1e5, .max_items = EP_EDGE_PEAKS,
      .doc = "Energies in eV of near-edge peaks (white lines) of a K or L edge; place, width and height of each are refined." },
    { .name = "edges", .type = EP_P_TEXTS, .offset = offsetof(struct ep_mlls_colpar, edges), .max_items = 8,
      .doc = "Modelled M2,3 edges of the metals of one compound, as [Mn_M, Co_M, Ni_M], that share one amplitude." },
    { .name = "tie", .type = EP_P_NUMBERS, .offset = offsetof(struct ep_mlls_colpar, tie), .min = 1e-6, .max = 1e6, .max_items = 8,
      .doc = "Atoms of each of the edges, in their order; as many of each when left out." },
    { .name = "spectrum", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_colpar, spectrum),
      .doc = "A measured spectrum, one of `references`: another compound, or an output of a fit." },
    { .name = "learned", .type = EP_P_TEXTS, .offset = offsetof(struct ep_mlls_colpar, learned), .min_items = 2, .max_items = 2,
      .doc = "Two measured spectra, of `references`: the first minus the second, which is scaled to it before the edge." },
    { .name = "low_loss", .type = EP_P_TEXTS, .offset = offsetof(struct ep_mlls_colpar, low_loss), .max_items = 2,
      .doc = "The low loss of the measured spectrum, or of both, of `references`: plural scattering is taken off them." },
    EP_PARAM_END
};
const struct ep_param ep_mlls_params[] = {
    { .name = "columns", .type = EP_P_RECORDS, .offset = offsetof(struct ep_mlls_params, columns), .record = column_params,
      .record_size = sizeof(struct ep_mlls_colpar), .required = true, .min_items = 1, .max_items = 12,
      .doc = "What is fitted: each a modelled edge, edges that are tied, a measured spectrum, or a shape learned from two; the one of "
             "interest first." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct ep_mlls_params, range), .unit = "eV", .required = true,
      .doc = "The energies to fit, as [46, 90] for Li K." },
    { .name = "count", .type = EP_P_WINDOW, .offset = offsetof(struct ep_mlls_params, count), .unit = "eV", .def = "[55, 65]",
      .doc = "The window whose counts, plural scattering included, state each column's amount." },
    { .name = "background", .type = EP_P_NUMBERS, .offset = offsetof(struct ep_mlls_params, background), .def = "[3, 5]", .min = 0, .max = 10,
      .min_items = 1, .max_items = EP_MLLS_EXPONENTS, .doc = "Exponents r of the background, a sum of A E^-r." },
    { .name = "plural", .type = EP_P_WORD, .offset = offsetof(struct ep_mlls_params, plural), .def = "removed", .words = plural_words,
      .doc = "Plural scattering: taken off with the low loss before the fit; fitted with what it is part of; or, for core losses beyond the low "
             "loss, put on the modelled edges by convolution with it." },
    { .name = "weights", .type = EP_P_WORD, .offset = offsetof(struct ep_mlls_params, weights), .def = "mean", .words = weights_words,
      .doc = "Weights of a pixel's fit: from the mean of the pixels, or from its own fit, repeated; for pixels that differ much." },
    { .name = "scale", .type = EP_P_WINDOW, .offset = offsetof(struct ep_mlls_params, scale), .unit = "eV",
      .doc = "Where learned shapes are nothing: the window their two spectra are scaled in; from the range's start to 1 eV before `count` when "
             "left out." },
    { .name = "per", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_params, per),
      .doc = "The column to divide the first column's counts by, so that thickness and current cancel; or `thickness`: that of a spectrum, t/lambda "
             "times the zero-loss counts of its low loss." },
    { .name = "nonneg", .type = EP_P_BOOL, .offset = offsetof(struct ep_mlls_params, nonneg), .def = "false",
      .doc = "Let no column of a pixel be negative; such maps are flagged biased, and profile, front and collect refuse them." },
    { .name = "systematics", .type = EP_P_BOOL, .offset = offsetof(struct ep_mlls_params, systematics), .def = "true",
      .doc = "Repeat the fit of the sum with other ranges, exponents and constants of the edges, for a systematic sigma." },
    { .name = "separable", .type = EP_P_NUMBER, .offset = offsetof(struct ep_mlls_params, separable), .unit = "", .def = "0.3", .min = 0.01,
      .max = 100, .doc = "The share of the first column's counts above which its systematic sigma means that it can't be separated; of the "
                          "others it is at least 1." },
    EP_PARAM_END
};
const struct ep_port ep_mlls_ports[EP_MLLS_NPORTS] = {
    { .name = "input", .doc = "Raw counts, aligned: a spectrum image, or one spectrum.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "The low loss of the same pixels, with the zero-loss peak.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .paired = true, .max = 1 },
    { .name = "references", .doc = "The measured spectra that columns name.", .kinds = EP_SPECTRUM },
    { .name = "mask", .doc = "A map of the same pixels: the sum is that of those that are finite and not 0.", .kinds = EP_MAP, .max = 1 },
    { .name = "relative_to", .doc = "The run that `change` counts from.", .kinds = EP_MAP, .relative = true, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "<name>", EP_MAP, "counts", "Counts of each column in the window, plural scattering included." },
    { "<name>_systematic", EP_MAP, "counts", "Its systematic sigma: how far other ranges, exponents and edge constants move it." },
    { "<first>_per_<per>", EP_MAP, "", "Counts of the first column over those of `per`." },
    { "numerator", EP_MAP, "counts", "The counts that are divided." },
    { "denominator", EP_MAP, "counts", "The counts that are divided by." },
    { "covariance", EP_MAP, "counts^2", "Their covariance." },
    { "change", EP_MAP, "", "That quotient over the one of the run `relative_to` (of this sum, without such a run), minus 1." },
    { "reduced_chi_square", EP_MAP, "", "Weighted squares of the residual over what counting noise gives." },
    { "residual", EP_IMAGE, "counts", "Counts minus model, channel by channel; NaN outside of the range." },
    { "without_<name>", EP_SPECTRUM, "counts", "Of a spectrum: what it is without the column, plural scattering included." },
    { "only_<name>", EP_SPECTRUM, "counts", "Of a spectrum: the column as fitted, plural scattering included." },
    { "single_<name>", EP_SPECTRUM, "counts", "Of a spectrum: the column as fitted, without plural scattering: its shape, for fits of other runs." },
    { "plural", EP_SPECTRUM, "counts", "Of a spectrum: what plural scattering adds to it." },
};

const struct ep_stage ep_stage_mlls = {
    .name = "mlls",
    .summary = "Fits overlapping edges together: lithium among the M edges of metals, plural scattering taken off.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), sections 3.2, 4.1, 4.5; D. W. "
                 "Johnson, J. C. H. Spence, J. Phys. D 7 (1974) 771 (Fourier-log).",
    .method = "First the sum of the pixels is fitted: plural scattering, known from the low loss, is taken off (Fourier-log), and columns plus powers of the "
              "energy are fitted to single scattering by least squares, with weights from the mean spectrum. Columns are measured spectra, shapes "
              "learned as the difference of two, or modelled edges whose onsets, widths, decays and forms are refined within stated bounds; edges of one "
              "compound share one amplitude. The fit is then repeated with other ranges, exponents and edge constants: how far amounts move is their "
              "systematic sigma, and where that exceeds `separable` times the amount (and a tenth of the other columns) the map has no value and "
              "the flag not_separable. Then every pixel is a signed linear fit of the columns, of what is left of the sum, and of two terms for "
              "its thickness. Sigma is counting noise; errors of shapes are common to all pixels and stand in the systematic. Counts are those of "
              "the window `count`, plural scattering included. A spectrum (of a region) is fitted in full, and gives `without_Li` and `only_Li`, "
              "which serve as columns of a fit of pixels. Measured shapes count as exact.",
    .version = 3,
    .params = ep_mlls_params, .params_size = sizeof(struct ep_mlls_params),
    .ports = ep_mlls_ports, .nports = EP_MLLS_NPORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &ep_mlls_look,
    .declare = ep_mlls_declare, .want = ep_mlls_want, .prepare = ep_mlls_prepare, .free_plan = ep_mlls_free_plan, .apply = ep_mlls_apply,
};
