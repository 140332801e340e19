/* Pages, charts, maps: read from the list of shapes and from the files, never as pictures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pipeline/draw/chart.h"

#define close_to(a, b, tol) \
    do { double a_ = (a), b_ = (b); if (!(fabs(a_ - b_) <= (tol))) fail_msg("%s = %.9g, not %.9g", #a, a_, b_); } while (0)

static const struct ep_style style = {7, 0.5, 1};

static void test_ticks(void **unused)
{
    (void)unused;
    static const struct { double lo, hi; size_t most; } want[] = {{0, 700, 4}, {-8, 12, 5}, {0.105, 0.142, 5}, {1e6, 1e6 + 1, 6}, {10, -10, 5}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct ep_ticks t = ep_ticks(want[i].lo, want[i].hi, want[i].most);
        double lo = fmin(want[i].lo, want[i].hi), hi = fmax(want[i].lo, want[i].hi), m = t.step / pow(10, floor(log10(t.step) + 1e-9));
        assert_true(t.n >= 2 && t.n <= want[i].most);
        assert_true(fabs(m - 1) < 1e-9 || fabs(m - 2) < 1e-9 || fabs(m - 5) < 1e-9);
        for (size_t k = 0; k < t.n; k++) {
            assert_true(t.v[k] >= lo - 1e-6 * t.step && t.v[k] <= hi + 1e-6 * t.step);
            close_to(t.v[k] / t.step, round(t.v[k] / t.step), 1e-6);
        }
    }
    assert_int_equal(ep_ticks(-30, 30, 2).n, 3);        /* 0 alone would tell nothing */
    assert_int_equal(ep_ticks(1, 1, 5).n, 0);
    close_to(ep_round_down(11.87), 10, 1e-12);
    close_to(ep_round_down(0.2), 0.2, 1e-12);
    close_to(ep_round_down(4.99e-3), 2e-3, 1e-12);
}

static const char *ticked(double v, double step)
{
    static char text[40];
    ep_tick_text(v, step, text, sizeof text);
    return text;
}

static void test_words(void **unused)
{
    (void)unused;
    char text[80];
    assert_string_equal(ticked(-2.5, 0.5), "\u22122.5");
    assert_string_equal(ticked(600, 200), "600");
    assert_string_equal(ticked(0.14, 0.01), "0.14");
    assert_string_equal(ticked(-1e-17, 0.1), "0.0");
    assert_int_equal(ep_tick_power(0, 25000), 3);
    assert_int_equal(ep_tick_power(-2e7, 1), 6);
    assert_int_equal(ep_tick_power(0, 0.004), -3);
    assert_int_equal(ep_tick_power(0, 800), 0);
    ep_label_text("Intensity", "counts", 3, text, sizeof text);
    assert_string_equal(text, "Intensity (10\u00b3 counts)");
    ep_label_text("Counts", "counts", 0, text, sizeof text);
    assert_string_equal(text, "Counts");
    ep_label_text("T", "degC", 0, text, sizeof text);
    assert_string_equal(text, "T (\u00b0C)");
    ep_label_text("Ratio", "", -12, text, sizeof text);
    assert_string_equal(text, "Ratio (10\u207b\u00b9\u00b2)");
    ep_label_text("Ratio", "", 0, text, sizeof text);
    assert_string_equal(text, "Ratio");
}

/* sRGB to CIE lightness L* (IEC 61966-2-1). */
static double lightness(const unsigned char c[3])
{
    double y = 0, part[3] = {0.2126, 0.7152, 0.0722};
    for (int k = 0; k < 3; k++) {
        double v = c[k] / 255.0;
        y += part[k] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

/* Even steps of value are even steps of lightness: the largest is at most twice the mean one (8 bits per channel leave some grain);
 * the diverging map is the lightest in its middle. */
static void test_colours(void **unused)
{
    (void)unused;
    unsigned char c[3], past[3], end[3];
    for (int map = EP_VIRIDIS; map <= EP_CIVIDIS; map++) {
        double last = 0, first = 0, largest = 0;
        for (int i = 0; i <= 32; i++) {
            ep_colour_of(map, i / 32.0, c);
            double l = lightness(c);
            if (i == 0) first = l;
            else assert_true(l > last), largest = fmax(largest, l - last);
            last = l;
        }
        assert_true(last - first > 60 && largest < 2 * (last - first) / 32);
    }
    double middle, sides[2];
    ep_colour_of(EP_COOLWARM, 0.5, c), middle = lightness(c);
    ep_colour_of(EP_COOLWARM, 0, c), sides[0] = lightness(c);
    ep_colour_of(EP_COOLWARM, 1, c), sides[1] = lightness(c);
    assert_true(middle > sides[0] + 30 && middle > sides[1] + 30);
    close_to(sides[0], sides[1], 10);
    ep_colour_of(EP_MAGMA, 7, past);
    ep_colour_of(EP_MAGMA, 1, end);
    assert_memory_equal(past, end, 3);
    ep_colour_of(EP_VIRIDIS, 0, c);
    assert_true(c[0] == 0x44 && c[1] == 0x01 && c[2] == 0x54);      /* as published */
}

static struct ep_page *new_page(void)
{
    struct ep_err e = {0};
    if (ep_draw_ready(&e)) fail_msg("%s", e.msg);
    return ep_page_new(250, 150, "Liberation Sans, DejaVu Sans");
}

/* The numbers at the ticks say where values are: the curve must lie there. */
static void test_chart(void **unused)
{
    (void)unused;
    struct ep_page *p = new_page();
    struct ep_chart c = {.page = p, .style = style, .name = "a", .box = {40, 10, 180, 100}, .x = {.lo = -8, .hi = 12}, .y = {.lo = 0, .hi = 25000}};
    c.power_y = ep_tick_power(0, 25000);
    ep_chart_axes(&c, "x", "y");
    const double x[5] = {-8, -1, 2, 5, 12}, y[5] = {100, 5000, NAN, 15000, 20000}, s[5] = {10, 1000, 1, 2000, 500};
    ep_chart_line(&c, "line", 5, x, y, EP_BLACK, 1);
    ep_chart_band(&c, "band", 5, x, y, s, EP_BLACK);
    ep_chart_mark(&c, "front", 2, EP_BLACK);
    ep_chart_mark(&c, "no front", NAN, EP_BLACK);
    ep_chart_point(&c, "point", 5, 15000, 2000, 0, EP_BLACK);
    double at[2][2] = {{0}}, value[2][2] = {{0}};        /* x, y: two ticks each, read back */
    size_t n[2] = {0, 0};
    for (size_t i = 0; i < p->n; i++) {
        const struct ep_shape *q = &p->shape[i];
        int axis = !strcmp(q->name, "a/x number") ? 0 : !strcmp(q->name, "a/y number") ? 1 : -1;
        if (axis < 0 || n[axis] == 2) continue;
        const struct ep_shape *tick = q - 1;
        assert_true(strstr(tick->name, " tick") != NULL);
        double v = strncmp(q->text, "\u2212", 3) ? atof(q->text) : -atof(q->text + 3);
        at[axis][n[axis]] = axis ? tick->p[0].y : tick->p[0].x;
        value[axis][n[axis]++] = axis ? v * 1000 : v;
    }
    assert_true(n[0] == 2 && n[1] == 2);
    double kx = (at[0][1] - at[0][0]) / (value[0][1] - value[0][0]), ky = (at[1][1] - at[1][0]) / (value[1][1] - value[1][0]);
    const struct ep_shape *line = ep_page_find(p, "a/line"), *second = NULL, *band = ep_page_find(p, "a/band");
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->shape[i].name, "a/line")) second = &p->shape[i];
    assert_true(line != second && line->n == 2 && second->n == 2);        /* NaN breaks it */
    close_to(line->p[1].x, at[0][0] + kx * (-1 - value[0][0]), 1e-9);
    close_to(line->p[1].y, at[1][0] + ky * (5000 - value[1][0]), 1e-9);
    close_to(second->p[0].x, at[0][0] + kx * (5 - value[0][0]), 1e-9);
    close_to(band->p[1].y - band->p[2].y, ky * 2 * 1000, 1e-9);
    const struct ep_shape *front = ep_page_find(p, "a/front"), *bar = ep_page_find(p, "a/error bar");
    close_to(front->p[0].x, at[0][0] + kx * (2 - value[0][0]), 1e-9);
    close_to(bar->p[2].y - bar->p[3].y, ky * 2 * 2000, 1e-9);
    assert_null(ep_page_find(p, "a/no front"));
    ep_page_free(p);
}

static void test_map(void **unused)
{
    (void)unused;
    struct ep_page *p = new_page();
    double v[6 * 8];
    for (size_t i = 0; i < 48; i++) v[i] = (double)i;
    v[9] = NAN;
    struct ep_map m = {6, 8, -1, 2, 0.5, 0.5, "nm", v};
    struct ep_scale s = {0, 47, EP_GREY};
    struct ep_box box = {20, 30, 80, 60};
    ep_draw_map(p, "map", &m, &s, box);
    const struct ep_shape *q = ep_page_find(p, "map");
    assert_true(q->ny == 6 && q->nx == 8);
    for (size_t i = 0; i < 48; i++) {
        bool none = q->rgb[3 * i] == 184 && q->rgb[3 * i + 1] == 184;
        if (i == 9) assert_true(none);
        else assert_int_equal(q->rgb[3 * i], (int)(v[i] / 47 * 255 + 0.5));
    }
    close_to(ep_map_at(&m, box, -1, 2).x, 25, 1e-12);        /* the centre of the first pixel */
    close_to(ep_map_at(&m, box, -1, 2).y, 35, 1e-12);
    close_to(ep_map_at(&m, box, 1.5, 5.5).x, 95, 1e-12);     /* of the last */
    double length = ep_draw_scale_bar(p, "bar", &style, &m, box, 0);
    close_to(length, 1, 1e-12);                              /* the field is 4 nm wide */
    const struct ep_shape *bar = ep_page_find(p, "bar");
    close_to(bar->p[1].x - bar->p[0].x, ep_map_at(&m, box, 0, 3).x - ep_map_at(&m, box, 0, 2).x, 1e-9);
    assert_string_equal(ep_page_find(p, "bar text")->text, "1 nm");
    ep_draw_scale_bar(p, "own", &style, &m, box, 2);
    bar = ep_page_find(p, "own");
    close_to(bar->p[1].x - bar->p[0].x, 2 * 20, 1e-9);       /* 20 points per nm */
    ep_page_free(p);
}

/* A number of the bar stands where the colours have that value. */
static void test_colour_bar(void **unused)
{
    (void)unused;
    struct ep_page *p = new_page();
    struct ep_scale s = {10, 90, EP_VIRIDIS};
    struct ep_box box = {100, 20, 6, 100};
    ep_draw_colour_bar(p, "bar", &style, &s, box, "Li", "counts", box.x + box.w + ep_colour_bar_room(p, &style, &s) - 2, true, false);
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct ep_shape *q = &p->shape[i];
        if (strcmp(q->name, "bar/number")) continue;
        double y = q[-1].p[0].y;
        close_to(90 - (y - box.y) / box.h * 80, atof(q->text), 1e-9);
        n++;
    }
    assert_true(n >= 3);
    assert_non_null(ep_page_find(p, "bar/below"));
    assert_null(ep_page_find(p, "bar/above"));
    const struct ep_shape *colours = ep_page_find(p, "bar/colours"), *label = ep_page_find(p, "bar/label");
    unsigned char top[3];
    ep_colour_of(EP_VIRIDIS, 1 - 0.5 / 128, top);
    assert_memory_equal(colours->rgb, top, 3);
    assert_string_equal(label->text, "Li (counts)");
    assert_true(label->upright);
    struct ep_box b = ep_text_box(p, label);
    assert_true(b.x + b.w <= box.x + box.w + ep_colour_bar_room(p, &style, &s) + 1);
    ep_page_free(p);
}

static struct ep_page *sample(void)
{
    struct ep_page *p = new_page();
    const unsigned char rgb[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9};
    const struct ep_point pts[3] = {{10, 10}, {50.12345, 60}, {90, 10}};
    p->title = "t";
    p->subject = "fingerprint 0123";
    ep_page_text(p, "a/text", 20, 100, "<script> & \"O K\" \u00e5\u00b2", 9, EP_MIDDLE)->clip = (struct ep_box){0, 0, 200, 120};
    ep_page_text(p, "a/up", 20, 100, "upright", 9, EP_START)->upright = true;
    struct ep_shape *s = ep_page_line(p, "a/line", 3, pts, 1.5, (struct ep_colour){1, 0, 0, 0.5});
    s->dash[1] = 3;
    ep_page_area(p, "a/area", 3, pts, EP_BLACK);
    ep_page_picture(p, "a/picture", (struct ep_box){100, 20, 40, 40}, 2, 2, rgb);
    return p;
}

static bool holds(const struct ep_str *s, const char *text)
{
    return memmem(s->s, s->n, text, strlen(text)) != NULL;
}

static void test_svg(void **unused)
{
    (void)unused;
    struct ep_page *p = sample();
    struct ep_str s = {0};
    struct ep_err e = {0};
    assert_int_equal(ep_page_svg(p, &s, &e), EP_OK);
    assert_true(holds(&s, ">&lt;script&gt; &amp; &quot;O K&quot; \u00e5\u00b2</text>"));
    assert_false(holds(&s, "<script"));
    assert_true(holds(&s, "M10 10L50.123 60L90 10"));
    assert_true(holds(&s, "viewBox=\"0 0 250 150\""));
    assert_true(holds(&s, "rotate(-90 20 100)") && holds(&s, "stroke-dasharray=\"0 3\"") && holds(&s, "clip-path=\"url(#clip0)\""));
    assert_true(holds(&s, "class=\"a/picture\"") && holds(&s, "base64,iVBORw0KGgo"));
    ep_str_free(&s);
    ep_page_free(p);
}

static uint32_t word(const struct ep_str *s, size_t at)
{
    const unsigned char *c = (const unsigned char *)s->s + at;
    return (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
}

static void test_png(void **unused)
{
    (void)unused;
    struct ep_page *p = sample();
    struct ep_str s = {0};
    struct ep_err e = {0};
    assert_int_equal(ep_page_png(p, 144, &s, &e), EP_OK);
    assert_memory_equal(s.s, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal(word(&s, 16), 500);
    assert_int_equal(word(&s, 20), 300);
    assert_memory_equal(s.s + 37, "pHYs", 4);
    assert_int_equal(word(&s, 41), 5669);                   /* 144 per inch, in metres */
    assert_int_equal(word(&s, 50), 0x495224f0);             /* CRC-32 of the chunk, by zlib */
    ep_str_free(&s);
    ep_page_free(p);
}

/* Twice the same bytes; nothing of the hour, and the text as text: one font, and its characters in a ToUnicode map. */
static void test_pdf(void **unused)
{
    (void)unused;
    struct ep_str s[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        struct ep_page *p = sample();
        struct ep_err e = {0};
        assert_int_equal(ep_page_pdf(p, &s[i], &e), EP_OK);
        ep_page_free(p);
    }
    assert_true(s[0].n == s[1].n && !memcmp(s[0].s, s[1].s, s[0].n));
    assert_memory_equal(s[0].s, "%PDF-", 5);
    assert_false(holds(&s[0], "CreationDate"));
    assert_true(holds(&s[0], "/ToUnicode") && holds(&s[0], "/FontFile"));
    ep_str_free(&s[0]);
    ep_str_free(&s[1]);
}

static void test_text_size(void **unused)
{
    (void)unused;
    struct ep_page *p = new_page();
    double one = ep_text_width(p, "HHHH", 10, false), two = ep_text_width(p, "HHHHHHHH", 10, false);
    close_to(two, 2 * one, 0.02);
    close_to(ep_text_width(p, "HHHH", 20, false), 2 * one, 0.02);
    assert_true(one > 20 && one < 40);
    struct ep_shape *s = ep_page_text(p, "t", 100, 50, "HHHH", 10, EP_END);
    struct ep_box b = ep_text_box(p, s);
    close_to(b.x + b.w, 100, 1e-9);
    s->upright = true;
    b = ep_text_box(p, s);
    close_to(b.y, 50, 1e-9);
    close_to(b.h, one, 1e-9);
    ep_page_free(p);
}

static void test_units_as_people_write_them(void **unused)
{
    (void)unused;
    static const struct { const char *unit; int power; const char *shown; } want[] = {
        { "nm^-3", 0, "nm\u207b\u00b3" }, { "counts", 3, "10\u00b3 counts" }, { "degC", 0, "\u00b0C" }, { "", -6, "10\u207b\u2076" },
        { "eV", 3, "keV" }, { "a^b", 0, "a^b" }, { "nm^", 0, "nm^" }, { "1/nm^12 s", 0, "1/nm\u00b9\u00b2 s" }, { "", 0, "" },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char text[64];
        ep_unit_text(want[i].unit, want[i].power, text, sizeof text);
        assert_string_equal(text, want[i].shown);
    }
}

/* Cut in the middle, never in the middle of a character; broken at spaces. */
static void test_texts_find_room(void **unused)
{
    (void)unused;
    struct ep_page *p = ep_page_new(100, 100, "Liberation Sans, DejaVu Sans");
    const char *long_one = "\u03b2\u03b2\u03b2\u03b2\u03b2 of many words, 25 \u00b0C", *line[3];
    for (double width = 20; width < 150; width += 7) {
        const char *fit = ep_text_fit(p, long_one, 7, false, width);
        assert_true(ep_text_width(p, fit, 7, false) <= width);
        assert_true(fit == long_one || (strstr(fit, "\u2026") && !strncmp(fit, "\u03b2", 2) && fit[strlen(fit) - 1] == 'C'));
        for (const char *c = fit; *c; c++) assert_false(((unsigned char)*c & 0xc0) == 0x80 && (c == fit || (unsigned char)c[-1] < 0x80));
        size_t n = ep_text_wrap(p, long_one, 7, false, width, 3, line);
        assert_true(n >= 1 && n <= 3);
        for (size_t i = 0; i < n; i++) assert_true(ep_text_width(p, line[i], 7, false) <= width);
    }
    assert_string_equal(ep_text_fit(p, "short", 7, false, 100), "short");
    assert_int_equal(ep_text_wrap(p, "  one   two ", 7, false, 1000, 3, line), 1);
    assert_int_equal(ep_text_wrap(p, "", 7, false, 1000, 3, line), 0);
    ep_page_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks), cmocka_unit_test(test_words),   cmocka_unit_test(test_colours),    cmocka_unit_test(test_chart),
        cmocka_unit_test(test_map),   cmocka_unit_test(test_colour_bar), cmocka_unit_test(test_svg),     cmocka_unit_test(test_png),
        cmocka_unit_test(test_pdf),   cmocka_unit_test(test_text_size), cmocka_unit_test(test_units_as_people_write_them),
        cmocka_unit_test(test_texts_find_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
