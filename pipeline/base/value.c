#include "pipeline/base/value.h"

#include <string.h>

#include "pipeline/base/json.h"

const struct ep_value *ep_value_get(const struct ep_value *map, const char *key)
{
    if (!map || map->kind != EP_V_MAP) return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (!strcmp(map->keys[i], key)) return map->items[i];
    return NULL;
}

const char *ep_vkind_name(enum ep_vkind k)
{
    switch (k) {
    case EP_V_NULL: return "null";
    case EP_V_BOOL: return "a true/false value";
    case EP_V_NUMBER: return "a number";
    case EP_V_TEXT: return "text";
    case EP_V_LIST: return "a list";
    case EP_V_MAP: return "a mapping";
    }
    return "?";
}

void ep_value_json(struct ep_str *out, const struct ep_value *v)
{
    switch (v ? v->kind : EP_V_NULL) {
    case EP_V_NULL: ep_str_add(out, "null"); break;
    case EP_V_BOOL: ep_str_add(out, v->b ? "true" : "false"); break;
    case EP_V_NUMBER: ep_json_num(out, v->num); break;
    case EP_V_TEXT: ep_json_str(out, v->text); break;
    case EP_V_LIST:
        ep_str_add(out, "[");
        for (size_t i = 0; i < v->n; i++) {
            ep_json_sep(out);
            ep_value_json(out, v->items[i]);
        }
        ep_str_add(out, "]");
        break;
    case EP_V_MAP:
        ep_str_add(out, "{");
        for (size_t i = 0; i < v->n; i++) {
            ep_json_key(out, v->keys[i]);
            ep_value_json(out, v->items[i]);
        }
        ep_str_add(out, "}");
        break;
    }
}

/* ---- a changed copy ---- */

/* A copy of map with room for one more entry; an empty one if there is no map. */
static struct ep_value *copy_map(struct ep_arena *a, const struct ep_value *map, struct ep_pos pos)
{
    struct ep_value *c = EP_ARENA_NEW(a, struct ep_value);
    *c = (struct ep_value){.kind = EP_V_MAP, .pos = pos};
    size_t n = 0;
    if (map && map->kind == EP_V_MAP) {
        c->pos = map->pos;
        n = map->n;
    }
    c->items = EP_ARENA_ARRAY(a, struct ep_value *, n + 1);
    c->keys = EP_ARENA_ARRAY(a, const char *, n + 1);
    c->key_pos = EP_ARENA_ARRAY(a, struct ep_pos, n + 1);
    c->n = n;
    if (n) {
        memcpy(c->items, map->items, n * sizeof *c->items);
        memcpy(c->keys, map->keys, n * sizeof *c->keys);
        memcpy(c->key_pos, map->key_pos, n * sizeof *c->key_pos);
    }
    return c;
}

struct ep_value *ep_value_with(struct ep_arena *a, const struct ep_value *root, const char *dotted,
                               struct ep_value *v)
{
    struct ep_value *top = NULL, **hook = &top;
    const struct ep_value *at = root;
    for (const char *name = dotted;;) {
        if (at && at->kind != EP_V_MAP && at->kind != EP_V_NULL) return NULL;
        size_t len = strcspn(name, ".");
        if (len == 0) return NULL;
        const char *key = ep_arena_strndup(a, name, len);
        struct ep_value *map = copy_map(a, at, v->pos);
        *hook = map;
        size_t i = 0;
        while (i < map->n && strcmp(map->keys[i], key) != 0) i++;
        if (i == map->n) {
            map->n++;
            map->keys[i] = key;
        }
        at = map->items[i];
        map->key_pos[i] = v->pos; /* a message about it names the place of the change */
        hook = &map->items[i];
        name += len;
        if (!*name) break;
        name++;
    }
    *hook = v;
    return top;
}
