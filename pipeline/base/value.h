/* A tree of values with the place of each: what a YAML recipe (or a k=v argument) is after parsing. */
#ifndef EP_BASE_VALUE_H
#define EP_BASE_VALUE_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/diag.h"
#include "pipeline/base/mem.h"

enum ep_vkind { EP_V_NULL, EP_V_BOOL, EP_V_NUMBER, EP_V_TEXT, EP_V_LIST, EP_V_MAP };
struct ep_value {
    enum ep_vkind kind;
    struct ep_pos pos;
    bool b;                       /* EP_V_BOOL */
    bool integer;                 /* EP_V_NUMBER written without point or exponent */
    double num;                   /* EP_V_NUMBER */
    const char *text;             /* every scalar: as written (unquoted); never NULL for scalars */
    size_t n;                     /* list items or map entries */
    struct ep_value **items;
    const char **keys;            /* map only, in the order of the file; unique */
    struct ep_pos *key_pos;       /* map only */
};
const struct ep_value *ep_value_get(const struct ep_value *map, const char *key); /* NULL if absent or not a map */
const char *ep_vkind_name(enum ep_vkind k); /* "a list", "a number", ... for messages */

/* YAML 1.2 core, with libyaml as the scanner: `O`, `N`, `Y`, `No`, `on` are text; true/false (True, TRUE) bool;
 * null, ~ and empty null; numbers by the core schema (0x.., 0o.. too). Refused, each with its place: duplicate keys, `<<`, unknown tags, keys that are not
 * scalars, more than one document, depth over 64, over 200 000 nodes, texts over 8 MiB, aliases that
 * expand to more than that (an alias shares its node; anchors on collections that contain themselves are refused).
 * NULL when anything was wrong (diag says what). `file` is only named in places; it must outlive the tree. */
struct ep_value *ep_yaml_parse(struct ep_arena *a, const char *text, size_t n, const char *file, struct ep_diag *d);
/* A value as given on a command line: YAML, and `a,b,c` without brackets is a list (`a,` a list of one). Places
 * are {label, 0, 0}; label must outlive the tree and the diag. A `#` that would start a comment is refused. */
struct ep_value *ep_value_from_arg(struct ep_arena *a, const char *text, const char *label, struct ep_diag *d);
/* A copy of `root` in which the dotted path (map keys) is set to v; maps on the way are copied, missing ones
 * (and nulls) are made. root may be NULL. NULL if a name in the path is empty or something on the way is a scalar
 * or a list. */
struct ep_value *ep_value_with(struct ep_arena *a, const struct ep_value *root, const char *dotted, struct ep_value *v);
/* Canonical JSON of the tree (see json.h). */
void ep_value_json(struct ep_str *out, const struct ep_value *v);
#endif
