/* pipeline/base: errors, memory, diagnostics, log, units, JSON, hashes, YAML. */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pipeline/base/diag.h"
#include "pipeline/base/err.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/json.h"
#include "pipeline/base/log.h"
#include "pipeline/base/mem.h"
#include "pipeline/base/units.h"
#include "pipeline/base/value.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- errors ---- */

static void err_first_wins(void **state)
{
    (void)state;
    struct ep_err e = {0};
    assert_int_equal(ep_context(&e, "nothing yet: "), EP_OK);
    assert_string_equal(e.msg, "");
    assert_int_equal(ep_fail(&e, EP_E_INPUT, "no file %s\n", "a"), EP_E_INPUT);
    assert_int_equal(ep_fail(&e, EP_E_COMPUTE, "later"), EP_E_COMPUTE);
    assert_int_equal(ep_context(&e, "step %s: ", "o_net"), EP_E_INPUT);
    assert_string_equal(e.msg, "step o_net: no file a");
    assert_int_equal(e.later, 1);
}

static void err_long_messages(void **state)
{
    (void)state;
    struct ep_err e = {0};
    char *text = ep_xmalloc(6001);
    for (size_t i = 0; i < 6000; i += 2) memcpy(text + i, "\u00b5", 2);
    text[6000] = '\0';
    ep_fail(&e, EP_E_RECIPE, "x%s", text); /* the cut must not leave half a character */
    assert_int_equal(strlen(e.msg), 2047);
    ep_context(&e, "%s: ", text);
    size_t n = strlen(e.msg);
    assert_true(n >= 2045 && n <= 2047);
    struct ep_str j = {0};
    ep_json_str(&j, e.msg);
    assert_null(strstr(j.s, "ufffd"));
    assert_non_null(strchr(e.msg, 'x')); /* the cause is still there */
    ep_str_free(&j);
    free(text);
}

/* ---- memory ---- */

static void arena_is_aligned_and_zeroed(void **state)
{
    (void)state;
    struct ep_arena a = {0};
    for (size_t i = 0; i < 3000; i++) {
        size_t n = i % 97 == 0 ? 20000 : i % 37;
        unsigned char *p = ep_arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t k = 0; k < n; k++) assert_int_equal(p[k], 0);
        memset(p, 0xAA, n);
    }
    assert_true(a.total < 2000000);
    assert_string_equal(ep_arena_printf(&a, "%d-%s", 5, "x"), "5-x");
    assert_string_equal(ep_arena_strndup(&a, "abc", 2), "ab");
    assert_string_equal(ep_arena_strndup(&a, "abc", 9), "abc");
    assert_string_equal(ep_arena_strdup(&a, ""), "");
    ep_arena_free(&a);
    assert_null(a.head);
    assert_int_equal(a.total, 0);
    assert_string_equal(ep_arena_strdup(&a, "again"), "again");
    ep_arena_free(&a);
}

static void strings_and_arrays_grow(void **state)
{
    (void)state;
    struct ep_str b = {0};
    ep_str_add(&b, "");
    assert_string_equal(b.s, "");
    for (int i = 0; i < 1000; i++) ep_str_addf(&b, "%d,", i);
    ep_str_addn(&b, "xyz", 1);
    assert_int_equal(b.n, strlen(b.s));
    assert_string_equal(b.s + b.n - 5, "999,x");
    ep_str_addf(&b, "%5000d", 7);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4 + 1 + 5000);
    ep_str_free(&b);
    assert_null(b.s);

    struct {
        int v;
    } *arr = NULL;
    size_t n = 0, cap = 0;
    for (int i = 0; i < 100; i++) {
        EP_PUSH(arr, n, cap);
        assert_int_equal(arr[n - 1].v, 0);
        arr[n - 1].v = i;
    }
    assert_int_equal(arr[57].v, 57);
    free(arr);

    size_t out;
    assert_true(ep_mul_ok(3, 5, &out));
    assert_int_equal(out, 15);
    assert_false(ep_mul_ok(SIZE_MAX / 2, 3, &out));
}

static void out_of_memory_is_exit_code_1(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(9);
        struct ep_arena a = {0};
        ep_arena_array(&a, SIZE_MAX / 4, 8);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

/* ---- diagnostics ---- */

static char *printed(const struct ep_diag *d)
{
    char *s = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&s, &n);
    ep_diag_print(d, f);
    fclose(f);
    return s;
}

static void expect_diag(struct ep_diag *d, const char *want)
{
    char *s = printed(d);
    assert_string_equal(s, want);
    free(s);
    ep_diag_free(d);
}

static void diag_tells_a_cause_once(void **state)
{
    (void)state;
    struct ep_diag d = {0};
    ep_diag_warn(&d, (struct ep_pos){"a.yaml", 3, 1}, "step one (crop): too small");
    ep_diag_warn(&d, (struct ep_pos){"a.yaml", 9, 1}, "step three (crop): too small");
    ep_diag_warn(&d, (struct ep_pos){"a.yaml", 5, 1}, "step two (crop): too small");
    ep_diag_warn(&d, (struct ep_pos){"a.yaml", 6, 1}, "step two (crop): too dark");
    ep_diag_error(&d, (struct ep_pos){"a.yaml", 7, 1}, "step two (crop): too small");
    assert_int_equal(d.nwarnings, 4);
    expect_diag(&d, "a.yaml:3:1: warning: steps one, two and three (crop): too small\n"
                    "a.yaml:6:1: warning: step two (crop): too dark\n"
                    "a.yaml:7:1: error: step two (crop): too small\n"
                    "1 error, 2 warnings\n");
}

static void diag_orders_and_dedups(void **state)
{
    (void)state;
    struct ep_diag d = {0};
    expect_diag(&d, "");
    ep_diag_error(&d, (struct ep_pos){"b.yaml", 1, 1}, "third file");
    ep_diag_error(&d, (struct ep_pos){"a.yaml", 12, 9}, "line %d", 12);
    ep_diag_warn(&d, (struct ep_pos){"a.yaml", 2, 5}, "col 5");
    ep_diag_error(&d, (struct ep_pos){"a.yaml", 2, 3}, "col 3, first");
    ep_diag_error(&d, (struct ep_pos){"a.yaml", 2, 3}, "col 3, second");
    char other[] = "a.yaml"; /* equal, at another address */
    ep_diag_error(&d, (struct ep_pos){other, 2, 3}, "col 3, first");
    ep_diag_error(&d, (struct ep_pos){NULL, 0, 0}, "nowhere");
    ep_diag_error(&d, (struct ep_pos){"a.yaml", 0, 0}, "no\n\033line");
    assert_int_equal(d.nerrors, 6);
    expect_diag(&d, "error: nowhere\n"
                    "a.yaml: error: no  line\n"
                    "a.yaml:2:3: error: col 3, first\n"
                    "a.yaml:2:3: error: col 3, second\n"
                    "a.yaml:2:5: warning: col 5\n"
                    "a.yaml:12:9: error: line 12\n"
                    "b.yaml:1:1: error: third file\n"
                    "6 errors, 1 warning\n");
}

static void diag_is_bounded(void **state)
{
    (void)state;
    struct ep_diag d = {0};
    for (int i = 0; i < 300; i++) ep_diag_warn(&d, (struct ep_pos){"r", i + 1, 1}, "w");
    ep_diag_error(&d, (struct ep_pos){"r", 999, 1}, "the error"); /* not lost */
    assert_int_equal(d.n, 200);
    char *s = printed(&d);
    assert_non_null(
        strstr(s, "r:999:1: error: the error\n1 error, 300 warnings (101 not shown)\n"));
    free(s);
    for (int i = 0; i < 300; i++) ep_diag_error(&d, (struct ep_pos){"r", i + 1, 1}, "e");
    assert_int_equal(d.n, 200);
    assert_int_equal(d.nerrors, 301);
    ep_diag_free(&d);
}

static void suggests_near_words(void **state)
{
    (void)state;
    static const char *const c[] = {"window", "method", "range", "input", NULL};
    static const char *const none[] = {NULL};
    assert_string_equal(ep_suggest("windw", c), "window");
    assert_string_equal(ep_suggest("widnow", c), "window");
    assert_string_equal(ep_suggest("WINDOW", c), "window");
    assert_string_equal(ep_suggest("metod", c), "method");
    assert_null(ep_suggest("wnd", c));
    assert_null(ep_suggest("zzzzzz", c));
    assert_null(ep_suggest("", c));
    assert_null(ep_suggest("window", none));
    char longer[1000];
    memset(longer, 'w', sizeof longer);
    longer[999] = '\0';
    assert_null(ep_suggest(longer, c));
    longer[128] = '\0';
    const char *const longs[] = {longer, NULL};
    assert_ptr_equal(ep_suggest(longer, longs), longer);
    memset(longer, 'x', 999); /* 999 characters: no room for it, no match either */
    assert_null(ep_suggest("window", longs));
}

/* ---- log ---- */

static void log_lines_and_bar(void **state)
{
    (void)state;
    char *s = NULL, *c = NULL;
    size_t n = 0, nc = 0;
    FILE *f = open_memstream(&s, &n), *copy = open_memstream(&c, &nc);
    struct ep_log log;
    ep_log_init(&log, f, EP_LOG_NORMAL);
    log.copy = copy;
    assert_false(log.tty);
    ep_log_progress(&log, "o_net", 1, 8); /* too early for a line */
    ep_log_info(&log, "hello %d\nworld\n", 1);
    ep_log_detail(&log, "detail");
    ep_log_warn(&log, "w");
    ep_log_error(&log, "e");
    log.last_progress = -1e9;
    ep_log_progress(&log, "o_net", 2, 8);
    ep_log_progress(&log, "o_net", 3, 8);
    assert_string_equal(
        s, "hello 1 world\neelpipe: warning: w\neelpipe: error: e\no_net: 2/8 (25%)\n");
    assert_non_null(strstr(c, "Z hello 1 world\n"));
    assert_non_null(strstr(c, "Z detail\n"));
    assert_non_null(strstr(c, "Z warning: w\n"));

    rewind(f);
    log.tty = true;
    log.last_progress = -1e9;
    ep_log_progress(&log, "o_net", 9, 8);
    assert_true(log.bar);
    ep_log_progress(&log, "o_net", 8, 8); /* too soon */
    ep_log_info(&log, "line");
    assert_false(log.bar);
    ep_log_progress(&log, "o_net", 4, 8); /* at once: the line took the bar away */
    ep_log_progress_end(&log);
    ep_log_progress_end(&log);
    fputc('\0', f);
    fflush(f);
    assert_string_equal(s, "\r\033[Ko_net [##############################] 8/8 100%"
                           "\r\033[Kline\n"
                           "\r\033[Ko_net [###############...............] 4/8  50%"
                           "\r\033[K");
    log.level = EP_LOG_QUIET;
    rewind(f);
    log.last_progress = -1e9;
    ep_log_progress(&log, "x", 1, 2);
    ep_log_info(&log, "x");
    ep_log_warn(&log, "only");
    fputc('\0', f);
    fflush(f);
    assert_string_equal(s, "eelpipe: warning: only\n");
    ep_log_free(&log);
    fclose(f);
    fclose(copy);
    free(s);
    free(c);

    ep_log_init(&log, NULL, EP_LOG_VERBOSE);
    ep_log_info(&log, "into nothing");
    ep_log_progress(&log, "x", 1, 0);
    ep_log_free(&log);
    assert_true(ep_now() > 0);
}

/* ---- units ---- */

static void unit_table(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        enum ep_dim dim;
        double f;
    } t[] = {
        {"", EP_DIM_NONE, 1},
        {"eV", EP_DIM_ENERGY, 1},
        {"keV", EP_DIM_ENERGY, 1000},
        {"meV", EP_DIM_ENERGY, 1e-3},
        {"nm", EP_DIM_LENGTH, 1},
        {"um", EP_DIM_LENGTH, 1000},
        {"\u00b5m", EP_DIM_LENGTH, 1000},
        {"\u03bcm", EP_DIM_LENGTH, 1000},
        {"A", EP_DIM_LENGTH, 0.1},
        {"\u00c5", EP_DIM_LENGTH, 0.1},
        {"\u212b", EP_DIM_LENGTH, 0.1},
        {"Angstrom", EP_DIM_LENGTH, 0.1},
        {"pm", EP_DIM_LENGTH, 1e-3},
        {"mm", EP_DIM_LENGTH, 1e6},
        {"m", EP_DIM_LENGTH, 1e9},
        {"mrad", EP_DIM_ANGLE, 1},
        {"rad", EP_DIM_ANGLE, 1000},
        {"s", EP_DIM_TIME, 1},
        {"ms", EP_DIM_TIME, 1e-3},
        {"us", EP_DIM_TIME, 1e-6},
        {"min", EP_DIM_TIME, 60},
        {"h", EP_DIM_TIME, 3600},
        {"degC", EP_DIM_TEMPERATURE, 1},
        {"C", EP_DIM_TEMPERATURE, 1},
        {"\u00b0C", EP_DIM_TEMPERATURE, 1},
        {"nA", EP_DIM_CURRENT, 1},
        {"pA", EP_DIM_CURRENT, 1e-3},
        {"counts", EP_DIM_COUNTS, 1},
        {"e-", EP_DIM_COUNTS, 1},
    };
    enum ep_dim dim;
    double f;
    for (size_t i = 0; i < COUNT(t); i++) {
        assert_true(ep_unit_lookup(t[i].unit, &dim, &f));
        assert_int_equal(dim, t[i].dim);
        assert_true(f == t[i].f);
    }
    assert_true(ep_unit_lookup("deg", &dim, &f) && fabs(f - 17.453292519943295) < 1e-14);
    assert_false(ep_unit_lookup("K", &dim, &f));
    assert_false(ep_unit_lookup("EV", &dim, &f));
    assert_false(ep_unit_lookup("eV ", &dim, &f));
}

static void unit_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *unit;
        double want;
    } good[] = {
        {"4.4 keV", "eV", 4400},
        {"4.4keV", "eV", 4400},
        {"4.4", "eV", 4.4},
        {" 4.4 \tkeV ", "eV", 4400},
        {"1.001 keV", "eV", 1001},
        {"0.5324 keV", "eV", 532.4},
        {"532.4 eV", "keV", 0.5324},
        {"1.001e0 keV", "eV", 1001},
        {"1e-3 keV", "eV", 1},
        {"5eV", "eV", 5},
        {"5e2eV", "eV", 500},
        {"5e-", "counts", 5},
        {"5 e-", "e-", 5},
        {"2 um", "nm", 2000},
        {"2 \u00b5m", "nm", 2000},
        {"2\u03bcm", "nm", 2000},
        {"3 \u00c5", "nm", 0.3},
        {"3\u00a0A", "nm", 0.3},
        {"-1.2", "eV", -1.2},
        {"+1", "eV", 1},
        {".5", "", 0.5},
        {"5.", "", 5},
        {"2 h", "s", 7200},
        {"90 s", "min", 1.5},
        {"700 \u00b0C", "degC", 700},
        {"50 pA", "nA", 0.05},
        {"7", "px", 7},
        {"7 px", "px", 7},
        {"20 mrad", "rad", 0.02},
        {"1e-400", "eV", 0},
    };
    static const struct {
        const char *text, *unit, *msg;
    } bad[] = {
        {"5 nm", "eV", "\"5 nm\" is a length; this needs an energy in eV"},
        {"5 nm", "", "\"5 nm\" is a length; this needs a plain number"},
        {"5 A", "nA", "\"5 A\" is a length (A is Angstrom); this needs a current in nA"},
        {"4 foo", "nm", "\"4 foo\": the unit foo is not known; this needs a length in nm"},
        {"300 K", "degC",
         "\"300 K\" is in kelvin, which is not converted; this needs a temperature in degC"},
        {"4,4 keV", "eV",
         "\"4,4 keV\" is not one number (decimals take a point); this needs an energy in eV"},
        {"abc", "eV", "\"abc\" is not a number; this needs an energy in eV"},
        {"", "eV", "\"\" is not a number; this needs an energy in eV"},
        {"nan", "eV", "\"nan\" is not a number; this needs an energy in eV"},
        {"inf", "eV", "\"inf\" is not a number; this needs an energy in eV"},
        {"1.2.3 eV", "eV", "\"1.2.3 eV\" is not a number; this needs an energy in eV"},
        {"1 2 eV", "eV", "\"1 2 eV\" is not a number; this needs an energy in eV"},
        {"0x10 eV", "eV", "\"0x10 eV\": the unit x10 eV is not known; this needs an energy in eV"},
        {"1e999 keV", "eV", "\"1e999 keV\" is too large; this needs an energy in eV"},
        {"5 nm", "px", "\"5 nm\" is a length; this needs a number in px"},
        {"5 eV", "counts", "\"5 eV\" is an energy; this needs a number of counts"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct ep_err e = {0};
        double x = NAN;
        assert_int_equal(ep_unit_parse(good[i].text, good[i].unit, &x, &e), EP_OK);
        if (x != good[i].want) fail_msg("%s: %.17g, not %.17g", good[i].text, x, good[i].want);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct ep_err e = {0};
        double x = 77;
        assert_int_equal(ep_unit_parse(bad[i].text, bad[i].unit, &x, &e), EP_E_RECIPE);
        assert_string_equal(e.msg, bad[i].msg);
        assert_true(x == 77);
    }
}

static void parse_number(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "-",      ".",   "e5",  "1 ",       " 1",
                                      "1e",    "1e+",    "nan", "inf", "infinity", "0x10",
                                      "1e999", "-1e999", "1,5", "--1", "1..2",     "1_000"};
    double x;
    for (size_t i = 0; i < COUNT(bad); i++) assert_false(ep_parse_number(bad[i], &x));
    assert_true(ep_parse_number("-1.5e-3", &x) && x == -1.5e-3);
    assert_true(ep_parse_number("007", &x) && x == 7);
}

/* ---- JSON and hashes ---- */

static const char *num(struct ep_str *b, double x)
{
    if (b->s) b->n = 0;
    ep_json_num(b, x);
    return b->s;
}

static void json_numbers(void **state)
{
    (void)state;
    struct ep_str b = {0};
    static const struct {
        double x;
        const char *want;
    } t[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-42, "-42"},
        {1e15, "1000000000000000"},
        {0.1, "0.1"},
        {999999999999999, "999999999999999"},
        {1e16, "1e+16"},
        {0.1 + 0.2, "0.30000000000000004"},
        {54.2, "54.2"},
        {1.0 / 3, "0.3333333333333333"},
        {1e-7, "1e-07"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
    };
    for (size_t i = 0; i < COUNT(t); i++) assert_string_equal(num(&b, t[i].x), t[i].want);
    uint64_t bits = 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 100000; i++) {
        double x, back;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        assert_true(ep_parse_number(num(&b, x), &back));
        assert_true(back == x);
    }
    ep_str_free(&b);
}

static void json_text(void **state)
{
    (void)state;
    static const struct {
        const char *s, *want;
    } t[] = {
        {"", "\"\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"\u00b5m \u20ac \U0001F600", "\"\u00b5m \u20ac \U0001F600\""},
        {"a\xff"
         "b",
         "\"a\\ufffdb\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf0\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xe0\x80\x80", "\"\\ufffd\\ufffd\\ufffd\""},
    };
    for (size_t i = 0; i < COUNT(t); i++) {
        struct ep_str b = {0};
        ep_json_str(&b, t[i].s);
        assert_string_equal(b.s, t[i].want);
        ep_str_free(&b);
    }
    struct ep_str b = {0};
    ep_json_sep(&b);
    ep_str_add(&b, "{");
    ep_json_key(&b, "a");
    ep_json_sep(&b);
    ep_str_add(&b, "[");
    for (int i = 0; i < 3; i++) {
        ep_json_sep(&b);
        ep_json_num(&b, i);
    }
    ep_str_add(&b, "]");
    ep_json_key(&b, "b\n");
    ep_json_str(&b, "{");
    ep_str_add(&b, "}");
    assert_string_equal(b.s, "{\"a\":[0,1,2],\"b\\n\":\"{\"}");
    ep_str_free(&b);
}

static void numbers_do_not_follow_the_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *set = NULL;
    for (size_t i = 0; i < COUNT(names) && !set; i++) set = setlocale(LC_ALL, names[i]);
    if (!set) skip(); /* no such locale here */
    struct ep_str b = {0};
    struct ep_err e = {0};
    double x = 0;
    assert_string_equal(num(&b, 54.25), "54.25");
    assert_true(ep_parse_number("54.25", &x) && x == 54.25);
    assert_int_equal(ep_unit_parse("4.4 keV", "eV", &x, &e), EP_OK);
    setlocale(LC_ALL, "C");
    assert_true(x == 4400);
    ep_str_free(&b);
}

static void hashes(void **state)
{
    (void)state;
    assert_string_equal(ep_hash_bytes(NULL, 0).hex, "99aa06d3014798d86001c324468d497f");
    assert_string_equal(ep_hash_text("").hex, "99aa06d3014798d86001c324468d497f");
    assert_string_equal(ep_hash_text("abc").hex, ep_hash_bytes("abcd", 3).hex);
    assert_string_not_equal(ep_hash_text("abc").hex, ep_hash_text("abd").hex);
    assert_int_equal(strlen(ep_hash_text("abc").hex), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_first_wins),
        cmocka_unit_test(err_long_messages),
        cmocka_unit_test(arena_is_aligned_and_zeroed),
        cmocka_unit_test(strings_and_arrays_grow),
        cmocka_unit_test(out_of_memory_is_exit_code_1),
        cmocka_unit_test(diag_tells_a_cause_once),
        cmocka_unit_test(diag_orders_and_dedups),
        cmocka_unit_test(diag_is_bounded),
        cmocka_unit_test(suggests_near_words),
        cmocka_unit_test(log_lines_and_bar),
        cmocka_unit_test(unit_table),
        cmocka_unit_test(unit_parse),
        cmocka_unit_test(parse_number),
        cmocka_unit_test(json_numbers),
        cmocka_unit_test(json_text),
        cmocka_unit_test(numbers_do_not_follow_the_locale),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
