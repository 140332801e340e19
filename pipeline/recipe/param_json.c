/* The canonical form of parameters: what fingerprints and records hold. Table order, defaults filled in, numbers in
 * the table's units, nothing that depends on how the recipe was written.
 */
#include <math.h>

#include "pipeline/base/json.h"
#include "pipeline/param.h"

static void add_window(struct ep_str *out, const double w[2])
{
    ep_str_add(out, "[");
    ep_json_num(out, w[0]);
    ep_str_add(out, ",");
    ep_json_num(out, w[1]);
    ep_str_add(out, "]");
}

static void add_one(struct ep_str *out, const struct ep_param *q, const void *p)
{
    switch (q->type) {
    case EP_P_NUMBER: ep_json_num(out, *(const double *)p); return;   /* NaN is null */
    case EP_P_INT:
        if (*(const int64_t *)p == INT64_MIN) ep_str_add(out, "null");
        else ep_str_addf(out, "%lld", (long long)*(const int64_t *)p);
        return;
    case EP_P_BOOL: ep_str_add(out, *(const bool *)p ? "true" : "false"); return;
    case EP_P_WORD:
        if (*(const int *)p < 0) ep_str_add(out, "null");
        else ep_json_str(out, q->words[*(const int *)p]);
        return;
    case EP_P_TEXT:
        if (*(const char *const *)p) ep_json_str(out, *(const char *const *)p);
        else ep_str_add(out, "null");
        return;
    case EP_P_WINDOW: {
        const double *w = p;
        if (isnan(w[0])) ep_str_add(out, "null");
        else add_window(out, w);
        return;
    }
    case EP_P_RECORD:
        if (*(const void *const *)p) ep_params_json(out, q->record, *(const void *const *)p);
        else ep_str_add(out, "null");
        return;
    default: break;
    }
    /* Lists: an empty one and none are the same to a stage, so they are the same here. */
    const struct ep_records *list = p;
    size_t n = q->type == EP_P_WINDOWS   ? ((const struct ep_windows *)p)->n
               : q->type == EP_P_NUMBERS ? ((const struct ep_numbers *)p)->n
               : q->type == EP_P_TEXTS   ? ((const struct ep_texts *)p)->n
                                         : list->n;
    if (n == 0) {
        ep_str_add(out, "null");
        return;
    }
    ep_str_add(out, "[");
    for (size_t i = 0; i < n; i++) {
        ep_json_sep(out);
        if (q->type == EP_P_WINDOWS) add_window(out, ((const struct ep_windows *)p)->w[i]);
        else if (q->type == EP_P_NUMBERS) ep_json_num(out, ((const struct ep_numbers *)p)->v[i]);
        else if (q->type == EP_P_TEXTS) ep_json_str(out, ((const struct ep_texts *)p)->v[i]);
        else ep_params_json(out, q->record, (const char *)list->v + i * q->record_size);
    }
    ep_str_add(out, "]");
}

void ep_params_json(struct ep_str *out, const struct ep_param *table, const void *par)
{
    ep_str_add(out, "{");
    for (const struct ep_param *q = table; q->name; q++) {
        ep_json_key(out, q->name);
        add_one(out, q, (const char *)par + q->offset);
    }
    ep_str_add(out, "}");
}
