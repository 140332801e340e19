#include "pipeline/numerics/xray.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xraylib.h>

#include "pipeline/data/elements.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SILICON 14
#define SILICON_DENSITY 2.329      /* g/cm3 */

/* The transitions that can be seen: those with 0.1 % or more of some element's subshell. Those within a shell (L1-L3, M2-M4) are
 * left out: they lie at a few hundred eV, where what absorbs X-rays is not known, and would put an element's counts under O K. */
struct transition { int line; char subshell; const char *name; };
static const struct transition k_lines[] = {
    { KL3_LINE, 1, "Ka1" }, { KL2_LINE, 1, "Ka2" }, { KM3_LINE, 1, "Kb1" }, { KM2_LINE, 1, "Kb3" }, { KN3_LINE, 1, "Kb2" },
    { KN2_LINE, 1, "KN2" }, { KM5_LINE, 1, "Kb5" }, { KM4_LINE, 1, "KM4" }, { KO_LINE, 1, "KO" },
};
static const struct transition l_lines[] = {
    { L3M5_LINE, 3, "La1" }, { L3M4_LINE, 3, "La2" }, { L3M1_LINE, 3, "Ll" }, { L3M2_LINE, 3, "Lt" }, { L3M3_LINE, 3, "Ls" },
    { L3N5_LINE, 3, "Lb2" }, { L3N4_LINE, 3, "Lb15" }, { L3N1_LINE, 3, "Lb6" }, { L3O1_LINE, 3, "Lb7" }, { L3O5_LINE, 3, "Lb5" },
    { L3O4_LINE, 3, "L3O4" }, { L3O45_LINE, 3, "L3O45" },
    { L2M4_LINE, 2, "Lb1" }, { L2M1_LINE, 2, "Ln" }, { L2M3_LINE, 2, "Lb17" }, { L2N4_LINE, 2, "Lg1" }, { L2N1_LINE, 2, "Lg5" },
    { L2O4_LINE, 2, "Lg6" }, { L2O1_LINE, 2, "Lg8" },
    { L1M3_LINE, 1, "Lb3" }, { L1M2_LINE, 1, "Lb4" }, { L1M5_LINE, 1, "Lb9" }, { L1M4_LINE, 1, "Lb10" }, { L1N3_LINE, 1, "Lg3" },
    { L1N2_LINE, 1, "Lg2" }, { L1O3_LINE, 1, "Lg4" }, { L1O2_LINE, 1, "L1O2" },
};
static const struct transition m_lines[] = {
    { M5N7_LINE, 5, "Ma1" }, { M5N6_LINE, 5, "Ma2" }, { M5N3_LINE, 5, "Mz1" }, { M5O3_LINE, 5, "M5O3" },
    { M4N6_LINE, 4, "Mb" }, { M4N2_LINE, 4, "Mz2" }, { M4N3_LINE, 4, "M4N3" }, { M4O2_LINE, 4, "M4O2" },
    { M3N5_LINE, 3, "Mg" }, { M3N4_LINE, 3, "M3N4" }, { M3N1_LINE, 3, "M3N1" }, { M3O5_LINE, 3, "M3O5" },
    { M2N4_LINE, 2, "M2N4" }, { M2N1_LINE, 2, "M2N1" }, { M2O4_LINE, 2, "M2O4" },
    { M1N3_LINE, 1, "M1N3" }, { M1N2_LINE, 1, "M1N2" }, { M1O3_LINE, 1, "M1O3" },
};

/* What xraylib has no yields and rates for: elements with few 4f electrons. Energies: J. A. Bearden, Rev. Mod. Phys. 39
 * (1967) 78; relative counts after G. Zschornack, Handbook of X-Ray Data (Springer, 2007), for the neighbouring elements
 * and rounded: they depend on the 4f occupation, and the fit is given much room for them. */
struct typed { int z; const char *name; int subshell; double energy, counts; };
static const struct typed typed_m[] = {
    { 57, "Ma1", 5, 833, 100 }, { 57, "Mb", 4, 854, 60 }, { 57, "Mz1", 5, 640, 10 }, { 57, "Mg", 3, 1027, 10 },
    { 58, "Ma1", 5, 883, 100 }, { 58, "Mb", 4, 902, 60 }, { 58, "Mz1", 5, 676, 8 }, { 58, "Mg", 3, 1075, 9 },
    { 59, "Ma1", 5, 929, 100 }, { 59, "Mb", 4, 950, 60 }, { 59, "Mz1", 5, 714, 7 }, { 59, "Mg", 3, 1127, 9 },
    { 60, "Ma1", 5, 978, 100 }, { 60, "Mb", 4, 997, 60 }, { 60, "Mz1", 5, 753, 6 }, { 60, "Mg", 3, 1180, 8 },
};
#define FAINTEST 3e-4              /* share of the family below which a line is left out */
#define TYPED_M_YIELD 0.003        /* of M5 and M4, for the order of the families' strengths alone */

/* ---- subshells --------------------------------------------------------------------------------------------------- */

int ep_xray_subshell(const char *name)
{
    static const char *const names[] = { "K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5" };
    static const int shells[] = { K_SHELL, L1_SHELL, L2_SHELL, L3_SHELL, M1_SHELL, M2_SHELL, M3_SHELL, M4_SHELL, M5_SHELL };
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(names[i], name) == 0) return shells[i];
    return -1;
}

/* The library's partial sections are those of one electron. */
double ep_xray_photo(int z, int subshell, double ev)
{
    return CSb_Photo_Partial(z, subshell, ev / 1000, NULL) * ElectronConfig(z, subshell, NULL);
}

double ep_xray_edge(int z, int subshell)
{
    return EdgeEnergy(z, subshell, NULL) * 1000;
}

double ep_xray_weight(int z)
{
    return AtomicWeight(z, NULL);
}

/* ---- silicon ---------------------------------------------------------------------------------------------------- */

/* cm2/g. The tables begin at 100 eV. */
static double silicon(double ev)
{
    return CS_Photo(SILICON, fmin(fmax(ev, 110), 2e5) / 1000, NULL);
}

double ep_xray_silicon_per_nm(double ev)
{
    return silicon(ev) * SILICON_DENSITY * 1e-7;
}

double ep_xray_stopped(double ev, double thickness_mm)
{
    return thickness_mm > 0 ? 1 - exp(-silicon(ev) * SILICON_DENSITY * 0.1 * thickness_mm) : 1;
}

/* Half of the Si K photons go forward; one made at a depth x comes out with exp(-mu_k x):
 *     P = 1/2 w (1 - 1/J) (1 - mu_k/mu ln(1 + mu/mu_k)). */
double ep_xray_escape(double ev)
{
    double edge = EdgeEnergy(SILICON, K_SHELL, NULL) * 1000;
    if (!(ev > edge)) return 0;
    double jump = JumpFactor(SILICON, K_SHELL, NULL), ratio = silicon(EP_XRAY_SI_KA) / silicon(ev);
    return 0.5 * FluorYield(SILICON, K_SHELL, NULL) * (1 - 1 / jump) * (1 - ratio * log(1 + 1 / ratio));
}

/* ---- families --------------------------------------------------------------------------------------------------- */

/* Ionisations of a shell by electrons, relative: n b/(T U) (ln(c T/U) - ln(1 - beta^2) - beta^2), T = m v^2 / 2. b and c are
 * Powell's for K (0.9, 0.65), and used for L and M as well, where only ratios of neighbouring subshells matter. */
static double ionisation(double edge_kev, double electrons, double beam_kev)
{
    const double rest = 510.999, b = 0.9, c = 0.65;
    double gamma = 1 + beam_kev / rest, beta2 = 1 - 1 / (gamma * gamma), t = rest * beta2 / 2;
    if (!(edge_kev > 0) || !(beam_kev > edge_kev)) return 0;
    double l = log(c * t / edge_kev) - log(1 - beta2) - beta2;
    /* Near threshold the logarithm ends; such a family is weak but not absent. */
    return electrons * b / (t * edge_kev) * fmax(l, 0.1);
}

struct shell { int nsub; const int *subshell; const double *electrons; const struct transition *line; size_t nline; };

static struct shell shell_of(char name)
{
    static const int k[] = { K_SHELL }, l[] = { L1_SHELL, L2_SHELL, L3_SHELL };
    static const int m[] = { M1_SHELL, M2_SHELL, M3_SHELL, M4_SHELL, M5_SHELL };
    static const double nk[] = { 2 }, nl[] = { 2, 2, 4 }, nm[] = { 2, 2, 4, 4, 6 };
    switch (name) {
    case 'K': return (struct shell){ 1, k, nk, k_lines, COUNT(k_lines) };
    case 'L': return (struct shell){ 3, l, nl, l_lines, COUNT(l_lines) };
    default: return (struct shell){ 5, m, nm, m_lines, COUNT(m_lines) };
    }
}

/* Probability that a vacancy of subshell i moves to j (counted from 1). */
static double coster_kronig(int z, char shell, int i, int j)
{
    static const int l[4][4] = { [1][2] = FL12_TRANS, [1][3] = FL13_TRANS, [2][3] = FL23_TRANS };
    static const int m[6][6] = { [1][2] = FM12_TRANS, [1][3] = FM13_TRANS, [1][4] = FM14_TRANS, [1][5] = FM15_TRANS,
                                 [2][3] = FM23_TRANS, [2][4] = FM24_TRANS, [2][5] = FM25_TRANS, [3][4] = FM34_TRANS,
                                 [3][5] = FM35_TRANS, [4][5] = FM45_TRANS };
    int t = shell == 'L' ? l[i][j] : shell == 'M' ? m[i][j] : 0;
    return t ? CosKronTransProb(z, t, NULL) : 0;
}

/* Vacancies of each subshell, those that came from inner subshells included. */
static void vacancies(int z, char name, const struct shell *s, double beam_kev, double *v)
{
    for (int j = 0; j < s->nsub; j++) {
        v[j] = ionisation(EdgeEnergy(z, s->subshell[j], NULL), s->electrons[j], beam_kev);
        for (int i = 0; i < j; i++) v[j] += v[i] * coster_kronig(z, name, i + 1, j + 1);
    }
}

/* What an usual polymer window or the specimen lets through: falls steeply below 1 keV. Only the order of the families
 * rests on it. */
static double entrance(double ev)
{
    double x = 900 / ev;
    return exp(-x * x * x);
}

static void add_line(struct ep_xray_family *f, const char *name, int subshell, double energy, double counts, bool alpha)
{
    if (f->n == EP_XRAY_LINES || !(energy >= EP_XRAY_MIN_EV) || !(counts > 0)) return;
    struct ep_xray_line *l = &f->line[f->n++];
    *l = (struct ep_xray_line){ .energy = energy, .weight = counts, .subshell = subshell, .alpha = alpha };
    snprintf(l->name, sizeof l->name, "%s", name);
}

static void add_typed(struct ep_xray_family *f, double vacant)
{
    for (size_t i = 0; i < COUNT(typed_m); i++)
        if (typed_m[i].z == f->z)
            add_line(f, typed_m[i].name, typed_m[i].subshell, typed_m[i].energy, vacant * TYPED_M_YIELD * typed_m[i].counts / 180,
                     strncmp(typed_m[i].name, "Ma", 2) == 0);
}

static void add_tabulated(struct ep_xray_family *f, const struct shell *s, const double *v)
{
    for (size_t i = 0; i < s->nline; i++) {
        const struct transition *t = &s->line[i];
        double yield = FluorYield(f->z, s->subshell[t->subshell - 1], NULL);
        bool alpha = i < 2;               /* the first two of each table */
        add_line(f, t->name, t->subshell, LineEnergy(f->z, t->line, NULL) * 1000,
                 v[t->subshell - 1] * yield * RadRate(f->z, t->line, NULL), alpha);
    }
}

/* Lines that end in the O shell: faint, and up to electrons that take part in bonds. Tables differ by their factor or have none. */
#define OUTERMOST 20
static bool outermost(const struct ep_xray_line *l)
{
    static const char *const names[] = { "Lb5", "Lb7", "Lg4", "Lg6", "Lg8" };
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(l->name, names[i]) == 0) return true;
    return strchr(l->name, 'O') != NULL;
}

/* Which ratios a fit may correct: between subshells (their ionisation and yields are uncertain), and between lines that end
 * in the next shell and those that end further out (they depend on the chemical state). Faint lines stay tied to the strong one
 * of their subshell: L eta of La lies under Ti K alpha and can't be told from it. Below 1 keV lines of neighbouring
 * subshells are not resolved and stay together, but Ll and eta of 3d metals stand apart, are strong, and badly known. */
static int group_key(const struct ep_xray_family *f, const struct ep_xray_line *l)
{
    bool soft = f->alpha_energy < 1000;
    if (l->alpha) return 0;
    if (f->shell == 'K') return 1;
    if (f->shell == 'M') {
        if (strncmp(l->name, "Mz", 2) == 0) return 1;
        return l->subshell == 5 || (soft && l->subshell == 4) ? 0 : 6 - l->subshell;
    }
    if (soft) return strcmp(l->name, "Ll") == 0 || strcmp(l->name, "Ln") == 0;
    if (outermost(l)) return OUTERMOST;
    bool outer = l->name[1] == 'g' || (l->subshell == 3 && l->name[1] == 'b');
    return l->subshell == 3 && !outer ? 0 : l->subshell * 2 + outer;
}

static void number_groups(struct ep_xray_family *f)
{
    int key[EP_XRAY_LINES];
    f->ngroup = 0;
    for (size_t i = 0; i < f->n; i++) {
        key[i] = group_key(f, &f->line[i]);
        size_t k = 0;
        while (k < i && key[k] != key[i]) k++;
        f->line[i].group = k < i ? f->line[k].group : (int)f->ngroup++;
        bool vague = f->shell == 'M' || f->alpha_energy < 1000 || key[i] == OUTERMOST;
        f->prior[f->line[i].group] = vague ? 0.5 : 0.2;
    }
}

bool ep_xray_family(int z, char name, double beam_kev, double thickness_mm, struct ep_xray_family *out)
{
    struct shell s = shell_of(name);
    double v[5] = { 0 };
    memset(out, 0, sizeof *out);
    const char *symbol = ep_element_symbol(z);
    if (!symbol || !strchr("KLM", name)) return false;
    out->z = z;
    snprintf(out->element, sizeof out->element, "%.2s", symbol);
    out->shell = name;
    out->edge = EdgeEnergy(z, s.subshell[s.nsub - 1], NULL) * 1000;
    if (!(out->edge > 0) || out->edge >= beam_kev * 1000) return false;
    vacancies(z, name, &s, beam_kev, v);
    if (name == 'M') add_typed(out, v[3] + v[4]);
    if (out->n == 0) add_tabulated(out, &s, v);
    double sum = 0, alpha = 0;
    for (size_t i = 0; i < out->n; i++) {
        struct ep_xray_line *l = &out->line[i];
        l->weight *= ep_xray_stopped(l->energy, thickness_mm);
        sum += l->weight;
        if (!l->alpha) continue;
        alpha += l->weight;
        if (out->alpha_energy == 0) out->alpha_energy = l->energy;   /* the stronger one comes first */
    }
    if (!(alpha > 0) || !out->line[0].alpha) return false;
    size_t kept = 0;
    for (size_t i = 0; i < out->n; i++)
        if (out->line[i].alpha || out->line[i].weight > FAINTEST * sum) out->line[kept++] = out->line[i];
    out->n = kept;
    sum = 0;
    for (size_t i = 0; i < out->n; i++) sum += out->line[i].weight;
    for (size_t i = 0; i < out->n; i++) out->line[i].weight /= sum;
    out->strength = alpha * entrance(out->alpha_energy);
    number_groups(out);
    return true;
}
