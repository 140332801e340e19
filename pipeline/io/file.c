#include "pipeline/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

/* ---- the library ---- */

static void start_library(void)
{
    /* After a failed close the exit handler of HDF5 1.10 crashes. Must come before anything else. */
    H5dont_atexit();
    /* HDF5_PLUGIN_PATH names folders from which HDF5 loads code; the library's own folder stays. It is read when the
     * plug-in part of the library starts, which H5PLsize makes happen now. */
    EP_AUTO_FREE char *path = NULL;
    const char *env = getenv("HDF5_PLUGIN_PATH");
    if (env) path = ep_xstrdup(env);
    unsetenv("HDF5_PLUGIN_PATH");
    unsigned n = 0;
    H5open();
    H5PLsize(&n);
    if (path) setenv("HDF5_PLUGIN_PATH", path, 1);
}

H5E_auto2_t ep_hdf5_on_error;

void ep_hdf5_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_library);
    H5Eset_auto2(H5E_DEFAULT, ep_hdf5_on_error, NULL); /* holds for the calling thread alone */
}

/* ---- opening ---- */

/* Why HDF5 would not open it, as far as the first bytes tell. */
static ep_status not_hdf5(const char *path, int fd, size_t bytes, struct ep_err *e)
{
    unsigned char h[8] = {0};
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (!bytes) return ep_fail(e, EP_E_INPUT, "%s: the file is empty (0 bytes): was a copy broken off?", path);
    ssize_t n = pread(fd, h, sizeof h, 0);
    if (n == 8 && !memcmp(h, magic, 8))
        return ep_fail(e, EP_E_INPUT, "%s: damaged or incomplete HDF5 file (a copy that broke off, or a writer that was "
                       "killed?)", path);
    if (n == 8 && !h[0] && !h[1] && !h[2] && (h[3] == 3 || h[3] == 4))
        return ep_fail(e, EP_E_INPUT, "%s: a Gatan DM%d file; open it in HyperSpy and save it as .hspy", path, h[3]);
    if (n == 8 && h[0] == '#')
        return ep_fail(e, EP_E_INPUT, "%s: a text file, perhaps EMSA/MAS (.msa); open it in HyperSpy and save it as .hspy", path);
    return ep_fail(e, EP_E_INPUT, "%s: not an HDF5 file; files of instruments are opened in HyperSpy and saved as .hspy", path);
}

/* The descriptor HDF5 reads from: another open() of the path might meet a newer file. */
static void find_descriptor(struct ep_file *f)
{
    void *handle = NULL;
    hsize_t block = 0;
    EP_AUTO_HID fapl = H5Fget_access_plist(f->id);
    EP_AUTO_HID fcpl = H5Fget_create_plist(f->id);
    f->fd = -1;
    if (fapl < 0 || fcpl < 0 || H5Pget_driver(fapl) != H5FD_SEC2) return;
    /* With a user block 1.10 counts addresses from its end in some calls and from the file's start in others. */
    if (H5Pget_userblock(fcpl, &block) < 0 || block) return;
    if (H5Fget_vfd_handle(f->id, fapl, &handle) < 0 || !handle) return;
    struct stat st;
    memcpy(&f->fd, handle, sizeof f->fd);
    if (fstat(f->fd, &st)) f->fd = -1;
    else f->bytes = (size_t)st.st_size;
}

static ep_status open_hdf5(struct ep_file *f, struct ep_err *e)
{
    struct stat st;
    /* Looked at before it is opened: a pipe without a writer would wait for ever, a device may do something. */
    if (stat(f->path, &st)) return ep_fail(e, EP_E_INPUT, "%s: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ep_fail(e, EP_E_INPUT, "%s: %s, not a file", f->path, S_ISDIR(st.st_mode) ? "a folder" : S_ISFIFO(st.st_mode) ? "a pipe" : "a device");
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return ep_fail(e, EP_E_INPUT, "%s: %s", f->path, strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return ep_fail(e, EP_E_INPUT, "%s: not a file any more", f->path);
    }
    f->bytes = (size_t)st.st_size;
    EP_AUTO_HID fapl = H5Pcreate(H5P_FILE_ACCESS);
    /* No locks: results are renamed into place and never change, and some cluster file systems have none. */
    if (fapl >= 0 && H5Pset_fapl_sec2(fapl) >= 0 && H5Pset_file_locking(fapl, 0, 1) >= 0)
        f->id = H5Fopen(f->path, H5F_ACC_RDONLY, fapl);
    ep_status s = f->id < 0 ? not_hdf5(f->path, fd, f->bytes, e) : EP_OK;
    close(fd);
    if (s != EP_OK) return s;
    H5O_info_t info;
    if (H5Oget_info2(f->id, &info, H5O_INFO_BASIC) < 0) return ep_fail(e, EP_E_INPUT, "%s: damaged HDF5 file", f->path);
    f->fileno = info.fileno;
    find_descriptor(f);
    return EP_OK;
}

/* Files of others that carry their cubes elsewhere: say what to do instead of "no signals". */
static ep_status nothing_found(struct ep_file *f, struct ep_err *e)
{
    if (f->nrefused) return ep_fail(e, EP_E_INPUT, "%s: %s: %s", f->path, f->refused[0].label, f->refused[0].why);
    if (ep_h5_is_group(f->id, "/Data/SpectrumStream") || ep_h5_is_group(f->id, "/Data/SpectrumImage") ||
        ep_h5_is_group(f->id, "/Data/Image"))
        return ep_fail(e, EP_E_INPUT, "%s: a Velox file; open it in HyperSpy and save it as .hspy", f->path);
    return ep_fail(e, EP_E_INPUT, "%s: no signals in it: neither HyperSpy's /Experiments nor NXdata groups; files of "
                   "instruments are imported through HyperSpy: open them there and save them as .hspy", f->path);
}

static ep_status walk(struct ep_file *f, struct ep_err *e)
{
    ep_status s = EP_OK;
    double layout = 0;
    enum ep_h5_got got = ep_h5_attr_num(f->id, "eelpipe_layout", &layout);
    if (got != EP_H5_ABSENT) {
        if (got == EP_H5_BAD || layout != 1)
            return ep_fail(e, EP_E_INPUT, "%s: a result in a layout this program does not know (eelpipe_layout is not 1); a newer "
                           "eelpipe wrote it", f->path);
        s = ep_walk_result(f, e);
    } else if (ep_h5_is_group(f->id, "/Experiments")) {
        s = ep_walk_hyperspy(f, e);
    } else {
        s = ep_walk_nexus(f, e);
    }
    if (s == EP_OK && !f->n) s = nothing_found(f, e);
    return s;
}

ep_status ep_file_open(const char *path, struct ep_file **out, struct ep_err *e)
{
    struct ep_file *f = ep_xcalloc(1, sizeof *f);
    *out = NULL;
    f->path = ep_xstrdup(path);
    f->id = H5I_INVALID_HID;
    f->fd = -1;
    f->origin = (struct ep_origin){"", "", "", "", "", "", "", ""};
    ep_hdf5_init();
    ep_status s = open_hdf5(f, e);
    if (s == EP_OK) s = walk(f, e);
    if (s != EP_OK) {
        ep_file_close(f);
        return s;
    }
    *out = f;
    return EP_OK;
}

static void item_done(struct ep_item *it)
{
    free(it->group);
    free(it->label);
    free(it->data);
    free(it->model);
}

void ep_file_close(struct ep_file *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->n; i++) item_done(&f->item[i]);
    for (size_t i = 0; i < f->nrefused; i++) {
        free(f->refused[i].label);
        free(f->refused[i].why);
    }
    for (size_t i = 0; i < sizeof f->origin_text / sizeof *f->origin_text; i++) free(f->origin_text[i]);
    free(f->item);
    free(f->refused);
    free(f->path);
    ep_hid_done(&f->id);
    free(f);
}

/* ---- what the walkers use ---- */

struct ep_item *ep_file_add(struct ep_file *f, enum ep_origin_kind from, const char *group)
{
    const char *slash = strrchr(group, '/');
    EP_PUSH(f->item, f->n, f->cap);
    struct ep_item *it = &f->item[f->n - 1];
    ep_desc_init(&it->d);
    it->from = from;
    it->group = ep_xstrdup(group);
    it->label = ep_xstrdup(slash ? slash + 1 : group);
    ep_h5_copy_text(it->d.name, sizeof it->d.name, it->label);
    return it;
}

void ep_file_refuse(struct ep_file *f, bool foreign, const char *why)
{
    struct ep_item *it = &f->item[f->n - 1];
    EP_PUSH(f->refused, f->nrefused, f->refused_cap);
    struct ep_refusal *r = &f->refused[f->nrefused - 1];
    r->label = it->label;
    it->label = NULL;
    r->why = ep_xstrdup(why);
    r->foreign = foreign;
    item_done(it);
    f->n--;
}

/* ---- looking things up ---- */

size_t ep_file_count(const struct ep_file *f)
{
    return f->n;
}

const struct ep_desc *ep_file_desc(const struct ep_file *f, size_t i)
{
    return &f->item[i].d;
}

const char *ep_file_path(const struct ep_file *f)
{
    return f->path;
}

const struct ep_origin *ep_file_origin(const struct ep_file *f)
{
    return &f->origin;
}

static void add_sizes(struct ep_str *s, const struct ep_desc *d)
{
    for (size_t k = 0; k < d->nnav; k++) ep_str_addf(s, "%s%zu", k ? " x " : ", ", d->nav[k].size);
    if (d->spectral) ep_str_addf(s, "%s%zu", d->nnav ? " x " : ", ", d->energy.size);
}

/* "'net' (spectrum image, 64 x 64 x 1024), ..." : what the message of a failed search ends with. */
static void add_contents(struct ep_str *s, const struct ep_file *f)
{
    size_t shown = f->n < 20 ? f->n : 20;
    for (size_t i = 0; i < shown; i++) {
        ep_str_addf(s, "%s'%s' (%s", i ? ", " : "", f->item[i].label, ep_kind_name(f->item[i].d.kind));
        add_sizes(s, &f->item[i].d);
        ep_str_add(s, ")");
    }
    if (shown < f->n) ep_str_addf(s, " and %zu more", f->n - shown);
    for (size_t i = 0; i < f->nrefused && i < 5; i++)
        ep_str_addf(s, "; '%s' can't be used: %s", f->refused[i].label, f->refused[i].why);
}

static void add_kinds(struct ep_str *s, unsigned kinds)
{
    bool first = true;
    for (unsigned b = 1; b <= EP_TABLE; b <<= 1) {
        if (!(kinds & b)) continue;
        ep_str_addf(s, "%s%s", first ? "" : " or ", ep_kind_name((enum ep_kind)b));
        first = false;
    }
}

static ep_status find_failed(const struct ep_file *f, struct ep_str *s, struct ep_err *e)
{
    ep_str_add(s, "; the file holds ");
    add_contents(s, f);
    ep_status st = ep_fail(e, EP_E_INPUT, "%s: %s", f->path, s->s);
    ep_str_free(s);
    return st;
}

/* How well a name fits: an exact group name before an output name before a title. */
static int fit(const struct ep_item *it, const char *name)
{
    if (!strcmp(it->label, name)) return 3;
    if (!strcmp(it->d.name, name)) return 2;
    return it->d.meta.title[0] && !strcmp(it->d.meta.title, name);
}

static ep_status find_named(const struct ep_file *f, const char *name, unsigned kinds, size_t *index, struct ep_err *e)
{
    struct ep_str s = {0};
    int best = 0;
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        int q = fit(&f->item[i], name);
        if (q > best) best = q, n = 0;
        if (!q || q < best) continue;
        if (!n++) *index = i;
    }
    if (n == 1 && (!kinds || (f->item[*index].d.kind & kinds))) return EP_OK;
    for (size_t i = 0; !n && i < f->nrefused; i++)
        if (!strcmp(f->refused[i].label, name))
            return ep_fail(e, EP_E_INPUT, "%s: '%s': %s", f->path, name, f->refused[i].why);
    if (!n) ep_str_addf(&s, "no signal '%s'", name);
    if (n > 1) ep_str_addf(&s, "%zu signals are called '%s'; use the name of the group", n, name);
    if (n == 1) {
        ep_str_addf(&s, "'%s' is a %s, not a ", name, ep_kind_name(f->item[*index].d.kind));
        add_kinds(&s, kinds);
    }
    return find_failed(f, &s, e);
}

ep_status ep_file_find(const struct ep_file *f, const char *name, unsigned kinds, size_t *index, struct ep_err *e)
{
    struct ep_str s = {0};
    size_t n = 0, broken = 0;
    *index = 0;
    if (name && *name) return find_named(f, name, kinds, index, e);
    for (size_t i = 0; i < f->n; i++) {
        if (kinds && !(f->item[i].d.kind & kinds)) continue;
        if (f->item[i].d.primary) {
            *index = i;
            return EP_OK;
        }
        if (!n++) *index = i;
    }
    /* The one that was meant may be the one that can't be read: do not quietly take another. */
    for (size_t i = 0; i < f->nrefused; i++) broken += !f->refused[i].foreign;
    if (n == 1 && !broken) return EP_OK;
    if (!n) ep_str_add(&s, "no "), add_kinds(&s, kinds), ep_str_add(&s, " in it");
    else if (n > 1) ep_str_addf(&s, "%zu signals fit: say which with `signal:` in the recipe, or FILE#SIGNAL for a stage by itself", n);
    else ep_str_add(&s, "one of its signals can't be used: say which is meant with `signal:`");
    return find_failed(f, &s, e);
}
