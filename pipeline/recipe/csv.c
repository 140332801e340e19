/* runs.csv: RFC 4180 (quotes, doubled quotes, line breaks within quotes), with or without a byte order mark, lines
 * ending in LF or CRLF. The first row names the columns.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/recipe/parts.h"

enum { MOST_CELLS = 1000000 };

struct scan {
    struct ep_arena *a;
    struct ep_diag *d;
    const char *file, *at;
    const char *line_start;
    int line;
    struct ep_csv_cell *cell; size_t n, cap;   /* of the row that is being read */
};

static struct ep_pos here(const struct scan *s, const char *at)
{
    return (struct ep_pos){s->file, s->line, (int)(at - s->line_start) + 1};
}

/* A quoted cell; s->at is behind its opening quote. False when it is not closed. */
static bool quoted(struct scan *s, struct ep_str *b)
{
    for (const char *c = s->at; *c; c++) {
        if (*c == '"' && c[1] == '"') {
            c++;
        } else if (*c == '"') {
            s->at = c + 1;
            return true;
        } else if (*c == '\n') {
            s->line++;
            s->line_start = c + 1;
        }
        ep_str_addn(b, c, 1);
    }
    return false;
}

static bool read_cell(struct scan *s)
{
    while (*s->at == ' ' || *s->at == '\t') s->at++;
    const struct ep_pos pos = here(s, s->at);
    struct ep_str b = {0};
    ep_str_add(&b, "");
    bool good = true;
    if (*s->at == '"') {
        s->at++;
        if (!quoted(s, &b)) {
            ep_diag_error(s->d, pos, "a quote is opened and not closed");
            good = false;
        } else {
            while (*s->at == ' ' || *s->at == '\t') s->at++;
            if (*s->at && !strchr(",\r\n", *s->at)) {
                ep_diag_error(s->d, here(s, s->at),
                              "after a closing quote there must be a comma or the end of the line (a quote "
                              "within quotes is doubled)");
                good = false;
            }
        }
    } else {
        size_t n = strcspn(s->at, ",\r\n"), keep = n;
        while (keep && (s->at[keep - 1] == ' ' || s->at[keep - 1] == '\t')) keep--;
        ep_str_addn(&b, s->at, keep);
        s->at += n;
    }
    EP_PUSH(s->cell, s->n, s->cap);
    s->cell[s->n - 1] = (struct ep_csv_cell){ep_arena_strdup(s->a, b.s), pos.line, pos.col};
    ep_str_free(&b);
    return good;
}

/* One row into s->cell. False after a mistake that leaves the rest unreadable. */
static bool read_row(struct scan *s)
{
    s->n = 0;
    for (;;) {
        if (!read_cell(s)) return false;
        if (*s->at != ',') break;
        s->at++;
    }
    if (*s->at == '\r') s->at++;
    if (*s->at == '\n') s->at++;
    s->line++;
    s->line_start = s->at;
    return true;
}

static bool empty_row(const struct scan *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (*s->cell[i].text) return false;
    return true;
}

static struct ep_csv_cell *keep_row(const struct scan *s)
{
    struct ep_csv_cell *row = EP_ARENA_ARRAY(s->a, struct ep_csv_cell, s->n);
    memcpy(row, s->cell, s->n * sizeof *row);
    return row;
}

static bool check_head(struct scan *s, const struct ep_csv *csv)
{
    bool good = true;
    if (csv->ncols == 1 && strpbrk(csv->head[0].text, ";\t")) {
        ep_diag_error(s->d, (struct ep_pos){s->file, csv->head[0].line, csv->head[0].col},
                      "columns must be separated by commas: save the table as CSV with commas");
        return false;
    }
    for (size_t i = 0; i < csv->ncols; i++) {
        const struct ep_pos pos = {s->file, csv->head[i].line, csv->head[i].col};
        if (!*csv->head[i].text) {
            ep_diag_error(s->d, pos, "column %zu has no name", i + 1);
            good = false;
        }
        for (size_t k = 0; k < i; k++)
            if (*csv->head[i].text && !strcmp(csv->head[i].text, csv->head[k].text)) {
                ep_diag_error(s->d, pos, "column '%s' stands there twice", csv->head[i].text);
                good = false;
                break;
            }
    }
    return good;
}

bool ep_csv_read(struct ep_arena *a, const char *file, struct ep_pos pos, struct ep_csv *out, struct ep_diag *d)
{
    char *text;
    size_t n;
    *out = (struct ep_csv){.file = ep_arena_strdup(a, file)};
    if (!ep_read_file(a, file, pos, "runs:", &text, &n, d)) return false;
    if (memchr(text, '\0', n)) {
        ep_diag_error(d, (struct ep_pos){out->file, 1, 1}, "this is not text in UTF-8: save the table as CSV (UTF-8)");
        return false;
    }
    if (!strncmp(text, "\xEF\xBB\xBF", 3)) text += 3;
    struct scan s = {.a = a, .d = d, .file = out->file, .at = text, .line_start = text, .line = 1};
    struct ep_csv_cell **rows = NULL;
    size_t nrows = 0, cap = 0, cells = 0;
    bool good = true;
    while (*s.at) {
        if (!read_row(&s)) {
            good = false;
            break;
        }
        if (empty_row(&s)) continue;
        cells += s.n;
        if (cells > MOST_CELLS) {
            ep_diag_error(d, here(&s, s.at), "the table has more than %d cells", MOST_CELLS);
            good = false;
            break;
        }
        if (!out->head) {
            out->head = keep_row(&s);
            out->ncols = s.n;
            good = check_head(&s, out);
            if (!good) break;
        } else if (s.n != out->ncols) {
            ep_diag_error(d, (struct ep_pos){out->file, s.cell[0].line, s.cell[0].col},
                          "this row has %zu cells, the first has %zu", s.n, out->ncols);
            good = false;
        } else {
            EP_PUSH(rows, nrows, cap);
            rows[nrows - 1] = keep_row(&s);
        }
    }
    if (good && !out->head) {
        ep_diag_error(d, (struct ep_pos){out->file, 1, 1}, "the table is empty: its first row names the columns");
        good = false;
    }
    out->nrows = nrows;
    out->row = EP_ARENA_ARRAY(a, struct ep_csv_cell *, nrows);
    if (nrows) memcpy(out->row, rows, nrows * sizeof *rows);
    free(rows);
    free(s.cell);
    return good;
}

bool ep_csv_columns(const struct ep_recipe *r, struct ep_arena *a, const struct ep_csv *csv,
                    struct ep_csv_column **out, struct ep_diag *d)
{
    bool good = true;
    const char **known = EP_ARENA_ARRAY(a, const char *, r->ninputs + r->ncoords + 3);
    size_t n = 0;
    for (size_t i = 0; i < r->ninputs; i++) known[n++] = r->inputs[i].name;
    for (size_t i = 0; i < r->ncoords; i++) known[n++] = r->coords[i].name;
    known[n++] = "skip";
    known[n++] = "note";
    *out = EP_ARENA_ARRAY(a, struct ep_csv_column, csv->ncols);
    for (size_t i = 0; i < csv->ncols; i++) {
        const char *name = csv->head[i].text;
        const struct ep_pos pos = {csv->file, csv->head[i].line, csv->head[i].col};
        if (strchr(name, '.')) {
            (*out)[i].role = EP_COL_SET;   /* looked at when there are steps */
            continue;
        }
        size_t k = 0, same = 0;
        for (size_t j = 0; j < n; j++)
            if (!strcmp(known[j], name)) {
                if (!same) k = j;
                same++;
            }
        if (same > 1) {
            ep_diag_error(d, pos,
                          "column '%s': the name is taken twice (input, coordinate, skip or note): rename the "
                          "coordinate or the input",
                          name);
            good = false;
        } else if (!same) {
            ep_diag_error(d, pos,
                          "column '%s' is none of the recipe's inputs or coordinates (name it in `coordinates` "
                          "or `output`)%s",
                          name, ep_hint(a, name, known, "Known"));
            good = false;
        } else if (k < r->ninputs) {
            (*out)[i] = (struct ep_csv_column){EP_COL_INPUT, k};
        } else if (k < r->ninputs + r->ncoords) {
            (*out)[i] = (struct ep_csv_column){EP_COL_COORD, k - r->ninputs};
        } else {
            (*out)[i].role = k == r->ninputs + r->ncoords ? EP_COL_SKIP : EP_COL_NOTE;
        }
    }
    return good;
}
