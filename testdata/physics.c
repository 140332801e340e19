/*
 * Cross sections and shapes.
 *
 * Sources, by the short names used below:
 *   Egerton   R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd
 *             ed., Springer 2011 (dipole formula 3.2 and 3.6, Drude loss function 3.3, Poisson
 *             law of plural scattering 3.4)
 *   Atlas     C. C. Ahn and O. L. Krivanek, EELS Atlas, Gatan 1983 (edge energies)
 *   Saitoh    M. Saitoh et al., Phys. Chem. Chem. Phys. 20 (2018) 25052 (Li K peaks near 62 eV
 *             in most battery oxides; O K double peaks where the metal is d0)
 *   Henke     B. L. Henke, E. M. Gullikson, J. C. Davis, At. Data Nucl. Data Tables 54 (1993)
 *             181 (photoabsorption: size of the continua, to some 20 %)
 *   deGroot   F. M. F. de Groot et al., Phys. Rev. B 41 (1990) 928 (four Ti L2,3 lines of d0)
 *   Pearson   D. H. Pearson, C. C. Ahn, B. Fultz, Phys. Rev. B 47 (1993) 8471 (white lines
 *             against continuum)
 *   Iakoubovskii  K. Iakoubovskii et al., Microsc. Res. Tech. 71 (2008) 626 (mean free path)
 *   Interface "Unveiling crystal orientation-dependent interface property in composite cathodes
 *             for solid-state batteries by in situ microscopic probe", Nat. Commun. 15 (2024),
 *             s41467-024-52226-4 (the experiment whose figure this test series resembles)
 *
 * The near-edge shapes are sums of Lorentzians and a soft step with a power-law tail. Energies
 * are published ones; widths and heights without a source are scenario numbers, chosen so that
 * the spectra resemble measured ones. They are the truth of the test series, nothing more.
 */
#include "physics.h"

#include <math.h>

#define PI 3.14159265358979323846
#define ELECTRON_REST_KEV 510.99895
#define BOHR_NM 0.0529177211
#define RYDBERG_EV 13.605693
/* integral of the photoabsorption cross section over energy per unit oscillator strength */
#define MB_EV_PER_ELECTRON 109.76

const struct sim_material sim_materials[SIM_HOSTS] = {
    /* LiNi1/3Co1/3Mn1/3O2, hexagonal a = 0.286 nm, c = 1.423 nm (N. Yabuuchi, T. Ohzuku, J.
     * Power Sources 119 (2003) 171): 33.6 A^3 per formula unit = 49.3 mol/L, 4.77 g/cm^3. */
    [SIM_NCM] = {
        .name = "ncm", .formula = "LiNi1/3Co1/3Mn1/3O2", .units_mol_l = 49.3,
        .lithium_mol_l = 49.3, .oxygen_mol_l = 98.6, .tm_mol_l = 49.3, .density_g_cm3 = 4.77,
        .background_per_nm_ev = 1.25e-7, .background_exponent = 3.1, /* scenario */
    },
    /* Li3xLa2/3-xTiO3, perovskite a = 0.387 nm (Y. Inaguma et al., Solid State Commun. 86 (1993)
     * 689): 28.65 mol/L; 10.0 mol/L of Li means 3x = 0.349, La 0.550. */
    [SIM_LLTO] = {
        .name = "llto", .formula = "Li0.35La0.55TiO3", .units_mol_l = 28.65,
        .lithium_mol_l = 10.0, .oxygen_mol_l = 85.95, .ti_mol_l = 28.65, .la_mol_l = 15.76,
        .density_g_cm3 = 5.0,
        .background_per_nm_ev = 1.7e-7, .background_exponent = 2.8, /* scenario */
    },
    /* SrTiO3, cubic a = 0.3905 nm: 27.9 mol/L. */
    [SIM_STO] = {
        .name = "sto", .formula = "SrTiO3", .units_mol_l = 27.9, .oxygen_mol_l = 83.7,
        .ti_mol_l = 27.9, .sr_mol_l = 27.9, .density_g_cm3 = 5.12,
        .background_per_nm_ev = 1.5e-7, .background_exponent = 2.9, /* scenario */
    },
};

struct peak {
    double centre_ev, fwhm_ev, height_mb;
};

/* Photoabsorption of one shell, Mb per atom: peaks cut off below the onset, and a soft step. */
struct shape {
    double weight;
    double onset_ev, onset_width_ev;
    double step_ev, step_width_ev, step_mb, step_exponent;
    struct peak peaks[5];
};

enum { MAX_SHAPES = 3 };

static const struct shape shapes[SIM_EDGES][MAX_SHAPES] = {
    /* Li K 54.7 eV (Atlas), maximum near 62 eV (Saitoh). Continuum: about 2.5 Mb at 60 eV, tail
     * E^-2.2 (Henke; in all some 1.7 electrons). The two compounds differ a little (scenario). */
    [SIM_EDGE_LI_NCM] = {
        {1, 54.9, 0.7, 57.5, 1.6, 2.5, 2.2, {{58.3, 2.4, 0.6}, {62.0, 4.2, 2.4}, {69.0, 7, 0.7}}},
    },
    [SIM_EDGE_LI_LLTO] = {
        {1, 54.9, 0.7, 57.8, 1.9, 2.5, 2.2, {{59.2, 2.8, 0.9}, {61.8, 4.8, 2.0}, {68.0, 8, 0.7}}},
    },
    /* 3p edges of Mn, Co, Ni: onsets 49, 60, 66-68 eV (Atlas). Just above stands the 3p-3d
     * resonance; for Co about 12 Mb in all near 62 eV. Heights of Mn and Ni, widths: scenario. */
    [SIM_EDGE_TM_M] = {
        {1. / 3, 49.0, 1.0, 53.0, 2.0, 2.0, 2.0, {{51.5, 3.4, 7.5}, {55.0, 5.5, 3.5}}},
        {1. / 3, 60.0, 1.0, 64.0, 2.0, 2.2, 2.0, {{62.5, 3.4, 8.0}, {66.0, 6.0, 3.0}}},
        {1. / 3, 66.5, 1.0, 70.0, 2.0, 2.4, 2.0, {{68.6, 3.4, 5.0}, {72.5, 6.0, 2.5}}},
    },
    /* Ti M2,3: from 35 eV (Atlas), in titanates maxima near 37, 41 and 47 eV; about 20 Mb at the
     * 3p-3d resonance. Split between the maxima: scenario. */
    [SIM_EDGE_TI_M] = {
        {1, 35.0, 1.2, 46.0, 3.0, 2.5, 2.5, {{37.2, 3.0, 4}, {41.2, 5.0, 14}, {47.0, 5.5, 12}}},
    },
    /* La N4,5 99 eV (Atlas): two weak lines, then the 4d-4f giant resonance near 117 eV, some 25
     * Mb (Henke: order of magnitude). */
    [SIM_EDGE_LA_N] = {
        {1, 98.0, 1.0, 112.0, 5.0, 3.0, 1.5, {{101.5, 1.5, 1.5}, {117.5, 12.0, 20}}},
    },
    /* Ti L2,3 456 eV (Atlas), d0: L3 t2g, eg, L2 t2g, eg (deGroot). Continuum 1.5 Mb above L2
     * (Henke), white lines about as much as 50 eV of it (Pearson). */
    [SIM_EDGE_TI_L] = {
        {1, 456.2, 0.6, 463.5, 2.5, 1.5, 2.6,
         {{458.0, 0.9, 6.5}, {460.3, 1.5, 7.5}, {463.4, 1.3, 6.5}, {465.7, 1.8, 8.0},
          {477.0, 7.0, 0.35}}},
    },
    /* Mn L3 640, L2 651 eV (Atlas), L3/L2 about 2 (Mn4+); continuum 0.95 Mb (Henke). */
    [SIM_EDGE_MN_L] = {
        {2. / 3, 639.0, 0.8, 644.5, 2.0, 0.95, 2.6, {{641.8, 2.8, 8.0}}},
        {1. / 3, 649.5, 0.8, 655.5, 2.0, 0.95, 2.6, {{652.8, 3.0, 7.0}}},
    },
    /* O K 532 eV (Atlas): in layered oxides a pre-peak (O 2p mixed with metal 3d) at 528-531 and
     * the main peak at 538-543 eV; continuum 0.55 Mb at 545 eV, tail E^-2.7 (Henke). The
     * pre-peak is an edge of its own, since it alone changes with the metals' valence. */
    [SIM_EDGE_O_PRE] = {
        {1, 527.6, 0.5, 0, 1, 0, 0, {{529.6, 2.0, 0.60}}},
    },
    [SIM_EDGE_O_NCM] = {
        {1, 531.5, 1.2, 536.0, 2.2, 0.55, 2.7, {{537.0, 4.0, 0.12}, {541.0, 5.5, 0.55},
                                                 {565.0, 22.0, 0.08}}},
    },
    /* LLTO like other d0 titanates: t2g, eg, then A-site states (Saitoh's double peaks). */
    [SIM_EDGE_O_LLTO] = {
        {1, 528.6, 0.6, 536.0, 2.5, 0.55, 2.7, {{530.8, 1.7, 0.42}, {536.4, 3.2, 0.42},
                                                 {543.5, 5.5, 0.45}, {563.0, 20.0, 0.08}}},
    },
};

/* 0 below, 1 above, soft over about 2 * width. */
static double soft_step(double e_ev, double at_ev, double width_ev)
{
    return 0.5 * erfc((at_ev - e_ev) / width_ev);
}

static double photoabsorption_mb(const struct shape *s, double e_ev)
{
    double sum = 0.0;
    if (s->step_mb > 0.0) {
        sum = s->step_mb * soft_step(e_ev, s->step_ev, s->step_width_ev) *
              pow(e_ev / s->step_ev, -s->step_exponent);
    }
    double gate = soft_step(e_ev, s->onset_ev, s->onset_width_ev);
    for (int i = 0; i < 5 && s->peaks[i].height_mb > 0.0; i++) {
        double half = 0.5 * s->peaks[i].fwhm_ev;
        double u = (e_ev - s->peaks[i].centre_ev) / half;
        sum += gate * s->peaks[i].height_mb / (1.0 + u * u);
    }
    return sum;
}

/*
 * Egerton, dipole region: d sigma/dE = 4 pi a0^2 R^2 / (E T') df/dE ln(1 + beta*^2/theta_E^2),
 * df/dE = photoabsorption / (109.76 Mb eV); T' = m0 v^2/2, theta_E = E / (2 gamma T'), beta* at
 * most the Bethe ridge angle sqrt(2 theta_E). No convergence correction: the probe's semi-angle
 * is below a third of the collection angle.
 */
static double dipole_nm2_per_ev(double e_ev, double mb)
{
    double gamma = 1.0 + SIM_BEAM_KEV / ELECTRON_REST_KEV;
    double t_ev = 0.5e3 * ELECTRON_REST_KEV * (1.0 - 1.0 / (gamma * gamma));
    double theta_e = e_ev / (2.0 * gamma * t_ev);
    double beta = fmin(1e-3 * SIM_COLLECTION_MRAD, sqrt(2.0 * theta_e));
    double prefactor = 4.0 * PI * BOHR_NM * BOHR_NM * RYDBERG_EV * RYDBERG_EV / (e_ev * t_ev);
    return prefactor * mb / MB_EV_PER_ELECTRON * log1p(beta * beta / (theta_e * theta_e));
}

double sim_edge_nm2_per_ev(enum sim_edge_id edge, double e_ev)
{
    if (e_ev < 5.0) { /* far below every onset; keeps the powers finite */
        return 0.0;
    }
    double mb = 0.0;
    for (int i = 0; i < MAX_SHAPES && shapes[edge][i].weight > 0.0; i++) {
        mb += shapes[edge][i].weight * photoabsorption_mb(&shapes[edge][i], e_ev);
    }
    return dipole_nm2_per_ev(e_ev, mb);
}

/* Drude-Lorentz terms of the loss function (Egerton 3.3): energy, width, share of the area. */
struct plasmon {
    double energy_ev, width_ev, share;
};

double sim_valence(enum sim_host host, double e_ev)
{
    /* NCM: volume plasmon near 23 eV as in other layered LiMO2, interband shoulders (scenario).
     * LLTO: like SrTiO3 and other titanates: interband 6-14 eV, A-site semicore (La 5p) near 21
     * and the plasmon near 29.5 eV, whose double stands at 59 eV under Li K. SrTiO3: Sr 4p
     * near 24 eV, plasmon near 30 eV. Widths and shares are scenario numbers. */
    static const struct plasmon terms[SIM_HOSTS][4] = {
        [SIM_NCM] = {{6.5, 3.5, 0.04}, {11.0, 6.0, 0.10}, {23.3, 10.0, 0.86}},
        [SIM_LLTO] = {{6.8, 3.0, 0.03}, {13.8, 5.5, 0.13}, {21.0, 6.0, 0.20}, {29.5, 8.5, 0.64}},
        [SIM_STO] = {{6.6, 2.8, 0.03}, {13.3, 5.0, 0.13}, {24.0, 6.0, 0.16}, {30.2, 8.0, 0.68}},
    };
    static const double gap_ev[SIM_HOSTS] = {1.0, 3.3, 3.2}; /* scenario; as in titanates */
    if (e_ev <= gap_ev[host]) {
        return 0.0;
    }
    double sum = 0.0;
    for (int i = 0; i < 4; i++) {
        const struct plasmon *p = &terms[host][i];
        if (p->share <= 0.0) {
            continue;
        }
        double ep2 = p->energy_ev * p->energy_ev;
        double difference = e_ev * e_ev - ep2;
        double damping = e_ev * p->width_ev;
        /* a narrow term has the area pi / (2 ep): scaled to its share */
        sum += p->share * (2.0 / PI) * p->energy_ev * damping /
               (difference * difference + damping * damping);
    }
    double above = (e_ev - gap_ev[host]) / 1.5;
    return sum * (1.0 - exp(-above * above));
}

double sim_mean_free_path_nm(enum sim_host host)
{
    double rho = pow(sim_materials[host].density_g_cm3, 0.3);
    double relativistic = (1.0 + SIM_BEAM_KEV / 1022.0) /
                          ((1.0 + SIM_BEAM_KEV / 511.0) * (1.0 + SIM_BEAM_KEV / 511.0));
    double fe0 = relativistic * SIM_BEAM_KEV;
    double theta_e = 5.5 * rho / fe0, theta_c = 20.0; /* mrad */
    double a2 = SIM_CONVERGENCE_MRAD * SIM_CONVERGENCE_MRAD;
    double b2 = SIM_COLLECTION_MRAD * SIM_COLLECTION_MRAD;
    double sum = a2 + b2 + fabs(a2 - b2);
    double argument = (sum + 2.0 * theta_e * theta_e) / (sum + 2.0 * theta_c * theta_c) *
                      (theta_c * theta_c) / (theta_e * theta_e);
    return 200.0 * fe0 / (11.0 * rho * log(argument));
}
