/* Characteristic X-ray lines of an element that electrons excite: energies and relative counts. Thread-safe.
 *
 * A family is the lines that fill vacancies of one shell: K, L (subshells L1, L2, L3) or M (M1 to M5). Within it
 *     counts(line) ~ V_s w_s R(line) eff(E)
 * V_s: vacancies of subshell s, from ionisation by electrons (relativistic Bethe formula; C. J. Powell, Rev. Mod. Phys.
 * 48 (1976) 33) and Coster-Kronig transitions; w_s: fluorescence yield; R: radiative rate within the subshell (all from
 * xraylib: T. Schoonjans et al., Spectrochim. Acta B 66 (2011) 776); eff: photons stopped in the silicon of the detector.
 */
#ifndef EP_NUMERICS_XRAY_H
#define EP_NUMERICS_XRAY_H
#include <stdbool.h>
#include <stddef.h>

#define EP_XRAY_LINES 48    /* room for the lines of a family */
#define EP_XRAY_GROUPS 8
#define EP_XRAY_MIN_EV 100  /* lines below are left out: no detector shows them */

/* Lines of a group keep their ratio; ratios between groups of a family are less certain. */
struct ep_xray_line {
    char name[12];          /* "Ka1", "Lb2", "M2N4": Siegbahn's name where there is one */
    double energy;          /* eV */
    double weight;          /* share of the family's counts; all lines together 1 */
    int subshell;           /* 1 to 5; K: 1 */
    int group;              /* 0: the group of the alpha lines */
    bool alpha;             /* K-L2,3, L3-M4,5, M5-N6,7 */
};
struct ep_xray_family {
    int z;
    char element[3], shell; /* 'K', 'L', 'M' */
    size_t n, ngroup;
    struct ep_xray_line line[EP_XRAY_LINES];   /* the alpha lines first */
    double alpha_energy;    /* eV, of the strongest alpha line */
    double edge;            /* eV, of the subshell that gives the alpha lines */
    double strength;        /* expected alpha counts per atom, relative to other families; takes a usual entrance window */
    double prior[EP_XRAY_GROUPS];   /* relative uncertainty of each group's ratio to the alpha lines */
};

/* False when the shell has no alpha lines or the beam can't excite them. thickness: of the detector's silicon in mm; 0: all
 * photons are stopped. */
bool ep_xray_family(int z, char shell, double beam_kev, double thickness_mm, struct ep_xray_family *out);

/* Subshells by number: K 0, L1 to L3 1 to 3, M1 to M5 4 to 8; -1 if the name ("L3") is none. */
int ep_xray_subshell(const char *name);
/* Photoionisation of a subshell, all its electrons, in barn per atom; 0 below its edge and where nothing is tabulated. */
double ep_xray_photo(int z, int subshell, double ev);
/* The binding energy of a subshell in eV, 0 where there is none. */
double ep_xray_edge(int z, int subshell);
/* g per mol; 0 if unknown. */
double ep_xray_weight(int z);

/* The part of the photons of energy ev that lose a Si K photon (EP_XRAY_SI_KA) through the front of a silicon detector, and so
 * are counted at ev - EP_XRAY_SI_KA. S. J. B. Reed, N. G. Ware, J. Phys. E 5 (1972) 582. */
#define EP_XRAY_SI_KA 1739.8
double ep_xray_escape(double ev);
/* Part of the photons stopped in so many mm of silicon. */
double ep_xray_stopped(double ev, double thickness_mm);
/* Absorption of silicon per nm. */
double ep_xray_silicon_per_nm(double ev);
#endif
