/* JSON on its way into a schema: pieces, and the whole in lines. */
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/recipe/schema_parts.h"

void ep_gen_key(struct ep_gen *g, const char *name)
{
    ep_json_key(g->out, name);
}

void ep_gen_text(struct ep_gen *g, const char *name, const char *text)
{
    ep_json_key(g->out, name);
    ep_json_str(g->out, text);
}

void ep_gen_count(struct ep_gen *g, const char *name, size_t n)
{
    ep_json_key(g->out, name);
    ep_json_num(g->out, (double)n);
}

void ep_gen_item(struct ep_gen *g, const char *text)
{
    ep_json_sep(g->out);
    ep_json_str(g->out, text);
}

void ep_gen_open(struct ep_gen *g, const char *name)
{
    if (name) ep_json_key(g->out, name);
    else ep_json_sep(g->out);
    ep_str_add(g->out, "{");
}

void ep_gen_list(struct ep_gen *g, const char *name)
{
    ep_json_key(g->out, name);
    ep_str_add(g->out, "[");
}

void ep_gen_close(struct ep_gen *g, const char *ends)
{
    ep_str_add(g->out, ends);
}

void ep_gen_fixed(struct ep_gen *g, const char *json)
{
    ep_json_sep(g->out);
    for (; *json; json++) ep_str_addn(g->out, *json == '\'' ? "\"" : json, 1);
}

void ep_gen_ref(struct ep_gen *g, const char *name, const char *definition)
{
    ep_gen_open(g, name);
    ep_gen_text(g, "$ref", ep_arena_printf(g->a, "#/definitions/%s", definition));
    ep_gen_close(g, "}");
}

void ep_gen_types(struct ep_gen *g, const char *words, bool nullable)
{
    const bool several = nullable || strchr(words, ' ');
    ep_gen_key(g, "type");
    if (several) ep_str_add(g->out, "[");
    for (const char *w = words; *w; w += strspn(w, " ")) {
        size_t n = strcspn(w, " ");
        ep_gen_item(g, ep_arena_strndup(g->a, w, n));
        w += n;
    }
    if (nullable) ep_gen_item(g, "null");
    if (several) ep_str_add(g->out, "]");
}

void ep_gen_items(struct ep_gen *g, size_t min, size_t max)
{
    if (min) ep_gen_count(g, "minItems", min);
    if (max) ep_gen_count(g, "maxItems", max);
}

/* ---- lines ---- */

static const char *text_end(const char *s)
{
    for (s++; *s && *s != '"'; s++)
        if (*s == '\\') s++;
    return s + 1;
}

static const char *value_end(const char *s)
{
    int depth = 0;
    do {
        if (*s == '"') {
            s = text_end(s);
            continue;
        }
        depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
        s++;
    } while (*s && (depth > 0 || !strchr(",:]}", *s)));
    return s;
}

/* In one line, a blank after each comma and colon. */
static void add_flat(struct ep_str *out, const char *s, const char *end)
{
    while (s < end) {
        const char *next = *s == '"' ? text_end(s) : s + 1;
        ep_str_addn(out, s, (size_t)(next - s));
        if (*s == ',' || *s == ':') ep_str_add(out, " ");
        s = next;
    }
}

static size_t column(const struct ep_str *out)
{
    size_t n = 0;
    while (n < out->n && out->s[out->n - 1 - n] != '\n') n++;
    return n;
}

static void add_value(struct ep_str *out, const char *s, const char *end, int indent, size_t width)
{
    struct ep_str flat = {0};
    ep_str_add(&flat, "");
    add_flat(&flat, s, end);
    const bool fits = (*s != '{' && *s != '[') || flat.n == 2 || column(out) + flat.n < width;   /* a comma may follow */
    if (fits) ep_str_addn(out, flat.s, flat.n);
    ep_str_free(&flat);
    if (fits) return;
    const char close[2] = {end[-1], 0};
    const bool map = *s == '{';
    ep_str_addn(out, s, 1);
    bool first = true;
    for (s++; s < end - 1; s++) {   /* s++: over the comma */
        const char *next = value_end(s);
        /* Words of a list fill the line. */
        const bool same_line = !map && !first && *s != '{' && *s != '[' && column(out) + (size_t)(next - s) + 1 < width;
        if (same_line) ep_str_add(out, " ");
        else ep_str_addf(out, "\n%*s", indent + 2, "");
        first = false;
        if (map) {
            const char *colon = text_end(s);
            ep_str_addn(out, s, (size_t)(colon - s));
            ep_str_add(out, ": ");
            s = colon + 1;
            next = value_end(s);
        }
        add_value(out, s, next, indent + 2, width);
        s = next;
        if (s < end - 1) ep_str_add(out, ",");
    }
    ep_str_addf(out, "\n%*s%s", indent, "", close);
}

void ep_json_pretty(struct ep_str *out, const char *json, size_t width)
{
    add_value(out, json, json + strlen(json), 0, width);
    ep_str_add(out, "\n");
}
