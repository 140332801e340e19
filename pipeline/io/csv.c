#include "pipeline/base/mem.h"
#include "pipeline/io/csv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/base/hash.h"
#include "pipeline/base/json.h"
#include "pipeline/io/result.h"

#define MOST_TEXT ((size_t)64 << 20)   /* larger ones are not ours */

void ep_csv_text(struct ep_str *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        ep_str_add(out, text);
        return;
    }
    ep_str_add(out, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"') ep_str_add(out, "\"");
        ep_str_addn(out, p, 1);
    }
    ep_str_add(out, "\"");
}

void ep_csv_number(struct ep_str *out, double x)
{
    if (isfinite(x)) ep_json_num(out, x);
    else if (isinf(x)) ep_str_add(out, x > 0 ? "inf" : "-inf");
}

static void heading(struct ep_str *out, const struct ep_column *c, bool sigma)
{
    struct ep_str text = {0};
    ep_str_addf(&text, "%s%s", c->name, sigma ? " sigma" : "");
    if (c->unit[0]) ep_str_addf(&text, " (%s)", c->unit);
    ep_csv_text(out, text.s);
    ep_str_free(&text);
}

void ep_table_csv(const struct ep_signal *t, struct ep_str *out)
{
    for (size_t k = 0; k < t->ncol; k++) {
        if (k) ep_str_add(out, ",");
        heading(out, &t->col[k], false);
        if (!t->col[k].sigma) continue;
        ep_str_add(out, ",");
        heading(out, &t->col[k], true);
    }
    ep_str_add(out, "\n");
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < t->ncol; k++) {
            const struct ep_column *c = &t->col[k];
            if (k) ep_str_add(out, ",");
            if (c->is_text) ep_csv_text(out, c->text[i] ? c->text[i] : "");
            else ep_csv_number(out, c->num[i]);
            if (!c->sigma) continue;
            ep_str_add(out, ",");
            ep_csv_number(out, c->sigma[i]);
        }
        ep_str_add(out, "\n");
    }
}

/* ---- files ---- */

/* "out/.eelpipe/tables/fronts.csv" of "out/fronts.csv" */
static void record_of(const char *path, struct ep_str *folder, struct ep_str *record)
{
    const char *base = ep_base_name(path);
    ep_str_addn(folder, path, (size_t)(base - path));
    ep_str_add(folder, ".eelpipe/tables");
    ep_str_addf(record, "%s/%s", folder->s, base);
}

static bool read_text(const char *path, struct ep_str *out)
{
    char buf[16384];
    size_t n;
    FILE *f = fopen(path, "rb");
    ep_str_add(out, "");
    while (f && out->n <= MOST_TEXT && (n = fread(buf, 1, sizeof buf, f)) > 0) ep_str_addn(out, buf, n);
    bool ok = f && !ferror(f);
    if (f) fclose(f);
    return ok;
}

static bool has_record(const char *path)
{
    struct ep_str folder = {0}, record = {0};
    record_of(path, &folder, &record);
    bool has = !access(record.s, F_OK);
    ep_str_free(&folder);
    ep_str_free(&record);
    return has;
}

static bool made_by_us(const char *path, const struct ep_str *text)
{
    struct ep_str folder = {0}, record = {0}, known = {0};
    struct ep_hash hash = ep_hash_bytes(text->s, text->n);
    record_of(path, &folder, &record);
    bool ours = read_text(record.s, &known) && strstr(known.s, hash.hex);
    ep_str_free(&folder);
    ep_str_free(&record);
    ep_str_free(&known);
    return ours;
}

ep_status ep_csv_may_replace(const char *path, const char *result, struct ep_err *e)
{
    struct stat st, made;
    struct ep_str text = {0};
    if (stat(path, &st) || (S_ISREG(st.st_mode) && st.st_size == 0)) return EP_OK;
    if (!S_ISREG(st.st_mode))
        return ep_fail(e, EP_E_OUTPUT, "can't write %s: it is %s", path, S_ISDIR(st.st_mode) ? "a folder" : "a pipe or a device, not a file");
    bool ours = read_text(path, &text) && made_by_us(path, &text);
    if (!ours && !has_record(path) && result && !stat(result, &made))
        ours = made.st_mtim.tv_sec > st.st_mtim.tv_sec || (made.st_mtim.tv_sec == st.st_mtim.tv_sec && made.st_mtim.tv_nsec >= st.st_mtim.tv_nsec);
    ep_str_free(&text);
    if (ours) return EP_OK;
    return ep_fail(e, EP_E_OUTPUT, "can't write %s: there is a file that eelpipe has not made, or that was changed since: move it away, or "
                   "write elsewhere", path);
}

/* Before the text itself: one that is written and not known would never be replaced. */
static ep_status remember(const char *path, const struct ep_str *text, struct ep_err *e)
{
    struct ep_str folder = {0}, record = {0};
    record_of(path, &folder, &record);
    ep_status st = ep_make_folders(folder.s, e);
    FILE *f = st ? NULL : fopen(record.s, "a");
    if (f && fprintf(f, "%s\n", ep_hash_bytes(text->s, text->n).hex) < 0) st = EP_E_OUTPUT;
    if ((!f || fclose(f)) && !st) st = EP_E_OUTPUT;
    if (st && !e->code) ep_fail(e, st, "can't write %s: %s", record.s, strerror(errno));
    ep_str_free(&folder);
    ep_str_free(&record);
    return st;
}

ep_status ep_csv_write(const char *path, const char *result, const struct ep_str *text, struct ep_err *e)
{
    ep_status st = ep_csv_may_replace(path, result, e);
    if (!st && !made_by_us(path, text)) st = remember(path, text, e);
    return st ? st : ep_write_text(path, text->s, text->n, e);
}
