/*
 * Line tables, yields, ionisation.
 *
 * Sources, by the short names used below:
 *   Bearden    J. A. Bearden, Rev. Mod. Phys. 39 (1967) 78 (line energies); J. A. Bearden and
 *              A. F. Burr, ibid. 125 (edges; weak lines without a measurement: differences)
 *   Salem      S. I. Salem, S. L. Panossian, R. A. Krause, At. Data Nucl. Data Tables 14 (1974)
 *              92 (measured K and L rates, to some 5 %), as smoothed over Z by W. T. Elam, B. D.
 *              Ravel, J. R. Sieber, Radiat. Phys. Chem. 63 (2002) 121; Si K: J. H. Scofield,
 *              Phys. Rev. A 9 (1974) 1041, since the smooth curve does not reach that far down
 *   Bhalla     C. P. Bhalla, J. Phys. B 3 (1970) 916 (M rates)
 *   Bambynek   W. Bambynek, Proc. Conf. X-ray and Inner-Shell Processes, Leipzig 1984 (K yields)
 *   Chen       M. H. Chen, B. Crasemann, H. Mark, Phys. Rev. A 24 (1981) 177 (L yields and
 *              Coster-Kronig); 21 (1980) 449 and 27 (1983) 2989 (M)
 *   Powell     C. J. Powell, Rev. Mod. Phys. 48 (1976) 33 (Bethe parameters)
 *   Chantler   C. T. Chantler, J. Phys. Chem. Ref. Data 24 (1995) 71 (absorption)
 *
 * Many programs take calculated rates (Scofield) and Krause's yields. Against these K-beta is 6-10
 * % stronger here, and L lines differ by up to 25 % within their subshell: what a fit with another
 * table has to live with. Weak lines that Salem does not list are left out. L rates of 3d metals
 * and yields of light elements depend on the compound; no compound is looked at. La M has no
 * tabulated rates worth the name (4f is empty in the ground state): rates and yields a scenario.
 */
#include "xray.h"

#include <math.h>
#include <string.h>

#include "physics.h"

#define ELECTRON_REST_KEV 510.99895

const char *const sim_element_symbol[SIM_ELEMENTS] = {"C",  "O",  "Si", "Ti", "Mn", "Co",
                                                      "Ni", "Cu", "Ga", "Sr", "La", "Pt"};
const int sim_element_z[SIM_ELEMENTS] = {6, 8, 14, 22, 25, 27, 28, 29, 31, 38, 57, 78};

/* K lines of elements with M electrons, and L lines of the 3d metals and Ga. */
#define K_LINES(a2, a1, b, ra2, ra1, rb) \
    {{"Ka2", 0, a2, ra2}, {"Ka1", 0, a1, ra1}, {"Kb1", 0, b, rb}}
#define L_LINES(l, n, a, b1, b34, rl, ra, rn, rb1)                                  \
    {{"Ll", 2, l, rl}, {"La1", 2, a, ra}, {"Ln", 1, n, rn}, {"Lb1", 1, b1, rb1},    \
     {"Lb3", 0, b34, 1.0}}

const struct sim_family sim_families[SIM_FAMILIES] = {
    {"C_K", "C_Ka", SIM_C, {{2, 0.2838, 0.00257, 0, 0}}, {{"Ka1", 0, 0.277, 1.0}}},
    {"O_K", "O_Ka", SIM_O, {{2, 0.5320, 0.00691, 0, 0}}, {{"Ka1", 0, 0.5249, 1.0}}},
    {"Si_K", "Si_Ka", SIM_SI, {{2, 1.8389, 0.05037, 0, 0}},
     K_LINES(1.73938, 1.73998, 1.83594, 0.32576, 0.64724, 0.02700)},
    {"Ti_K", "Ti_Ka", SIM_TI, {{2, 4.9664, 0.22559, 0, 0}},
     K_LINES(4.50486, 4.51084, 4.93181, 0.29369, 0.58455, 0.12152)},
    {"Ti_L", "Ti_La", SIM_TI,
     {{2, 0.5637, 0.000257, 0.3034, 0.649}, {2, 0.4615, 0.00115, 0, 0},
      {4, 0.4555, 0.0020, 0, 0}},
     L_LINES(0.3953, 0.4013, 0.4522, 0.4584, 0.5291, 0.09910, 0.90090, 0.08117, 0.91883)},
    {"Mn_K", "Mn_Ka", SIM_MN, {{2, 6.5390, 0.32128, 0, 0}},
     K_LINES(5.88765, 5.89875, 6.49045, 0.29394, 0.58134, 0.12445)},
    {"Mn_L", "Mn_La", SIM_MN,
     {{2, 0.7690, 0.000347, 0.268, 0.688}, {2, 0.6514, 0.0039, 0, 0},
      {4, 0.6403, 0.00457, 0, 0}},
     L_LINES(0.5563, 0.5675, 0.6374, 0.6488, 0.7210, 0.09910, 0.90090, 0.07600, 0.92400)},
    {"Co_K", "Co_Ka", SIM_CO, {{2, 7.7089, 0.38797, 0, 0}},
     K_LINES(6.91530, 6.93032, 7.64943, 0.29411, 0.57922, 0.12640)},
    {"Co_L", "Co_La", SIM_CO,
     {{2, 0.9256, 0.000449, 0.2744, 0.6792}, {2, 0.7936, 0.0068, 0, 0},
      {4, 0.7786, 0.0074, 0, 0}},
     L_LINES(0.6778, 0.6936, 0.7762, 0.7914, 0.8702, 0.08539, 0.91461, 0.07252, 0.92748)},
    {"Ni_K", "Ni_Ka", SIM_NI, {{2, 8.3328, 0.42115, 0, 0}},
     K_LINES(7.46089, 7.47815, 8.26466, 0.29419, 0.57816, 0.12735)},
    {"Ni_L", "Ni_La", SIM_NI,
     {{2, 1.0081, 0.0005, 0.2776, 0.6748}, {2, 0.8719, 0.0082, 0, 0},
      {4, 0.8547, 0.0086, 0, 0}},
     L_LINES(0.7427, 0.7601, 0.8515, 0.8688, 0.9410, 0.07503, 0.92497, 0.06852, 0.93148)},
    {"Cu_K", "Cu_Ka", SIM_CU, {{2, 8.9789, 0.45382, 0, 0}},
     K_LINES(8.02783, 8.04778, 8.90529, 0.29427, 0.57711, 0.12832)},
    {"Cu_L", "Cu_La", SIM_CU,
     {{2, 1.0961, 0.000551, 0.2808, 0.6704}, {2, 0.9510, 0.0096, 0, 0},
      {4, 0.9311, 0.0098, 0, 0}},
     L_LINES(0.8111, 0.8315, 0.9297, 0.9498, 1.0228, 0.06734, 0.93266, 0.06619, 0.93381)},
    {"Ga_K", "Ga_Ka", SIM_GA, {{2, 10.3671, 0.51661, 0, 0}},
     K_LINES(9.22482, 9.25174, 10.2642, 0.29444, 0.57501, 0.13022)},
    {"Ga_L", "Ga_La", SIM_GA,
     {{2, 1.2977, 0.00083, 0.2652, 0.6778}, {2, 1.1423, 0.0127, 0, 0},
      {4, 1.1154, 0.0128, 0, 0}},
     L_LINES(0.9572, 0.9842, 1.09792, 1.1248, 1.1970, 0.05761, 0.94239, 0.06172, 0.93828)},
    {"Sr_K", "Sr_Ka", SIM_SR, {{2, 16.1046, 0.69562, 0, 0}},
     {{"Ka2", 0, 14.0979, 0.29016}, {"Ka1", 0, 14.1650, 0.55821}, {"Kb1", 0, 15.8357, 0.13450},
      {"Kb2", 0, 16.0846, 0.01675}}},
    {"Sr_L", "Sr_La", SIM_SR,
     {{2, 2.2163, 0.003855, 0.143, 0.7255}, {2, 2.0068, 0.026, 0.1105, 0},
      {4, 1.9396, 0.027, 0, 0}},
     {{"Ll", 2, 1.5822, 0.04205}, {"La2", 2, 1.80474, 0.09477}, {"La1", 2, 1.80656, 0.86152},
      {"Lb6", 2, 1.9019, 0.00166}, {"Ln", 1, 1.6493, 0.04812}, {"Lb1", 1, 1.87172, 0.95188},
      {"Lb4", 0, 1.9369, 0.34507}, {"Lb3", 0, 1.9472, 0.48877}, {"Lg2", 0, 2.1964, 0.07478},
      {"Lg3", 0, 2.1965, 0.09138}}},
    {"La_L", "La_La", SIM_LA,
     {{2, 6.2663, 0.0573, 0.20225, 0.3295}, {2, 5.8906, 0.1135, 0.17525, 0},
      {4, 5.4827, 0.11425, 0, 0}},
     {{"Ll", 2, 4.124, 0.02927}, {"La2", 2, 4.63423, 0.08152}, {"La1", 2, 4.65097, 0.73221},
      {"Lb6", 2, 5.2114, 0.00573}, {"Lb2", 2, 5.3835, 0.15128}, {"Ln", 1, 4.525, 0.02279},
      {"Lb1", 1, 5.0421, 0.85012}, {"Lg1", 1, 5.7885, 0.12710}, {"Lb4", 0, 5.0620, 0.29389},
      {"Lb3", 0, 5.1434, 0.49590}, {"Lg2", 0, 6.0600, 0.09001}, {"Lg3", 0, 6.0749, 0.12020}}},
    {"La_M", "La_Ma", SIM_LA,
     {{4, 1.1234, 0.0010, 0.1, 0.6}, {4, 0.8485, 0.0025, 0.03, 0}, {6, 0.8317, 0.0025, 0, 0}},
     {{"Ma1", 2, 0.833, 0.85}, {"Mz", 2, 0.638, 0.15}, {"Mb", 1, 0.854, 0.85},
      {"Mz2", 1, 0.6427, 0.15}, {"Mg", 0, 1.027, 0.52}, {"M3N1", 0, 0.8530, 0.37}}},
    {"Pt_L", "Pt_La", SIM_PT,
     {{2, 13.8799, 0.10033, 0.10767, 0.58667}, {2, 13.2726, 0.342, 0.131, 0},
      {4, 11.5637, 0.30133, 0, 0}},
     {{"Ll", 2, 8.268, 0.03632}, {"La2", 2, 9.3618, 0.07871}, {"La1", 2, 9.4423, 0.70517},
      {"Lb6", 2, 10.8416, 0.01009}, {"Lb2", 2, 11.2505, 0.16970}, {"Ln", 1, 9.975, 0.01818},
      {"Lb1", 1, 11.0707, 0.81866}, {"Lg1", 1, 12.9420, 0.16316}, {"Lb4", 0, 10.8543, 0.32570},
      {"Lb3", 0, 11.2308, 0.42516}, {"Lg2", 0, 13.2708, 0.10491}, {"Lg3", 0, 13.3613, 0.14423}}},
    {"Pt_M", "Pt_Ma", SIM_PT,
     {{4, 2.6454, 0.0046, 0.101, 0.734}, {4, 2.2019, 0.0253, 0.0457, 0}, {6, 2.1216, 0.0243, 0, 0}},
     {{"Ma1", 2, 2.0505, 0.86203}, {"Ma2", 2, 2.047, 0.05889}, {"Mz", 2, 1.6022, 0.06772},
      {"M5O3", 2, 2.0699, 0.01094}, {"Mb", 1, 2.1273, 0.84954}, {"Mz2", 1, 1.5927, 0.12194},
      {"M4N3", 1, 1.6829, 0.00668}, {"M4O2", 1, 2.1366, 0.02040}, {"Mg", 0, 2.3314, 0.44861},
      {"M3N4", 0, 2.3146, 0.08654}, {"M3N1", 0, 1.9234, 0.35524}, {"M3O1", 0, 2.5437, 0.07079}}},
};

enum sim_element sim_element_of(const char *symbol)
{
    int element = 0;
    while (element < SIM_ELEMENTS && strcmp(sim_element_symbol[element], symbol) != 0) {
        element++;
    }
    return (enum sim_element)element;
}

size_t sim_family_lines(const struct sim_family *family)
{
    size_t n = 0;
    while (n < SIM_MAX_LINES && family->line[n].name != NULL) {
        n++;
    }
    return n;
}

int sim_line_is_alpha(const struct sim_line *line)
{
    return line->name[1] == 'a';
}

/*
 * Relativistic Bethe: 65100 barn keV^2 n b / (T' E_c) (ln(c T'/E_c) - ln(1 - v^2/c^2) - v^2/c^2)
 * with T' = m0 v^2 / 2. b and c: for K those of Powell, for L and M of his order (scenario).
 */
static double ionisation_barn(const struct sim_subshell *s, int is_k)
{
    double gamma = 1.0 + SIM_BEAM_KEV / ELECTRON_REST_KEV;
    double beta2 = 1.0 - 1.0 / (gamma * gamma);
    double t = 0.5 * ELECTRON_REST_KEV * beta2;
    double b = is_k ? 0.90 : 0.60, c = is_k ? 0.65 : 0.60;
    return 65100.0 * s->electrons * b / (t * s->edge_kev) *
           (log(c * t / s->edge_kev) - log(1.0 - beta2) - beta2);
}

void sim_line_barn(const struct sim_family *family, double barn[SIM_MAX_LINES])
{
    double vacancies[SIM_MAX_SUBSHELLS] = {0}, rates[SIM_MAX_SUBSHELLS] = {0};
    int nsubshells = 0;
    while (nsubshells < SIM_MAX_SUBSHELLS && family->subshell[nsubshells].electrons > 0) {
        nsubshells++;
    }
    for (int i = 0; i < nsubshells; i++) {
        vacancies[i] += ionisation_barn(&family->subshell[i], nsubshells == 1);
        if (i + 1 < nsubshells) {
            vacancies[i + 1] += family->subshell[i].next * vacancies[i];
        }
        if (i == 0 && nsubshells == 3) {
            vacancies[2] += family->subshell[0].last * vacancies[0];
        }
    }
    size_t n = sim_family_lines(family);
    for (size_t i = 0; i < n; i++) {
        rates[family->line[i].subshell] += family->line[i].rate;
    }
    for (size_t i = 0; i < SIM_MAX_LINES; i++) {
        const struct sim_line *line = &family->line[i];
        barn[i] = i >= n ? 0.0
                         : vacancies[line->subshell] * family->subshell[line->subshell].yield *
                               line->rate / rates[line->subshell];
    }
}

/* Thin film, so 1/E (Kramers without his thickness); 0.012 Z^2 barn is about half of what
 * Bethe and Heitler's order of magnitude gives at 200 keV, since most of it goes forward, away
 * from the detector. With it peaks stand as high over their background as measured (scenario). */
double sim_bremsstrahlung_barn_per_kev(int z, double kev)
{
    return 0.012 * z * z / kev * (1.0 - kev / SIM_BEAM_KEV);
}

double sim_absorption_cm2_per_g(int z, double kev)
{
    /* Chantler; straight lines in log-log between these points, edges as pairs */
    static const double table[][2] = {
        /* C */
        {0.10, 22541}, {0.15, 9446}, {0.20, 4918}, {0.2837, 2189}, {0.2839, 48500}, {0.40, 23050},
        {0.65, 6688}, {1.0, 2072}, {1.55, 584}, {2.2, 210}, {3.5, 52.6}, {6.0, 9.93}, {10, 1.96},
        {20, 0.206}, {0, 0},
        /* N */
        {0.10, 36302}, {0.20, 7967}, {0.29, 3279}, {0.4015, 1495}, {0.4017, 30100}, {0.65, 9855},
        {1.0, 3169}, {1.55, 937}, {2.2, 340}, {3.5, 86.1}, {6.0, 16.6}, {10, 3.37}, {20, 0.362},
        {0, 0},
        /* O */
        {0.10, 51938}, {0.20, 11399}, {0.29, 4703}, {0.40, 2185}, {0.5319, 1085}, {0.5321, 20300},
        {0.80, 7838}, {1.0, 4418}, {1.55, 1333}, {2.2, 505}, {3.5, 130}, {6.0, 25.4}, {10, 5.35},
        {20, 0.586}, {0, 0},
        /* Al */
        {0.10, 121600}, {0.15, 92070}, {0.20, 53900}, {0.35, 15300}, {0.65, 3312}, {1.0, 1100},
        {1.5595, 326}, {1.5597, 4045}, {2.2, 1754}, {3.5, 506}, {6.0, 111}, {10, 24.8},
        {20, 2.98}, {0, 0},
        /* Si */
        {0.10, 108400}, {0.15, 103900}, {0.20, 66600}, {0.35, 20070}, {0.65, 4414}, {1.0, 1467},
        {1.8388, 278}, {1.8390, 3340}, {2.8, 1161}, {3.5, 640}, {6.0, 141}, {10, 32.2},
        {16, 7.74}, {20, 3.94}, {0, 0},
    };
    static const int order[] = {6, 7, 8, 13, 14};
    size_t first = 0;
    for (size_t k = 0; k < sizeof order / sizeof order[0] && order[k] != z; k++) {
        while (table[first][0] > 0.0) {
            first++;
        }
        first++;
    }
    const double(*p)[2] = &table[first];
    while (p[2][0] > 0.0 && kev > p[1][0]) {
        p++;
    }
    double slope = log(p[1][1] / p[0][1]) / log(p[1][0] / p[0][0]);
    return p[0][1] * pow(kev / p[0][0], slope);
}
