/* The recipe language against a small registry of its own: right recipes, and every way to write a wrong one with
 * the message and the place it must have.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pipeline/recipe/recipe.h"
#include "stages/registry.h"

/* ---- a registry of four ---- */

struct shift_par { double sigma; int mode; };
struct column_par { const char *element; double range[2]; };
struct fit_par {
    double window[2], bin;
    int method;
    int64_t order;
    bool robust;
    const char *title;
    struct ep_windows regions;
    struct ep_numbers points;
    struct ep_texts artefacts;
    const void *shift;
    struct ep_records columns;
};
static const char *const METHODS[] = {"ml", "ols", "wls", NULL};
static const char *const MODES[] = {"rigid", "free", NULL};
static const struct ep_param SHIFT[] = {
    {"sigma", EP_P_NUMBER, offsetof(struct shift_par, sigma), .unit = "eV", .required = true, .min = 0, .max = 10, .doc = "Width."},
    {"mode", EP_P_WORD, offsetof(struct shift_par, mode), .words = MODES, .def = "rigid", .doc = "How."},
    EP_PARAM_END};
static const struct ep_param COLUMNS[] = {
    {"element", EP_P_TEXT, offsetof(struct column_par, element), .required = true, .doc = "Symbol."},
    {"range", EP_P_WINDOW, offsetof(struct column_par, range), .unit = "eV", .doc = "Where."},
    EP_PARAM_END};
#define FIT(member) offsetof(struct fit_par, member)
static const struct ep_param FIT_PARAMS[] = {
    {"window", EP_P_WINDOW, FIT(window), .unit = "eV", .required = true, .doc = "Where the fit looks."},
    {"method", EP_P_WORD, FIT(method), .words = METHODS, .def = "ml", .doc = "How to fit."},
    {"bin", EP_P_NUMBER, FIT(bin), .unit = "nm", .def = "0.5", .min = 0.05, .max = 100, .doc = "Bin."},
    {"order", EP_P_INT, FIT(order), .def = "3", .min = 1, .max = 10, .doc = "Order."},
    {"robust", EP_P_BOOL, FIT(robust), .def = "false", .doc = "Robust."},
    {"title", EP_P_TEXT, FIT(title), .doc = "Title."},
    {"regions", EP_P_WINDOWS, FIT(regions), .unit = "eV", .min_items = 1, .max_items = 3, .doc = "Regions."},
    {"points", EP_P_NUMBERS, FIT(points), .unit = "nm", .min_items = 2, .doc = "Points."},
    {"artefacts", EP_P_TEXTS, FIT(artefacts), .def = "[Cu, Ga]", .doc = "Artefacts."},
    {"shift", EP_P_RECORD, FIT(shift), .record = SHIFT, .record_size = sizeof(struct shift_par), .doc = "Shift."},
    {"columns", EP_P_RECORDS, FIT(columns), .record = COLUMNS, .record_size = sizeof(struct column_par), .doc = "Columns."},
    EP_PARAM_END};
static const struct ep_port FIT_PORTS[] = {{.name = "input", .kinds = EP_IMAGE, .stream = true, .min = 1, .max = 1},
                                           {.name = "low_loss", .kinds = EP_IMAGE, .paired = true, .doc = "the low loss", .min = 1, .max = 1},
                                           {.name = "mask", .kinds = EP_MAP, .max = 1}};
static const struct ep_outdoc FIT_OUTS[] = {{"net", EP_IMAGE, "counts", "net"}, {"exponent", EP_MAP, "", "r"}, {"amplitude", EP_MAP, "", "A"}};
static const struct ep_stage FIT_STAGE = {.name = "fit", .params = FIT_PARAMS, .params_size = sizeof(struct fit_par), .ports = FIT_PORTS, .nports = 3,
                                          .outputs = FIT_OUTS, .noutputs = 3};

struct sum_par { double window[2]; };
static const struct ep_param SUM_PARAMS[] = {
    {"window", EP_P_WINDOW, offsetof(struct sum_par, window), .unit = "eV", .def = "[527, 532]", .min = 0, .max = 3000, .doc = "Window."}, EP_PARAM_END};
static const struct ep_port SUM_PORTS[] = {{.name = "input", .kinds = EP_IMAGE | EP_MAP, .stream = true, .min = 1, .max = 2},
                                           {.name = "along", .kinds = EP_CURVE, .max = 1}};
static const struct ep_outdoc SUM_OUTS[] = {{"intensity", EP_MAP, "counts", "sum"}};
static const struct ep_stage SUM_STAGE = {.name = "sum", .params = SUM_PARAMS, .params_size = sizeof(struct sum_par), .ports = SUM_PORTS, .nports = 2,
                                          .outputs = SUM_OUTS, .noutputs = 1};

static const struct ep_outdoc LINES_OUTS[] = {{"<line>", EP_MAP, "counts", "one per line"}};
static const struct ep_stage LINES_STAGE = {.name = "lines", .params = SUM_PARAMS, .params_size = sizeof(struct sum_par), .ports = SUM_PORTS, .nports = 1,
                                            .outputs = LINES_OUTS, .noutputs = 1};

struct gather_par { const char *title; };
static const struct ep_param GATHER_PARAMS[] = {{"title", EP_P_TEXT, offsetof(struct gather_par, title), .def = "", .doc = "Title."}, EP_PARAM_END};
static const struct ep_port GATHER_PORTS[] = {{.name = "input", .kinds = EP_TABLE | EP_MAP, .series = true, .min = 1}};
static const struct ep_outdoc GATHER_OUTS[] = {{"table", EP_TABLE, "", "table"}};
static const struct ep_stage GATHER_STAGE = {.name = "gather", .params = GATHER_PARAMS, .params_size = sizeof(struct gather_par), .ports = GATHER_PORTS,
                                             .nports = 1, .outputs = GATHER_OUTS, .noutputs = 1};

const struct ep_stage *const ep_stages[] = {&FIT_STAGE, &SUM_STAGE, &LINES_STAGE, &GATHER_STAGE, NULL};
const struct ep_stage *ep_stage_find(const char *name)
{
    for (size_t i = 0; ep_stages[i]; i++)
        if (!strcmp(ep_stages[i]->name, name)) return ep_stages[i];
    return NULL;
}
const char *ep_stage_suggest(const char *name)
{
    static const char *const names[] = {"fit", "sum", "lines", "gather", NULL};
    return ep_suggest(name, names);
}

/* ---- a folder for each test ---- */

struct room { char folder[256]; char *recipe; struct ep_arena a; struct ep_diag d; char *said; };

static char *in_room(struct room *m, const char *name)
{
    return ep_arena_printf(&m->a, "%s/%s", m->folder, name);
}

static void put(struct room *m, const char *name, const char *text, size_t n)
{
    char *path = in_room(m, name);
    for (char *c = path + strlen(m->folder) + 1; *c; c++)
        if (*c == '/') {
            *c = '\0';
            mkdir(path, 0777);
            *c = '/';
        }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (n) fwrite(text, 1, n, f);
    fclose(f);
}

static void touch(struct room *m, const char *const *names)
{
    for (; *names; names++) put(m, *names, "", 0);
}

static void enter(struct room *m)
{
    memset(m, 0, sizeof *m);
    const char *tmp = getenv("TMPDIR");
    snprintf(m->folder, sizeof m->folder, "%s/ep_recipe_XXXXXX", tmp && *tmp ? tmp : P_tmpdir);
    assert_non_null(mkdtemp(m->folder));
    m->recipe = in_room(m, "r.yaml");
}

static void leave(struct room *m)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", m->folder);
    assert_int_equal(system(command), 0);
    free(m->said);
    ep_diag_free(&m->d);
    ep_arena_free(&m->a);
}

/* All that was said, with the room's folder taken out of it. */
static const char *said(struct room *m)
{
    free(m->said);
    size_t n;
    FILE *f = open_memstream(&m->said, &n);
    ep_diag_print(&m->d, f);
    fclose(f);
    const size_t len = strlen(m->folder);
    for (char *c; (c = strstr(m->said, m->folder));) {
        size_t cut = len + (c[len] == '/');
        memmove(c, c + cut, strlen(c + cut) + 1);
    }
    return m->said;
}

static struct ep_recipe *read_text(struct room *m, const char *text, const char *set)
{
    put(m, "r.yaml", text, strlen(text));
    return ep_recipe_read(&m->a, m->recipe, set ? 1 : 0, &set, &m->d);
}

static struct ep_recipe *read_good(struct room *m, const char *text, const char *set)
{
    struct ep_recipe *r = read_text(m, text, set);
    if (!r || m->d.n) fail_msg("unexpected: %s", said(m));
    return r;
}

static void expect_said(struct room *m, const char *fragment)
{
    if (!strstr(said(m), fragment)) fail_msg("wanted: %s\nsaid: %s", fragment, m->said);
}

/* ---- wrong recipes ---- */

/* A recipe that is right; each case replaces one line of it. */
static const char *const LINES[] = {
    "eelpipe: 1",                                                          /* 1 */
    "elements: [Li, O, N, Y]",                                             /* 2 */
    "inputs:",                                                             /* 3 */
    "  ll: data/{sample}/{temperature}C/ll.hspy",                          /* 4 */
    "  o: {path: \"data/{sample}/{temperature}C/o.hspy\", pair: ll}",      /* 5 */
    "  ref: data/ref.hspy",                                                /* 6 */
    "coordinates: {temperature: degC}",                                    /* 7 */
    "output: out/{sample}/{temperature}C",                                 /* 8 */
    "overrides:",                                                          /* 9 */
    "  - {when: {temperature: 700}, set: {inputs.o.energy_offset: -1.2}, because: drift}", /* 10 */
    "steps:",                                                              /* 11 */
    "  net: {stage: fit, input: o, window: [505, 524]}",                   /* 12 */
    "  map: {stage: sum}",                                                 /* 13 */
    "  peaks: {stage: lines, input: ref, at: {temperature: min}}",         /* 14 */
    "  all: {stage: gather, input: [map, net.exponent], over: temperature}", /* 15 */
    "  last: {stage: fit, input: ref, low_loss: ll, mask: peaks.La, window: [1, 2]}", /* 16 */
    NULL};

struct wrong { int line; const char *text, *place, *fragment; };
static const struct wrong WRONG[] = {
    /* the whole */
    {1, "", "2:1", "the first line of a recipe is `eelpipe: 1`"},
    {1, "eelpipe: 2", "1:10", "eelpipe: 2: this program reads version 1"},
    {1, "eelpipe: one", "1:10", "this program reads version 1"},
    {1, "eelpipe: 1\n\"eelpipe\": 1", "2:1", "eelpipe"},
    {7, "coordinats: {temperature: degC}", "7:1", "unknown key 'coordinats' in the recipe: did you mean 'coordinates'?"},
    /* elements */
    {2, "elements: [Li, TI]", "2:16", "'TI' is not a chemical symbol from H to U: did you mean 'Ti'?"},
    {2, "elements: [Li, Xx]", "2:16", "'Xx' is not a chemical symbol"},
    {2, "elements: [8]", "2:12", "a chemical symbol is needed"},
    {2, "elements: {Li: 1}", "2:11", "needs a list of chemical symbols"},
    /* inputs */
    {3, "inputs: {}\nold:", "3:9", "inputs is empty"},
    {6, "  ref: [a, b]", "6:8", "input ref is a list: it needs a path"},
    {6, "  ref:", "6:7", "input ref is empty"},
    {6, "  ref: {signal: 1}", "6:8", "input ref has no path"},
    {6, "  ref: {paht: data/ref.hspy}", "6:9", "unknown key 'paht' in input ref: did you mean 'path'?"},
    {6, "  1ref: data/ref.hspy", "6:3", "input '1ref': a name is a letter"},
    {6, "  ref: data/{sample}{temperature}.hspy", "6:8", "{sample}{temperature} have nothing between them"},
    {6, "  ref: data/{sample.hspy", "6:8", "a { in the path is not closed"},
    {6, "  ref: data/sample}.hspy", "6:8", "a } in the path has no {"},
    {6, "  ref: data/{}.hspy", "6:8", "{} in the path names nothing"},
    {6, "  ref: data/{sam ple}.hspy", "6:8", "{sam ple} in the path"},
    {6, "  ref: ~/ref.hspy", "6:8", "~ is not expanded"},
    {5, "  o: {path: \"data/{sample}/{temperature}C/o.hspy\", pair: l}", "5:58", "pair: there is no input 'l'. Inputs: ll, o, ref"},
    {5, "  o: {path: \"data/{sample}/{temperature}C/o.hspy\", pair: lll}", "5:58", "there is no input 'lll': did you mean 'll'?"},
    {5, "  o: {path: \"data/{sample}/{temperature}C/o.hspy\", pair: o}", "5:58", "pair names the input itself"},
    {5, "  o: {path: \"data/{sample}/{temperature}C/o.hspy\", pair: 5}", "5:58", "pair: there is no input '5'. Inputs: ll, o, ref"},
    {5, "  o: {path: \"data/{sample}/{temperature}C/o.hspy\", frame: ''}", "5:59", "frame is empty: it needs a text"},
    {6, "  ref: {path: r.hspy, beam_energy: 300 nm}", "6:36", "\"300 nm\" is a length; beam_energy needs an energy in keV"},
    {6, "  ref: {path: r.hspy, counts_per_electron: 0}", "6:44", "counts_per_electron = 0 is out of range: allowed are 1e-06 to 1000000"},
    {6, "  ref: {path: r.hspy, exclude: {rows: [1, 2.5]}}", "6:33", "2.5 is no whole number"},
    {6, "  ref: {path: r.hspy, exclude: {rectangles: [{rows: [9, 3], columns: [1, 2]}]}}", "6:47", "rows = [9, 3]: the first must not be beyond the last"},
    {6, "  ref: {path: r.hspy, exclude: {rectangles: [{rows: [9, 3]}]}}", "6:46", "input ref: exclude: rectangles, item 1: columns is missing"},
    /* coordinates, output, runs */
    {7, "coordinates: {temprature: degC}", "7:15", "coordinate 'temprature': no path of `inputs` has a placeholder {temprature}: did you mean 'temperature'?"},
    {7, "coordinates: {temperature: 5}", "7:28", "coordinate temperature = 5: it needs a unit"},
    {7, "coordinates: [temperature]", "7:14", "coordinates is a list"},
    {8, "output: out/{sampel}", "8:9", "output: there is no coordinate 'sampel': did you mean 'sample'? Coordinates: sample, temperature"},
    {8, "outptu: out", "1:1", "output is missing"},
    {8, "outptu: out", "8:1", "unknown key 'outptu' in the recipe: did you mean 'output'?"},
    {8, "output:", "8:8", "output is empty"},
    {8, "output: [a]", "8:9", "output is a list"},
    {8, "output: out/{sample}_{temperature}", "15:52", "the part of the output path that names {temperature} also names {sample}"},
    {7, "runs: {a: 1}\ncoordinates: {temperature: degC}", "7:7", "runs is a mapping"},
    {7, "runs: nothing.csv\ncoordinates: {temperature: degC}", "7:7", "nothing.csv can't be opened: No such file"},
    /* overrides */
    {10, "  - {set: {inputs.o.energy_offset: 1}}", "10:5", "`when` is missing"},
    {10, "  - {when: {temperature: 700}}", "10:5", "`set` is missing"},
    {10, "  - {when: {temperatur: 700}, set: {inputs.o.energy_offset: 1}}", "10:13", "there is no coordinate 'temperatur': did you mean 'temperature'?"},
    {10, "  - {when: {temperature: hot}, set: {inputs.o.energy_offset: 1}}", "10:26", "\"hot\" is not a number"},
    {10, "  - {when: {temperature: 700}, sett: {inputs.o.energy_offset: 1}}", "10:32", "unknown key 'sett' in an override: did you mean 'set'?"},
    {10, "  - {when: {sample: a}, set: {inputs.oo.energy_offset: 1}}", "10:31", "there is no input 'oo'. Inputs: ll, o, ref"},
    {10, "  - {when: {sample: a}, set: {inputs.o.energy_ofset: 1}}", "10:31", "input o has no option 'energy_ofset': did you mean 'energy_offset'?"},
    {10, "  - {when: {sample: a}, set: {inputs.o.energy_offset: 1 nm}}", "10:55", "\"1 nm\" is a length; energy_offset needs an energy in eV"},
    {10, "  - {when: {sample: a}, set: {steps.nett.window: [1, 2]}}", "10:31", "there is no step 'nett': did you mean 'net'?"},
    {10, "  - {when: {sample: a}, set: {steps.net.windw: [1, 2]}}", "10:31", "stage fit has no parameter 'windw': did you mean 'window'?"},
    {10, "  - {when: {sample: a}, set: {steps.net.window: [2, 1]}}", "10:49", "step net (fit): window = [2, 1] eV: the first energy must be below the second"},
    {10, "  - {when: {sample: a}, set: {steps.net.input: ref}}", "10:31", "only parameters can differ between runs: 'input' is the same in all"},
    {10, "  - {when: {sample: a}, set: {net.window: [1, 2]}}", "10:31", "is written as steps.NAME.PARAMETER"},
    {10, "  - {when: {sample: a}, set: {steps.net: [1, 2]}}", "10:31", "'steps.net' is not complete"},
    {10, "  - {when: {sample: a}, set: {inputs.o.pair: ref}}", "10:31", "the pair is the same in all runs"},
    {10, "  - 7", "10:5", "overrides: 7 is a number"},
    /* steps */
    {13, "  map: {stage: summ}", "13:16", "step map: there is no stage 'summ': did you mean 'sum'? Stages: fit, sum, lines, gather"},
    {13, "  map: {input: net}", "13:8", "step map: stage is missing"},
    {13, "  map: {stag: sum}", "13:9", "step map: unknown key 'stag': did you mean 'stage'?"},
    {13, "  map: sum", "13:8", "step map is text: it needs a mapping"},
    {13, "  map:", "13:3", "step map is empty"},
    {13, "  o: {stage: sum}\n  map: {stage: sum}", "13:3", "step o has the name of an input"},
    {13, "  o-map: {stage: sum}\n  map: {stage: sum}", "13:3", "step 'o-map': a name is a letter"},
    {13, "  map: {stage: sum, input: nett}", "13:28", "step map (sum): input: there is no input or step 'nett': did you mean 'net'?"},
    {13, "  map: {stage: sum, input: net.exponnt}", "13:28", "step net (fit) has no output 'exponnt': did you mean 'exponent'? Outputs: net, exponent, amplitude"},
    {13, "  map: {stage: sum, input: o.net}", "13:28", "o is an input and has no outputs"},
    {13, "  map: {stage: sum, input: 7}", "13:28", "input = 7 is a number: it needs the name of an input or a step"},
    {13, "  map: {stage: sum, input: [net, o, ref]}", "13:28", "input names 3: this stage takes at most 2"},
    {13, "  map: {stage: sum, input: []}", "13:28", "it needs at least one name"},
    {13, "  map: {stage: sum, input: }", "13:", "input has no value"},
    {13, "  map: {stage: sum, input: map}", "13:3", "step map uses its own result"},
    {13, "  map: {stage: sum, input: sum2}\n  sum2: {stage: sum, input: sum3}\n  sum3: {stage: sum, input: map}", "13:3", "these steps go round in a circle: map -> sum3 -> sum2 -> map"},
    {13, "  map: {stage: sum, alon: net}", "13:21", "unknown key 'alon' in step map (sum): did you mean 'along'? Allowed: window, along, stage, input"},
    {13, "  map: {stage: sum, relative_to: {temperature: min}}", "13:21", "unknown key 'relative_to' in step map (sum). Allowed: "},
    {12, "  net: {stage: fit, window: [505, 524]}", "12:3", "step net (fit): input is missing: the first step has none above it. Inputs: ll, o, ref"},
    {12, "  net: {stage: fit, input: ref, window: [505, 524]}", "12:8", "low_loss is missing: the low loss. Name it here, or give input ref a `pair:`"},
    {14, "  peaks: {stage: lines, input: ref, at: {temp: min}}", "14:42", "at: there is no coordinate 'temp'"},
    {14, "  peaks: {stage: lines, input: ref, at: {sample: min}}", "14:50", "min needs a coordinate that is a number"},
    {14, "  peaks: {stage: lines, input: ref, at: {temperature: 5 nm}}", "14:55", "\"5 nm\" is a length"},
    {14, "  peaks: {stage: lines, input: ref, at: {temperature: []}}", "14:55", "at least one value is needed"},
    {14, "  peaks: {stage: lines, input: ref, at: min}", "14:41", "it needs a mapping of coordinates to values"},
    {14, "  peaks: {stage: lines, input: ref, over: temperature}", "14:37", "over: this stage does not collect runs. Those that do: gather"},
    {14, "  peaks: {stage: lines, input: ref, repeat: temperature}", "14:37", "repeat needs `over`"},
    {14, "  peaks: {stage: lines, input: ref, keep: 3}", "14:43", "keep = 3: it needs true, false or a list of outputs"},
    {15, "  all: {stage: gather, input: map, over: temperatur}", "15:42", "over: there is no coordinate 'temperatur': did you mean 'temperature'?"},
    {15, "  all: {stage: gather, input: map, over: [temperature, temperature]}", "15:56", "temperature stands there twice"},
    {15, "  all: {stage: gather, input: map, over: []}", "15:42", "it needs a coordinate or a list of coordinates"},
    {15, "  all: {stage: gather, input: map, over: temperature, repeat: sample}", "15:63", "repeat: sample is not collected"},
    {15, "  all: {stage: gather, input: map, over: temperature, at: {temperature: 25}}", "15:60", "temperature stands in `at` and in `over`"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], keep: [nte]}", "16:55", "keep: there is no output 'nte': did you mean 'net'?"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], keep: [exponent]}", "16:55", "'exponent' is no spectrum image: it is always written"},
    /* parameters */
    {16, "  last: {stage: fit, input: o, windw: [1, 2]}", "16:32", "unknown key 'windw' in step last (fit): did you mean 'window'? Allowed: window, method, bin,"},
    {16, "  last: {stage: fit, input: o}", "16:9", "step last (fit): window is missing: a window [from, to] in eV. Where the fit looks."},
    {16, "  last: {stage: fit, input: o, window: }", "16:", "window has no value: it needs a window [from, to] in eV"},
    {16, "  last: {stage: fit, input: o, window: [524, 505]}", "16:40", "step last (fit): window = [524, 505] eV: the first energy must be below the second"},
    {16, "  last: {stage: fit, input: o, window: [5, 5]}", "16:40", "the first energy must be below the second"},
    {16, "  last: {stage: fit, input: o, window: 5}", "16:40", "window = 5: a window is a list of two energies in eV"},
    {16, "  last: {stage: fit, input: o, window: [1, 2, 3]}", "16:40", "window = [1, 2, 3]: a window is a list of two energies"},
    {16, "  last: {stage: fit, input: o, window: [1, \"5 nm\"]}", "16:44", "\"5 nm\" is a length; window needs an energy in eV"},
    {16, "  last: {stage: fit, input: o, window: [1, .inf]}", "16:44", "a finite number is needed"},
    {16, "  last: {stage: fit, input: o, window: [1, [2]]}", "16:44", "window = [2] is a list"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], method: mll}", "16:56", "method = 'mll' is not known: did you mean 'ml'? Choices: ml, ols, wls"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], method: [ml]}", "16:56", "is a list: it needs one of ml, ols, wls"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], bin: 0.01}", "16:53", "bin = 0.01 nm is out of range: allowed are 0.05 to 100 nm"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], bin: 1 um}", "16:53", "bin = 1000 nm is out of range"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], bin: 3 parsec}", "16:53", "the unit parsec is not known; bin needs a length in nm"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], bin: wide}", "16:53", "\"wide\" is not a number; bin needs a length in nm"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], bin: true}", "16:53", "it needs a number in nm"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], order: 2.5}", "16:55", "order = 2.5: a whole number is needed"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], order: 11}", "16:55", "order = 11 is out of range: allowed are 1 to 10"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], robust: yes}", "16:56", "yes, no, on and off are plain text in YAML 1.2"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], title: [a]}", "16:55", "title = [\"a\"] is a list: it needs text"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], regions: [[1, 2], [4, 3]]}", "16:66", "regions = [4, 3] eV: the first energy must be below"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], regions: []}", "16:57", "regions = [] has 0 items: needed are 1 to 3"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], regions: [[1, 2], 3]}", "16:66", "regions = 3: a window is a list of two energies"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], points: 3}", "16:56", "points = 3 has 1 item: needed are at least 2"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], points: [3, 4 eV]}", "16:60", "\"4 eV\" is an energy; points needs a length in nm"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], artefacts: {a: 1}}", "16:59", "is a mapping: it needs a list of texts"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], shift: 3}", "16:55", "shift = 3 is a number: it needs a mapping {sigma, mode}"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], shift: {mode: rigid}}", "16:55", "step last (fit): shift: sigma is missing"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], shift: {sigma: 1, mod: free}}", "16:66", "unknown key 'mod' in step last (fit): shift: did you mean 'mode'?"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], columns: [{element: Li}, {range: [1, 2]}]}", "16:73", "columns, item 2: element is missing"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], columns: [{element: Li, range: [2, 1]}]}", "16:79", "columns, item 1: range = [2, 1] eV"},
    {16, "  last: {stage: fit, input: o, window: [1, 2], columns: [Li]}", "16:58", "columns, item 1, = \"Li\" is text: it needs a mapping {element, range}"},
    {16, "  last: {stage: sum, input: o, window: [1, 4000]}", "16:44", "window = 4000 eV is out of range: allowed are 0 to 3000 eV"},
};

static char *with_line(struct room *m, int line, const char *text)
{
    struct ep_str b = {0};
    for (int i = 0; LINES[i]; i++) ep_str_addf(&b, "%s\n", i + 1 == line ? text : LINES[i]);
    char *s = ep_arena_strdup(&m->a, b.s);
    ep_str_free(&b);
    return s;
}

static void test_wrong(void **state)
{
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        struct room m;
        enter(&m);
        bool read = read_text(&m, with_line(&m, WRONG[i].line, WRONG[i].text), NULL) != NULL;
        char *place = ep_arena_printf(&m.a, "r.yaml:%s", WRONG[i].place);
        const char *at = said(&m);
        bool good = false;   /* place and fragment in one line */
        for (; !good && (at = strstr(at, place)); at++) {
            const char *end = strchr(at, '\n'), *hit = strstr(at, WRONG[i].fragment);
            good = hit && end && hit < end;
        }
        if (read || !good) {
            print_message("case %zu: %s\n  wanted %s: %s\n  said %s\n", i, WRONG[i].text, WRONG[i].place, WRONG[i].fragment, m.said);
            bad++;
        }
        leave(&m);
    }
    assert_int_equal(bad, 0);
}

static void test_one_message_each(void **state)
{
    (void)state;
    /* One slip is one message: nothing follows from it. */
    static const struct wrong ONE[] = {
        {6, "  ref: data/{sample}{temperature}.hspy", NULL, NULL},
        {6, "  ref: {paht: data/ref.hspy}", NULL, NULL},
        {7, "coordinates: {temperature: 5}", NULL, NULL},
        {13, "  map: {stage: summ}", NULL, NULL},
        {13, "  map: {stag: sum}", NULL, NULL},
        {13, "  map: {stage: sum, input: nett}", NULL, NULL},
        {13, "  map: {stage: sum, input: map}", NULL, NULL},
        {16, "  last: {stage: fit, input: o, windw: [1, 2]}", NULL, NULL},
        {16, "  last: {stage: fit, input: o, window: [1, 5 nm]}", NULL, NULL},
        {10, "  - {when: {sample: a}, set: {steps.net.window: [2, 1]}}", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof ONE / sizeof *ONE; i++) {
        struct room m;
        enter(&m);
        assert_null(read_text(&m, with_line(&m, ONE[i].line, ONE[i].text), NULL));
        if (m.d.nerrors != 1) fail_msg("%s\n%s", ONE[i].text, said(&m));
        leave(&m);
    }
}

static void test_not_a_recipe(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"", "r.yaml:1:1: error: the recipe is empty"},
        {"# nothing\n", "the recipe is empty"},
        {"- a\n- b\n", "r.yaml:1:1: error: this is no recipe"},
        {"eelpipe: 1\n", "inputs is missing"},
        {"eelpipe: 1\n", "steps is missing"},
        {"eelpipe: 1\na: [1\n", "r.yaml:"},
        {"eelpipe: 1\ninputs: {o: a.hspy}\noutput: out\nsteps: {}\n", "r.yaml:4:8: error: steps is empty"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct room m;
        enter(&m);
        assert_null(read_text(&m, CASES[i][0], NULL));
        expect_said(&m, CASES[i][1]);
        leave(&m);
    }
    struct room m;
    enter(&m);
    assert_null(ep_recipe_read(&m.a, in_room(&m, "none.yaml"), 0, NULL, &m.d));
    expect_said(&m, "none.yaml can't be opened: No such file or directory");
    leave(&m);
}

static void test_all_at_once(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    assert_null(read_text(&m, "elements: [Xx]\ninputs: {a: 'x{', b: ~}\noutput: o/{q}\nsteps:\n  s: {stage: sum, input: c}\n  t: {stage: nope}\n", NULL));
    assert_true(m.d.nerrors >= 7);
    leave(&m);
}

/* ---- right recipes ---- */

static const char FIGURE[] =
    "eelpipe: 1\n"
    "elements: [Li, O, Ti, Mn, Co, Ni, La, Sr]\n"
    "inputs:\n"
    "  ll:  testdata/series/{sample}/{temperature}C/ll.hspy\n"
    "  li:  {path: \"testdata/series/{sample}/{temperature}C/li.hspy\", pair: ll, counts_per_electron: 1.0}\n"
    "  o:   {path: \"testdata/series/{sample}/{temperature}C/o.hspy\", pair: ll}\n"
    "  eds: testdata/series/{sample}/{temperature}C/eds.hspy\n"
    "coordinates: {temperature: degC}\n"
    "output: out/{sample}/{temperature}C\n"
    "overrides:\n"
    "  - {when: {sample: ncm003, temperature: 700}, set: {inputs.o.energy_offset: -1.2, steps.o_net.window: [500, 520]}, because: high tension reset}\n"
    "  - {when: {temperature: [25, 400 degC]}, set: {steps.o_net.shift.sigma: 2}}\n"
    "steps:\n"
    "  li_map:   {stage: fit, input: li, window: [46, 90], columns: [{element: Li, range: [50, 60]}, {element: O}]}\n"
    "  o_net:    {stage: fit, input: o, window: [0.505 keV, 524], shift: {sigma: 1}, keep: true}\n"
    "  ratio:    {stage: sum, window: [527, 532]}\n"
    "  lines:    {stage: lines, input: eds}\n"
    "  boundary: {stage: sum, input: lines.La, at: {temperature: [min, 400]}}\n"
    "  ti:       {stage: sum, input: lines.Ti, along: boundary}\n"
    "  early:    {stage: sum, input: late}\n"
    "  late:     {stage: sum, input: o_net.exponent}\n"
    "  fronts:   {stage: gather, input: [ti, ratio], over: temperature}\n"
    "  fig3:     {stage: gather, input: fronts, over: [sample, temperature], repeat: sample}\n";

static void make_series(struct room *m)
{
    static const char *const FILES[] = {
        "testdata/series/ncm003/25C/ll.hspy", "testdata/series/ncm003/25C/li.hspy", "testdata/series/ncm003/25C/o.hspy", "testdata/series/ncm003/25C/eds.hspy",
        "testdata/series/ncm003/400C/o.hspy", "testdata/series/ncm003/0700C/o.hspy", "testdata/series/ncm003/0700C/ll.hspy", "testdata/series/ncm003/700C/eds.hspy",
        "testdata/series/\xC3\xA4 b's/-20C/o.hspy", "testdata/series/ncm003/readme.txt", "testdata/series/ncm003/hotC/o.hspy",
        "testdata/series/.hidden/25C/o.hspy", NULL};
    touch(m, FILES);
}

static void test_figure(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    struct ep_recipe *r = read_good(&m, FIGURE, NULL);
    assert_string_equal(r->folder, m.folder);
    assert_int_equal(r->nelements, 8);
    assert_null(r->elements[8]);
    assert_int_equal(r->ninputs, 4);
    assert_int_equal(r->inputs[1].pair, 0);
    assert_int_equal(r->inputs[0].pair, -1);
    assert_int_equal(r->ncoords, 2);
    assert_string_equal(r->coords[0].name, "sample");
    assert_false(r->coords[0].number);
    assert_true(r->coords[1].number);
    assert_string_equal(r->coords[1].unit, "degC");
    assert_int_equal(r->nsteps, 10);
    const struct ep_step *s = r->steps;
    assert_int_equal(s[0].port[0].v[0].kind, EP_REF_INPUT);
    assert_int_equal(s[0].port[0].v[0].index, 1);
    assert_int_equal(s[0].port[1].n, 0);       /* paired: resolved by whoever plans */
    assert_true(s[1].keep);
    assert_int_equal(s[2].port[0].v[0].kind, EP_REF_STEP);   /* the step above */
    assert_int_equal(s[2].port[0].v[0].index, 1);
    assert_null(s[2].port[0].v[0].output);
    assert_string_equal(s[4].port[0].v[0].output, "La");
    assert_int_equal(s[4].nat, 1);
    assert_int_equal(s[4].at[0].n, 2);
    assert_string_equal(s[4].at[0].choice[0], "min");
    assert_string_equal(s[4].at[0].choice[1], "400");
    assert_int_equal(s[5].port[1].v[0].index, 4);
    assert_int_equal(s[8].port[0].n, 2);
    assert_int_equal(s[8].nover, 1);
    assert_int_equal(s[9].nover, 2);
    assert_int_equal(s[9].repeat, 0);
    assert_int_equal(s[8].repeat, -1);
    static const size_t ORDER[] = {0, 1, 2, 3, 4, 5, 7, 6, 8, 9};
    for (size_t i = 0; i < 10; i++) assert_int_equal(r->order[i], ORDER[i]);
    assert_int_equal(r->noverrides, 2);
    assert_int_equal(r->overrides[0].nwhen, 2);
    assert_int_equal(r->overrides[1].nwhen, 2);
    assert_string_equal(r->overrides[0].because, "high tension reset");
    leave(&m);
}

static const struct ep_run *run_labelled(const struct ep_runs *runs, const char *label)
{
    for (size_t i = 0; i < runs->n; i++)
        if (!strcmp(runs->v[i].label, label)) return &runs->v[i];
    fail_msg("no run %s", label);
    return NULL;
}

static void fit_of(struct room *m, const struct ep_recipe *r, const struct ep_run *run, size_t step, struct fit_par *par)
{
    assert_true(ep_params_parse(&m->a, FIT_PARAMS, sizeof *par, ep_run_step(r, run, step, &m->a), ep_step_skip(&m->a, &FIT_STAGE), "x", par, &m->d));
}

static void test_series(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    make_series(&m);
    struct ep_recipe *r = read_good(&m, FIGURE, NULL);
    struct ep_runs runs;
    if (!ep_runs_bind(r, &m.a, &runs, &m.d)) fail_msg("%s", said(&m));
    static const char *const LABELS[] = {"sample=ncm003, temperature=25", "sample=ncm003, temperature=400", "sample=ncm003, temperature=700",
                                         "sample=\xC3\xA4 b's, temperature=-20"};
    assert_int_equal(runs.n, 4);
    for (size_t i = 0; i < 4; i++) assert_string_equal(runs.v[i].label, LABELS[i]);
    const struct ep_run *hot = &runs.v[2], *cold = &runs.v[3];
    /* 0700C and 700C are one temperature */
    assert_string_equal(hot->input_text[2], "testdata/series/ncm003/0700C/o.hspy");
    assert_string_equal(hot->input_text[3], "testdata/series/ncm003/700C/eds.hspy");
    assert_null(hot->input[1]);
    assert_string_equal(hot->input[2], in_room(&m, "testdata/series/ncm003/0700C/o.hspy"));
    assert_null(runs.v[1].input[0]);
    assert_int_equal(cold->coord[1].num, -20);
    /* overrides */
    assert_int_equal(hot->nset, 2);
    assert_int_equal(hot->nbecause, 1);
    assert_int_equal(runs.v[0].nset, 1);
    assert_int_equal(runs.v[1].nset, 1);
    assert_int_equal(cold->nset, 0);
    struct fit_par par;
    fit_of(&m, r, cold, 1, &par);
    assert_true(par.window[0] == 505 && par.window[1] == 524);
    assert_true(((const struct shift_par *)par.shift)->sigma == 1);
    fit_of(&m, r, hot, 1, &par);
    assert_true(par.window[0] == 500 && par.window[1] == 520);
    fit_of(&m, r, &runs.v[0], 1, &par);
    assert_true(((const struct shift_par *)par.shift)->sigma == 2);
    struct ep_input_par in;
    assert_true(ep_params_parse(&m.a, ep_input_params, sizeof in, ep_run_input(r, hot, 2, &m.a), NULL, "x", &in, &m.d));
    assert_true(in.energy_offset == -1.2);
    assert_true(ep_params_parse(&m.a, ep_input_params, sizeof in, ep_run_input(r, hot, 3, &m.a), NULL, "x", &in, &m.d));
    assert_string_equal(in.path, "testdata/series/{sample}/{temperature}C/eds.hspy");
    /* at */
    assert_int_equal(ep_at_resolve(r, &runs, &r->steps[4], hot, 0), 0);
    assert_int_equal(ep_at_resolve(r, &runs, &r->steps[4], hot, 1), 1);
    assert_int_equal(ep_at_resolve(r, &runs, &r->steps[4], hot, 2), -1);
    assert_int_equal(ep_at_resolve(r, &runs, &r->steps[4], cold, 0), 3);
    assert_int_equal(ep_at_resolve(r, &runs, &r->steps[4], cold, 1), -1);
    /* folders */
    assert_string_equal(ep_output_folder(r, &r->steps[0], hot, &m.a), in_room(&m, "out/ncm003/700C"));
    assert_string_equal(ep_output_folder(r, &r->steps[8], hot, &m.a), in_room(&m, "out/ncm003"));
    assert_string_equal(ep_output_folder(r, &r->steps[9], hot, &m.a), in_room(&m, "out"));
    assert_int_equal(m.d.nerrors, 0);
    leave(&m);
}

struct filter_case { const char *text; const char *runs; };   /* which of the four, or the message */

static void test_filter(void **state)
{
    (void)state;
    static const struct filter_case GOOD[] = {
        {"temperature>=400", "0110"}, {"temperature>400", "0010"}, {"temperature < 25", "0001"}, {"temperature<=25", "1001"},
        {"temperature=025", "1000"}, {"temperature==25 degC", "1000"}, {"temperature!=25", "0111"}, {"sample=ncm003", "1110"},
        {"sample != ncm003", "0001"}, {"sample=ncm003,temperature>=400", "0110"}, {"sample='ncm003' , temperature<100", "1000"},
        {"sample=\"\xC3\xA4 b's\"", "0001"}, {"sample=nothing", "0000"}};
    static const struct filter_case BAD[] = {
        {"temperatur>400", "there is no coordinate 'temperatur': did you mean 'temperature'?"}, {"sample>a", "sample is text, so only = and != make sense"},
        {"temperature>hot", "\"hot\" is not a number"}, {"temperature", "it needs a coordinate, one of"}, {"", "it needs a coordinate"},
        {"temperature>", "the value is missing"}, {"sample=a,", "it needs a coordinate"}, {"temperature=4 eV", "is an energy"}, {"temperature!400", "it needs a coordinate"}};
    struct room m;
    enter(&m);
    make_series(&m);
    struct ep_recipe *r = read_good(&m, FIGURE, NULL);
    struct ep_runs runs;
    assert_true(ep_runs_bind(r, &m.a, &runs, &m.d));
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        struct ep_filter *f = ep_filter_parse(r, GOOD[i].text, &m.a, &m.d);
        if (!f) fail_msg("%s: %s", GOOD[i].text, said(&m));
        for (size_t k = 0; k < 4; k++)
            if (ep_filter_match(f, &runs.v[k]) != (GOOD[i].runs[k] == '1')) fail_msg("%s at %s", GOOD[i].text, runs.v[k].label);
    }
    assert_true(ep_filter_match(NULL, &runs.v[0]));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_null(ep_filter_parse(r, BAD[i].text, &m.a, &m.d));
        expect_said(&m, BAD[i].runs);
        ep_diag_free(&m.d);
    }
    leave(&m);
}

/* ---- --set ---- */

static void test_set(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    struct ep_recipe *r = read_good(&m, FIGURE, "steps.o_net.window=505.5,524");
    struct fit_par par;
    fit_of(&m, r, NULL, 1, &par);
    assert_true(par.window[0] == 505.5);
    assert_int_equal(r->steps[1].pos.line, 15);   /* the step keeps its place */
    r = read_good(&m, FIGURE, "inputs.o.energy_offset=-3");
    struct ep_input_par in;
    assert_true(ep_params_parse(&m.a, ep_input_params, sizeof in, ep_run_input(r, NULL, 2, &m.a), NULL, "x", &in, &m.d));
    assert_true(in.energy_offset == -3);
    r = read_good(&m, FIGURE, "inputs.eds.beam_energy=200");   /* a plain path becomes a mapping */
    assert_true(ep_params_parse(&m.a, ep_input_params, sizeof in, ep_run_input(r, NULL, 3, &m.a), NULL, "x", &in, &m.d));
    assert_true(in.beam_energy == 200);
    assert_string_equal(in.path, "testdata/series/{sample}/{temperature}C/eds.hspy");
    r = read_good(&m, FIGURE, "inputs.li=other/{sample}_{temperature}.hspy");
    assert_string_equal(r->inputs[1].path, "other/{sample}_{temperature}.hspy");
    assert_int_equal(r->inputs[1].pair, 0);
    r = read_good(&m, FIGURE, "output=elsewhere/{sample}/{temperature}");
    assert_string_equal(r->output, "elsewhere/{sample}/{temperature}");
    r = read_good(&m, FIGURE, "elements=O,Ti");
    assert_int_equal(r->nelements, 2);
    static const char *const BAD[][2] = {
        {"steps.o_net.window=524,505", "--set: error: step o_net (fit): window = [524, 505] eV: the first energy must be below the second"},
        {"steps.o_nett.window=1,2", "--set: error: steps.o_nett.window: there is no step 'o_nett': did you mean 'o_net'?"},
        {"inputs.x.path=a", "there is no input 'x'"},
        {"steps.o_net.windw=1,2", "--set: error: unknown key 'windw' in step o_net (fit): did you mean 'window'?"},
        {"stepss.o_net.window=1,2", "--set: error: unknown key 'stepss' in the recipe: did you mean 'steps'?"},
        {"window", "it needs NAME=VALUE"},
        {"=3", "it needs NAME=VALUE"},
        {"steps.o_net.window=[1,", "--set"},
        {"elements.a=3", "there is no such place in the recipe"},
        {"steps.o_net..x=3", "there is no such place in the recipe"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        if (read_text(&m, FIGURE, BAD[i][0])) fail_msg("%s was taken", BAD[i][0]);
        expect_said(&m, BAD[i][1]);
        ep_diag_free(&m.d);
    }
    leave(&m);
}

/* ---- parameters ---- */

static const char *json_of(struct room *m, const struct fit_par *par)
{
    struct ep_str b = {0};
    ep_params_json(&b, FIT_PARAMS, par);
    char *s = ep_arena_strdup(&m->a, b.s);
    ep_str_free(&b);
    return s;
}

static const char *parsed(struct room *m, const char *text)
{
    struct fit_par par;
    struct ep_value *v = ep_yaml_parse(&m->a, text, strlen(text), "p", &m->d);
    if (!v || !ep_params_parse(&m->a, FIT_PARAMS, sizeof par, v, NULL, "stage fit", &par, &m->d)) fail_msg("%s: %s", text, said(m));
    return json_of(m, &par);
}

static void test_params(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    assert_string_equal(parsed(&m, "{window: [46, 90]}"),
                        "{\"window\":[46,90],\"method\":\"ml\",\"bin\":0.5,\"order\":3,\"robust\":false,\"title\":null,\"regions\":null,"
                        "\"points\":null,\"artefacts\":[\"Cu\",\"Ga\"],\"shift\":null,\"columns\":null}");
    const char *full = "{\"window\":[4400,4600],\"method\":\"wls\",\"bin\":2,\"order\":10,\"robust\":true,\"title\":\"3\",\"regions\":[[1,2],[3,4.5]],"
                       "\"points\":[1,2000],\"artefacts\":[\"O\",\"N\",\"Y\",\"No\"],\"shift\":{\"sigma\":1.5,\"mode\":\"free\"},"
                       "\"columns\":[{\"element\":\"Li\",\"range\":[50,60]},{\"element\":\"O\",\"range\":null}]}";
    assert_string_equal(parsed(&m, "{columns: [{range: [50, 60], element: Li}, {element: O}], shift: {mode: free, sigma: 1500 meV}, artefacts: [O, N, Y, No],"
                                   " points: [1, 2 um], regions: [[1, 2], [3, 4.5]], title: 3, robust: true, order: 10, bin: 20 A, method: wls,"
                                   " window: [4.4 keV, \"4.6keV\"]}"), full);
    assert_string_equal(parsed(&m, full), full);   /* the canonical form reads back */
    assert_non_null(strstr(parsed(&m, "{window: [1, 2], regions: [5, 6]}"), "\"regions\":[[5,6]]"));
    assert_non_null(strstr(parsed(&m, "{window: [1, 2], artefacts: Cu}"), "\"artefacts\":[\"Cu\"]"));
    assert_non_null(strstr(parsed(&m, "{window: [1, 2], columns: {element: Li}}"), "\"columns\":[{\"element\":\"Li\",\"range\":null}]"));
    assert_non_null(strstr(parsed(&m, "{window: [1, 2], title: ~, artefacts: []}"), "\"title\":null"));
    struct fit_par par;
    assert_false(ep_params_parse(&m.a, FIT_PARAMS, sizeof par, NULL, NULL, "stage fit", &par, &m.d));
    expect_said(&m, "error: stage fit: window is missing");
    assert_true(isnan(par.window[0]) && par.order == 3 && par.artefacts.n == 2);
    struct ep_str b = {0};
    for (const struct ep_param *q = FIT_PARAMS; q->name; q++) {
        ep_param_describe(&b, q);
        ep_str_add(&b, "\n");
    }
    assert_string_equal(b.s, "window [from, to] in eV, required\none of ml, ols, wls, default ml\nnumber in nm, 0.05 to 100, default 0.5\n"
                             "whole number, 1 to 10, default 3\ntrue or false, default false\ntext\n"
                             "window [from, to] or list of windows in eV, 1 to 3 items\nlist of numbers in nm, at least 2 items\n"
                             "list of texts, default [Cu, Ga]\nmapping {sigma, mode}\nlist of mappings {element, range}\n");
    ep_str_free(&b);
    leave(&m);
}

/* ---- finding files ---- */

/* A recipe with one step that works on the first input, whatever the inputs are. */
static struct ep_recipe *small(struct room *m, const char *inputs, const char *rest)
{
    char *text = ep_arena_printf(&m->a, "eelpipe: 1\ninputs: %s\n%s\nsteps: {s: {stage: sum, input: a}}\n", inputs, rest);
    return read_text(m, text, NULL);
}

static const char *labels(struct room *m, const struct ep_runs *runs)
{
    struct ep_str b = {0};
    ep_str_add(&b, "");
    for (size_t i = 0; i < runs->n; i++) {
        ep_str_addf(&b, "%s%s:", i ? "; " : "", runs->v[i].label);
        for (size_t k = 0; k < 4 && runs->v[i].input; k++) {
            if (!runs->v[i].input[k]) break;
            ep_str_addf(&b, " %s", runs->v[i].input_text[k]);
        }
    }
    char *s = ep_arena_strdup(&m->a, b.s);
    ep_str_free(&b);
    return s;
}

struct find_case { const char *inputs, *rest, *files[8], *want; };   /* want: runs, or "!" and a part of the message */
static const struct find_case FIND[] = {
    {"{a: x.hspy}", "output: out", {"x.hspy"}, ": x.hspy"},
    {"{a: sub dir/x 'y'.hspy}", "output: out", {"sub dir/x 'y'.hspy"}, ": sub dir/x 'y'.hspy"},
    {"{a: x.hspy}", "output: out", {"y.hspy"}, "!r.yaml:2:10: error: input a: no file fits x.hspy (looked in "},
    {"{a: d/e/x.hspy}", "output: out", {"d/y.hspy"}, "!no file fits d/e/x.hspy (looked in d)"},
    {"{a: 'd/{s}.hspy'}", "output: 'out/{s}'", {"d/q.hspy", "d/p.hspy", "d/r.txt", "d/x.hspy/y"}, "s=p: d/p.hspy; s=q: d/q.hspy"},
    {"{a: '{s}/x.hspy'}", "output: 'out/{s}'", {"p q/x.hspy", "\xC3\xA9/x.hspy", "z/y.hspy"}, "s=p q: p q/x.hspy; s=\xC3\xA9: \xC3\xA9/x.hspy"},
    {"{a: '{s}/{s}_{t}.hspy'}", "output: 'out/{s}{t}'", {"p/p_1.hspy"}, "!{s}{t} have nothing between them"},
    {"{a: '{s}/{s}_{t}.hspy'}", "output: 'out/{s}/{t}'", {"p_1/p_1_2.hspy", "q/p_1.hspy"}, "s=p_1, t=2: p_1/p_1_2.hspy"},
    {"{a: '{s}_{t}.hspy'}", "output: 'out/{s}/{t}'", {"a_b_c.hspy"}, "!a_b_c.hspy can be read in two ways: s=a, t=b_c, or s=a_b, t=c"},
    {"{a: '{s}_{t}.hspy'}", "coordinates: {t: s}\noutput: 'out/{s}/{t}'", {"a_b_7.hspy", "a_b_07.5.hspy"}, "s=a_b, t=7: a_b_7.hspy; s=a_b, t=7.5: a_b_07.5.hspy"},
    {"{a: '{t}.hspy'}", "coordinates: {t: degC}\noutput: 'out/{t}'", {"100.hspy", "25.hspy", "1e3.hspy", "-5.hspy"}, "t=-5: -5.hspy; t=25: 25.hspy; t=100: 100.hspy; t=1000: 1e3.hspy"},
    {"{a: '{t}.hspy'}", "output: 'out/{t}'", {"100.hspy", "25.hspy"}, "t=100: 100.hspy; t=25: 25.hspy"},
    {"{a: '{t}.hspy'}", "coordinates: {t: degC}\noutput: 'out/{t}'", {"25.hspy", "25a.hspy"}, "t=25: 25.hspy"},
    {"{a: '{t}.hspy'}", "coordinates: {t: degC}\noutput: 'out/{t}'", {"25a.hspy"}, "!25a.hspy is there, but '25a' is no number for {t} in degC"},
    {"{a: '{t}.hspy'}", "coordinates: {t: degC}\noutput: 'out/{t}'", {"25.hspy", "025.hspy"}, "!025.hspy and 25.hspy have the same coordinates: t=25"},
    {"{a: 'd/{t}/x.hspy'}", "coordinates: {t: degC}\noutput: 'out/{t}'", {"d/25/x.hspy", "d/25.0/x.hspy"}, "!have the same coordinates: t=25"},
    {"{a: '{t}/{t}.hspy'}", "coordinates: {t: degC}\noutput: 'out/{t}'", {"25/025.hspy", "30/25.hspy"}, "t=25: 25/025.hspy"},
    /* references, joins */
    {"{a: '{s}/{t}.hspy', r: 'ref_{s}.hspy', g: 'gain.hspy'}", "output: 'out/{s}/{t}'", {"p/1.hspy", "p/2.hspy", "q/1.hspy", "ref_p.hspy", "gain.hspy"},
     "s=p, t=1: p/1.hspy ref_p.hspy gain.hspy; s=p, t=2: p/2.hspy ref_p.hspy gain.hspy; s=q, t=1: q/1.hspy"},
    {"{a: 'a_{s}.hspy', b: 'b_{t}.hspy'}", "output: 'out/{s}/{t}'", {"a_1.hspy", "a_2.hspy", "b_x.hspy"}, "s=1, t=x: a_1.hspy b_x.hspy; s=2, t=x: a_2.hspy b_x.hspy"},
    {"{a: 'a_{s}_{t}.hspy', b: 'b_{t}_{u}.hspy', c: 'c_{t}.hspy'}", "output: 'out/{s}/{t}/{u}'", {"a_1_x.hspy", "a_2_y.hspy", "b_x_5.hspy", "b_z_6.hspy", "c_x.hspy"},
     "s=1, t=x, u=5: a_1_x.hspy b_x_5.hspy c_x.hspy"},
    {"{a: 'a_{s}.hspy', b: 'b_{s}.hspy'}", "output: 'out/{s}'", {"a_1.hspy", "b_2.hspy"}, "s=1: a_1.hspy; s=2:"},
    {"{a: 'a_{s}.hspy', b: 'b_{s}.hspy'}", "output: 'out/{s}'", {"a_1.hspy"}, "s=1: a_1.hspy"},
    {"{a: 'a_{s}_{t}.hspy', b: 'b_{t}_{u}.hspy'}", "output: 'out/{s}/{t}/{u}'", {"a_1_x.hspy", "b_y_5.hspy"}, "!no two of them belong to one run"},
    {"{a: './d//{s}.hspy'}", "output: 'out/{s}'", {"d/p.hspy"}, "s=p: ./d/p.hspy"},
    {"{a: '.d/.{s}.hspy'}", "output: 'out/{s}'", {".d/.p.hspy", ".d/q.hspy"}, "s=p: .d/.p.hspy"},
    /* places of results */
    {"{a: '{s}_{t}.hspy'}", "output: 'out/{s}'", {"p_1.hspy", "p_2.hspy"}, "!r.yaml:3:9: error: the results of the runs s=p, t=1 and s=p, t=2 would both go to out/p"},
    {"{a: '{s}_{t}.hspy'}", "output: 'out/{s}'", {"p_1.hspy", "q_2.hspy"}, "s=p, t=1: p_1.hspy; s=q, t=2: q_2.hspy"},
    {"{a: 'd/{s}/s.hspy'}", "output: './d//{s}'", {"d/p/s.hspy"}, "!step s would write its result over an input, "},
};

static void test_find(void **state)
{
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof FIND / sizeof *FIND; i++) {
        struct room m;
        enter(&m);
        touch(&m, FIND[i].files);
        struct ep_recipe *r = small(&m, FIND[i].inputs, FIND[i].rest);
        struct ep_runs runs = {0};
        bool good = r && ep_runs_bind(r, &m.a, &runs, &m.d);
        const char *got = good ? labels(&m, &runs) : said(&m);
        if (good == (FIND[i].want[0] == '!') || (good ? strcmp(got, FIND[i].want) != 0 : !strstr(got, FIND[i].want + 1))) {
            print_message("case %zu: %s\n  wanted %s\n  got %s\n", i, FIND[i].inputs, FIND[i].want, got);
            bad++;
        }
        leave(&m);
    }
    assert_int_equal(bad, 0);
}

static void test_find_warnings(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    touch(&m, (const char *const[]){"a_1.hspy", NULL});
    struct ep_recipe *r = small(&m, "{a: 'a_{s}.hspy', b: 'b/b_{s}.hspy'}", "output: 'out/{s}'\noverrides: [{when: {s: 2}, set: {steps.s.window: [1, 2]}}]");
    struct ep_runs runs;
    assert_non_null(r);
    assert_true(ep_runs_bind(r, &m.a, &runs, &m.d));
    assert_int_equal(m.d.nerrors, 0);
    expect_said(&m, "warning: input b: no file fits b/b_{s}.hspy (looked in ");
    expect_said(&m, "warning: no run fits `when` of this override");
    leave(&m);
    /* a path that differs in one run */
    enter(&m);
    touch(&m, (const char *const[]){"a_1.hspy", "a_2.hspy", "new/2.hspy", NULL});
    r = small(&m, "{a: 'a_{s}.hspy'}", "output: 'out/{s}'\noverrides: [{when: {s: 2}, set: {inputs.a.path: 'new/{s}.hspy'}}]");
    assert_non_null(r);
    assert_true(ep_runs_bind(r, &m.a, &runs, &m.d));
    assert_string_equal(labels(&m, &runs), "s=1: a_1.hspy; s=2: new/2.hspy");
    leave(&m);
}

static void test_at_two(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    touch(&m, (const char *const[]){"a_1.hspy", "a_2.hspy", "b_0.hspy", "b_3.hspy", NULL});
    static const char AT_TWO[] = "eelpipe: 1\ninputs: {i: '{s}_{t}.hspy'}\ncoordinates: {t: s}\noutput: 'out/{s}/{t}'\n"
                                 "steps:\n  x: {stage: sum, at: {s: [c, b], t: [max, 0]}}\n";
    struct ep_recipe *r = read_good(&m, AT_TWO, NULL);
    struct ep_runs runs;
    assert_true(ep_runs_bind(r, &m.a, &runs, &m.d));
    assert_int_equal(m.d.n, 0);
    r = read_good(&m, "eelpipe: 1\ninputs: {i: '{s}_{t}.hspy'}\ncoordinates: {t: s}\noutput: 'out/{s}/{t}'\n"
                      "steps:\n  x: {stage: sum, at: {t: 4}}\n", NULL);
    assert_true(ep_runs_bind(r, &m.a, &runs, &m.d));
    expect_said(&m, "r.yaml:6:24: warning: step x: at: no run has t=4");
    r = read_text(&m, AT_TWO, NULL);
    static const long WANT[] = {-1, -1, 3, 2, -1};   /* c max, c 0, b max, b 0, no more */
    for (size_t i = 0; i < 5; i++) assert_int_equal(ep_at_resolve(r, &runs, &r->steps[0], &runs.v[0], i), WANT[i]);
    leave(&m);
}

/* ---- runs.csv ---- */

static bool with_table(struct room *m, const char *inputs, const char *csv, struct ep_runs *runs, struct ep_recipe **r)
{
    put(m, "runs.csv", csv, strlen(csv));
    *r = small(m, inputs, "runs: runs.csv\ncoordinates: {t: degC}\noutput: 'out/{s}/{t}'");
    return *r && ep_runs_bind(*r, &m->a, runs, &m->d);
}

static void test_table(void **state)
{
    (void)state;
    struct room m;
    enter(&m);
    touch(&m, (const char *const[]){"d/x, \"1\".hspy", "d/2.hspy", "ref_p.hspy", NULL});
    struct ep_runs runs;
    struct ep_recipe *r;
    if (!with_table(&m, "{a: ~, b: {energy_offset: 2}, ref: 'ref_{s}.hspy'}",
                    "\xEF\xBB\xBFs,t,a,b,skip,note,steps.s.window,inputs.b.energy_offset\r\n"
                    "p,400,d/2.hspy,,,\"two\nlines\",\"[1, 2]\",\r\n"
                    "\r\n"
                    "p, 025 ,\"d/x, \"\"1\"\".hspy\",d/2.hspy,yes,,\"3,4\",1.5 eV\r\n"
                    "q,25 degC,d/gone.hspy,,,,,",
                    &runs, &r))
        fail_msg("%s", said(&m));
    assert_int_equal(m.d.nerrors, 0);
    expect_said(&m, "runs.csv:6:11: warning: input a: there is no file d/gone.hspy: run s=q, t=25 lacks it");
    assert_int_equal(runs.n, 3);
    const struct ep_run *run = &runs.v[0];
    assert_string_equal(run->label, "s=p, t=25");
    assert_true(run->skip);
    assert_null(run->note);
    assert_string_equal(run->input_text[0], "d/x, \"1\".hspy");
    assert_string_equal(run->input_text[2], "ref_p.hspy");
    assert_int_equal(run->nset, 2);
    const struct ep_value *w = ep_value_get(ep_run_step(r, run, 0, &m.a), "window");
    assert_true(w->kind == EP_V_LIST && w->items[1]->num == 4);
    assert_int_equal(w->pos.line, 5);
    struct ep_input_par in;
    assert_true(ep_params_parse(&m.a, ep_input_params, sizeof in, ep_run_input(r, run, 1, &m.a), NULL, "x", &in, &m.d));
    assert_true(in.energy_offset == 1.5);
    assert_string_equal(run_labelled(&runs, "s=p, t=400")->note, "two\nlines");
    assert_null(run_labelled(&runs, "s=p, t=400")->input[1]);
    assert_null(run_labelled(&runs, "s=q, t=25")->input[0]);
    assert_null(run_labelled(&runs, "s=q, t=25")->input[2]);
    leave(&m);
}

struct table_case { const char *csv, *fragment; };
static const struct table_case TABLES[] = {
    {"", "runs.csv:1:1: error: the table is empty"},
    {"s,t,a\n", "runs.csv:1:1: error: the table has no rows"},
    {"s,t,a\np,1,x,y\n", "runs.csv:2:1: error: this row has 4 cells, the first has 3"},
    {"s;t;a\np;1;x\n", "columns must be separated by commas"},
    {"s,t,a,a\np,1,x,x\n", "runs.csv:1:7: error: column 'a' stands there twice"},
    {"s,t,,a\np,1,x,x\n", "runs.csv:1:5: error: column 3 has no name"},
    {"s,t,aa\np,1,x\n", "column 'aa' is none of the recipe's inputs or coordinates"},
    {"s,temp,a\np,1,x\n", "coordinate t: runs.csv has no column of that name"},
    {"s,t\np,1\n", "r.yaml:2:10: error: input a has no path, and runs.csv has no column of that name"},
    {"s,t,a\np,hot,x\n", "runs.csv:2:3: error: t: \"hot\" is not a number"},
    {"s,t,a\np,4 nm,x\n", "\"4 nm\" is a length"},
    {"s,t,a\np,,x\n", "runs.csv:2:3: error: this row has no value of t"},
    {"s,t,a\n..,1,x\n", "'..' can't be the name of a folder"},
    {"s,t,a\np,1,x\np,01.0,y\n", "runs.csv:3:1: error: the rows in lines 2 and 3 have the same coordinates: s=p, t=1"},
    {"s,t,a\np,1,\"x\n", "runs.csv:2:5: error: a quote is opened and not closed"},
    {"s,t,a\np,1,\"x\"y\n", "runs.csv:2:8: error: after a closing quote there must be a comma"},
    {"s,t,a,skip\np,1,x,maybe\n", "runs.csv:2:7: error: skip: 'maybe' is neither yes nor no"},
    {"s,t,a,steps.s.windw\np,1,x,1\n", "runs.csv:1:7: error: 'steps.s.windw': stage sum has no parameter 'windw': did you mean 'window'?"},
    {"s,t,a,steps.s.windw\np,1,x,\n", "stage sum has no parameter 'windw'"},
    {"s,t,a,steps.s.window\np,1,x,\"[2, 1]\"\n", "runs.csv:2:7: error: step s (sum): window = [2, 1] eV"},
    {"s,t,a,steps.s.window\np,1,x,\"[2, 1\"\n", "runs.csv:2:7: error: "},
    {"s,t,a\np,1,gone.hspy\n", "error: input a: no row names a file that is there"},
};

static void test_wrong_tables(void **state)
{
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        struct room m;
        enter(&m);
        touch(&m, (const char *const[]){"x", "y", NULL});
        struct ep_runs runs;
        struct ep_recipe *r;
        bool good = with_table(&m, "{a: ~}", TABLES[i].csv, &runs, &r);
        if (good || !strstr(said(&m), TABLES[i].fragment)) {
            print_message("table %zu: %s\n  wanted %s\n  said %s\n", i, TABLES[i].csv, TABLES[i].fragment, said(&m));
            bad++;
        }
        leave(&m);
    }
    assert_int_equal(bad, 0);
    struct room m;
    enter(&m);
    put(&m, "runs.csv", "s\0,\0t\0", 6);
    assert_null(small(&m, "{a: ~}", "runs: runs.csv\noutput: 'out/{s}'"));
    expect_said(&m, "this is not text in UTF-8");
    leave(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong),        cmocka_unit_test(test_one_message_each), cmocka_unit_test(test_not_a_recipe),
        cmocka_unit_test(test_all_at_once),  cmocka_unit_test(test_figure),           cmocka_unit_test(test_series),
        cmocka_unit_test(test_filter),       cmocka_unit_test(test_set),              cmocka_unit_test(test_params),
        cmocka_unit_test(test_find),         cmocka_unit_test(test_find_warnings),    cmocka_unit_test(test_at_two),
        cmocka_unit_test(test_table),        cmocka_unit_test(test_wrong_tables),
    };
    return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
