/* Tables: one dataset per column, arranged so that viewers plot the other columns over the first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5util.h"
#include "pipeline/io/h5write.h"

/* The dataset of a column: its name, but "/" divides groups and "." is the group itself. */
static void dataset_name(char out[EP_NAME_LEN], const char *column)
{
    snprintf(out, EP_NAME_LEN, "%s", column);
    for (char *c = out; *c; c++)
        if (*c == '/')
            *c = '_';
    if (!strcmp(out, ".") || !*out)
        strcpy(out, "_");
}

static void write_errors(struct ep_h5w *h, hid_t g, const char *name, const struct ep_column *c, hsize_t rows)
{
    char errors[EP_NAME_LEN + 8];
    snprintf(errors, sizeof errors, "%s_errors", name);
    hid_t d = ep_h5w_array(h, g, errors, EP_F64, 1, &rows, (struct ep_h5w_values){.f64 = c->sigma}, true);
    ep_h5w_text(h, d, "units", c->unit);
    ep_h5w_done(h, &d);
}

static void write_column(struct ep_h5w *h, hid_t g, const struct ep_column *c, hsize_t rows)
{
    char name[EP_NAME_LEN], label[EP_NAME_LEN + 40];
    dataset_name(name, c->name);
    hid_t d;
    if (c->is_text) {
        const char **texts = ep_xcalloc((size_t)rows + 1, sizeof *texts);
        for (size_t i = 0; i < rows; i++)
            texts[i] = c->text[i] ? c->text[i] : "";
        d = ep_h5w_texts_data(h, g, name, texts, (size_t)rows);
        free(texts);
    } else {
        d = ep_h5w_array(h, g, name, EP_F64, 1, &rows, (struct ep_h5w_values){.f64 = c->num}, true);
    }
    ep_h5w_label(label, sizeof label, c->name, c->unit);
    ep_h5w_text(h, d, "units", c->unit);
    ep_h5w_text(h, d, "long_name", label);
    ep_h5w_done(h, &d);
    if (!c->is_text && c->sigma)
        write_errors(h, g, name, c, rows);
}

/* Whether a column can be the axis of a plot. */
static bool all_finite(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return n > 0;
}

/* The first numeric column is the axis, the second the signal, the others more signals. One alone is the signal. */
static void write_plot(struct ep_h5w *h, hid_t g, const struct ep_signal *t)
{
    size_t n = 0;
    char (*names)[EP_NAME_LEN] = ep_xcalloc(t->ncol + 1, sizeof *names);
    const char **list = ep_xcalloc(t->ncol + 1, sizeof *list);
    const struct ep_column *first = NULL;
    for (size_t i = 0; i < t->ncol; i++)
        if (!t->col[i].is_text) {
            first = first ? first : &t->col[i];
            dataset_name(names[n], t->col[i].name);
            list[n] = names[n];
            n++;
        }
    size_t signal = n > 1 ? 1 : 0;
    if (n > 0)
        ep_h5w_text(h, g, "signal", list[signal]);
    if (n > 2)
        ep_h5w_texts(h, g, "auxiliary_signals", list + 2, n - 2);
    if (n > 1 && all_finite(first->num, t->n)) {
        char indices[EP_NAME_LEN + 10];
        snprintf(indices, sizeof indices, "%s_indices", list[0]);
        ep_h5w_texts(h, g, "axes", list, 1);
        ep_h5w_i32(h, g, indices, 0);
    }
    free(list);
    free(names);
}

void ep_h5w_table(struct ep_h5w *h, hid_t g, const struct ep_signal *t)
{
    const char **columns = ep_xcalloc(t->ncol + 1, sizeof *columns);
    bool title = true;
    for (size_t i = 0; i < t->ncol; i++) {
        columns[i] = t->col[i].name;
        title = title && strcmp(t->col[i].name, "title") != 0;
    }
    ep_h5w_texts(h, g, "columns", columns, t->ncol);
    free(columns);
    for (size_t i = 0; i < t->ncol && h->status == EP_OK; i++)
        write_column(h, g, &t->col[i], t->n);
    write_plot(h, g, t);
    if (title)
        ep_h5w_text_data(h, g, "title", t->d.meta.title[0] ? t->d.meta.title : t->d.name);
}
