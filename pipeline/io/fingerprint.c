/* The hash of a signal as it lies in its file: a text of everything that is read about it, then its stored chunks in
 * order (of a contiguous array: groups of rows). Each unit is hashed by itself, so that threads can share the work, and
 * those that read the values can do it on the way; the digests are then hashed in order.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "pipeline/base/json.h"
#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define UNIT_MAX ((size_t)4 << 20)
#define STEP ((size_t)256 << 10)
#define BATCH 16384 /* digests held at a time */
#define MAX_THREADS 64

/* ---- the header ---- */

static void add_number(struct ep_str *t, const char *key, double x)
{
    ep_json_key(t, key);
    ep_json_num(t, x);
}

static void add_text(struct ep_str *t, const char *key, const char *s)
{
    ep_json_key(t, key);
    ep_json_str(t, s);
}

static void add_axis(struct ep_str *t, const struct ep_axis *a)
{
    ep_json_sep(t);
    ep_str_add(t, "{");
    add_text(t, "name", a->name);
    add_text(t, "unit", a->unit);
    add_number(t, "offset", a->offset);
    add_number(t, "scale", a->scale);
    add_number(t, "size", (double)a->size);
    ep_str_add(t, "}");
}

static void add_desc(struct ep_str *t, const struct ep_item *it)
{
    const struct ep_desc *d = &it->d;
    const struct ep_meta *m = &d->meta;
    ep_str_add(t, "{");
    add_text(t, "kind", ep_kind_name(d->kind));
    add_text(t, "unit", d->unit);
    add_number(t, "gain", d->gain);
    add_number(t, "read_noise", d->read_noise);
    if (d->low.end) {
        add_number(t, "low_channels", (double)d->low.end);
        add_number(t, "low_gain", d->low.gain);
        add_number(t, "low_read_noise", d->low.read_noise);
    }
    add_number(t, "gain_estimated", d->gain_estimated);
    add_number(t, "shift_max", d->shift_max);
    add_number(t, "noise", d->noise);
    add_number(t, "noise_px", d->noise_px);
    if (d->placement_sigma > 0) add_number(t, "placement_sigma", d->placement_sigma);
    add_text(t, "frame", d->frame);
    add_text(t, "long_name", d->long_name);
    add_text(t, "title", m->title);
    add_text(t, "signal_type", m->signal_type);
    const double numbers[] = {m->beam_energy_kev, m->convergence_mrad, m->collection_mrad, m->dwell_time_s, m->live_time_s,
                              m->exposure_s, m->beam_current_na};
    ep_json_key(t, "meta");
    ep_str_add(t, "[");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) ep_json_sep(t), ep_json_num(t, numbers[i]);
    ep_str_add(t, "]");
    ep_json_key(t, "axes");
    ep_str_add(t, "[");
    for (int k = 0; it->data && k < it->rank; k++) {
        if (it->role[k] == EP_ROLE_ENERGY) add_axis(t, &d->energy);
        else if ((size_t)it->role[k] < d->nnav) add_axis(t, &d->nav[it->role[k]]);
    }
    ep_str_add(t, "]}");
}

static void add_store(struct ep_str *t, const struct ep_store *s, const char *name)
{
    ep_str_addf(t, "\n%s %d%s", name, (int)s->dtype, s->as_native ? "" : " converted");
    EP_AUTO_HID dcpl = H5Dget_create_plist(s->set);
    ep_str_addf(t, " class %d size %zu order %d layout %d\n", (int)H5Tget_class(s->type), H5Tget_size(s->type), (int)H5Tget_order(s->type),
                (int)s->layout);
    for (int k = 0; k < s->rank; k++) ep_str_addf(t, "%zu/%zu ", s->dim[k], s->chunk[k]);
    for (int k = 0; k < s->nfilter; k++) {
        unsigned cd[16] = {0};
        size_t n = 16;
        H5Z_filter_t id = H5Pget_filter2(dcpl, (unsigned)k, NULL, &n, cd, 0, NULL, NULL);
        ep_str_addf(t, "filter %d", (int)id);
        for (size_t i = 0; i < n && i < 16; i++) ep_str_addf(t, ",%u", cd[i]);
    }
    /* What reads as the fill value is not stored anywhere else. */
    double fill = 0;
    if (dcpl >= 0 && H5Pget_fill_value(dcpl, H5T_NATIVE_DOUBLE, &fill) >= 0) add_number(t, "fill", fill);
}

/* ---- units ---- */

void ep_units_of(const struct ep_store *s, size_t bytes, struct ep_units *u)
{
    *u = (struct ep_units){.count = s->chunks, .per = 1};
    if (!bytes) return;
    size_t pixel = H5Tget_size(s->type) * s->dim[s->rank - 1], line = s->rank > 1 ? pixel * s->dim[s->rank - 2] : pixel;
    if (pixel <= UNIT_MAX) {
        u->pixels = EP_CELL_NX;
        u->outer = line;
        u->step = u->pixels * pixel;
    } else {
        u->outer = pixel;
        u->step = UNIT_MAX;
    }
    u->per = (u->outer - 1) / u->step + 1;
    u->count = bytes / u->outer * u->per;
}

/* ---- the values ---- */

struct job {
    struct ep_file *f;
    const struct ep_store *s;
    const struct ep_chunk_at *at;
    struct ep_units u;
    bool contiguous;
    size_t first, end;    /* units of this batch */
    struct ep_digest *digest;
    pthread_mutex_t lock; /* of next, failed, err and of HDF5 */
    size_t next;
    bool failed;
    struct ep_err *err;
};

/* Bytes in the file, read and hashed by the amount that stays in the cache between the two. */
static ep_status hash_bytes(struct job *j, size_t offset, size_t n, void **buf, size_t *cap, struct ep_digest *d, struct ep_err *e)
{
    ep_status st = ep_reserve(buf, cap, STEP, "hashing", e);
    if (st != EP_OK) return st;
    XXH3_state_t *x = XXH3_createState();
    if (!x) return ep_fail(e, EP_E_COMPUTE, "no memory (hashing)");
    XXH3_128bits_reset(x);
    for (size_t k = 0; st == EP_OK && k < n; k += STEP) {
        size_t m = n - k < STEP ? n - k : STEP;
        st = ep_pread_all(j->f, *buf, m, offset + k, e);
        if (st == EP_OK) XXH3_128bits_update(x, *buf, m);
    }
    XXH128_canonicalFromHash((XXH128_canonical_t *)d->hash, XXH3_128bits_digest(x));
    XXH3_freeState(x);
    d->bytes = n;
    return st;
}

static ep_status hash_unit(struct job *j, size_t i, void **buf, size_t *cap, struct ep_digest *d, struct ep_err *e)
{
    if (j->contiguous) {
        size_t from = i % j->u.per * j->u.step, rest = j->u.outer - from;
        return hash_bytes(j, (size_t)j->s->address + i / j->u.per * j->u.outer + from, rest < j->u.step ? rest : j->u.step, buf, cap, d, e);
    }
    if (j->at) {
        d->mask = j->at[i].mask;
        return hash_bytes(j, (size_t)j->at[i].address, j->at[i].bytes, buf, cap, d, e);
    }
    size_t bytes = 0, chunk[EP_MAX_AXES], rest = i;
    unsigned mask = 0;
    for (int k = j->s->rank - 1; k >= 0; k--) {
        chunk[k] = rest % j->s->nchunk[k];
        rest /= j->s->nchunk[k];
    }
    pthread_mutex_lock(&j->lock);
    ep_status st = ep_chunk_read(j->f, j->s, chunk, buf, cap, &bytes, &mask, e);
    pthread_mutex_unlock(&j->lock);
    if (st != EP_OK) return st;
    XXH128_canonicalFromHash((XXH128_canonical_t *)d->hash, XXH3_128bits(bytes ? *buf : "", bytes));
    d->bytes = bytes;
    d->mask = mask;
    return EP_OK;
}

/* The next unit whose digest is not known; NULL: none left. */
static struct ep_digest *next_unit(struct job *j, size_t *i)
{
    struct ep_digest *d = NULL;
    pthread_mutex_lock(&j->lock);
    while (!d && !j->failed && j->next < j->end) {
        *i = j->next++;
        if (!j->digest[*i - j->first].known) d = &j->digest[*i - j->first];
    }
    pthread_mutex_unlock(&j->lock);
    return d;
}

static const atomic_int *stop_word;

void ep_fingerprint_stop(const atomic_int *stop)
{
    stop_word = stop;
}

static void *worker(void *arg)
{
    struct job *j = arg;
    struct ep_err e = {0};
    struct ep_digest *d;
    void *buf = NULL;
    size_t cap = 0, i;
    pthread_mutex_lock(&j->lock);
    ep_hdf5_init();
    pthread_mutex_unlock(&j->lock);
    while ((d = next_unit(j, &i))) {
        if (stop_word && atomic_load_explicit(stop_word, memory_order_relaxed)) ep_fail(&e, EP_E_STOPPED, "stopped by a signal");
        else if (hash_unit(j, i, &buf, &cap, d, &e) == EP_OK) continue;
        pthread_mutex_lock(&j->lock);
        j->failed = true;
        ep_fail(j->err, e.code, "%s", e.msg);
        pthread_mutex_unlock(&j->lock);
    }
    free(buf);
    pthread_mutex_lock(&j->lock);
    H5Eclear2(H5E_DEFAULT); /* of this thread: it is not freed when the thread ends */
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* Units first .. end of the array with all threads; their digests are added to x in order. */
static ep_status hash_batch(struct job *j, const struct ep_digest *known, unsigned nthreads, XXH3_state_t *x)
{
    pthread_t id[MAX_THREADS];
    unsigned n = 0;
    size_t units = j->end - j->first, todo = units;
    j->next = j->first;
    memset(j->digest, 0, units * sizeof *j->digest);
    for (size_t i = 0; known && i < units; i++) {
        j->digest[i] = known[j->first + i];
        todo -= j->digest[i].known;
    }
    while (n + 1 < nthreads && n + 1 < todo && !pthread_create(&id[n], NULL, worker, j)) n++;
    if (todo) worker(j);
    while (n) pthread_join(id[--n], NULL);
    if (j->failed) return j->err->code;
    for (size_t i = 0; i < units; i++) {
        char tail[40];
        int m = snprintf(tail, sizeof tail, "|%llu|%u\n", (unsigned long long)j->digest[i].bytes, j->digest[i].mask);
        XXH3_128bits_update(x, j->digest[i].hash, sizeof j->digest[i].hash);
        XXH3_128bits_update(x, tail, (size_t)m);
    }
    return EP_OK;
}

/* Layouts without bytes of their own to look at (compact, virtual, external): the values that HDF5 gives. */
static ep_status hash_values(struct ep_file *f, const struct ep_store *s, const char *path, XXH3_state_t *x, struct ep_err *e)
{
    size_t rest = s->esize, rows;
    for (int k = 1; k < s->rank; k++)
        if (!ep_mul_ok(rest, s->dim[k], &rest)) return ep_fail(e, EP_E_INPUT, "%s: %s claims more values than can be counted (damaged file?)", f->path, path);
    rows = rest >= UNIT_MAX ? 1 : UNIT_MAX / rest;
    EP_AUTO_FREE void *buf = calloc(rows < s->dim[0] ? rows : s->dim[0], rest);
    EP_AUTO_HID file = H5Dget_space(s->set);
    if (!buf) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (hashing)", rows * rest);
    for (size_t r = 0; r < s->dim[0]; r += rows) {
        hsize_t start[EP_MAX_AXES] = {r}, count[EP_MAX_AXES];
        for (int k = 0; k < s->rank; k++) count[k] = s->dim[k];
        count[0] = s->dim[0] - r < rows ? s->dim[0] - r : rows;
        EP_AUTO_HID mem = H5Screate_simple(s->rank, count, NULL);
        if (file < 0 || mem < 0 || H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
            H5Dread(s->set, s->as_native ? s->type : s->native, mem, file, H5P_DEFAULT, buf) < 0)
            return ep_fail(e, EP_E_INPUT, "%s: %s can't be read (damaged or cut file?)", f->path, path);
        XXH3_128bits_update(x, buf, (size_t)count[0] * rest);
    }
    return EP_OK;
}

size_t ep_store_contiguous(const struct ep_file *f, const struct ep_store *s)
{
    EP_AUTO_HID dcpl = H5Dget_create_plist(s->set);
    size_t bytes = H5Tget_size(s->type);
    for (int k = 0; k < s->rank; k++)
        if (!ep_mul_ok(bytes, s->dim[k], &bytes)) return 0;
    if (f->fd < 0 || s->layout != H5D_CONTIGUOUS || s->address == HADDR_UNDEF || dcpl < 0 || H5Pget_external_count(dcpl) != 0) return 0;
    return s->address <= f->bytes && bytes <= f->bytes - s->address ? bytes : 0;
}

/* Header and values of one array, from what is known of it. */
static ep_status add_store_values(struct ep_file *f, const struct ep_hashed *h, const char *path, const char *name, unsigned nthreads,
                                  XXH3_state_t *x, struct ep_err *e)
{
    const struct ep_store *s = h->st;
    struct ep_str t = {0};
    ep_status st = EP_OK;
    add_store(&t, s, name);
    XXH3_128bits_update(x, t.s, t.n + 1);
    ep_str_free(&t);
    size_t bytes = ep_store_contiguous(f, s);
    if (!bytes && s->layout != H5D_CHUNKED) return hash_values(f, s, path, x, e);
    struct job j = {.f = f, .s = s, .at = h->at, .err = e, .contiguous = bytes > 0};
    ep_units_of(s, bytes, &j.u);
    size_t room = j.u.count < BATCH ? j.u.count : BATCH;
    j.digest = ep_xcalloc(room, sizeof *j.digest);
    pthread_mutex_init(&j.lock, NULL);
    for (; st == EP_OK && j.first < j.u.count; j.first = j.end) {
        j.end = j.u.count - j.first < room ? j.u.count : j.first + room;
        st = hash_batch(&j, h->digest, nthreads, x);
    }
    pthread_mutex_destroy(&j.lock);
    free(j.digest);
    return st;
}

static ep_status add_array(struct ep_file *f, const char *path, const char *name, enum ep_dtype dtype, unsigned nthreads,
                           XXH3_state_t *x, struct ep_err *e)
{
    struct ep_store s;
    ep_status st = ep_store_open(f, path, dtype, &s, e);
    if (st != EP_OK) return st;
    struct ep_chunk_at *at = ep_store_addresses(f, &s);
    st = add_store_values(f, &(struct ep_hashed){&s, at, NULL}, path, name, nthreads, x, e);
    free(at);
    ep_store_close(&s);
    return st;
}

/* ---- results ---- */

/* Tables have no one array; what goes with the pixels of a result has its own. Texts come in as they are. */
static ep_status add_group(struct ep_file *f, const struct ep_item *it, XXH3_state_t *x, struct ep_err *e)
{
    struct ep_signal *t = NULL;
    ep_status st = ep_file_load(f, (size_t)(it - f->item), (size_t)1 << 32, &t, e);
    if (st != EP_OK) return st;
    for (size_t k = 0; k < t->ncol; k++) {
        const struct ep_column *c = &t->col[k];
        XXH3_128bits_update(x, c->name, strlen(c->name) + 1);
        XXH3_128bits_update(x, c->unit, strlen(c->unit) + 1);
        if (c->num && t->n) XXH3_128bits_update(x, c->num, t->n * sizeof *c->num);
        if (c->sigma && t->n) XXH3_128bits_update(x, c->sigma, t->n * sizeof *c->sigma);
        for (size_t i = 0; c->text && i < t->n; i++) XXH3_128bits_update(x, c->text[i], strlen(c->text[i]) + 1);
    }
    ep_signal_free(t);
    return EP_OK;
}

static ep_status add_beside(struct ep_file *f, const struct ep_item *it, const char *name, enum ep_dtype dtype, unsigned nthreads,
                            XXH3_state_t *x, struct ep_err *e)
{
    struct ep_str p = {0};
    ep_str_addf(&p, "%s/%s", it->group, name);
    ep_status st = add_array(f, p.s, name, dtype, nthreads, x, e);
    ep_str_free(&p);
    return st;
}

static void add_model(const struct ep_model *m, XXH3_state_t *x)
{
    struct ep_str t = {0};
    ep_str_addf(&t, "{\"model\":[%d,%d,%zu,%zu,%zu,%zu", (int)m->form, (int)m->method, m->nwindow, m->bin, m->first, m->axis.size);
    const double v[] = {m->window[0][0], m->window[0][1], m->window[1][0], m->window[1][1], m->e_ref, m->r[0], m->r[1],
                        m->mean_theta[0], m->mean_theta[1], m->own_weight, m->gain, m->read_noise, m->axis.offset, m->axis.scale};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) ep_json_sep(&t), ep_json_num(&t, v[i]);
    if (m->low.end) ep_str_addf(&t, ",%zu,%.17g,%.17g", m->low.end, m->low.gain, m->low.read_noise);
    ep_str_add(&t, "]}");
    XXH3_128bits_update(x, t.s, t.n + 1);
    ep_str_free(&t);
    if (m->transfer.group) XXH3_128bits_update(x, &m->transfer, sizeof m->transfer);
}

static ep_status add_all(struct ep_file *f, const struct ep_item *it, unsigned nthreads, const struct ep_hashed *h,
                         XXH3_state_t *x, struct ep_err *e)
{
    if (!it->data) return add_group(f, it, x, e);
    ep_status st = h ? add_store_values(f, h, it->data, "data", nthreads, x, e)
                     : add_array(f, it->data, "data", it->d.dtype, nthreads, x, e);
    if (st == EP_OK && it->d.has_sigma) st = add_beside(f, it, it->errors, EP_F64, nthreads, x, e);
    if (st == EP_OK && it->nband) st = add_beside(f, it, "data_band", EP_F64, nthreads, x, e);
    if (st == EP_OK && it->has_flags) st = add_beside(f, it, "flags", EP_U32, nthreads, x, e);
    if (st == EP_OK && it->has_shift) st = add_beside(f, it, "shift", EP_F64, nthreads, x, e);
    if (st == EP_OK && it->model) {
        add_model(it->model, x);
        st = add_beside(f, it, "covariance/theta", EP_F64, nthreads, x, e);
        if (st == EP_OK) st = add_beside(f, it, "covariance/cmat", EP_F64, nthreads, x, e);
    }
    return st;
}

ep_status ep_fingerprint_from(struct ep_file *f, size_t i, unsigned nthreads, const struct ep_hashed *h, struct ep_hash *out,
                              struct ep_err *e)
{
    const struct ep_item *it = &f->item[i];
    struct ep_str t = {0};
    out->hex[0] = 0;
    nthreads = nthreads < 1 ? 1 : nthreads > MAX_THREADS ? MAX_THREADS : nthreads;
    XXH3_state_t *x = XXH3_createState();
    if (!x) return ep_fail(e, EP_E_COMPUTE, "no memory (hashing)");
    XXH3_128bits_reset(x);
    ep_str_add(&t, "eelpipe signal 1\n");
    add_desc(&t, it);
    XXH3_128bits_update(x, t.s, t.n + 1);
    ep_str_free(&t);
    ep_status st = add_all(f, it, nthreads, h, x, e);
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits_digest(x));
    for (size_t k = 0; st == EP_OK && k < sizeof c.digest; k++) snprintf(out->hex + 2 * k, 3, "%02x", c.digest[k]);
    XXH3_freeState(x);
    return st;
}

ep_status ep_file_fingerprint(struct ep_file *f, size_t i, unsigned nthreads, struct ep_hash *out, struct ep_err *e)
{
    return ep_fingerprint_from(f, i, nthreads, NULL, out, e);
}
