#include "pipeline/base/units.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"

/* Factors that are powers of ten also stand as an exponent: a number is then converted in decimal,
 * so that "1.001 keV" is the very double that 1001 is. */
enum { NO_EXP = INT_MIN };
struct unit { const char *name; enum ep_dim dim; double to_base; int exp10; };
static const struct unit UNITS[] = {
    {"", EP_DIM_NONE, 1, 0},
    {"eV", EP_DIM_ENERGY, 1, 0},
    {"keV", EP_DIM_ENERGY, 1e3, 3},
    {"meV", EP_DIM_ENERGY, 1e-3, -3},
    {"nm", EP_DIM_LENGTH, 1, 0},
    {"um", EP_DIM_LENGTH, 1e3, 3},
    {"\u00b5m", EP_DIM_LENGTH, 1e3, 3},     /* micro sign */
    {"\u03bcm", EP_DIM_LENGTH, 1e3, 3},     /* Greek mu */
    {"A", EP_DIM_LENGTH, 1e-1, -1},
    {"\u00c5", EP_DIM_LENGTH, 1e-1, -1},    /* A with ring */
    {"\u212b", EP_DIM_LENGTH, 1e-1, -1},    /* Angstrom sign */
    {"A\u030a", EP_DIM_LENGTH, 1e-1, -1},   /* A, combining ring: as macOS writes it */
    {"Angstrom", EP_DIM_LENGTH, 1e-1, -1},
    {"angstrom", EP_DIM_LENGTH, 1e-1, -1},
    {"pm", EP_DIM_LENGTH, 1e-3, -3},
    {"mm", EP_DIM_LENGTH, 1e6, 6},
    {"m", EP_DIM_LENGTH, 1e9, 9},
    {"mrad", EP_DIM_ANGLE, 1, 0},
    {"rad", EP_DIM_ANGLE, 1e3, 3},
    {"deg", EP_DIM_ANGLE, 1e3 * 3.14159265358979323846 / 180, NO_EXP},
    {"s", EP_DIM_TIME, 1, 0},
    {"ms", EP_DIM_TIME, 1e-3, -3},
    {"us", EP_DIM_TIME, 1e-6, -6},
    {"\u00b5s", EP_DIM_TIME, 1e-6, -6},
    {"\u03bcs", EP_DIM_TIME, 1e-6, -6},
    {"min", EP_DIM_TIME, 60, NO_EXP},
    {"h", EP_DIM_TIME, 3600, NO_EXP},
    {"degC", EP_DIM_TEMPERATURE, 1, 0},
    {"C", EP_DIM_TEMPERATURE, 1, 0},
    {"\u00b0C", EP_DIM_TEMPERATURE, 1, 0},
    {"nA", EP_DIM_CURRENT, 1, 0},
    {"pA", EP_DIM_CURRENT, 1e-3, -3},
    {"counts", EP_DIM_COUNTS, 1, 0},
    {"e-", EP_DIM_COUNTS, 1, 0},
};

static const char *const DIM_NAMES[] = {
    [EP_DIM_NONE] = "a plain number",
    [EP_DIM_ENERGY] = "an energy",
    [EP_DIM_LENGTH] = "a length",
    [EP_DIM_ANGLE] = "an angle",
    [EP_DIM_TIME] = "a time",
    [EP_DIM_TEMPERATURE] = "a temperature",
    [EP_DIM_CURRENT] = "a current",
    [EP_DIM_COUNTS] = "a number of counts",
};

static const struct unit *find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strlen(UNITS[i].name) == n && !memcmp(UNITS[i].name, name, n)) return &UNITS[i];
    return NULL;
}

const char *ep_unit_name(size_t i)
{
    return i < sizeof UNITS / sizeof *UNITS ? UNITS[i].name : NULL;
}

bool ep_unit_lookup(const char *unit, enum ep_dim *dim, double *to_base)
{
    const struct unit *u = find(unit ? unit : "", unit ? strlen(unit) : 0);
    if (!u) return false;
    if (dim) *dim = u->dim;
    if (to_base) *to_base = u->to_base;
    return true;
}

/* ---- numbers ---- */

static size_t count_digits(const char *s)
{
    size_t n = 0;
    while (s[n] >= '0' && s[n] <= '9') n++;
    return n;
}

/* The decimal number at the start of s: the length of sign and digits, and of all with the
 * exponent. An `e` without digits is not an exponent: "5eV", "5 e-". 0: no number. */
static size_t scan_number(const char *s, size_t *mantissa)
{
    size_t i = s[0] == '+' || s[0] == '-';
    size_t whole = count_digits(s + i), part = 0;
    i += whole;
    if (s[i] == '.') {
        part = count_digits(s + i + 1);
        if (whole + part) i += 1 + part;
    }
    *mantissa = i;
    if (whole + part == 0) return 0;
    if (s[i] == 'e' || s[i] == 'E') {
        size_t j = i + 1 + (s[i + 1] == '+' || s[i + 1] == '-');
        size_t exp = count_digits(s + j);
        if (exp) i = j + exp;
    }
    return i;
}

static double strtod_c(const char *s)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return strtod(s, NULL);
    double x = strtod_l(s, NULL, c);
    freelocale(c);
    return x;
}

bool ep_parse_number(const char *text, double *out)
{
    size_t mantissa, n = scan_number(text, &mantissa);
    if (n == 0 || text[n]) return false;
    double x = strtod_c(text);
    *out = x;
    return isfinite(x);
}

/* The number of n characters at s, times 10^shift, rounded once. */
static double number_shifted(const char *s, size_t mantissa, size_t n, int shift)
{
    long exp = 0;
    if (n > mantissa) exp = strtol(s + mantissa + 1, NULL, 10);
    if (exp > 100000000) exp = 100000000;
    if (exp < -100000000) exp = -100000000;
    struct ep_str b = {0};
    ep_str_addn(&b, s, mantissa);
    ep_str_addf(&b, "e%ld", exp + shift);
    double x = strtod_c(b.s);
    ep_str_free(&b);
    return x;
}

/* Blanks, also those that word processors put between a number and its unit. */
static const char *skip_blanks(const char *s)
{
    static const char *const WIDE[] = {"\u00a0", "\u2009", "\u202f"};
    for (;;) {
        size_t step = *s == ' ' || *s == '\t';
        for (size_t i = 0; i < 3 && !step; i++)
            if (!strncmp(s, WIDE[i], strlen(WIDE[i]))) step = strlen(WIDE[i]);
        if (!step) return s;
        s += step;
    }
}

/* What is asked for, for the end of a message: "an energy in eV". */
struct need { char s[96]; };
static struct need describe(const char *unit)
{
    struct need d;
    const struct unit *u = find(unit, strlen(unit));
    if (u && u->dim == EP_DIM_NONE) snprintf(d.s, sizeof d.s, "a plain number");
    else if (u && u->dim == EP_DIM_COUNTS) snprintf(d.s, sizeof d.s, "a number of %s", unit);
    else snprintf(d.s, sizeof d.s, "%s in %s", u ? DIM_NAMES[u->dim] : "a number", unit);
    return d;
}

ep_status ep_unit_parse(const char *text, const char *unit, double *out, struct ep_err *e)
{
    if (!unit) unit = "";
    struct need need = describe(unit);
    const char *num = skip_blanks(text);
    size_t mantissa, n = scan_number(num, &mantissa);
    const char *name = skip_blanks(num + n);
    size_t name_n = strlen(name);
    while (name_n && (name[name_n - 1] == ' ' || name[name_n - 1] == '\t')) name_n--;

    if (n && *name == ',')
        return ep_fail(e, EP_E_RECIPE,
                       "\"%s\" is not one number (decimals take a point); this needs %s", text,
                       need.s);
    if (n == 0 || (*name && strchr(".+-0123456789", *name)))
        return ep_fail(e, EP_E_RECIPE, "\"%s\" is not a number; this needs %s", text, need.s);

    const struct unit *to = find(unit, strlen(unit)), *from = find(name, name_n);
    int shift = 0;
    double factor = 1;
    if (name_n == 0 || (strlen(unit) == name_n && !memcmp(unit, name, name_n))) {
        /* already in this unit */
    } else if (name_n == 1 && *name == 'K') {
        return ep_fail(e, EP_E_RECIPE, "\"%s\" is in kelvin, which is not converted; this needs %s",
                       text, need.s);
    } else if (!from) {
        return ep_fail(e, EP_E_RECIPE, "\"%s\": the unit %.*s is not known; this needs %s", text,
                       (int)(name_n < 64 ? name_n : 64), name, need.s);
    } else if (!to || from->dim != to->dim) {
        bool ampere = to && to->dim == EP_DIM_CURRENT && !strcmp(from->name, "A");
        return ep_fail(e, EP_E_RECIPE, "\"%s\" is %s%s; this needs %s", text, DIM_NAMES[from->dim],
                       ampere ? " (A is Angstrom)" : "", need.s);
    } else if (from->exp10 != NO_EXP && to->exp10 != NO_EXP) {
        shift = from->exp10 - to->exp10;
    } else {
        factor = from->to_base / to->to_base;
    }
    double x = number_shifted(num, mantissa, n, shift) * factor;
    if (!isfinite(x))
        return ep_fail(e, EP_E_RECIPE, "\"%s\" is too large; this needs %s", text, need.s);
    *out = x;
    return EP_OK;
}
