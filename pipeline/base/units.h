/* Units: of axes, of parameters, of coordinates. */
#ifndef EP_BASE_UNITS_H
#define EP_BASE_UNITS_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"

enum ep_dim { EP_DIM_NONE, EP_DIM_ENERGY, EP_DIM_LENGTH, EP_DIM_ANGLE, EP_DIM_TIME, EP_DIM_TEMPERATURE, EP_DIM_CURRENT, EP_DIM_COUNTS };

/* What a unit's name means: its dimension and its size in the base unit of the dimension (eV, nm, mrad, s,
 * degC, nA, counts). Knows eV keV meV; nm um µm (both code points) A Å Angstrom pm mm m; mrad rad deg; s ms us
 * min h; degC C °C K is refused as a factor (offset) -> false; nA pA A is Angstrom, never ampere; counts e-; "" is NONE, factor 1.
 * False if unknown. */
bool ep_unit_lookup(const char *unit, enum ep_dim *dim, double *to_base);

/* The names that are known, one after the other; NULL behind the last. */
const char *ep_unit_name(size_t i);

/* "4.4 keV", "4.4keV" or "4.4" -> a number in `unit` (a bare number is already in it). Errors name text and unit.
 * The whole text must be consumed; nan and inf are refused. C locale rules. */
ep_status ep_unit_parse(const char *text, const char *unit, double *out, struct ep_err *e);

/* strtod in the C locale whatever the environment says; false unless all of text is one finite decimal number
 * (no blanks, no hexadecimal). A number too large for a double: false, and *out is infinite; else *out is not
 * touched on false. */
bool ep_parse_number(const char *text, double *out);
#endif
