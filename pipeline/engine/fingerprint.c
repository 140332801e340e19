/* Fingerprints of raw files, remembered; fingerprints of nodes. */
#include "pipeline/engine/fingerprint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "pipeline/base/json.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/result.h"

#define FORMAT_NUMBER 3 /* raised when the meaning of fingerprints or of result files changes */
#define CLOCK_GRAIN_S 2 /* a file changed this recently may change again within one time stamp */

/* One line: "size mtime_s mtime_ns index fingerprint path". */
static char *memory_text(const struct stat *st, size_t index, const char *hex, const char *path)
{
    struct ep_str s = {0};
    ep_str_addf(&s, "%lld %lld %ld %zu %s %s\n", (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, index, hex, path);
    return s.s;
}

static bool recall(const char *file, const struct stat *st, size_t index, const char *path, struct ep_hash *out)
{
    FILE *f = fopen(file, "r");
    if (!f) return false;
    char line[8192];
    bool ok = false;
    if (fgets(line, sizeof line, f) && strlen(line) > 40) {
        char hex[33];
        long long size, s;
        long ns;
        size_t i;
        if (sscanf(line, "%lld %lld %ld %zu %32s", &size, &s, &ns, &i, hex) == 5 && strlen(hex) == 32) {
            char *want = memory_text(st, index, hex, path);
            ok = !strcmp(want, line);
            free(want);
            if (ok) memcpy(out->hex, hex, sizeof hex);
        }
    }
    fclose(f);
    return ok;
}

static void memory_name(const char *path, size_t index, const char *folder, struct ep_str *out)
{
    char key[4200];
    snprintf(key, sizeof key, "%s#%zu", path, index);
    ep_str_addf(out, "%s/%s", folder, ep_hash_text(key).hex);
}

bool ep_raw_recall(const char *path, size_t index, const char *folder, struct ep_hash *out)
{
    struct stat st;
    struct ep_str name = {0};
    if (!folder || stat(path, &st)) return false;
    memory_name(path, index, folder, &name);
    bool ok = recall(name.s, &st, index, path, out);
    ep_str_free(&name);
    return ok;
}

void ep_raw_remember(const struct ep_file *f, size_t index, const char *folder, const struct ep_hash *h, struct timespec hashing)
{
    const char *path = ep_file_path(f);
    struct stat st;
    if (!folder || stat(path, &st) || hashing.tv_sec - st.st_mtim.tv_sec < CLOCK_GRAIN_S) return;
    struct ep_err ignored = {0};
    struct ep_str name = {0};
    char *text = memory_text(&st, index, h->hex, path);
    memory_name(path, index, folder, &name);
    if (!ep_make_folders(folder, &ignored)) ep_write_text(name.s, text, strlen(text), &ignored);
    free(text);
    ep_str_free(&name);
}

struct ep_hash ep_raw_by_time(const char *path)
{
    struct stat st = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    bool there = stat(path, &st) == 0, young = !there || now.tv_sec - st.st_mtim.tv_sec < CLOCK_GRAIN_S;
    char *text = memory_text(&st, 0, "", path);
    struct ep_str s = {0};
    ep_str_addf(&s, "by time: %s%lld.%09ld", text, young ? (long long)now.tv_sec : 0, young ? now.tv_nsec : 0);
    struct ep_hash h = ep_hash_text(s.s);
    ep_str_free(&s);
    free(text);
    return h;
}

void ep_raw_set_content(struct ep_raw *w, const struct ep_hash *content)
{
    /* options that change numbers are part of what a node depends on; where the file lies is not */
    struct ep_input_par p = w->par;
    struct ep_str key = {0};
    p.path = p.signal = p.pair = NULL;
    w->content = *content;
    ep_params_json(&key, ep_input_params, &p);
    ep_str_add(&key, content->hex);
    w->fingerprint = ep_hash_text(key.s);
    ep_str_free(&key);
}

ep_status ep_raw_hash(struct ep_graph *g, struct ep_raw *w, struct ep_err *e)
{
    struct timespec now;
    struct ep_hash h = {0};
    bool was_open = w->file != NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    ep_status st = ep_raw_open(w, e);
    if (!st) st = ep_file_fingerprint(w->file, w->index, g->threads, &h, e);
    if (!st) {
        ep_raw_remember(w->file, w->index, ep_graph_memory(g), &h, now);
        ep_raw_set_content(w, &h);
    }
    if (!was_open) ep_raw_close(w);
    return st;
}

static const char *source_fingerprint(const struct ep_source_ref *src, struct ep_hash *buf)
{
    if (src->raw) return src->raw->fingerprint.hex;
    if (!src->node) return "missing";
    char text[128];
    snprintf(text, sizeof text, "%s.%s", src->node->fingerprint.hex, src->node->decl.out[src->out].name);
    *buf = ep_hash_text(text);
    return buf->hex;
}

static void inputs_json(const struct ep_node *n, struct ep_str *out)
{
    ep_str_add(out, "[");
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            const struct ep_source_ref *src = &n->item[p][i];
            const struct ep_item *item = &n->item_store[p][i];
            struct ep_hash h;
            ep_json_sep(out);
            ep_str_add(out, "{");
            ep_json_key(out, "port");
            ep_json_str(out, n->stage->ports[p].name);
            for (size_t c = 0; c < item->ncoord; c++) {
                ep_json_key(out, item->coord[c].name);
                ep_json_str(out, item->coord[c].text);
            }
            if (src->node) {
                ep_json_key(out, "stage");
                ep_json_str(out, src->node->stage->name);
                ep_json_key(out, "output");
                ep_json_str(out, src->node->decl.out[src->out].name);
            }
            ep_json_key(out, "fingerprint");
            ep_json_str(out, source_fingerprint(src, &h));
            ep_str_add(out, "}");
        }
    ep_str_add(out, "]");
}

static void node_json(const struct ep_node *n, const struct ep_str *inputs, const char *own, struct ep_str *out)
{
    ep_str_add(out, "{");
    ep_json_key(out, "stage");
    ep_json_str(out, n->stage->name);
    ep_json_key(out, "version");
    ep_json_num(out, n->stage->version);
    ep_json_key(out, "parameters");
    ep_params_json(out, n->stage->params, n->par);
    if (n->decl.repeat) {
        ep_json_key(out, "repeat");
        ep_json_str(out, n->decl.repeat);
    }
    if (n->is_reference) {
        ep_json_key(out, "reference");
        ep_str_add(out, "true");
    }
    ep_json_key(out, "outputs"); /* they can depend on the recipe's elements */
    ep_str_add(out, "[");
    for (size_t o = 0; o < n->decl.nout; o++) {
        ep_json_sep(out);
        ep_json_str(out, n->decl.out[o].name);
    }
    ep_str_add(out, "]");
    ep_json_key(out, "inputs");
    ep_str_add(out, inputs->s);
    if (own) {
        ep_json_key(out, "fingerprint");
        ep_json_str(out, own);
    }
    ep_str_add(out, "}");
}

static bool in_chain(const struct ep_str *chain, const struct ep_node *n)
{
    char text[64];
    snprintf(text, sizeof text, "\"fingerprint\":\"%s\"}", n->fingerprint.hex);
    return chain->s && strstr(chain->s, text);
}

/* The nodes before n and n itself, each once, first things first. */
static void add_chain(const struct ep_node *n, struct ep_str *out)
{
    if (in_chain(out, n)) return;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++)
            if (n->item[p][i].node) add_chain(n->item[p][i].node, out);
    if (n->look) add_chain(n->look, out);
    ep_json_sep(out);
    node_json(n, &n->inputs, n->fingerprint.hex, out);
}

static bool inputs_known(const struct ep_node *n)
{
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            const struct ep_source_ref *src = &n->item[p][i];
            if (src->raw && !src->raw->fingerprint.hex[0]) return false;
            if (src->node && !src->node->fingerprint.hex[0]) return false;
        }
    return !n->look || n->look->fingerprint.hex[0];
}

static void node_fingerprint(struct ep_node *n)
{
    struct ep_str text = {0};
    inputs_json(n, &n->inputs);
    ep_str_addf(&text, "eelpipe %d ", FORMAT_NUMBER);
    node_json(n, &n->inputs, NULL, &text);
    if (n->look) ep_str_add(&text, n->look->fingerprint.hex);
    n->fingerprint = ep_hash_text(text.s);
    ep_str_free(&text);
    ep_str_add(&n->chain, "[");
    add_chain(n, &n->chain);
    ep_str_add(&n->chain, "]");
}

void ep_graph_fingerprints(struct ep_graph *g)
{
    for (size_t i = 0; i < g->nnodes; i++) {
        struct ep_node *n = g->node[i];
        if (n->state != EP_NODE_BLOCKED && !n->fingerprint.hex[0] && inputs_known(n)) node_fingerprint(n);
    }
}

/* ---- Hashing later ----------------------------------------------------------------------------------------- */

static bool uses(const struct ep_node *n, const struct ep_raw *w, bool *whole)
{
    bool any = false;
    for (size_t p = 0; p < n->stage->nports && n->item; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            if (n->item[p][i].raw == w) {
                any = true;
                *whole |= !n->stage->ports[p].stream;
            }
            if (n->item[p][i].node) any |= uses(n->item[p][i].node, w, whole);
        }
    return any;
}

/* A raw file that is read for the first time can be hashed by the pass that reads it, if nothing has to be compared
 * before: no result depends on it yet, and none is written while the pass runs. */
static bool can_wait(const struct ep_graph *g, const struct ep_raw *w)
{
    bool whole = false, used = false;
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (n->state == EP_NODE_BLOCKED || !uses(n, w, &whole)) continue;
        used = true;
        if (!n->wanted && !n->is_look) return false;
        for (size_t o = 0; o < n->decl.nout; o++)
            if (n->keep[o]) return false;
        if (!g->result && !access(n->path, F_OK)) return false;
    }
    return used && !whole && (w->d.kind == EP_IMAGE || w->d.kind == EP_SPECTRUM);
}

void ep_graph_hash(struct ep_graph *g, bool may_wait)
{
    for (size_t i = 0; i < g->nraws; i++) {
        struct ep_raw *w = g->raw[i];
        if (w->err.code || w->content.hex[0] || (may_wait && can_wait(g, w))) continue;
        if (!ep_raw_hash(g, w, &w->err)) continue;
        for (size_t k = 0; k < g->nnodes; k++) { /* it opened but can't be read to its end */
            struct ep_node *n = g->node[k];
            bool whole;
            if (n->state == EP_NODE_BLOCKED || !uses(n, w, &whole)) continue;
            n->state = EP_NODE_BLOCKED;
            n->err = w->err;
            snprintf(n->reason, sizeof n->reason, "an input can't be read: %.200s", w->err.msg);
        }
    }
    ep_graph_fingerprints(g);
}
