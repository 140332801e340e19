/* Onsets as in C. C. Ahn and O. L. Krivanek, EELS Atlas (Gatan and Arizona State University, 1983): of the edges that are
 * called major there the lowest subshell of each, L2,3 as L3. Hydrogen, helium and elements without such an edge are left out. */
#include "pipeline/data/edges.h"

#include <string.h>

static const struct ep_edge edges[] = {
    {"Li", "K", 55}, {"Be", "K", 111}, {"B", "K", 188}, {"C", "K", 284}, {"N", "K", 401}, {"O", "K", 532},
    {"F", "K", 685}, {"Ne", "K", 867}, {"Na", "K", 1072}, {"Na", "L3", 31}, {"Mg", "K", 1305}, {"Mg", "L3", 51},
    {"Al", "K", 1560}, {"Al", "L3", 73}, {"Si", "K", 1839}, {"Si", "L3", 99.2}, {"P", "K", 2146}, {"P", "L3", 132},
    {"S", "L3", 165}, {"Cl", "L3", 200}, {"Ar", "L3", 245}, {"K", "L3", 294}, {"Ca", "L3", 346}, {"Sc", "L3", 402},
    {"Sc", "M3", 32}, {"Ti", "L3", 456}, {"Ti", "M3", 35}, {"V", "L3", 513}, {"V", "M3", 38}, {"Cr", "L3", 575},
    {"Cr", "M3", 43}, {"Mn", "L3", 640}, {"Mn", "M3", 51}, {"Fe", "L3", 708}, {"Fe", "M3", 57}, {"Co", "L3", 779},
    {"Co", "M3", 59}, {"Ni", "L3", 855}, {"Ni", "M3", 68}, {"Cu", "L3", 931}, {"Cu", "M3", 74}, {"Zn", "L3", 1020},
    {"Ga", "L3", 1115}, {"Ge", "L3", 1217}, {"As", "L3", 1323}, {"Se", "L3", 1436}, {"Br", "L3", 1550},
    {"Kr", "L3", 1675}, {"Kr", "M5", 89}, {"Rb", "L3", 1804}, {"Rb", "M5", 110}, {"Sr", "L3", 1940},
    {"Sr", "M5", 134}, {"Y", "L3", 2080}, {"Y", "M5", 160}, {"Zr", "L3", 2222}, {"Zr", "M5", 181}, {"Nb", "L3", 2371},
    {"Nb", "M5", 202.3}, {"Mo", "L3", 2520}, {"Mo", "M5", 227}, {"Ru", "M5", 279}, {"Rh", "M5", 308},
    {"Pd", "M5", 335}, {"Ag", "M5", 367}, {"Cd", "M5", 404}, {"In", "M5", 443}, {"Sn", "M5", 485}, {"Sb", "M5", 528},
    {"Te", "M5", 572}, {"I", "M5", 620}, {"Xe", "M5", 672}, {"Cs", "M5", 726}, {"Cs", "N5", 78}, {"Ba", "M5", 781},
    {"Ba", "N5", 90}, {"La", "M5", 832}, {"La", "N5", 99}, {"Ce", "M5", 883}, {"Ce", "N5", 110}, {"Pr", "M5", 931},
    {"Pr", "N5", 114}, {"Nd", "M5", 978}, {"Nd", "N5", 118}, {"Sm", "M5", 1080}, {"Sm", "N5", 130},
    {"Eu", "M5", 1131}, {"Eu", "N5", 134}, {"Gd", "M5", 1185}, {"Gd", "N5", 141}, {"Tb", "M5", 1241},
    {"Tb", "N5", 148}, {"Dy", "M5", 1295}, {"Dy", "N5", 154}, {"Ho", "M5", 1351}, {"Ho", "N5", 161},
    {"Er", "M5", 1409}, {"Er", "N5", 168}, {"Tm", "M5", 1468}, {"Tm", "N5", 180}, {"Yb", "M5", 1528},
    {"Yb", "N5", 184}, {"Lu", "M5", 1588}, {"Lu", "N5", 195}, {"Hf", "M5", 1662}, {"Ta", "M5", 1735},
    {"W", "M5", 1809}, {"Re", "M5", 1883}, {"Os", "M5", 1960}, {"Ir", "M5", 2040}, {"Pt", "M5", 2122},
    {"Au", "M5", 2206}, {"Hg", "M5", 2295}, {"Tl", "M5", 2389}, {"Pb", "M5", 2484}, {"Bi", "M5", 2580},
    {"Th", "M5", 3332}, {"Th", "O5", 83}, {"U", "M5", 3552}, {"U", "O5", 96},
};

static int named(const char *const *elements, const char *element)
{
    for (; *elements; elements++)
        if (strcmp(*elements, element) == 0) return 1;
    return 0;
}

size_t ep_edges_within(const char *const *elements, double lo, double hi, struct ep_edge *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; elements && i < sizeof edges / sizeof *edges; i++) {
        if (!(edges[i].onset > lo && edges[i].onset < hi) || !named(elements, edges[i].element)) continue;
        size_t at = n < max ? n : max;          /* sorted in: the lowest ones stay */
        while (at > 0 && out[at - 1].onset > edges[i].onset) {
            if (at < max) out[at] = out[at - 1];
            at--;
        }
        if (at < max) out[at] = edges[i];
        n++;
    }
    return n;
}
