/* The tables of a series at the end of a run: few columns, each number with its sigma. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/cli/cli.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/file.h"

#define WIDTH 100

/* As many digits as the sigma has two of: "0.1558 +- 0.0004". */
static void number(char out[48], double v, double sigma)
{
    if (!isfinite(v)) snprintf(out, 48, "-");
    else if (!(sigma > 0) || !isfinite(sigma)) snprintf(out, 48, "%.6g", v);
    else {
        double digits = floor(log10(sigma));
        int places = digits < 1 ? (int)fmin(1 - digits, 12) : 0;
        if (fabs(v) >= 1e9 || places > 9) snprintf(out, 48, "%.6g +- %.2g", v, sigma);
        else snprintf(out, 48, "%.*f +- %.*f", places, v, places, sigma);
    }
}

static void cell(char out[48], const struct ep_column *c, size_t row)
{
    if (c->is_text) snprintf(out, 48, "%.40s", c->text[row] ? c->text[row] : "");
    else number(out, c->num[row], c->sigma ? c->sigma[row] : NAN);
}

static void heading(char out[96], const struct ep_column *c)
{
    snprintf(out, 96, "%.62s%s%.24s%s", c->name, c->unit[0] ? " (" : "", c->unit, c->unit[0] ? ")" : "");
}

static size_t width_of(const struct ep_signal *t, const struct ep_column *c)
{
    char text[96];
    heading(text, c);
    size_t w = strlen(text);
    for (size_t i = 0; i < t->n; i++) {
        cell(text, c, i);
        if (strlen(text) > w) w = strlen(text);
    }
    return w;
}

/* The parameter `show` of the step, if its stage has one. */
static const struct ep_texts *shown(const struct ep_node *n)
{
    for (const struct ep_param *p = n->stage->params; p->name; p++)
        if (!strcmp(p->name, "show") && p->type == EP_P_TEXTS) return (const struct ep_texts *)(const void *)((const char *)n->par + p->offset);
    return NULL;
}

static const struct ep_column *named(const struct ep_signal *t, const char *name)
{
    for (size_t k = 0; k < t->ncol; k++)
        if (!strcmp(t->col[k].name, name)) return &t->col[k];
    return NULL;
}

/* Coordinates (before the first result), then what is shown: what `show` names, else what has a sigma, as far as a line goes. */
static size_t choose(const struct ep_signal *t, const struct ep_texts *show, size_t coords, const struct ep_column **col, size_t *left)
{
    size_t n = 0, used = 0;
    for (size_t k = 0; k < coords && k < t->ncol; k++) {
        col[n++] = &t->col[k];
        used += width_of(t, &t->col[k]) + 2;
    }
    for (size_t k = 0; show->n && k < show->n; k++) {
        const struct ep_column *c = named(t, show->v[k]);
        if (c) col[n++] = c;
        else printf("  (there is no column %s)\n", show->v[k]);
    }
    for (size_t k = coords; !show->n && k < t->ncol; k++) {
        if (!t->col[k].sigma) continue;
        size_t w = width_of(t, &t->col[k]) + 2;
        if (used + w > WIDTH) {
            ++*left;
            continue;
        }
        used += w;
        col[n++] = &t->col[k];
    }
    return n;
}

static void print_table(const struct ep_node *n, const struct ep_signal *t, size_t coords)
{
    const struct ep_column **col = calloc(t->ncol + shown(n)->n + 1, sizeof *col);
    if (!col) return;
    size_t left = 0;
    char text[96];
    printf("\n%s%s%s%s\n", n->name, n->where[0] ? " [" : "", n->where, n->where[0] ? "]" : "");
    size_t k = choose(t, shown(n), coords, col, &left);
    for (size_t i = 0; i <= t->n; i++) {
        for (size_t c = 0; c < k; c++) {
            if (i == 0) heading(text, col[c]);
            else cell(text, col[c], i - 1);
            printf("  %*s", (int)width_of(t, col[c]), text);
        }
        printf("\n");
    }
    if (left) printf("  and %zu more columns with a sigma: `show: [...]` of the step chooses\n", left);
    free(col);
}

static struct ep_signal *load(const struct ep_node *n, size_t o)
{
    struct ep_err e = {0};
    struct ep_file *f = NULL;
    struct ep_signal *t = NULL;
    size_t index;
    if (!ep_file_open(n->path, &f, &e) && !ep_file_find(f, n->decl.out[o].name, EP_TABLE, &index, &e))
        (void)ep_file_load(f, index, (size_t)1 << 28, &t, &e);
    ep_file_close(f);
    return t;
}

void cli_print_tables(const struct cli_session *s)
{
    for (size_t i = 0; i < s->graph.nnodes; i++) {
        const struct ep_node *n = s->graph.node[i];
        bool there = n->wanted && !n->failed && n->state != EP_NODE_BLOCKED && !n->is_look;
        for (size_t o = 0; there && shown(n) && o < n->decl.nout; o++) {
            const struct ep_items *in = &n->items[0];
            struct ep_signal *t = n->decl.out[o].kind == EP_TABLE ? load(n, o) : NULL;
            size_t coords = in->n ? in->v[0].ncoord : 0;
            if (t && n->decl.repeat && coords) coords--;
            if (t) print_table(n, t, coords);
            ep_signal_free(t);
        }
    }
}
