/* What messages are made of: suggestions, lists of what is allowed, values as they were written. */
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/recipe/parts.h"

enum { MOST_LISTED = 24, MOST_SHOWN = 60 };

const char *ep_hint_word(struct ep_arena *a, const char *suggestion, const char *const *candidates,
                         const char *label)
{
    struct ep_str b = {0};
    ep_str_add(&b, "");
    if (suggestion) ep_str_addf(&b, ": did you mean '%s'?", suggestion);
    if (label && candidates[0]) {
        ep_str_addf(&b, "%s %s: ", suggestion ? "" : ".", label);
        for (size_t i = 0; candidates[i]; i++) {
            if (i == MOST_LISTED) {
                ep_str_add(&b, ", ...");
                break;
            }
            ep_str_addf(&b, "%s%s", i ? ", " : "", candidates[i]);
        }
    }
    char *s = ep_arena_strdup(a, b.s);
    ep_str_free(&b);
    return s;
}

const char *ep_hint(struct ep_arena *a, const char *word, const char *const *candidates, const char *label)
{
    return ep_hint_word(a, ep_suggest(word, candidates), candidates, label);
}

const char *ep_show(struct ep_arena *a, const struct ep_value *v)
{
    struct ep_str b = {0}, spaced = {0};
    /* The number as it was written reads better than its shortest form: 525.0 stays 525.0. */
    if (v && v->kind == EP_V_NUMBER) ep_str_add(&b, v->text);
    else ep_value_json(&b, v);
    bool quoted = false;
    for (size_t i = 0; i < b.n; i++) {
        if (spaced.n >= MOST_SHOWN && ((unsigned char)b.s[i] & 0xC0) != 0x80) {
            ep_str_add(&spaced, "...");
            break;
        }
        ep_str_addn(&spaced, b.s + i, 1);
        if (b.s[i] == '"' && (i == 0 || b.s[i - 1] != '\\')) quoted = !quoted;
        if (!quoted && (b.s[i] == ',' || b.s[i] == ':')) ep_str_add(&spaced, " ");
    }
    char *s = ep_arena_strdup(a, spaced.n ? spaced.s : "");
    ep_str_free(&b);
    ep_str_free(&spaced);
    return s;
}

const char *ep_show_number(struct ep_arena *a, double x)
{
    struct ep_str b = {0};
    ep_json_num(&b, x);
    char *s = ep_arena_strdup(a, b.s);
    ep_str_free(&b);
    return s;
}

bool ep_name_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
        bool digit = s[i] >= '0' && s[i] <= '9';
        if (!letter && (i == 0 || (!digit && s[i] != '_'))) return false;
    }
    return n > 0;
}

struct ep_pos ep_key_pos(const struct ep_value *map, const char *key)
{
    for (size_t i = 0; i < map->n && map->kind == EP_V_MAP; i++)
        if (!strcmp(map->keys[i], key)) return map->key_pos[i];
    return map->pos;
}

void ep_unknown_keys(struct ep_arena *a, const struct ep_value *map, const char *const *allowed, const char *what,
                     struct ep_diag *d)
{
    for (size_t i = 0; i < map->n; i++) {
        size_t k = 0;
        while (allowed[k] && strcmp(map->keys[i], allowed[k]) != 0) k++;
        if (!allowed[k])
            ep_diag_error(d, map->key_pos[i], "unknown key '%s' in %s%s", map->keys[i], what,
                          ep_hint(a, map->keys[i], allowed, "Allowed"));
    }
}
