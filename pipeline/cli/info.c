/* Verb info: what is in a file. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/cli/cli.h"
#include "pipeline/io/probe.h"

static const struct cli_option info_options[] = {{"--json", NULL, "JSON"}, {"--help", NULL, "this text"}, {NULL, NULL, NULL}};

static void print_axis(const struct ep_axis *a, const char *role)
{
    double last = a->offset + (double)(a->size - 1) * a->scale;
    printf("    %-12s %-7zu %.8g to %.8g %s, %.8g per %s\n", a->name[0] ? a->name : "axis", a->size, a->offset, last,
           a->unit[0] ? a->unit : "(no unit)", a->scale, role);
}

static void print_known(const char *name, double v, const char *unit)
{
    if (isfinite(v)) printf("    %s: %.6g %s\n", name, v, unit);
}

static void print_signal(const struct ep_file *f, size_t i)
{
    const struct ep_desc *d = ep_file_desc(f, i);
    struct ep_storage st;
    ep_file_storage(f, i, &st);
    printf("  %s: %s%s%s%s%s\n", d->name, ep_kind_name(d->kind), d->meta.signal_type[0] ? ", " : "", d->meta.signal_type,
           d->unit[0] ? ", in " : "", d->unit);
    for (size_t k = 0; k < d->nnav; k++) print_axis(&d->nav[k], "pixel");
    if (d->spectral) print_axis(&d->energy, "channel");
    printf("    stored as %s\n", st.text);
    if (d->long_name[0]) printf("    %s\n", d->long_name);
    print_known("beam energy", d->meta.beam_energy_kev, "keV");
    print_known("convergence semi-angle", d->meta.convergence_mrad, "mrad");
    print_known("collection semi-angle", d->meta.collection_mrad, "mrad");
    print_known("dwell time", d->meta.dwell_time_s, "s");
    if (d->has_sigma) printf("    with sigma\n");
    if (d->modelled)
        printf("    carries %s\n", d->deconvolved ? "what its channels share of the noise after deconvolution" : "its background model and covariance");
    if (d->low.end) printf("    the first %zu channels, from the low loss, have %g counts per electron\n", d->low.end, d->low.gain);
    if (d->shift_max > 0) printf("    each pixel carries a shift of its energy axis\n");
}

static void axis_json(struct ep_str *out, const struct ep_axis *a)
{
    ep_json_sep(out);
    ep_str_add(out, "{");
    ep_json_key(out, "name");
    ep_json_str(out, a->name);
    ep_json_key(out, "unit");
    ep_json_str(out, a->unit);
    ep_json_key(out, "offset");
    ep_json_num(out, a->offset);
    ep_json_key(out, "scale");
    ep_json_num(out, a->scale);
    ep_json_key(out, "size");
    ep_json_num(out, (double)a->size);
    ep_str_add(out, "}");
}

static void print_json(const struct ep_file *f)
{
    struct ep_str out = {0};
    const struct ep_origin *o = ep_file_origin(f);
    ep_str_add(&out, "{");
    ep_json_key(&out, "file");
    ep_json_str(&out, ep_file_path(f));
    ep_json_key(&out, "signals");
    ep_str_add(&out, "[");
    for (size_t i = 0; i < ep_file_count(f); i++) {
        const struct ep_desc *d = ep_file_desc(f, i);
        ep_json_sep(&out);
        ep_str_add(&out, "{");
        ep_json_key(&out, "name");
        ep_json_str(&out, d->name);
        ep_json_key(&out, "kind");
        ep_json_str(&out, ep_kind_name(d->kind));
        ep_json_key(&out, "signal_type");
        ep_json_str(&out, d->meta.signal_type);
        ep_json_key(&out, "unit");
        ep_json_str(&out, d->unit);
        ep_json_key(&out, "dtype");
        ep_json_str(&out, ep_dtype_name(d->dtype));
        ep_json_key(&out, "axes");
        ep_str_add(&out, "[");
        for (size_t k = 0; k < d->nnav; k++) axis_json(&out, &d->nav[k]);
        if (d->spectral) axis_json(&out, &d->energy);
        ep_str_add(&out, "]}");
    }
    ep_str_add(&out, "]");
    if (o->fingerprint[0]) {
        ep_json_key(&out, "made_by");
        ep_str_add(&out, "{");
        ep_json_key(&out, "version");
        ep_json_str(&out, o->version);
        ep_json_key(&out, "step");
        ep_json_str(&out, o->step);
        ep_json_key(&out, "stage");
        ep_json_str(&out, o->stage);
        ep_json_key(&out, "fingerprint");
        ep_json_str(&out, o->fingerprint);
        ep_json_key(&out, "parameters");
        ep_str_add(&out, o->parameters[0] ? o->parameters : "null");
        ep_json_key(&out, "inputs");
        ep_str_add(&out, o->inputs[0] ? o->inputs : "null");
        ep_json_key(&out, "chain");
        ep_str_add(&out, o->chain[0] ? o->chain : "null");
        ep_str_add(&out, "}");
    }
    ep_str_add(&out, "}");
    printf("%s\n", out.s);
    ep_str_free(&out);
}

static int info_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = 0;
    if (!cli_parse(c, &cli_info, n, words, &a, &args)) code = EXIT_USAGE;
    else if (!args.help && args.n == 0) code = cli_usage(&cli_info, "name a file");
    for (size_t k = 0; !code && k < args.n; k++) {
        struct ep_err e = {0};
        struct ep_file *f;
        if (ep_file_probe(args.operand[k], &e) || ep_file_open(args.operand[k], &f, &e)) {
            ep_log_error(&c->log, "%s", e.msg);
            code = EXIT_NOTHING;
            break;
        }
        if (args.json) {
            print_json(f);
        } else {
            const struct ep_origin *o = ep_file_origin(f);
            printf("%s\n", ep_file_path(f));
            for (size_t i = 0; i < ep_file_count(f); i++) print_signal(f, i);
            if (o->fingerprint[0]) {
                printf("  made by eelpipe %s, step %s (stage %s), fingerprint %s\n", o->version, o->step, o->stage, o->fingerprint);
                printf("  parameters %s\n", o->parameters);
            }
        }
        ep_file_close(f);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_info = {"info", "FILE...", "What is in a file: signals, axes, units, how it was made.", info_options, info_verb};
