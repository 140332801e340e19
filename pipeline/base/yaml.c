/* YAML text to a tree of values. libyaml gives events; its document API is not used because sizes,
 * depth and aliases have to be bounded while reading, and every duplicate key and tag reported. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <yaml.h>

#include "pipeline/base/units.h"
#include "pipeline/base/value.h"

enum { MOST_DEPTH = 64, MOST_NODES = 200000, MOST_BYTES = 8 << 20 };

#define CORE_TAG "tag:yaml.org,2002:"

/* nodes, bytes and height are what the node is when all of its aliases are followed: whoever walks
 * the tree later does as much work as that. */
struct anchor {
    const char *name;
    struct ep_value *v; /* NULL while the collection is open */
    size_t nodes, bytes;
    int height;
};
struct entry { const char *key; struct ep_pos key_pos; struct ep_value *v; };
struct frame {
    struct ep_value *v;
    size_t anchor; /* its index + 1, or 0 */
    struct entry *entries;
    size_t n, cap;
    size_t nodes_before, bytes_before;
    int height;              /* of its highest child */
    const char *key;         /* of a map: the key whose value comes next, or NULL */
    struct ep_pos key_pos;
    bool drop;               /* that key was refused */
};
struct reader {
    struct ep_arena *a;
    struct ep_diag *d;
    const char *file;
    bool in_line;    /* a command line: places have no line */
    bool bad, stop;  /* something was refused; reading on makes no sense */
    struct ep_value *root;
    struct frame frames[MOST_DEPTH];
    int depth;
    size_t nodes, bytes;
    struct anchor *anchors;
    size_t n_anchors, cap_anchors;
    size_t *slots, n_slots; /* open addressing by name: index + 1 of the last anchor of that name */
};

static struct ep_pos pos_of(const struct reader *r, yaml_mark_t m)
{
    if (r->in_line) return (struct ep_pos){r->file, 0, 0};
    return (struct ep_pos){r->file, (int)m.line + 1, (int)m.column + 1};
}

#define REFUSE(r, pos, ...) ((r)->bad = true, ep_diag_error((r)->d, (pos), __VA_ARGS__))

static struct ep_value *new_value(struct reader *r, enum ep_vkind kind, struct ep_pos pos)
{
    struct ep_value *v = EP_ARENA_NEW(r->a, struct ep_value);
    v->kind = kind;
    v->pos = pos;
    return v;
}

/* Counts what is read; false and stop when it is too much. */
static bool take(struct reader *r, struct ep_pos pos, size_t nodes, size_t bytes)
{
    r->nodes += nodes;
    r->bytes += bytes;
    if (r->nodes > MOST_NODES)
        REFUSE(r, pos, "more than %d values, aliases followed", MOST_NODES);
    else if (r->bytes > MOST_BYTES)
        REFUSE(r, pos, "more than %d MiB of text, aliases followed", MOST_BYTES >> 20);
    else
        return true;
    r->stop = true;
    return false;
}

/* ---- anchors ---- */

static size_t *slot_of(const struct reader *r, const char *name)
{
    size_t i = (size_t)XXH3_64bits(name, strlen(name)) & (r->n_slots - 1);
    while (r->slots[i] && strcmp(r->anchors[r->slots[i] - 1].name, name) != 0)
        i = (i + 1) & (r->n_slots - 1);
    return &r->slots[i];
}

static const struct anchor *find_anchor(const struct reader *r, const char *name)
{
    if (r->n_slots == 0) return NULL;
    size_t k = *slot_of(r, name);
    return k ? &r->anchors[k - 1] : NULL;
}

/* A name may be used again: the last one above an alias counts. Returns index + 1, 0: no name. */
static size_t add_anchor(struct reader *r, const yaml_char_t *name)
{
    if (!name) return 0;
    EP_PUSH(r->anchors, r->n_anchors, r->cap_anchors);
    r->anchors[r->n_anchors - 1].name = ep_arena_strdup(r->a, (const char *)name);
    if (2 * r->n_anchors > r->n_slots) {
        r->n_slots = r->n_slots ? 2 * r->n_slots : 64;
        free(r->slots);
        r->slots = ep_xcalloc(r->n_slots, sizeof *r->slots);
        for (size_t i = 0; i < r->n_anchors; i++) *slot_of(r, r->anchors[i].name) = i + 1;
    } else {
        *slot_of(r, r->anchors[r->n_anchors - 1].name) = r->n_anchors;
    }
    return r->n_anchors;
}

/* ---- scalars ---- */

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(s, *words)) return true;
    return false;
}

static bool all_of(const char *s, const char *set)
{
    return *s && s[strspn(s, set)] == '\0';
}

/* strtod reads no octal; beyond 2^53 the last bit may be off, which nobody writes. */
static double read_octal(const char *s)
{
    double x = 0;
    for (; *s; s++) x = 8 * x + (*s - '0');
    return x;
}

/* The core schema of YAML 1.2 for v->text. False for a number that is too large for a double. */
static bool resolve(struct ep_value *v)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const infs[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    const char *s = v->text, *unsigned_s = s + (*s == '-' || *s == '+');
    v->kind = EP_V_TEXT;
    if (is_one_of(s, nulls)) {
        v->kind = EP_V_NULL;
    } else if (is_one_of(s, trues) || is_one_of(s, falses)) {
        v->kind = EP_V_BOOL;
        v->b = is_one_of(s, trues);
    } else if (is_one_of(s, nans)) {
        v->kind = EP_V_NUMBER;
        v->num = NAN;
    } else if (is_one_of(unsigned_s, infs)) {
        v->kind = EP_V_NUMBER;
        v->num = *s == '-' ? -INFINITY : INFINITY;
    } else if (s[0] == '0' && s[1] == 'o' && all_of(s + 2, "01234567")) {
        v->kind = EP_V_NUMBER;
        v->integer = true;
        v->num = read_octal(s + 2);
        return isfinite(v->num);
    } else if (s[0] == '0' && s[1] == 'x' && all_of(s + 2, "0123456789abcdefABCDEF")) {
        v->kind = EP_V_NUMBER;
        v->integer = true;
        v->num = strtod(s, NULL); /* no point in it: the locale does not matter */
        return isfinite(v->num);
    } else if (ep_parse_number(s, &v->num)) {
        v->kind = EP_V_NUMBER;
        v->integer = all_of(unsigned_s, "0123456789");
    }
    return v->kind == EP_V_NUMBER || !isinf(v->num); /* see ep_parse_number() */
}

static void refuse_tag(struct reader *r, struct ep_pos pos, const char *tag)
{
    if (!strncmp(tag, CORE_TAG, strlen(CORE_TAG)))
        REFUSE(r, pos, "the tag !!%.100s is not known here", tag + strlen(CORE_TAG));
    else
        REFUSE(r, pos, "the tag %.100s is not known here", tag);
}

static void apply_scalar_tag(struct reader *r, struct ep_value *v, const char *tag)
{
    const char *name = strncmp(tag, CORE_TAG, strlen(CORE_TAG)) ? "" : tag + strlen(CORE_TAG);
    if (!strcmp(name, "str")) {
        *v = (struct ep_value){.kind = EP_V_TEXT, .pos = v->pos, .text = v->text};
        return;
    }
    bool is_int = !strcmp(name, "int"), is_float = !strcmp(name, "float");
    bool is_bool = !strcmp(name, "bool"), is_null = !strcmp(name, "null");
    if (!is_int && !is_float && !is_bool && !is_null) {
        refuse_tag(r, v->pos, tag);
        return;
    }
    resolve(v); /* quoted, too */
    if ((is_int && v->kind == EP_V_NUMBER && v->integer) || (is_float && v->kind == EP_V_NUMBER)
        || (is_bool && v->kind == EP_V_BOOL) || (is_null && v->kind == EP_V_NULL)) {
        if (is_float) v->integer = false;
        return;
    }
    REFUSE(r, v->pos, "\"%.100s\" is not what its tag !!%s says", v->text, name);
}

/* ---- building ---- */

static void deliver(struct reader *r, struct ep_value *v, struct ep_pos pos, bool plain, int height)
{
    if (r->depth == 0) {
        r->root = v;
        return;
    }
    struct frame *f = &r->frames[r->depth - 1];
    if (height > f->height) f->height = height;
    if (f->v->kind == EP_V_LIST) {
        EP_PUSH(f->entries, f->n, f->cap);
        f->entries[f->n - 1].v = v;
    } else if (f->key) {
        if (!f->drop) {
            EP_PUSH(f->entries, f->n, f->cap);
            f->entries[f->n - 1] = (struct entry){f->key, f->key_pos, v};
        }
        f->key = NULL;
    } else {
        f->drop = true;
        f->key = v->text ? v->text : "";
        f->key_pos = pos;
        if (!v->text)
            REFUSE(r, pos, "a key is one word or text, not %s", ep_vkind_name(v->kind));
        else if (plain && !*v->text)
            REFUSE(r, pos, "a key is missing before the colon");
        else if (plain && !strcmp(v->text, "<<"))
            REFUSE(r, pos, "`<<` (merging) is not YAML 1.2: write the keys out, or use an alias "
                           "for the whole value");
        else
            f->drop = false;
    }
}

static int compare_entries(const void *pa, const void *pb)
{
    const struct entry *a = *(const struct entry *const *)pa, *b = *(const struct entry *const *)pb;
    int c = strcmp(a->key, b->key);
    return c ? c : (a > b) - (a < b);
}

/* The first of equal keys stays. Sorting keeps a map of 100 000 keys from taking minutes. */
static void refuse_duplicates(struct reader *r, struct frame *f)
{
    if (f->n < 2) return;
    struct entry **sorted = ep_xmalloc(f->n * sizeof *sorted);
    for (size_t i = 0; i < f->n; i++) sorted[i] = &f->entries[i];
    qsort(sorted, f->n, sizeof *sorted, compare_entries);
    const struct entry *first = sorted[0];
    for (size_t i = 1; i < f->n; i++) {
        if (strcmp(first->key, sorted[i]->key) != 0) {
            first = sorted[i];
            continue;
        }
        if (r->in_line)
            REFUSE(r, sorted[i]->key_pos, "the key `%.200s` is there twice", first->key);
        else
            REFUSE(r, sorted[i]->key_pos, "the key `%.200s` is there already, in line %d",
                   first->key, first->key_pos.line);
        sorted[i]->v = NULL;
    }
    free(sorted);
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->entries[i].v) f->entries[kept++] = f->entries[i];
    f->n = kept;
}

static void open_collection(struct reader *r, enum ep_vkind kind, struct ep_pos pos,
                            const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (!take(r, pos, 1, 0)) return;
    if (r->depth == MOST_DEPTH) {
        REFUSE(r, pos, "nested more than %d deep", MOST_DEPTH);
        r->stop = true;
        return;
    }
    const char *fits = kind == EP_V_LIST ? CORE_TAG "seq" : CORE_TAG "map";
    if (tag && strcmp((const char *)tag, "!") != 0 && strcmp((const char *)tag, fits) != 0)
        refuse_tag(r, pos, (const char *)tag);
    struct frame *f = &r->frames[r->depth++];
    struct entry *entries = f->entries; /* kept for the next collection at this depth */
    size_t cap = f->cap;
    *f = (struct frame){.v = new_value(r, kind, pos), .anchor = add_anchor(r, anchor),
                        .entries = entries, .cap = cap,
                        .nodes_before = r->nodes - 1, .bytes_before = r->bytes};
}

static void close_collection(struct reader *r)
{
    struct frame *f = &r->frames[r->depth - 1];
    struct ep_value *v = f->v;
    if (v->kind == EP_V_MAP) refuse_duplicates(r, f);
    v->n = f->n;
    v->items = EP_ARENA_ARRAY(r->a, struct ep_value *, f->n);
    if (v->kind == EP_V_MAP) {
        v->keys = EP_ARENA_ARRAY(r->a, const char *, f->n);
        v->key_pos = EP_ARENA_ARRAY(r->a, struct ep_pos, f->n);
    }
    for (size_t i = 0; i < f->n; i++) {
        v->items[i] = f->entries[i].v;
        if (v->kind != EP_V_MAP) continue;
        v->keys[i] = f->entries[i].key;
        v->key_pos[i] = f->entries[i].key_pos;
    }
    int height = f->height + 1;
    if (f->anchor) {
        struct anchor *an = &r->anchors[f->anchor - 1];
        an->v = v;
        an->nodes = r->nodes - f->nodes_before;
        an->bytes = r->bytes - f->bytes_before;
        an->height = height;
    }
    r->depth--;
    deliver(r, v, v->pos, false, height);
}

static void read_scalar(struct reader *r, const yaml_event_t *ev)
{
    struct ep_pos pos = pos_of(r, ev->start_mark);
    const char *text = (const char *)ev->data.scalar.value;
    const char *tag = (const char *)ev->data.scalar.tag;
    size_t n = ev->data.scalar.length;
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (!take(r, pos, 1, n)) return;
    struct ep_value *v = new_value(r, EP_V_TEXT, pos);
    v->text = ep_arena_strndup(r->a, text, n);
    if (strlen(v->text) != n) REFUSE(r, pos, "a text can't hold the character \\0");
    if (tag && strcmp(tag, "!") != 0) {
        apply_scalar_tag(r, v, tag);
    } else if (plain && !resolve(v)) {
        REFUSE(r, pos, "%.100s is too large for a number (if it is a name, put it in quotes)",
               v->text);
    }
    size_t k = add_anchor(r, ev->data.scalar.anchor);
    if (k) {
        struct anchor *an = &r->anchors[k - 1];
        an->v = v;
        an->nodes = 1;
        an->bytes = n;
    }
    deliver(r, v, pos, plain, 0);
}

static void read_alias(struct reader *r, const yaml_event_t *ev)
{
    struct ep_pos pos = pos_of(r, ev->start_mark);
    const char *name = (const char *)ev->data.alias.anchor;
    const struct anchor *an = find_anchor(r, name);
    struct ep_value *v = an ? an->v : NULL;
    if (v) {
        if (!take(r, pos, an->nodes, an->bytes)) return;
        if (r->depth + an->height > MOST_DEPTH) {
            REFUSE(r, pos, "nested more than %d deep, aliases followed", MOST_DEPTH);
            r->stop = true;
            return;
        }
    } else {
        if (an) REFUSE(r, pos, "*%.100s stands within the very value that it names", name);
        else REFUSE(r, pos, "*%.100s names nothing: there is no &%.100s above", name, name);
        if (!take(r, pos, 1, 0)) return;
        v = new_value(r, EP_V_NULL, pos);
        v->text = "?"; /* as a key: not one that is missing */
    }
    deliver(r, v, pos, false, an ? an->height : 0);
}

/* ---- reading ---- */

/* libyaml gives bytes, not lines, for what is not text at all. */
static struct ep_pos pos_of_byte(const struct reader *r, const char *text, size_t n, size_t offset)
{
    struct ep_pos p = {r->file, 1, 1};
    if (r->in_line) return (struct ep_pos){r->file, 0, 0};
    for (size_t i = 0; i < offset && i < n; i++) {
        if (text[i] == '\n') {
            p.line++;
            p.col = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            p.col++;
        }
    }
    return p;
}

static void report_syntax(struct reader *r, const yaml_parser_t *y, const char *text, size_t n)
{
    const char *problem = y->problem ? y->problem : "not understood";
    if (y->error == YAML_MEMORY_ERROR) {
        REFUSE(r, ((struct ep_pos){r->file, 0, 0}), "out of memory");
    } else if (y->error == YAML_READER_ERROR) {
        REFUSE(r, pos_of_byte(r, text, n, y->problem_offset), "not plain UTF-8 text: %s", problem);
    } else {
        /* libyaml counts the end of a last line without a newline as one line more. */
        struct ep_pos pos = pos_of(r, y->problem_mark), last = pos_of_byte(r, text, n, n);
        if (pos.line > last.line) pos = last;
        bool tab = y->problem_mark.index < n && strstr(problem, "cannot start any token")
                   && y->buffer.pointer < y->buffer.last && *y->buffer.pointer == '\t';
        const char *hint = tab ? " (a tab: indent with blanks)" : "";
        if (y->context && !r->in_line && y->context_mark.line != y->problem_mark.line)
            REFUSE(r, pos, "YAML: %s, %s%s (it began in line %zu)", y->context, problem, hint,
                   y->context_mark.line + 1);
        else
            REFUSE(r, pos, "YAML: %s%s%s%s", y->context ? y->context : "", y->context ? ", " : "",
                   problem, hint);
    }
}

static void read_events(struct reader *r, yaml_parser_t *y, const char *text, size_t n)
{
    int documents = 0;
    for (bool end = false; !end && !r->stop;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(y, &ev)) {
            report_syntax(r, y, text, n);
            return;
        }
        struct ep_pos pos = pos_of(r, ev.start_mark);
        switch (ev.type) {
        case YAML_DOCUMENT_START_EVENT:
            if (documents++ == 0) break;
            REFUSE(r, pos, "a second document starts here; only one is read");
            r->stop = true;
            break;
        case YAML_SCALAR_EVENT: read_scalar(r, &ev); break;
        case YAML_ALIAS_EVENT: read_alias(r, &ev); break;
        case YAML_SEQUENCE_START_EVENT:
            open_collection(r, EP_V_LIST, pos, ev.data.sequence_start.anchor,
                            ev.data.sequence_start.tag);
            break;
        case YAML_MAPPING_START_EVENT:
            open_collection(r, EP_V_MAP, pos, ev.data.mapping_start.anchor,
                            ev.data.mapping_start.tag);
            break;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT: close_collection(r); break;
        case YAML_STREAM_END_EVENT: end = true; break;
        default: break;
        }
        yaml_event_delete(&ev);
    }
}

static struct ep_value *parse(struct ep_arena *a, const char *text, size_t n, const char *file,
                              bool in_line, struct ep_diag *d)
{
    if (n > MOST_BYTES) {
        ep_diag_error(d, (struct ep_pos){file, 0, 0}, "more than %d MiB of text", MOST_BYTES >> 20);
        return NULL;
    }
    yaml_parser_t y;
    if (!yaml_parser_initialize(&y)) {
        ep_diag_error(d, (struct ep_pos){file, 0, 0}, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&y, (const unsigned char *)text, n);
    struct reader r = {.a = a, .d = d, .file = file, .in_line = in_line};
    read_events(&r, &y, text, n);
    yaml_parser_delete(&y);
    while (r.depth > 0) { /* left open by a syntax error: what is known is reported */
        struct frame *f = &r.frames[--r.depth];
        if (f->v->kind == EP_V_MAP) refuse_duplicates(&r, f);
    }
    for (int i = 0; i < MOST_DEPTH; i++) free(r.frames[i].entries);
    free(r.anchors);
    free(r.slots);
    if (r.bad) return NULL;
    if (!r.root) { /* nothing but comments */
        r.root = new_value(&r, EP_V_NULL, (struct ep_pos){file, !in_line, !in_line});
        r.root->text = "";
    }
    return r.root;
}

struct ep_value *ep_yaml_parse(struct ep_arena *a, const char *text, size_t n, const char *file,
                               struct ep_diag *d)
{
    return parse(a, text, n, file, false, d);
}

/* ---- values of a command line ---- */

/* The end of the piece that starts at s: a comma outside of quotes and brackets, or the end of the
 * text. Brackets count wherever they stand, so that "x/{sample}/a.h5,x/{sample}/b.h5" is two paths;
 * a quote only where a word may start, so that "don't" is a word. *comment: YAML would drop what
 * follows. */
static const char *piece_end(const char *s, const char **comment)
{
    int depth = 0;
    bool word_start = true;
    *comment = NULL;
    for (; *s; s++) {
        if (*s == ' ' || *s == '\t' || *s == '\n') {
            if (s[1] == '#') {
                *comment = s + 1;
                return s;
            }
            continue;
        }
        if (word_start && *s == '#') {
            *comment = s;
            return s;
        }
        if (word_start && (*s == '"' || *s == '\'')) {
            const char quote = *s++;
            /* '' is a quote within single ones, \" within double ones. */
            while (*s && (*s != quote || (quote == '\'' && s[1] == quote)))
                s += (*s == quote || (*s == '\\' && quote == '"')) && s[1] ? 2 : 1;
            if (!*s) return s;
            word_start = false;
            continue;
        }
        if (*s == ',' && depth <= 0) return s;
        if (*s == '[' || *s == '{') depth++;
        if (*s == ']' || *s == '}') depth--;
        word_start = strchr("[{,:", *s) != NULL;
    }
    return s;
}

static bool blank(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\n')) s++;
    return s == end;
}

struct ep_value *ep_value_from_arg(struct ep_arena *a, const char *text, const char *label,
                                   struct ep_diag *d)
{
    const struct ep_pos pos = {label, 0, 0};
    struct ep_value *list = EP_ARENA_NEW(a, struct ep_value);
    *list = (struct ep_value){.kind = EP_V_LIST, .pos = pos};
    size_t pieces = 1;
    for (const char *c = text; *c; c++) pieces += *c == ',';
    if (pieces > MOST_NODES) {
        ep_diag_error(d, pos, "more than %d values", MOST_NODES);
        return NULL;
    }
    list->items = EP_ARENA_ARRAY(a, struct ep_value *, pieces);
    bool good = true, commas = false;
    for (const char *s = text;;) {
        const char *comment, *end = piece_end(s, &comment);
        if (comment) {
            ep_diag_error(d, pos, "in `%.200s`, # would start a comment: put the text in quotes",
                          text);
            return NULL;
        }
        if (*end == ',') commas = true;
        bool last = *end == '\0';
        if (blank(s, end) && commas && !(last && list->n > 0)) {
            ep_diag_error(d, pos, "in `%.200s`, nothing stands before a comma", text);
            return NULL;
        }
        if (!blank(s, end) || !commas) { /* "a," is a list of one */
            struct ep_value *v = parse(a, s, (size_t)(end - s), label, true, d);
            if (!v) good = false;
            list->items[list->n++] = v;
        }
        if (last) break;
        s = end + 1;
    }
    if (!good) return NULL;
    return commas ? list : list->items[0];
}
