/* Pieces of the HTML report: what texts, numbers, hashes and pictures become. */
#include "tests/unit/stage_rig.h"
#include <libdeflate.h>
#include "pipeline/report/html.h"

static bool gives(struct ep_str *s, const char *expected)
{
    bool same = !strcmp(s->s ? s->s : "", expected);
    if (!same) print_message("got  %s\nwant %s\n", s->s ? s->s : "", expected);
    ep_str_free(s);
    return same;
}

static void test_texts_are_escaped(void **unused)
{
    (void)unused;
    struct ep_str s = {0};
    ep_html_text(&s, "<a href=\"x\" t='y'>&amp;\x01\x1b\x7f\n\u00b5");
    assert_true(gives(&s, "&lt;a href=&quot;x&quot; t=&#39;y&#39;&gt;&amp;amp;   \n\u00b5"));
    ep_html_text(&s, NULL);
    ep_html_addf(&s, "<p>%s %d %zu 100%%</p>", "<b>", -3, (size_t)7);
    assert_true(gives(&s, "<p>&lt;b&gt; -3 7 100%</p>"));
    struct ep_str json = {0};
    ep_str_add(&json, "[\"</script><!--\"]");
    ep_html_json(&s, &json);
    assert_true(gives(&s, "[\"\\u003c/script>\\u003c!--\"]"));
    ep_str_free(&json);
}

static void test_numbers_have_the_digits_of_their_sigma(void **unused)
{
    (void)unused;
    static const struct { double v, sigma; const char *text; } rows[] = {
        {12.3456, 0.41, "12.35 \u00b1 0.41"}, {-12.3456, 41, "\u221212 \u00b1 41"}, {1234.5, 130, "1234 \u00b1 130"}, {0.15575, 0.00037, "0.15575 \u00b1 0.00037"},
        {5, NAN, "5"}, {5, 0, "5"}, {NAN, 1, "\u2013"}, {-1e-20, 2e-21, "\u22121e\u221220 \u00b1 2e\u221221"}, {INFINITY, 1, "inf"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ep_str s = {0};
        ep_html_number(&s, rows[i].v, rows[i].sigma);
        assert_true(gives(&s, rows[i].text));
    }
}

/* FIPS 180-4's examples, and lengths about the ends of blocks (from OpenSSL). */
static void test_sha256(void **unused)
{
    (void)unused;
    static const struct { size_t n; const char *text, *base64; } rows[] = {
        {3, "abc", "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='"},
        {0, "", "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"},
        {56, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "'sha256-JI1qYdIGOLjlwCaTDD5gOaM85Flk/yFn9uzt1BnbBsE='"},
        {55, "a", "'sha256-n0OQ+NMMLdkuyfCVtl4rmumwqSWlJY4kHJ8ekQ9zQxg='"},
        {64, "a", "'sha256-/+BU/nrgy23GXDr5th1SCfQ5hR20PQulmXM33xVGaOs='"},
        {1000000, "a", "'sha256-zcduXJkU+5KBocfihNc+Z/GAmkiklyAOBG05zMcRLNA='"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *bytes = ep_xcalloc(rows[i].n + 1, 1);
        if (strlen(rows[i].text) == 1) memset(bytes, rows[i].text[0], rows[i].n);
        else memcpy(bytes, rows[i].text, rows[i].n);
        struct ep_str s = {0};
        ep_html_sha256(&s, bytes, rows[i].n);
        assert_true(gives(&s, rows[i].base64));
        free(bytes);
    }
}

static unsigned char *from_base64(const char *s, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char *out = ep_xcalloc(strlen(s) + 1, 1);
    unsigned v = 0, bits = 0;
    *n = 0;
    for (; *s && *s != '='; s++) {
        v = v << 6 | (unsigned)(strchr(digits, *s) - digits);
        bits += 6;
        if (bits >= 8) out[(*n)++] = (unsigned char)(v >> (bits -= 8));
    }
    return out;
}

static void unpacked(struct ep_str *s, uint32_t *to, size_t n)
{
    size_t size, plane = 0;
    unsigned char *z = from_base64(s->s, &size), *planes = ep_xcalloc(n, 4);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    assert_int_equal(libdeflate_zlib_decompress(d, z, size, planes, 4 * n, &plane), LIBDEFLATE_SUCCESS);
    assert_int_equal(plane, 4 * n);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint32_t)planes[i] | (uint32_t)planes[n + i] << 8 | (uint32_t)planes[2 * n + i] << 16 | (uint32_t)planes[3 * n + i] << 24;
    libdeflate_free_decompressor(d);
    free(planes);
    free(z);
    ep_str_free(s);
}

static void test_packed_values(void **unused)
{
    (void)unused;
    const float v[6] = {1.0f / 3, -2e30f, 0, NAN, 1e-38f, INFINITY};
    float back[6];
    uint32_t words[6], got[6];
    memcpy(words, v, sizeof v);
    struct ep_str s = {0};
    ep_html_pack(&s, words, 6, 32);
    unpacked(&s, got, 6);
    assert_memory_equal(got, words, sizeof words);
    ep_html_pack(&s, words, 6, 20);
    unpacked(&s, got, 6);
    memcpy(back, got, sizeof back);
    for (size_t i = 0; i < 6; i++) {
        if (isnan(v[i])) assert_true(isnan(back[i]));
        else if (isinf(v[i])) assert_true(isinf(back[i]));
        else assert_true(fabsf(back[i] - v[i]) <= fabsf(v[i]) / 4096); /* 11 bits of mantissa, rounded */
    }
}

static uint32_t word(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void test_png(void **unused)
{
    (void)unused;
    const unsigned char index[6] = {0, 1, 2, 2, 1, 0}, palette[3][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
    const unsigned char rows[8] = {0, 0, 1, 2, 0, 2, 1, 0};
    static const char head[] = "data:image/png;base64,";
    struct ep_str s = {0};
    ep_html_png(&s, 2, 3, index, palette, 3);
    assert_int_equal(strncmp(s.s, head, strlen(head)), 0);
    size_t n, at = 8;
    unsigned char *png = from_base64(s.s + strlen(head), &n), raw[16];
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    static const char *const names[] = {"IHDR", "PLTE", "IDAT", "IEND"};
    for (size_t k = 0; k < 4; k++) {
        size_t size = word(png + at);
        assert_memory_equal(png + at + 4, names[k], 4);
        assert_int_equal(word(png + at + 8 + size), libdeflate_crc32(0, png + at + 4, size + 4));
        if (k == 0) assert_true(word(png + at + 8) == 3 && word(png + at + 12) == 2 && png[at + 16] == 8 && png[at + 17] == 3);
        if (k == 1) assert_memory_equal(png + at + 8, palette, 9);
        if (k == 2) {
            struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
            size_t got = 0;
            assert_int_equal(libdeflate_zlib_decompress(d, png + at + 8, size, raw, sizeof raw, &got), LIBDEFLATE_SUCCESS);
            assert_int_equal(got, sizeof rows);
            assert_memory_equal(raw, rows, sizeof rows);
            libdeflate_free_decompressor(d);
        }
        at += 12 + size;
    }
    assert_int_equal(at, n);
    free(png);
    ep_str_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_escaped), cmocka_unit_test(test_numbers_have_the_digits_of_their_sigma), cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_packed_values), cmocka_unit_test(test_png),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
