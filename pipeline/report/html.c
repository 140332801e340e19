#include "pipeline/report/html.h"

#include <libdeflate.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ep_html_textn(struct ep_str *o, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *as = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : c == '\'' ? "&#39;" : NULL;
        if (as) ep_str_add(o, as);
        else if ((c < 0x20 && c != '\n') || c == 0x7f) ep_str_add(o, " ");
        else ep_str_addn(o, s + i, 1);
    }
}

void ep_html_text(struct ep_str *o, const char *s)
{
    if (s) ep_html_textn(o, s, strlen(s));
}

void ep_html_addf(struct ep_str *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    for (const char *c = fmt; *c; c++) {
        size_t plain = strcspn(c, "%");
        ep_str_addn(o, c, plain);
        c += plain;
        if (!*c) break;
        if (*++c == 's') ep_html_text(o, va_arg(ap, const char *));
        else if (*c == 'd') ep_str_addf(o, "%d", va_arg(ap, int));
        else if (*c == 'z' && c[1] == 'u') ep_str_addf(o, "%zu", va_arg(ap, size_t)), c++;
        else ep_str_addn(o, c, 1);
    }
    va_end(ap);
}

void ep_html_number(struct ep_str *o, double v, double sigma)
{
    char text[96];
    if (isnan(v)) snprintf(text, sizeof text, "\u2013");
    else if (!(sigma > 0) || !isfinite(sigma) || !isfinite(v)) snprintf(text, sizeof text, "%.6g", v);
    else {
        double digits = floor(log10(sigma));
        int places = digits < 1 ? (int)fmin(1 - digits, 12) : 0;
        if (fabs(v) >= 1e9 || places > 9) snprintf(text, sizeof text, "%.6g \u00b1 %.2g", v, sigma);
        else snprintf(text, sizeof text, "%.*f \u00b1 %.*f", places, v, places, sigma);
    }
    for (const char *c = text; *c; c++) {
        if (*c == '-') ep_str_add(o, "\u2212");
        else ep_str_addn(o, c, 1);
    }
}

void ep_html_json(struct ep_str *o, const struct ep_str *json)
{
    for (size_t i = 0; i < json->n; i++) {
        if (json->s[i] == '<') ep_str_add(o, "\\u003c");
        else ep_str_addn(o, json->s + i, 1);
    }
}

void ep_html_base64(struct ep_str *o, const void *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = bytes;
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = 0;
        size_t have = n - i < 3 ? n - i : 3;
        for (size_t k = 0; k < 3; k++) v = v << 8 | (k < have ? s[i + k] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], have > 1 ? digits[v >> 6 & 63] : '=', have > 2 ? digits[v & 63] : '='};
        ep_str_addn(o, four, 4);
    }
}

/* ---- SHA-256 (FIPS 180-4): what content-security policies name scripts by ----------------------------------- */

static uint32_t turn(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static void sha256_block(uint32_t h[8], const unsigned char *p)
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
        0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
        0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
        0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
        0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
        0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64], a[8];
    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (size_t i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(a, h, sizeof a);
    for (size_t i = 0; i < 64; i++) {
        uint32_t t1 = a[7] + (turn(a[4], 6) ^ turn(a[4], 11) ^ turn(a[4], 25)) + ((a[4] & a[5]) ^ (~a[4] & a[6])) + k[i] + w[i];
        uint32_t t2 = (turn(a[0], 2) ^ turn(a[0], 13) ^ turn(a[0], 22)) + ((a[0] & a[1]) ^ (a[0] & a[2]) ^ (a[1] & a[2]));
        memmove(a + 1, a, 7 * sizeof *a);
        a[4] += t1;
        a[0] = t1 + t2;
    }
    for (size_t i = 0; i < 8; i++) h[i] += a[i];
}

void ep_html_sha256(struct ep_str *o, const void *bytes, size_t n)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char end[128] = {0}, digest[32];
    size_t whole = n / 64 * 64, rest = n - whole, blocks = rest < 56 ? 1 : 2;
    for (size_t i = 0; i < whole; i += 64) sha256_block(h, (const unsigned char *)bytes + i);
    if (rest) memcpy(end, (const unsigned char *)bytes + whole, rest);
    end[rest] = 0x80;
    for (size_t i = 0; i < 8; i++) end[64 * blocks - 1 - i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
    for (size_t i = 0; i < blocks; i++) sha256_block(h, end + 64 * i);
    for (size_t i = 0; i < 32; i++) digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
    ep_str_add(o, "'sha256-");
    ep_html_base64(o, digest, sizeof digest);
    ep_str_add(o, "'");
}

/* ---- packed values, pictures --------------------------------------------------------------------------------- */

/* zlib, at most 4 GB. */
static unsigned char *deflated(const unsigned char *bytes, size_t n, size_t *out)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
    if (!c) return NULL;
    size_t room = libdeflate_zlib_compress_bound(c, n);
    unsigned char *to = ep_xmalloc(room);
    *out = libdeflate_zlib_compress(c, bytes, n, to, room);
    libdeflate_free_compressor(c);
    return to;
}

void ep_html_pack(struct ep_str *o, const uint32_t *words, size_t n, unsigned keep)
{
    unsigned drop = 32 - keep;
    unsigned char *plane = ep_xmalloc(4 * n + 1);
    for (size_t i = 0; i < n; i++) {
        uint32_t w = words[i], half = drop ? UINT32_C(1) << (drop - 1) : 0;
        bool number = (w & 0x7f800000) != 0x7f800000; /* rounding must not turn a NaN into an infinity */
        if (drop) w = (number ? w + half : w) >> drop << drop;
        for (size_t b = 0; b < 4; b++) plane[b * n + i] = (unsigned char)(w >> 8 * b);
    }
    size_t size = 0;
    unsigned char *z = deflated(plane, 4 * n, &size);
    if (z) ep_html_base64(o, z, size);
    free(z);
    free(plane);
}

static void big_endian(unsigned char *p, size_t v)
{
    for (size_t i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void png_chunk(struct ep_str *o, const char *type, const void *data, size_t n)
{
    unsigned char word[4];
    struct ep_str body = {0};
    ep_str_addn(&body, type, 4);
    ep_str_addn(&body, data, n);
    big_endian(word, n);
    ep_str_addn(o, (char *)word, 4);
    ep_str_addn(o, body.s, body.n);
    big_endian(word, libdeflate_crc32(0, body.s, body.n));
    ep_str_addn(o, (char *)word, 4);
    ep_str_free(&body);
}

void ep_html_png(struct ep_str *o, size_t ny, size_t nx, const unsigned char *index, const unsigned char palette[][3], size_t colours)
{
    unsigned char head[13] = {0};
    struct ep_str png = {0};
    size_t size = 0;
    unsigned char *rows = ep_xcalloc(ny, nx + 1); /* each begins with its filter: none */
    for (size_t y = 0; y < ny; y++) memcpy(rows + y * (nx + 1) + 1, index + y * nx, nx);
    unsigned char *z = deflated(rows, ny * (nx + 1), &size);
    big_endian(head, nx);
    big_endian(head + 4, ny);
    head[8] = 8, head[9] = 3; /* bits of an index; a palette */
    ep_str_addn(&png, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(&png, "IHDR", head, sizeof head);
    png_chunk(&png, "PLTE", palette, 3 * colours);
    png_chunk(&png, "IDAT", z ? (const void *)z : "", size);
    png_chunk(&png, "IEND", "", 0);
    ep_str_add(o, "data:image/png;base64,");
    ep_html_base64(o, png.s, png.n);
    ep_str_free(&png);
    free(z);
    free(rows);
}
