#include "pipeline/io/csv.h"

#include <math.h>
#include <string.h>

#include "pipeline/base/json.h"

static void field(struct ep_str *out, const char *text)
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

static void number(struct ep_str *out, double x)
{
    if (isfinite(x)) ep_json_num(out, x);
    else if (isinf(x)) ep_str_add(out, x > 0 ? "inf" : "-inf");
}

static void heading(struct ep_str *out, const struct ep_column *c, bool sigma)
{
    struct ep_str text = {0};
    ep_str_addf(&text, "%s%s", c->name, sigma ? " sigma" : "");
    if (c->unit[0]) ep_str_addf(&text, " (%s)", c->unit);
    field(out, text.s);
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
            if (c->is_text) field(out, c->text[i] ? c->text[i] : "");
            else number(out, c->num[i]);
            if (!c->sigma) continue;
            ep_str_add(out, ",");
            number(out, c->sigma[i]);
        }
        ep_str_add(out, "\n");
    }
}
