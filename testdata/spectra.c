/*
 * Plural scattering (Egerton 3.4): n valence losses happen with the Poisson probability
 * P_n(t/lambda), the spectrum after n of them is the n-fold convolution of single scattering.
 * Inner-shell losses are rare: at most one per electron, any number of valence losses beside it.
 * In the range of O K the shallow edges (Li K, Ti M, ...) of the host as grown count among its
 * valence losses: what follows a core loss is what the low loss shows.
 * Where the probe touches both materials, its electrons run in either of them: the spectra add.
 * Elastic scattering out of the aperture is left out (scenario).
 */
#include "spectra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "physics.h"

#define PI 3.14159265358979323846
#define ELEMENTARY_CHARGE_C 1.602176634e-19

enum { FFT_LENGTH = 8192, VALENCE_ORDERS = 7, EDGE_ORDERS = 5 };

/* Dispersions 0.1 and 0.25 eV per channel and the collection angle are those of the published
 * experiment; dwell times are scenario numbers (dual EELS: the low loss is exposed shortly). */
const struct sim_range sim_ranges[SIM_RANGES] = {
    [SIM_RANGE_LL] = {"ll", "low loss", -20.0, 0.1, 1024, 0.0005},
    [SIM_RANGE_LI] = {"li", "Li K", 30.0, 0.1, 1024, 0.008},
    [SIM_RANGE_O] = {"o", "O K", 430.0, 0.25, 1024, 0.2},
};

struct transform {
    double re[FFT_LENGTH], im[FFT_LENGTH];
};

/* In place, radix 2; the inverse is scaled by 1/length. */
static void fourier(struct transform *t, int inverse)
{
    for (size_t i = 1, j = 0; i < FFT_LENGTH; i++) {
        size_t bit = FFT_LENGTH >> 1;
        for (; j & bit; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            double swap = t->re[i];
            t->re[i] = t->re[j];
            t->re[j] = swap;
            swap = t->im[i];
            t->im[i] = t->im[j];
            t->im[j] = swap;
        }
    }
    for (size_t length = 2; length <= FFT_LENGTH; length <<= 1) {
        size_t half = length / 2;
        for (size_t k = 0; k < half; k++) {
            double phase = (inverse ? 2.0 : -2.0) * PI * (double)k / (double)length;
            double c = cos(phase), s = sin(phase);
            for (size_t i = k; i < FFT_LENGTH; i += length) {
                size_t j = i + half;
                double re = t->re[j] * c - t->im[j] * s;
                double im = t->re[j] * s + t->im[j] * c;
                t->re[j] = t->re[i] - re;
                t->im[j] = t->im[i] - im;
                t->re[i] += re;
                t->im[i] += im;
            }
        }
    }
    if (inverse) {
        for (size_t i = 0; i < FFT_LENGTH; i++) {
            t->re[i] /= FFT_LENGTH;
            t->im[i] /= FFT_LENGTH;
        }
    }
}

static void multiply(struct transform *a, const struct transform *b)
{
    for (size_t i = 0; i < FFT_LENGTH; i++) {
        double re = a->re[i] * b->re[i] - a->im[i] * b->im[i];
        double im = a->re[i] * b->im[i] + a->im[i] * b->re[i];
        a->re[i] = re;
        a->im[i] = im;
    }
}

/* Zero-loss peak and channel width, both symmetric: a real transfer function. The peak is a
 * Gaussian with a twentieth in a wider one for its feet (scenario). */
static void instrument(struct transform *t, double step_ev, double channel_ev)
{
    double narrow = SIM_ZLP_FWHM_EV / 2.354820045, wide = 3.0 * narrow;
    for (size_t i = 0; i < FFT_LENGTH; i++) {
        double k = i <= FFT_LENGTH / 2 ? (double)i : (double)i - FFT_LENGTH;
        double omega = 2.0 * PI * k / (FFT_LENGTH * step_ev);
        double half = 0.5 * omega * channel_ev;
        double box = i == 0 ? channel_ev : channel_ev * sin(half) / half;
        t->re[i] = box * (0.95 * exp(-0.5 * narrow * narrow * omega * omega) +
                          0.05 * exp(-0.5 * wide * wide * omega * omega));
        t->im[i] = 0.0;
    }
}

/* The periodic grid must end in zeros, or far losses would come back below the zero loss. */
static double taper(double e_ev, double from_ev)
{
    double u = (e_ev / from_ev - 1.0) / 0.25;
    return u <= 0.0 ? 1.0 : u >= 1.0 ? 0.0 : 0.5 * (1.0 + cos(PI * u));
}

/* Densities per eV become transforms whose product is a convolution: scaled by the step. */
static void sample_valence(struct transform *t, enum sim_host host, double step_ev,
                           double taper_ev)
{
    double area = 0.0;
    for (size_t i = 0; i < FFT_LENGTH; i++) {
        double e = (double)i * step_ev;
        t->re[i] = sim_valence(host, e) * taper(e, taper_ev);
        t->im[i] = 0.0;
        area += t->re[i];
    }
    for (size_t i = 0; i < FFT_LENGTH; i++) {
        t->re[i] /= area;
    }
    fourier(t, 0);
}

static double sample_edge(struct transform *t, enum sim_edge_id edge, double step_ev,
                          double taper_ev)
{
    double area = 0.0;
    for (size_t i = 0; i < FFT_LENGTH; i++) {
        double e = (double)i * step_ev;
        t->re[i] = step_ev * sim_edge_nm2_per_ev(edge, e) * taper(e, taper_ev);
        t->im[i] = 0.0;
        area += t->re[i];
    }
    fourier(t, 0);
    return area;
}

/* Indices of the fine grid at the centres of the channels of a window: every second point. */
static size_t fine_index(const struct sim_basis *basis, double e_ev)
{
    double position = (e_ev - basis->e0_ev) / basis->step_ev;
    return (size_t)(2.0 * ceil(position / 2.0 - 1e-6));
}

static void finish_vector(struct sim_basis *basis, struct sim_component *c, size_t order)
{
    const double *v = c->vector[order];
    double largest = 0.0;
    for (size_t i = 0; i < basis->n; i++) {
        largest = fmax(largest, fabs(v[i]));
    }
    size_t first = 0;
    while (first < basis->n && fabs(v[first]) < 1e-10 * largest) {
        first++;
    }
    c->first[order] = first & ~(size_t)7;
    for (size_t w = 0; w < basis->nwindows; w++) {
        size_t from = fine_index(basis, basis->window[w].from_ev);
        size_t to = fine_index(basis, basis->window[w].to_ev);
        for (size_t i = from; i < to && i < basis->n; i += 2) {
            c->window[w][order] += v[i];
        }
    }
}

static struct sim_component *new_component(struct sim_basis *basis, const char *name,
                                           enum sim_host host, size_t norders,
                                           struct sim_err *err)
{
    struct sim_component *c = &basis->component[basis->ncomponents++];
    *c = (struct sim_component){.name = name, .host = host, .norders = norders};
    for (size_t i = 0; i < norders; i++) {
        c->vector[i] = calloc(basis->n, sizeof *c->vector[i]);
        if (c->vector[i] == NULL) {
            sim_fail(err, SIM_FAILED, "no memory for the spectra of %s", name);
            return NULL;
        }
    }
    return c;
}

struct workspace {
    double taper_ev; /* single scattering ends softly between this and 1.25 times it */
    struct transform instrument, valence[SIM_HOSTS], current, inverse;
};

/* Order n of a component: current * valence^n. `current` holds order 0 with the instrument. */
static void fill_orders(struct sim_basis *basis, struct sim_component *c, struct workspace *w)
{
    for (size_t order = 0; order < c->norders; order++) {
        memcpy(&w->inverse, &w->current, sizeof w->inverse);
        fourier(&w->inverse, 1);
        for (size_t i = 0; i < basis->n; i++) {
            long k = lround((basis->e0_ev + (double)i * basis->step_ev) / basis->step_ev);
            size_t at = (size_t)((k + FFT_LENGTH) % FFT_LENGTH);
            c->vector[order][i] = w->inverse.re[at] / basis->step_ev;
        }
        finish_vector(basis, c, order);
        multiply(&w->current, &w->valence[c->host]);
    }
}

static int add_valence(struct sim_basis *basis, const char *name, enum sim_host host,
                       struct workspace *w, struct sim_err *err)
{
    struct sim_component *c = new_component(basis, name, host, VALENCE_ORDERS, err);
    if (c == NULL) {
        return err->code;
    }
    c->area = 1.0;
    memcpy(&w->current, &w->instrument, sizeof w->current);
    fill_orders(basis, c, w);
    return SIM_OK;
}

static int add_edge(struct sim_basis *basis, const char *name, enum sim_edge_id edge,
                    enum sim_host host, struct workspace *w, struct sim_err *err)
{
    struct sim_component *c = new_component(basis, name, host, EDGE_ORDERS, err);
    if (c == NULL) {
        return err->code;
    }
    c->area = sample_edge(&w->current, edge, basis->step_ev, w->taper_ev);
    multiply(&w->current, &w->instrument);
    fill_orders(basis, c, w);
    return SIM_OK;
}

/* Pre-edge background of the O K range: tails of all lower edges, taken as a power law. */
static int add_background(struct sim_basis *basis, const char *name, enum sim_host host,
                          double channel_ev, struct sim_err *err)
{
    struct sim_component *c = new_component(basis, name, host, 1, err);
    if (c == NULL) {
        return err->code;
    }
    for (size_t i = 0; i < basis->n; i++) {
        double e = basis->e0_ev + (double)i * basis->step_ev;
        c->vector[0][i] = channel_ev * pow(e / 500.0, -sim_materials[host].background_exponent);
    }
    finish_vector(basis, c, 0);
    return SIM_OK;
}

static void begin_basis(struct sim_basis *basis, double from_ev, double to_ev,
                        double channel_ev, struct workspace *w)
{
    basis->e0_ev = from_ev;
    basis->step_ev = 0.5 * channel_ev;
    basis->n = ((size_t)lround((to_ev - from_ev) / basis->step_ev) + 8) & ~(size_t)7;
    instrument(&w->instrument, basis->step_ev, channel_ev);
    for (int host = 0; host < SIM_HOSTS; host++) {
        sample_valence(&w->valence[host], (enum sim_host)host, basis->step_ev, w->taper_ev);
    }
}

static int make_low(struct sim_basis *b, struct workspace *w, struct sim_err *err)
{
    b->window[SIM_LOW_WINDOW_ALL] = (struct sim_window){-20.0, 82.4};
    b->window[SIM_LOW_WINDOW_LI] = (struct sim_window){55.0, 65.0};
    b->nwindows = 2;
    w->taper_ev = 250.0;
    begin_basis(b, -25.0, 137.0, sim_ranges[SIM_RANGE_LL].scale_ev, w);
    /* the order is that of the enum SIM_LOW_... */
    if (add_valence(b, "ncm_valence", SIM_NCM, w, err) != SIM_OK ||
        add_valence(b, "llto_valence", SIM_LLTO, w, err) != SIM_OK ||
        add_valence(b, "sto_valence", SIM_STO, w, err) != SIM_OK ||
        add_edge(b, "tm_m", SIM_EDGE_TM_M, SIM_NCM, w, err) != SIM_OK ||
        add_edge(b, "ti_m", SIM_EDGE_TI_M, SIM_LLTO, w, err) != SIM_OK ||
        add_edge(b, "ti_m_sto", SIM_EDGE_TI_M, SIM_STO, w, err) != SIM_OK ||
        add_edge(b, "la_n", SIM_EDGE_LA_N, SIM_LLTO, w, err) != SIM_OK ||
        add_edge(b, "li_k_ncm", SIM_EDGE_LI_NCM, SIM_NCM, w, err) != SIM_OK ||
        add_edge(b, "li_k_llto", SIM_EDGE_LI_LLTO, SIM_LLTO, w, err) != SIM_OK) {
        return err->code;
    }
    return SIM_OK;
}

/* Adds a host's shallow edges, as grown, to the transform of its valence losses. */
static void add_shallow_edges(const struct sim_library *library, enum sim_host host,
                              double step_ev, struct workspace *w)
{
    const struct sim_material *m = &sim_materials[host];
    const struct { enum sim_edge_id edge; double mol_l; } shallow[] = {
        {host == SIM_NCM ? SIM_EDGE_LI_NCM : SIM_EDGE_LI_LLTO, m->lithium_mol_l},
        {SIM_EDGE_TM_M, m->tm_mol_l}, {SIM_EDGE_TI_M, m->ti_mol_l}, {SIM_EDGE_LA_N, m->la_mol_l}};
    double path = sim_mean_free_path_nm(host);
    struct transform *t = &w->valence[host];
    for (size_t i = 0; i < FFT_LENGTH; i++) {
        t->re[i] *= path / library->valence_path_nm[host];
        t->im[i] *= path / library->valence_path_nm[host];
    }
    for (size_t k = 0; k < sizeof shallow / sizeof *shallow; k++) {
        double factor = SIM_PER_NM3 * shallow[k].mol_l * path;
        sample_edge(&w->current, shallow[k].edge, step_ev, w->taper_ev);
        for (size_t i = 0; i < FFT_LENGTH; i++) {
            t->re[i] += factor * w->current.re[i];
            t->im[i] += factor * w->current.im[i];
        }
    }
}

static int make_core(const struct sim_library *library, struct sim_basis *b, struct workspace *w,
                     struct sim_err *err)
{
    double channel = sim_ranges[SIM_RANGE_O].scale_ev;
    b->window[SIM_CORE_WINDOW_O] = (struct sim_window){530.0, 560.0};
    b->window[SIM_CORE_WINDOW_PRE] = (struct sim_window){527.0, 532.0};
    b->window[SIM_CORE_WINDOW_MAIN] = (struct sim_window){536.0, 546.0};
    b->nwindows = 3;
    w->taper_ev = 730.0;
    begin_basis(b, 425.0, 691.0, channel, w);
    for (int host = 0; host < SIM_HOSTS; host++) {
        add_shallow_edges(library, (enum sim_host)host, b->step_ev, w);
    }
    /* the order is that of the enum SIM_CORE_... */
    if (add_background(b, "ncm_background", SIM_NCM, channel, err) != SIM_OK ||
        add_background(b, "llto_background", SIM_LLTO, channel, err) != SIM_OK ||
        add_background(b, "sto_background", SIM_STO, channel, err) != SIM_OK ||
        add_edge(b, "ti_l", SIM_EDGE_TI_L, SIM_LLTO, w, err) != SIM_OK ||
        add_edge(b, "ti_l_ncm", SIM_EDGE_TI_L, SIM_NCM, w, err) != SIM_OK ||
        add_edge(b, "ti_l_sto", SIM_EDGE_TI_L, SIM_STO, w, err) != SIM_OK ||
        add_edge(b, "mn_l", SIM_EDGE_MN_L, SIM_NCM, w, err) != SIM_OK ||
        add_edge(b, "o_k_prepeak_ncm", SIM_EDGE_O_PRE, SIM_NCM, w, err) != SIM_OK ||
        add_edge(b, "o_k_ncm", SIM_EDGE_O_NCM, SIM_NCM, w, err) != SIM_OK ||
        add_edge(b, "o_k_llto", SIM_EDGE_O_LLTO, SIM_LLTO, w, err) != SIM_OK ||
        add_edge(b, "o_k_sto", SIM_EDGE_O_LLTO, SIM_STO, w, err) != SIM_OK) {
        return err->code;
    }
    return SIM_OK;
}

/* Atoms per nm^3 times cross section, over all edges of the low-loss basis, as grown. */
static double edge_losses_per_nm(const struct sim_basis *low, enum sim_host host)
{
    const struct sim_material *m = &sim_materials[host]; /* areas do not depend on the host */
    size_t li = host == SIM_NCM ? SIM_LOW_LI_NCM : SIM_LOW_LI_LLTO;
    return SIM_PER_NM3 * (m->lithium_mol_l * low->component[li].area +
                          m->tm_mol_l * low->component[SIM_LOW_TM_M].area +
                          m->ti_mol_l * low->component[SIM_LOW_TI_M].area +
                          m->la_mol_l * low->component[SIM_LOW_LA_N].area);
}

int sim_library_make(struct sim_library *library, struct sim_err *err)
{
    memset(library, 0, sizeof *library);
    struct workspace *w = malloc(sizeof *w);
    if (w == NULL) {
        return sim_fail(err, SIM_FAILED, "no memory for the spectra");
    }
    int status = make_low(&library->low, w, err);
    for (int host = 0; host < SIM_HOSTS && status == SIM_OK; host++) {
        /* the tabulated path counts all losses */
        double all = 1.0 / sim_mean_free_path_nm((enum sim_host)host);
        double edges = edge_losses_per_nm(&library->low, (enum sim_host)host);
        library->valence_path_nm[host] = 1.0 / (all - edges);
    }
    if (status == SIM_OK) {
        status = make_core(library, &library->core, w, err);
    }
    free(w);
    if (status != SIM_OK) {
        sim_library_free(library);
    }
    return status;
}

static void free_basis(struct sim_basis *basis)
{
    for (size_t i = 0; i < basis->ncomponents; i++) {
        for (size_t order = 0; order < SIM_MAX_ORDERS; order++) {
            free(basis->component[i].vector[order]);
            basis->component[i].vector[order] = NULL;
        }
    }
}

void sim_library_free(struct sim_library *library)
{
    free_basis(&library->low);
    free_basis(&library->core);
}

double sim_electrons(const struct sim_column *column, double dwell_s, double dose)
{
    return 1e-9 * column->current_na * dwell_s * dose / ELEMENTARY_CHARGE_C;
}

/* Share of the beam in a material. A cap in view counts as NCM: no loss of it is modelled. */
static double host_share(const struct sim_column *column, int host)
{
    return host == SIM_LLTO ? column->llto
           : host == SIM_STO ? column->sto : 1.0 - column->llto - column->sto;
}

static void set_tau(const struct sim_library *library, const struct sim_column *column,
                    struct sim_mix *mix)
{
    for (int host = 0; host < SIM_HOSTS; host++) {
        mix->tau[host] = column->thickness_nm / library->valence_path_nm[host];
    }
}

/* Atoms per nm^2 of each edge of the low-loss basis. */
static void low_atoms(const struct sim_column *column, double atoms[SIM_MAX_COMPONENTS])
{
    double area = SIM_PER_NM3 * column->thickness_nm;
    atoms[SIM_LOW_TM_M] = area * column->tm * sim_materials[SIM_NCM].tm_mol_l;
    atoms[SIM_LOW_TI_M] = area * column->ti_llto * sim_materials[SIM_LLTO].ti_mol_l;
    atoms[SIM_LOW_TI_M_STO] = area * column->sto * sim_materials[SIM_STO].ti_mol_l;
    atoms[SIM_LOW_LA_N] = area * column->la * sim_materials[SIM_LLTO].la_mol_l;
    atoms[SIM_LOW_LI_NCM] = area * column->li_ncm_mol_l;
    atoms[SIM_LOW_LI_LLTO] = area * column->li_llto_mol_l;
}

static double edge_probability(const struct sim_library *library,
                               const double atoms[SIM_MAX_COMPONENTS])
{
    double sum = 0.0;
    for (size_t i = SIM_LOW_TM_M; i < SIM_LOW_COMPONENTS; i++) {
        sum += atoms[i] * library->low.component[i].area;
    }
    return sum;
}

void sim_mix_low(const struct sim_library *library, const struct sim_column *column,
                 double electrons, struct sim_mix *mix)
{
    double atoms[SIM_MAX_COMPONENTS] = {0};
    low_atoms(column, atoms);
    double without = electrons * exp(-edge_probability(library, atoms));
    memset(mix, 0, sizeof *mix);
    set_tau(library, column, mix);
    mix->amplitude[SIM_LOW_NCM] = without * host_share(column, SIM_NCM);
    mix->amplitude[SIM_LOW_LLTO] = without * column->llto;
    mix->amplitude[SIM_LOW_STO] = without * column->sto;
    for (size_t i = SIM_LOW_TM_M; i < SIM_LOW_COMPONENTS; i++) {
        mix->amplitude[i] = without * atoms[i];
    }
}

void sim_mix_core(const struct sim_column *column, double electrons, struct sim_mix *mix)
{
    double t = column->thickness_nm;
    double per_area = electrons * SIM_PER_NM3 * t;
    const struct sim_material *ncm = &sim_materials[SIM_NCM], *llto = &sim_materials[SIM_LLTO];
    const struct sim_material *sto = &sim_materials[SIM_STO];
    double ncm_share = host_share(column, SIM_NCM);
    double ti_ncm = fmax(column->ti_llto - column->llto, 0.0); /* titanium that left the LLTO */
    memset(mix, 0, sizeof *mix);
    for (int host = 0; host < SIM_HOSTS; host++) {
        mix->tau[host] = t / sim_mean_free_path_nm((enum sim_host)host);
    }
    mix->amplitude[SIM_CORE_BACK_NCM] = electrons * t * ncm_share * ncm->background_per_nm_ev;
    mix->amplitude[SIM_CORE_BACK_LLTO] = electrons * t * column->llto * llto->background_per_nm_ev;
    mix->amplitude[SIM_CORE_BACK_STO] = electrons * t * column->sto * sto->background_per_nm_ev;
    mix->amplitude[SIM_CORE_TI_L] = per_area * (column->ti_llto - ti_ncm) * llto->ti_mol_l;
    mix->amplitude[SIM_CORE_TI_L_NCM] = per_area * ti_ncm * llto->ti_mol_l;
    mix->amplitude[SIM_CORE_TI_L_STO] = per_area * column->sto * sto->ti_mol_l;
    mix->amplitude[SIM_CORE_MN_L] = per_area * column->tm * ncm->tm_mol_l / 3.0;
    mix->amplitude[SIM_CORE_O_PRE] = per_area * column->ncm * column->prepeak * ncm->oxygen_mol_l;
    mix->amplitude[SIM_CORE_O_NCM] = per_area * column->ncm * ncm->oxygen_mol_l;
    mix->amplitude[SIM_CORE_O_LLTO] = per_area * column->llto * llto->oxygen_mol_l;
    mix->amplitude[SIM_CORE_O_STO] = per_area * column->sto * sto->oxygen_mol_l;
}

/* Poisson probabilities; the last order takes all that is left. */
static void order_weights(double tau, size_t norders, double weight[SIM_MAX_ORDERS])
{
    double p = exp(-tau), left = 1.0;
    for (size_t n = 0; n + 1 < norders; n++) {
        weight[n] = p;
        left -= p;
        p *= tau / (double)(n + 1);
    }
    weight[norders - 1] = left;
}

/* from and to are multiples of 8: the inner loop becomes a few vector instructions. */
static void add_scaled(double *restrict sum, const double *restrict v, double factor, size_t from,
                       size_t to)
{
    for (size_t j = from; j < to; j += 8) {
        for (size_t k = 0; k < 8; k++) {
            sum[j + k] += factor * v[j + k];
        }
    }
}

void sim_expected(const struct sim_basis *basis, const struct sim_mix *mix, double *fine)
{
    memset(fine, 0, basis->n * sizeof *fine);
    for (size_t i = 0; i < basis->ncomponents; i++) {
        const struct sim_component *c = &basis->component[i];
        double weight[SIM_MAX_ORDERS];
        if (mix->amplitude[i] <= 0.0) {
            continue;
        }
        order_weights(mix->tau[c->host], c->norders, weight);
        for (size_t order = 0; order < c->norders; order++) {
            add_scaled(fine, c->vector[order], mix->amplitude[i] * weight[order],
                       c->first[order], basis->n);
        }
    }
}

double sim_expected_window(const struct sim_basis *basis, const struct sim_mix *mix,
                           size_t component, size_t window)
{
    const struct sim_component *c = &basis->component[component];
    double weight[SIM_MAX_ORDERS], sum = 0.0;
    order_weights(mix->tau[c->host], c->norders, weight);
    for (size_t order = 0; order < c->norders; order++) {
        sum += weight[order] * c->window[window][order];
    }
    return mix->amplitude[component] * sum;
}

double sim_t_over_lambda(const struct sim_library *library, const struct sim_column *column)
{
    double atoms[SIM_MAX_COMPONENTS] = {0};
    low_atoms(column, atoms);
    double zero = 0.0;
    for (int host = 0; host < SIM_HOSTS; host++) {
        zero += host_share(column, host) *
                exp(-column->thickness_nm / library->valence_path_nm[host]);
    }
    return log((1.0 + edge_probability(library, atoms)) / zero);
}

void sim_channels(const struct sim_basis *basis, const double *fine,
                  const struct sim_range *range, double zlp_ev, double *channels)
{
    /* Lagrange's formula through six points of the fine grid. The grid has two points per
     * channel, so the six weights are the same for all channels of a spectrum. */
    double position = (range->offset_ev - zlp_ev - basis->e0_ev) / basis->step_ev;
    double whole = floor(position);
    double weight[6];
    for (int k = 0; k < 6; k++) {
        weight[k] = 1.0;
        for (int m = 0; m < 6; m++) {
            if (m != k) {
                weight[k] *= (position - whole + 2.0 - m) / (double)(k - m);
            }
        }
    }
    long start = (long)whole - 2;
    for (size_t i = 0; i < range->nchannels; i++, start += 2) {
        double sum = 0.0;
        if (start >= 0 && (size_t)start + 6 <= basis->n) {
            const double *f = &fine[start];
            for (int k = 0; k < 6; k++) {
                sum += weight[k] * f[k];
            }
        }
        channels[i] = sum;
    }
}
