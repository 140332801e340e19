#include "pipeline/io/h5util.h"

#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5array.h"

void ep_h5_copy_text(char *out, size_t cap, const char *src)
{
    size_t n = strlen(src);
    if (n >= cap) {
        n = cap - 1;
        while (n && ((unsigned char)src[n] & 0xC0) == 0x80) n--; /* not in the middle of a character */
    }
    memcpy(out, src, n);
    out[n] = 0;
    /* A title must not be able to steer the terminal it is printed on. */
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' ';
    while (n && out[n - 1] == ' ') out[--n] = 0;
}

static bool unset(const char *s)
{
    return !*s || !strcmp(s, "_None_") || !strcmp(s, "<undefined>");
}

/* ---- objects ---- */

static hid_t open_as(hid_t loc, const char *path, H5I_type_t type)
{
    EP_AUTO_HID id = H5Oopen(loc, path, H5P_DEFAULT);
    if (id < 0 || H5Iget_type(id) != type) return H5I_INVALID_HID;
    return ep_hid_take(&id);
}

hid_t ep_h5_group(hid_t loc, const char *path)
{
    return open_as(loc, path, H5I_GROUP);
}

hid_t ep_h5_dataset(hid_t loc, const char *path)
{
    return open_as(loc, path, H5I_DATASET);
}

bool ep_h5_is_group(hid_t loc, const char *path)
{
    EP_AUTO_HID id = ep_h5_group(loc, path);
    return id >= 0;
}

bool ep_h5_is_dataset(hid_t loc, const char *path)
{
    EP_AUTO_HID id = ep_h5_dataset(loc, path);
    return id >= 0;
}

struct names { char **s; size_t n, max; };

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
    struct names *l = arg;
    (void)group;
    (void)info;
    if (l->n == l->max) return 1;
    l->s[l->n++] = ep_xstrdup(name);
    l->s[l->n] = NULL;
    return 0;
}

char **ep_h5_children(hid_t group, size_t max, size_t *n)
{
    H5G_info_t gi;
    H5_index_t by = H5_INDEX_NAME;
    unsigned order = 0;
    EP_AUTO_HID pl = H5Gget_create_plist(group);

    *n = 0;
    if (H5Gget_info(group, &gi) < 0) return NULL;
    if (pl >= 0 && H5Pget_link_creation_order(pl, &order) >= 0 && (order & H5P_CRT_ORDER_TRACKED)) by = H5_INDEX_CRT_ORDER;
    struct names l = {.max = gi.nlinks < max ? (size_t)gi.nlinks : max};
    l.s = ep_xcalloc(l.max + 1, sizeof *l.s);
    if (H5Literate(group, by, H5_ITER_INC, NULL, add_name, &l) < 0) {
        ep_h5_names_free(l.s);
        return NULL;
    }
    *n = l.n;
    return l.s;
}

void ep_h5_names_free(char **names)
{
    if (!names) return;
    for (size_t i = 0; names[i]; i++) free(names[i]);
    free(names);
}

/* ---- texts ---- */

/* The memory type to read texts of file type ft with: HDF5 converts neither between fixed and variable length nor
 * between character sets. */
static hid_t text_memory_type(hid_t ft, size_t *width)
{
    EP_AUTO_HID mt = H5Tcopy(H5T_C_S1);
    htri_t vlen = H5Tis_variable_str(ft);
    size_t size = H5Tget_size(ft);
    if (mt < 0 || vlen < 0 || H5Tset_cset(mt, H5Tget_cset(ft)) < 0) return H5I_INVALID_HID;
    if (vlen) {
        *width = 0;
        if (H5Tset_size(mt, H5T_VARIABLE) < 0) return H5I_INVALID_HID;
    } else {
        if (!size || size > EP_H5_TEXT_MAX || H5Tset_size(mt, size) < 0 || H5Tset_strpad(mt, H5Tget_strpad(ft)) < 0)
            return H5I_INVALID_HID;
        *width = size;
    }
    return ep_hid_take(&mt);
}

static char *fixed_text(const char *p, size_t width, H5T_str_t pad)
{
    size_t n = strnlen(p, width);
    if (pad == H5T_STR_SPACEPAD)
        while (n && p[n - 1] == ' ') n--;
    char *s = ep_xmalloc(n + 1);
    memcpy(s, p, n);
    s[n] = 0;
    return s;
}

hid_t ep_h5_text_transfer(void)
{
    hid_t p = H5Pcreate(H5P_DATASET_XFER);
    if (p >= 0) H5Pset_buffer(p, 16 << 10, NULL, NULL);
    return p;
}

/* All texts of an attribute or dataset; exactly one of attr and dset is valid. */
static char **read_texts(hid_t attr, hid_t dset, size_t max, size_t *n)
{
    EP_AUTO_HID type = attr >= 0 ? H5Aget_type(attr) : H5Dget_type(dset);
    EP_AUTO_HID space = attr >= 0 ? H5Aget_space(attr) : H5Dget_space(dset);
    size_t width = 0, bytes;
    char **list = NULL;

    *n = 0;
    if (type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_type(space) == H5S_NULL) return NULL;
    hssize_t np = H5Sget_simple_extent_npoints(space);
    if (np < 1 || (size_t)np > max) return NULL;
    EP_AUTO_HID mt = text_memory_type(type, &width);
    if (mt < 0 || !ep_mul_ok((size_t)np, width ? width : sizeof(char *), &bytes) || bytes > EP_H5_TEXT_MAX) return NULL;
    EP_AUTO_FREE char *buf = calloc(1, bytes);
    EP_AUTO_HID transfer = ep_h5_text_transfer();
    if (!buf || transfer < 0 || (attr >= 0 ? H5Aread(attr, mt, buf) : H5Dread(dset, mt, H5S_ALL, H5S_ALL, transfer, buf)) < 0) return NULL;
    list = ep_xcalloc((size_t)np + 1, sizeof *list);
    for (size_t i = 0; i < (size_t)np; i++) {
        if (width) {
            list[i] = fixed_text(buf + i * width, width, H5Tget_strpad(mt));
        } else {
            char *s;
            memcpy(&s, buf + i * sizeof s, sizeof s);
            list[i] = ep_xstrdup(s ? s : ""); /* HDF5 reads an empty variable text as NULL */
        }
    }
    if (!width) H5Dvlen_reclaim(mt, space, H5P_DEFAULT, buf);
    *n = (size_t)np;
    return list;
}

static char *first_of(char **list)
{
    if (!list) return NULL;
    char *s = list[0];
    free(list); /* one element: nothing else to free */
    return s;
}

static hid_t open_attr(hid_t obj, const char *name)
{
    if (H5Aexists(obj, name) <= 0) return H5I_INVALID_HID;
    return H5Aopen(obj, name, H5P_DEFAULT);
}

char *ep_h5_attr_string(hid_t obj, const char *name)
{
    EP_AUTO_HID a = open_attr(obj, name);
    size_t n;
    return a < 0 ? NULL : first_of(read_texts(a, H5I_INVALID_HID, 1, &n));
}

enum ep_h5_got ep_h5_attr_text(hid_t obj, const char *name, char *out, size_t cap)
{
    if (H5Aexists(obj, name) <= 0) return EP_H5_ABSENT;
    EP_AUTO_FREE char *s = ep_h5_attr_string(obj, name);
    if (!s) return EP_H5_BAD;
    if (unset(s)) return EP_H5_ABSENT;
    ep_h5_copy_text(out, cap, s);
    return *out ? EP_H5_OK : EP_H5_ABSENT;
}

char **ep_h5_attr_texts(hid_t obj, const char *name, size_t max, size_t *n)
{
    EP_AUTO_HID a = open_attr(obj, name);
    *n = 0;
    return a < 0 ? NULL : read_texts(a, H5I_INVALID_HID, max, n);
}

char *ep_h5_data_string(hid_t loc, const char *path)
{
    EP_AUTO_HID d = ep_h5_dataset(loc, path);
    size_t n;
    return d < 0 ? NULL : first_of(read_texts(H5I_INVALID_HID, d, 1, &n));
}

char **ep_h5_data_texts(hid_t loc, const char *path, size_t max, size_t *n)
{
    EP_AUTO_HID d = ep_h5_dataset(loc, path);
    *n = 0;
    return d < 0 ? NULL : read_texts(H5I_INVALID_HID, d, max, n);
}

/* ---- numbers ---- */

static bool is_number(hid_t type)
{
    H5T_class_t c = H5Tget_class(type);
    return c == H5T_INTEGER || c == H5T_FLOAT || c == H5T_ENUM;
}

enum ep_h5_got ep_h5_attr_nums(hid_t obj, const char *name, double *out, size_t cap, size_t *n)
{
    *n = 0;
    if (H5Aexists(obj, name) <= 0) return EP_H5_ABSENT;
    EP_AUTO_HID a = H5Aopen(obj, name, H5P_DEFAULT);
    if (a < 0) return EP_H5_BAD;
    EP_AUTO_HID type = H5Aget_type(a);
    EP_AUTO_HID space = H5Aget_space(a);
    if (type < 0 || space < 0) return EP_H5_BAD;
    if (H5Tget_class(type) == H5T_STRING) { /* HyperSpy writes None as a text */
        size_t k;
        EP_AUTO_FREE char *s = first_of(read_texts(a, H5I_INVALID_HID, 1, &k));
        return s && unset(s) ? EP_H5_ABSENT : EP_H5_BAD;
    }
    hssize_t np = H5Sget_simple_extent_npoints(space);
    if (!is_number(type) || H5Sget_simple_extent_type(space) == H5S_NULL || np < 1 || (size_t)np > cap) return EP_H5_BAD;
    if (H5Aread(a, H5T_NATIVE_DOUBLE, out) < 0) return EP_H5_BAD;
    *n = (size_t)np;
    return EP_H5_OK;
}

enum ep_h5_got ep_h5_attr_num(hid_t obj, const char *name, double *out)
{
    double x;
    size_t n;
    enum ep_h5_got got = ep_h5_attr_nums(obj, name, &x, 1, &n);
    if (got == EP_H5_OK) *out = x;
    return got;
}

enum ep_h5_got ep_h5_attr_bool(hid_t obj, const char *name, bool *out)
{
    double x;
    enum ep_h5_got got = ep_h5_attr_num(obj, name, &x);
    if (got == EP_H5_OK) *out = x != 0;
    return got;
}

/* ---- datasets ---- */

bool ep_h5_dims(hid_t dset, size_t cap, int *rank, size_t *dim, size_t *total)
{
    hsize_t d[H5S_MAX_RANK];
    EP_AUTO_HID space = H5Dget_space(dset);
    if (space < 0 || H5Sget_simple_extent_type(space) != H5S_SIMPLE) return false;
    int r = H5Sget_simple_extent_dims(space, d, NULL);
    if (r < 1 || (size_t)r > cap) return false;
    *total = 1;
    for (int k = 0; k < r; k++) {
        if (!d[k] || d[k] > SIZE_MAX / 16 || !ep_mul_ok(*total, (size_t)d[k], total)) return false;
        dim[k] = (size_t)d[k];
    }
    *rank = r;
    return *total <= SIZE_MAX / 16; /* bytes of any element type fit too */
}

enum ep_h5_got ep_h5_data_read(hid_t loc, const char *path, hid_t mem_type, size_t want, void *out)
{
    EP_AUTO_HID d = ep_h5_dataset(loc, path);
    if (d < 0) return EP_H5_ABSENT;
    EP_AUTO_HID type = H5Dget_type(d);
    EP_AUTO_HID space = H5Dget_space(d);
    if (type < 0 || space < 0 || !is_number(type)) return EP_H5_BAD;
    hssize_t np = H5Sget_simple_extent_npoints(space);
    if (np < 0 || (size_t)np != want) return EP_H5_BAD;
    struct ep_h5_array *a = want ? ep_h5_array_open(d, mem_type) : NULL;
    bool ok = !want || (a && ep_h5_array_read_all(a, out));
    ep_h5_array_close(a);
    return ok ? EP_H5_OK : EP_H5_BAD;
}

/* ---- types ---- */

hid_t ep_h5_text_type(void)
{
    EP_AUTO_HID t = H5Tcopy(H5T_C_S1);
    if (t < 0 || H5Tset_size(t, H5T_VARIABLE) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0) return H5I_INVALID_HID;
    return ep_hid_take(&t);
}

hid_t ep_h5_bool_type(void)
{
    signed char v = 0;
    EP_AUTO_HID t = H5Tenum_create(H5T_NATIVE_INT8);
    if (t < 0 || H5Tenum_insert(t, "FALSE", &v) < 0) return H5I_INVALID_HID;
    v = 1;
    if (H5Tenum_insert(t, "TRUE", &v) < 0) return H5I_INVALID_HID;
    return ep_hid_take(&t);
}
