/* pipeline/base/value.h: YAML texts, values of a command line, changed copies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipeline/base/log.h"
#include "pipeline/base/value.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct ep_value *read_text(struct ep_arena *a, const char *text, struct ep_diag *d)
{
    return ep_yaml_parse(a, text, strlen(text), "r", d);
}

static char *printed(const struct ep_diag *d)
{
    char *s = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&s, &n);
    ep_diag_print(d, f);
    fclose(f);
    return s;
}

static void expect_json(const struct ep_value *v, const char *want)
{
    struct ep_str b = {0};
    ep_value_json(&b, v);
    assert_string_equal(b.s, want);
    ep_str_free(&b);
}

static void expect_tree(const char *text, const char *want)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct ep_value *v = read_text(&a, text, &d);
    if (!v) {
        char *s = printed(&d);
        fail_msg("%s: %s", text, s);
    }
    assert_int_equal(d.n, 0);
    expect_json(v, want);
    ep_diag_free(&d);
    ep_arena_free(&a);
}

static void expect_errors(const char *text, const char *want)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    assert_null(read_text(&a, text, &d));
    char *s = printed(&d);
    assert_string_equal(s, want);
    free(s);
    /* The same text again: refused again though nothing new is stored. */
    size_t before = d.nerrors;
    assert_null(read_text(&a, text, &d));
    assert_int_equal(d.nerrors, before);
    ep_diag_free(&d);
    ep_arena_free(&a);
}

static void core_scalars(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum ep_vkind kind;
        double x;
        bool integer;
    } t[] = {
        {"O", EP_V_TEXT, 0, 0},
        {"N", EP_V_TEXT, 0, 0},
        {"Y", EP_V_TEXT, 0, 0},
        {"No", EP_V_TEXT, 0, 0},
        {"yes", EP_V_TEXT, 0, 0},
        {"on", EP_V_TEXT, 0, 0},
        {"off", EP_V_TEXT, 0, 0},
        {"true", EP_V_BOOL, 1, 0},
        {"True", EP_V_BOOL, 1, 0},
        {"TRUE", EP_V_BOOL, 1, 0},
        {"false", EP_V_BOOL, 0, 0},
        {"False", EP_V_BOOL, 0, 0},
        {"FALSE", EP_V_BOOL, 0, 0},
        {"tRUE", EP_V_TEXT, 0, 0},
        {"null", EP_V_NULL, 0, 0},
        {"Null", EP_V_NULL, 0, 0},
        {"NULL", EP_V_NULL, 0, 0},
        {"~", EP_V_NULL, 0, 0},
        {"nULL", EP_V_TEXT, 0, 0},
        {"0", EP_V_NUMBER, 0, 1},
        {"-19", EP_V_NUMBER, -19, 1},
        {"+3", EP_V_NUMBER, 3, 1},
        {"025", EP_V_NUMBER, 25, 1},
        {"0o17", EP_V_NUMBER, 15, 1},
        {"0x1F", EP_V_NUMBER, 31, 1},
        {"-0x1F", EP_V_TEXT, 0, 0},
        {"0o18", EP_V_TEXT, 0, 0},
        {"0x", EP_V_TEXT, 0, 0},
        {"0xFFFFFFFFFFFFFFFFFF", EP_V_NUMBER, 4722366482869645213696.0, 1},
        {"1.5", EP_V_NUMBER, 1.5, 0},
        {"1.", EP_V_NUMBER, 1, 0},
        {".5", EP_V_NUMBER, .5, 0},
        {"-1e3", EP_V_NUMBER, -1000, 0},
        {"12e03", EP_V_NUMBER, 12000, 0},
        {"1.E+2", EP_V_NUMBER, 100, 0},
        {".inf", EP_V_NUMBER, INFINITY, 0},
        {"-.INF", EP_V_NUMBER, -INFINITY, 0},
        {"+.Inf", EP_V_NUMBER, INFINITY, 0},
        {"inf", EP_V_TEXT, 0, 0},
        {"nan", EP_V_TEXT, 0, 0},
        {"-.nan", EP_V_TEXT, 0, 0},
        {"1_000", EP_V_TEXT, 0, 0},
        {"12:30", EP_V_TEXT, 0, 0},
        {"1:30:00", EP_V_TEXT, 0, 0},
        {"0b11", EP_V_TEXT, 0, 0},
        {"2024-05-01", EP_V_TEXT, 0, 0},
        {"1.2.3", EP_V_TEXT, 0, 0},
        {"1e", EP_V_TEXT, 0, 0},
        {".", EP_V_TEXT, 0, 0},
        {"=", EP_V_TEXT, 0, 0},
        {"4.4 keV", EP_V_TEXT, 0, 0},
        {"1-2", EP_V_TEXT, 0, 0},
    };
    for (size_t i = 0; i < COUNT(t); i++) {
        struct ep_arena a = {0};
        struct ep_diag d = {0};
        const struct ep_value *v = read_text(&a, t[i].text, &d);
        if (!v || v->kind != t[i].kind)
            fail_msg("%s: %s", t[i].text, v ? ep_vkind_name(v->kind) : "-");
        assert_string_equal(v->text, t[i].text);
        if (v->kind == EP_V_BOOL) assert_int_equal(v->b, t[i].x == 1);
        if (v->kind == EP_V_NUMBER) assert_true(v->num == t[i].x);
        assert_int_equal(v->integer, t[i].integer);
        ep_diag_free(&d);
        ep_arena_free(&a);
    }
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    assert_true(isnan(read_text(&a, ".NaN", &d)->num));
    ep_arena_free(&a);
    expect_tree("['5', \"true\", 'null', '', \"~\"]", "[\"5\",\"true\",\"null\",\"\",\"~\"]");
    expect_tree("- |\n 5\n- >-\n 5\n- ''\n-", "[\"5\\n\",\"5\",\"\",null]");
    expect_tree("[!!str 5, !!int '5', !!float 5, !!bool 'true', !!null '', !!seq [], !!map {}, "
                "!<tag:yaml.org,2002:str> 1]",
                "[\"5\",5,5,true,null,[],{},\"1\"]");
}

static void trees(void **state)
{
    (void)state;
    expect_tree("", "null");
    expect_tree("# only this\n", "null");
    expect_tree("---\n...\n", "null");
    expect_tree("%YAML 1.2\n---\na: 1\n", "{\"a\":1}");
    expect_tree("\xef\xbb\xbf"
                "a: 1\n",
                "{\"a\":1}");
    expect_tree("a:\nb: {x, y: [1, 2,]}\n25: z\n",
                "{\"a\":null,\"b\":{\"x\":null,\"y\":[1,2]},\"25\":\"z\"}");
    expect_tree("{\"a\":1,\"b\":[1,2]}", "{\"a\":1,\"b\":[1,2]}");
    expect_tree("ll: testdata/{sample}/{t}C/ll.hspy\n",
                "{\"ll\":\"testdata/{sample}/{t}C/ll.hspy\"}");
    expect_tree("[O, N, Y, No]", "[\"O\",\"N\",\"Y\",\"No\"]");
    expect_tree("a: \"\\u00b5m \xc2\xb5\"\r\nb: 2\r\n", "{\"a\":\"\u00b5m \u00b5\",\"b\":2}");
    expect_tree("a: &x [1, &y b]\nc: *x\n*y : *y\n",
                "{\"a\":[1,\"b\"],\"c\":[1,\"b\"],\"b\":\"b\"}");
    expect_tree("[&x 1, *x, &x 2, *x, &z [&z 3], *z]", "[1,1,2,2,[3],3]");
    expect_tree("'<<': 1\n", "{\"<<\":1}");
    expect_tree("? a\n: 1\n", "{\"a\":1}");
}

static void kinds_and_lookup(void **state)
{
    (void)state;
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct ep_value *v = read_text(&a, "a: 1\nb: [x]\n", &d);
    assert_true(ep_value_get(v, "a")->num == 1);
    assert_null(ep_value_get(v, "c"));
    assert_null(ep_value_get(ep_value_get(v, "b"), "a"));
    assert_null(ep_value_get(NULL, "a"));
    assert_string_equal(ep_vkind_name(EP_V_MAP), "a mapping");
    expect_json(NULL, "null");
    ep_arena_free(&a);
}

static void places(void **state)
{
    (void)state;
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct ep_value *v =
        read_text(&a, "# c\nsteps:\n  \u00b5: {s: [1, 22]}\n  b:\n  c: &q x\n  d: *q\n", &d);
    const struct ep_value *s = ep_value_get(v, "steps"), *list = ep_value_get(s->items[0], "s");
    assert_true(v->pos.line == 2 && v->pos.col == 1);
    assert_true(s->pos.line == 3 && s->pos.col == 3);
    assert_true(s->key_pos[0].line == 3 && s->key_pos[0].col == 3);
    assert_true(s->items[0]->pos.line == 3 &&
                s->items[0]->pos.col == 6); /* columns count characters */
    assert_true(list->items[1]->pos.line == 3 && list->items[1]->pos.col == 14);
    assert_int_equal(s->items[1]->kind, EP_V_NULL);
    assert_true(s->items[1]->pos.line == 4);
    assert_ptr_equal(s->items[2], s->items[3]); /* shared */
    assert_true(s->key_pos[3].line == 6 && s->key_pos[3].col == 3);
    assert_string_equal(s->pos.file, "r");
    ep_arena_free(&a);
}

static void refusals(void **state)
{
    (void)state;
    expect_errors(
        "a: 1\nb: 2\na: 3\nc: {x: 1, x: 2, 'x': 3}\n<<: *q\nd: !foo 1\ne: !!set {a}\n[1]: 2\n"
        "f: !!int x\ng: 1e999\nh: \"a\\0b\"\n? {k: v}\n: 5\ni: !!omap []\n?\n: 7\n",
        "r:3:1: error: the key `a` is there already, in line 1\n"
        "r:4:11: error: the key `x` is there already, in line 4\n"
        "r:4:17: error: the key `x` is there already, in line 4\n"
        "r:5:1: error: `<<` (merging) is not YAML 1.2: write the keys out, or use an alias for "
        "the whole value\n"
        "r:5:5: error: *q names nothing: there is no &q above\n"
        "r:6:4: error: the tag !foo is not known here\n"
        "r:7:4: error: the tag !!set is not known here\n"
        "r:8:1: error: a key is one word or text, not a list\n"
        "r:9:4: error: \"x\" is not what its tag !!int says\n"
        "r:10:4: error: 1e999 is too large for a number (if it is a name, put it in quotes)\n"
        "r:11:4: error: a text can't hold the character \\0\n"
        "r:12:3: error: a key is one word or text, not a mapping\n"
        "r:14:4: error: the tag !!omap is not known here\n"
        "r:15:2: error: a key is missing before the colon\n"
        "14 errors\n");
    expect_errors("a: 1\n---\nb: 2\n",
                  "r:2:1: error: a second document starts here; only one is read\n1 error\n");
    expect_errors("a: &x [1, *x]\n",
                  "r:1:11: error: *x stands within the very value that it names\n1 error\n");
    expect_errors("25: a\n'25': b\n",
                  "r:2:1: error: the key `25` is there already, in line 1\n1 error\n");
    expect_errors("a: [1, 2\nb: 3\n",
                  "r:2:2: error: YAML: while parsing a flow sequence, did not find expected "
                  "',' or ']' (it began in line 1)\n1 error\n");
    expect_errors(
        "a: 1\nb: {x: 1, x: 2, y: [\na: 2\n]",
        "r:2:11: error: the key `x` is there already, in line 2\n"
        "r:4:2: error: YAML: while parsing a flow mapping, did not find expected ',' or '}' "
        "(it began in line 2)\n2 errors\n");
    expect_errors("a:\n\tb: 1\n",
                  "r:2:1: error: YAML: while scanning for the next token, found character that "
                  "cannot start any token (a tab: indent with blanks)\n1 error\n");
    expect_errors("a: 1\nb: x\xff\n",
                  "r:2:5: error: not plain UTF-8 text: invalid leading UTF-8 octet\n1 error\n");
    expect_errors(
        "a: x\x01\n",
        "r:1:5: error: not plain UTF-8 text: control characters are not allowed\n1 error\n");
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    assert_null(ep_yaml_parse(&a, "a\0b", 3, "r", &d));
    assert_int_equal(d.nerrors, 1);
    ep_diag_free(&d);
    ep_arena_free(&a);
}

/* ---- hostile texts: bounded in time and memory ---- */

static void expect_refused(const char *text, size_t n, const char *part)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    double start = ep_now();
    struct ep_value *v = ep_yaml_parse(&a, text, n, "r", &d);
    assert_true(ep_now() - start < 20); /* sanitizers and valgrind are slow, squares are slower */
    assert_true(a.total < (size_t)200 << 20);
    if (part) {
        assert_null(v);
        char *s = printed(&d);
        if (!strstr(s, part)) fail_msg("\"%s\" is not in %s", part, s);
        free(s);
    } else {
        assert_non_null(v);
    }
    ep_diag_free(&d);
    ep_arena_free(&a);
}

static struct ep_str repeated(const char *piece, size_t times)
{
    struct ep_str b = {0};
    for (size_t i = 0; i < times; i++) ep_str_add(&b, piece);
    return b;
}

static void expect_repeated(const char *piece, size_t times, const char *part)
{
    struct ep_str b = repeated(piece, times);
    expect_refused(b.s, b.n, part);
    ep_str_free(&b);
}

static void depth(void **state)
{
    (void)state;
    for (size_t n = 64; n <= 65; n++) {
        struct ep_str b = repeated("[", n);
        for (size_t i = 0; i < n; i++) ep_str_add(&b, "]");
        expect_refused(b.s, b.n, n == 64 ? NULL : "r:1:65: error: nested more than 64 deep\n");
        ep_str_free(&b);
    }
    expect_repeated("[", 8 << 20, "nested more than 64 deep");
    expect_repeated("{a: ", 1 << 20, "nested more than 64 deep");
    expect_repeated("- ", 100000, "nested more than 64 deep");
    expect_repeated("? ", 100000, "nested more than 64 deep");
    struct ep_str b = {0}; /* each line holds the one above: deep by aliases only */
    ep_str_add(&b, "- &a0 [1]\n");
    for (int i = 1; i < 100; i++) ep_str_addf(&b, "- &a%d [*a%d]\n", i, i - 1);
    expect_refused(b.s, b.n, "r:64:9: error: nested more than 64 deep, aliases followed");
    ep_str_free(&b);
}

static void sizes(void **state)
{
    (void)state;
    expect_repeated("#", (8 << 20) + 1, "r: error: more than 8 MiB of text");
    expect_repeated("#", 8 << 20, NULL);
    expect_repeated("- 1\n", 199999, NULL);
    expect_repeated("- 1\n", 200000, "r:200000:3: error: more than 200000 values");
    expect_repeated("a: 1\n", 90000, "the key `a` is there already, in line 1");
    struct ep_str b = {0};
    for (int i = 0; i < 99999; i++) ep_str_addf(&b, "k%d:\n", i);
    expect_refused(b.s, b.n, NULL);
    b.n = 0;
    for (int i = 0; i < 99000; i++) ep_str_addf(&b, "- &x%d 1\n- *x%d\n", i, i / 2);
    expect_refused(b.s, b.n, NULL);
    ep_str_free(&b);
}

static void alias_bombs(void **state)
{
    (void)state;
    struct ep_str b = {0};
    ep_str_add(&b, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (int i = 1; i < 60; i++) {
        ep_str_addf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++) ep_str_addf(&b, "*a%d,", i - 1);
        ep_str_add(&b, "]\n");
    }
    expect_refused(b.s, b.n, "more than 200000 values, aliases followed");
    b.n = 0;
    ep_str_add(&b, "- &t '"); /* few nodes, much text */
    for (int i = 0; i < 1000000; i++) ep_str_add(&b, "x");
    ep_str_add(&b, "'\n");
    for (int i = 0; i < 100; i++) ep_str_add(&b, "- *t\n");
    expect_refused(b.s, b.n, "r:9:3: error: more than 8 MiB of text, aliases followed");
    ep_str_free(&b);
}

/* ---- the command line ---- */

static void expect_arg(const char *text, const char *want)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct ep_value *v = ep_value_from_arg(&a, text, "window", &d);
    if (!v) fail_msg("%s: refused", text);
    expect_json(v, want);
    assert_string_equal(v->pos.file, "window");
    assert_int_equal(v->pos.line, 0);
    ep_diag_free(&d);
    ep_arena_free(&a);
}

static void expect_bad_arg(const char *text, const char *want)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    assert_null(ep_value_from_arg(&a, text, "window", &d));
    char *s = printed(&d);
    if (!strstr(s, want)) fail_msg("%s: %s", text, s);
    free(s);
    ep_diag_free(&d);
    ep_arena_free(&a);
}

static void arguments(void **state)
{
    (void)state;
    expect_arg("50,54.2", "[50,54.2]");
    expect_arg(" 50 , 54.2 ", "[50,54.2]");
    expect_arg("[50,54.2]", "[50,54.2]");
    expect_arg("[1,2],[3,4]", "[[1,2],[3,4]]");
    expect_arg("50", "50");
    expect_arg("50,", "[50]");
    expect_arg("", "null");
    expect_arg("  ", "null");
    expect_arg("ml", "\"ml\"");
    expect_arg("O,No", "[\"O\",\"No\"]");
    expect_arg("4.4 keV", "\"4.4 keV\"");
    expect_arg("'a,b',c", "[\"a,b\",\"c\"]");
    expect_arg("\"a\\\",b\"", "\"a\\\",b\"");
    expect_arg("'it''s, ok'", "\"it's, ok\"");
    expect_arg("don't,stop", "[\"don't\",\"stop\"]");
    expect_arg("{temperature: 25, s: [a, 'b,c']}", "{\"temperature\":25,\"s\":[\"a\",\"b,c\"]}");
    expect_arg("data/{sample}/a.h5,data/{sample}/b.h5",
               "[\"data/{sample}/a.h5\",\"data/{sample}/b.h5\"]");
    expect_arg("C:/x#1", "\"C:/x#1\"");
    expect_arg("'Run #3'", "\"Run #3\"");
    expect_arg("true", "true");
    expect_bad_arg("Run #3", "# would start a comment: put the text in quotes");
    expect_bad_arg("#ff0000", "window: error: in `#ff0000`, # would start a comment");
    expect_bad_arg("50,,54", "nothing stands before a comma");
    expect_bad_arg(",", "nothing stands before a comma");
    expect_bad_arg("[50,54", "window: error: YAML: ");
    expect_bad_arg("50,[54", "window: error: YAML: ");
    expect_bad_arg("'50", "window: error: YAML: ");
    expect_bad_arg("{a: 1, a: 2}", "window: error: the key `a` is there twice\n");
    expect_bad_arg("*x", "window: error: *x names nothing");
}

static void changed_copies(void **state)
{
    (void)state;
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct ep_value *root =
        read_text(&a, "steps: {o: {window: [1, 2], keep: true}, p: null}\nx: 1\n", &d);
    struct ep_value *v = ep_value_from_arg(&a, "50,54", "--set", &d);
    struct ep_value *c = ep_value_with(&a, root, "steps.o.window", v);
    expect_json(c, "{\"steps\":{\"o\":{\"window\":[50,54],\"keep\":true},\"p\":null},\"x\":1}");
    expect_json(root, "{\"steps\":{\"o\":{\"window\":[1,2],\"keep\":true},\"p\":null},\"x\":1}");
    assert_string_equal(ep_value_get(ep_value_get(c, "steps"), "o")->key_pos[0].file, "--set");
    assert_string_equal(c->key_pos[1].file, "r");
    assert_string_equal(c->pos.file, "r");
    expect_json(ep_value_with(&a, c, "steps.p.q.r", v),
                "{\"steps\":{\"o\":{\"window\":[50,54],\"keep\":true},\"p\":{\"q\":{\"r\":[50,54]}}"
                "},\"x\":1}");
    expect_json(
        ep_value_with(&a, root, "y", v),
        "{\"steps\":{\"o\":{\"window\":[1,2],\"keep\":true},\"p\":null},\"x\":1,\"y\":[50,54]}");
    expect_json(ep_value_with(&a, NULL, "a.b", v), "{\"a\":{\"b\":[50,54]}}");
    static const char *const bad[] = {"x.y", "steps.o.window.z", "", ".", "a.", ".a", "a..b"};
    for (size_t i = 0; i < COUNT(bad); i++) assert_null(ep_value_with(&a, root, bad[i], v));
    ep_diag_free(&d);
    ep_arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(core_scalars),
        cmocka_unit_test(trees),
        cmocka_unit_test(kinds_and_lookup),
        cmocka_unit_test(places),
        cmocka_unit_test(refusals),
        cmocka_unit_test(depth),
        cmocka_unit_test(sizes),
        cmocka_unit_test(alias_bombs),
        cmocka_unit_test(arguments),
        cmocka_unit_test(changed_copies),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
