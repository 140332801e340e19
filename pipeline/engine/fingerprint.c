/* Fingerprints of raw files, remembered; fingerprints of nodes. */
#include "pipeline/engine/fingerprint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "pipeline/base/json.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/result.h"

#define FORMAT_NUMBER 1 /* raised when the meaning of fingerprints or of result files changes */
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

ep_status ep_raw_fingerprint(struct ep_file *f, size_t index, const char *folder, unsigned threads, struct ep_hash *out,
                             struct ep_err *e)
{
    const char *path = ep_file_path(f);
    struct stat st;
    if (stat(path, &st)) return ep_fail(e, EP_E_INPUT, "%s: %s", path, strerror(errno));
    struct ep_str file = {0};
    if (folder) {
        char key[4200];
        snprintf(key, sizeof key, "%s#%zu", path, index);
        ep_str_addf(&file, "%s/%s", folder, ep_hash_text(key).hex);
        if (recall(file.s, &st, index, path, out)) {
            ep_str_free(&file);
            return EP_OK;
        }
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    ep_status s = ep_file_fingerprint(f, index, threads, out, e);
    if (!s && folder && now.tv_sec - st.st_mtim.tv_sec >= CLOCK_GRAIN_S) {
        /* a memory that can't be written costs a re-hash next time, nothing else */
        struct ep_err ignored = {0};
        char *text = memory_text(&st, index, out->hex, path);
        if (!ep_make_folders(folder, &ignored)) ep_write_text(file.s, text, strlen(text), &ignored);
        free(text);
    }
    ep_str_free(&file);
    return s;
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

void ep_node_fingerprint(struct ep_graph *g, struct ep_node *n)
{
    struct ep_str text = {0};
    inputs_json(n, &n->inputs);
    if (g->no_hash) return;
    ep_str_addf(&text, "eelpipe %d ", FORMAT_NUMBER);
    node_json(n, &n->inputs, NULL, &text);
    if (n->look) ep_str_add(&text, n->look->fingerprint.hex);
    n->fingerprint = ep_hash_text(text.s);
    ep_str_free(&text);
    ep_str_add(&n->chain, "[");
    add_chain(n, &n->chain);
    ep_str_add(&n->chain, "]");
}
