/* The zero-loss peak of low-loss spectra, for the stages that divide elastic from inelastic electrons. The mean spectrum of the image,
 * every pixel moved by whole channels until its peak lies at the same place (a look), says where the peak ends; each pixel is then
 * divided at that distance from its own peak.
 */
#ifndef EP_STAGES_ZERO_LOSS_H
#define EP_STAGES_ZERO_LOSS_H
#include "stages/pixels.h"

/* The parameter struct of such a stage begins with this. */
struct ep_zero_loss_par { double zlp_window[2], zlp_end; };
#define EP_ZERO_LOSS_PARAMS                                                                                                              \
    { .name = "zlp_window", .type = EP_P_WINDOW, .offset = offsetof(struct ep_zero_loss_par, zlp_window), .unit = "eV", .def = "[-20, 20]", \
      .doc = "Where the highest channel is taken for the zero-loss peak; an aligned pixel's own energies count." },                      \
    { .name = "zlp_end", .type = EP_P_NUMBER, .offset = offsetof(struct ep_zero_loss_par, zlp_end), .unit = "eV", .min = 0.01, .max = 100,  \
      .doc = "How far above its centre the zero-loss peak ends; left out, at the minimum between peak and losses of the mean spectrum." }

/* Says what is wrong with a low-loss image, at port (NULL: input). False when there was something. */
bool ep_zero_loss_check(struct ep_declare *d, const char *port, const struct ep_desc *in);
/* The same of stages without these parameters, which look for the peak in the default window. */
extern const struct ep_zero_loss_par ep_zero_loss_default;
bool ep_zero_loss_check_as(struct ep_declare *d, const char *port, const struct ep_desc *in, const struct ep_zero_loss_par *p);

/* ---- the look: the streamed item `item` of the stage holds the peak; `beside` (NULL: none), item 0 then, is averaged as it is ---- */

/* Its outputs: a spectrum whose channel nch is the peak; how many pixels; the mean channel of the peak; the mean of `beside`. */
enum { EP_ZERO_LOSS_MEAN, EP_ZERO_LOSS_PIXELS, EP_ZERO_LOSS_PLACE, EP_ZERO_LOSS_BESIDE };
extern const struct ep_outdoc ep_zero_loss_look_outputs[EP_ZERO_LOSS_BESIDE + 1];
void ep_zero_loss_look_declare(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *beside);
ep_status ep_zero_loss_look_prepare(const struct ep_prepare *p, const struct ep_desc *in, size_t item, const struct ep_desc *beside,
                                    void **plan, struct ep_err *e);
ep_status ep_zero_loss_look_add(const struct ep_apply *a, void *acc, struct ep_err *e);
void ep_zero_loss_look_merge(const void *plan, void *left, const void *right);
ep_status ep_zero_loss_look_finish(const void *plan, void *acc, struct ep_signal **out, struct ep_err *e);

/* ---- pixels ---- */

/* A sum of aligned pixels has no values at its ends, where not all of them reach. The spectrum of a cell with zeros before and the mean of
 * the last twentieth behind, in `room` (nch values) where that is needed; images are left as they are. */
const float *ep_zero_loss_filled(const struct ep_cell *c, const float *y, size_t nch, float *room);

struct ep_zero_loss {
    double window[2], gain, full;   /* eV; counts per electron; what a saturated channel holds, or 0 */
    double end, fwhm;               /* eV above the centre; of the mean's peak */
    double half;                    /* channels on each side of it that its centre is taken of */
    size_t nch;
};
/* From the look's mean spectrum; says what is wrong with it. */
ep_status ep_zero_loss_new(struct ep_zero_loss *z, const struct ep_zero_loss_par *par, const struct ep_desc *in,
                           const struct ep_signal *mean, struct ep_err *e);
/* The exponent of A E^-r (E in eV above the peak) through the mean's last fifth, by two areas, and what lies beyond the axis over what lies
 * there; *last: how many channels that are. */
ep_status ep_zero_loss_tail(const struct ep_zero_loss *z, const struct ep_axis *axis, const struct ep_signal *mean, double *r, double *beyond,
                            size_t *last, struct ep_err *e);
/* Fractional channel of the centre; boundary (channel i covers i - 1/2 to i + 1/2); a count more in channel i, within `half` of the centre,
 * moves it by (i - at) / slope. */
struct ep_peak { double at, end, slope; uint32_t flag; };
/* The peak of a whole spectrum whose axis is shifted by `shift` eV. A fatal flag says why there is none. */
struct ep_peak ep_zero_loss_find(const struct ep_zero_loss *z, const struct ep_axis *axis, const float *y, double shift);
/* The peak of a whole spectrum by itself, for stages without the look: it ends 3.3 of its own widths above its centre, but not nearer than 1.5
 * or farther than 4.5 eV; that is no place chosen by noise, and losses are few there. */
struct ep_peak ep_zero_loss_own(const struct ep_zero_loss_par *par, const struct ep_desc *in, const float *y, double shift);
#endif
