/* Why a pixel could not be computed, or what to know about it. One central list: bits are never reused.
 * A flag map (uint32) goes with every map; the bits of the input pixel are inherited. */
#ifndef EP_DATA_FLAGS_H
#define EP_DATA_FLAGS_H
#include <stdint.h>

/*      name           bit  word in files        meaning (docs and logs) */
#define EP_FLAG_LIST(X)                                                                              \
    X(NO_COUNTS,        0, "no_counts",       "the fit window holds no counts, or their sum is negative") \
    X(FIT_FAILED,       1, "fit_failed",      "the fit did not converge")                             \
    X(AT_BOUND,         2, "at_bound",        "a parameter stands at its bound")                      \
    X(MASKED,           3, "masked",          "left out by the recipe")                               \
    X(SATURATED,        4, "saturated",       "a channel stands at the largest value its type holds") \
    X(NOT_FINITE,       5, "not_finite",      "a channel in use is NaN or infinite")                  \
    X(OFF_AXIS,         6, "off_axis",        "the shifted window does not lie on the axis")          \
    X(NO_ZLP,           7, "no_zlp",          "no zero-loss peak was found")                          \
    X(SHIFT_LIMIT,      8, "shift_limit",     "the shift is beyond max_shift")                        \
    X(SIGMA_ESTIMATED,  9, "sigma_estimated", "the sigma rests on an estimated gain")                 \
    X(LOW_DENOMINATOR, 10, "low_denominator", "the denominator is below 3 sigma")                     \
    X(BIASED,          11, "biased",          "made by a non-negative fit: do not average")           \
    X(PARTIAL,         12, "partial",         "an average or sum over fewer pixels than asked for")      \
    X(NOT_SEPARABLE,   13, "not_separable",   "reasonable models of overlapping edges disagree: no amount is given")

#define EP_FLAG_ENUM(name, bit, word, doc) EP_FLAG_##name = UINT32_C(1) << (bit),
enum { EP_FLAG_LIST(EP_FLAG_ENUM) EP_FLAG_END };
#undef EP_FLAG_ENUM
/* Pixels with any of these carry NaN. */
#define EP_FLAGS_FATAL (EP_FLAG_NO_COUNTS | EP_FLAG_FIT_FAILED | EP_FLAG_MASKED | EP_FLAG_NOT_FINITE | EP_FLAG_OFF_AXIS | EP_FLAG_NO_ZLP | EP_FLAG_SHIFT_LIMIT)
#define EP_NFLAGS 14
struct ep_flag_info { uint32_t bit; const char *word, *doc; };
extern const struct ep_flag_info ep_flag_infos[EP_NFLAGS];
#endif
