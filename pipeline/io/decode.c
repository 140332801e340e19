#include "pipeline/io/decode.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BATCH 512 /* elements unshuffled at a time: stays in the first cache */

/* ---- byte shuffle ---- */

static void unshuffle_plain(const unsigned char *p, size_t n, size_t size, size_t first, size_t count, unsigned char *out)
{
    for (size_t b = 0; b < size; b++)
        for (size_t i = 0; i < count; i++) out[i * size + b] = p[b * n + first + i];
}

#if defined(__SSE2__)
static __m128i load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static void store(unsigned char *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

static size_t unshuffle2(const unsigned char *p, size_t n, size_t first, size_t count, unsigned char *out)
{
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m128i a = load(p + first + i), b = load(p + n + first + i);
        store(out + 2 * i, _mm_unpacklo_epi8(a, b));
        store(out + 2 * i + 16, _mm_unpackhi_epi8(a, b));
    }
    return i;
}

static size_t unshuffle4(const unsigned char *p, size_t n, size_t first, size_t count, unsigned char *out)
{
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const unsigned char *q = p + first + i;
        __m128i a = load(q), b = load(q + n), c = load(q + 2 * n), d = load(q + 3 * n);
        __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
        __m128i cd0 = _mm_unpacklo_epi8(c, d), cd1 = _mm_unpackhi_epi8(c, d);
        store(out + 4 * i, _mm_unpacklo_epi16(ab0, cd0));
        store(out + 4 * i + 16, _mm_unpackhi_epi16(ab0, cd0));
        store(out + 4 * i + 32, _mm_unpacklo_epi16(ab1, cd1));
        store(out + 4 * i + 48, _mm_unpackhi_epi16(ab1, cd1));
    }
    return i;
}
#endif

static void unshuffle(const unsigned char *p, size_t n, size_t size, size_t first, size_t count, void *to)
{
    unsigned char *out = to;
    size_t done = 0;
#if defined(__SSE2__)
    if (size == 2) done = unshuffle2(p, n, first, count, out);
    if (size == 4) done = unshuffle4(p, n, first, count, out);
#endif
    if (done < count) unshuffle_plain(p, n, size, first + done, count - done, out + done * size);
}

/* ---- conversion ---- */

#define CONVERT(name, type)                                                                       \
    static void name(const unsigned char *p, size_t step, size_t count, float *out)               \
    {                                                                                             \
        for (size_t i = 0; i < count; i++) {                                                      \
            type v;                                                                               \
            memcpy(&v, p + i * step * sizeof v, sizeof v);                                        \
            out[i] = (float)v;                                                                    \
        }                                                                                         \
    }
CONVERT(from_f32, float)
CONVERT(from_f64, double)
CONVERT(from_u8, uint8_t)
CONVERT(from_u16, uint16_t)
CONVERT(from_u32, uint32_t)
CONVERT(from_i8, int8_t)
CONVERT(from_i16, int16_t)
CONVERT(from_i32, int32_t)

static void convert(enum ep_dtype type, const unsigned char *p, size_t step, size_t count, float *out)
{
    switch (type) {
    case EP_F32:
        if (step == 1) memcpy(out, p, count * sizeof *out);
        else from_f32(p, step, count, out);
        break;
    case EP_F64: from_f64(p, step, count, out); break;
    case EP_U8: from_u8(p, step, count, out); break;
    case EP_U16: from_u16(p, step, count, out); break;
    case EP_U32: from_u32(p, step, count, out); break;
    case EP_I8: from_i8(p, step, count, out); break;
    case EP_I16: from_i16(p, step, count, out); break;
    case EP_I32: from_i32(p, step, count, out); break;
    }
}

/* One element after another: shuffled arrays are seldom read across. */
static void get_shuffled_across(const struct ep_stored *s, size_t first, size_t step, size_t count, float *out)
{
    unsigned char v[8];
    size_t size = ep_dtype_size(s->type);
    for (size_t i = 0; i < count; i++) {
        for (size_t b = 0; b < size; b++) v[b] = s->bytes[b * s->n + first + i * step];
        convert(s->type, v, 1, 1, out + i);
    }
}

void ep_stored_get(const struct ep_stored *s, size_t first, size_t step, size_t count, float *out)
{
    size_t size = ep_dtype_size(s->type);
    if (!s->shuffled || size == 1) {
        convert(s->type, s->bytes + first * size, step, count, out);
    } else if (step != 1 && count > 1) {
        get_shuffled_across(s, first, step, count, out);
    } else if (s->type == EP_F32) {
        unshuffle(s->bytes, s->n, size, first, count, out);
    } else {
        unsigned char batch[BATCH * 8];
        for (size_t i = 0; i < count; i += BATCH) {
            size_t k = count - i < BATCH ? count - i : BATCH;
            unshuffle(s->bytes, s->n, size, first + i, k, batch);
            convert(s->type, batch, 1, k, out + i);
        }
    }
}

/* ---- checksum ---- */

/* Two running sums of 16-bit words (first byte high), modulo 65535 by folding: 0 only if all words are 0. */
struct sums { uint64_t a, b; };

static uint64_t fold(uint64_t x)
{
    while (x >> 16) x = (x & 0xffff) + (x >> 16);
    return x;
}

static void add_words(struct sums *s, const unsigned char *p, size_t words)
{
    for (size_t i = 0; i < words; i++, p += 2) {
        s->a += (uint32_t)p[0] << 8 | p[1];
        s->b += s->a;
        if ((i & 255) == 255) *s = (struct sums){fold(s->a), fold(s->b)};
    }
    *s = (struct sums){fold(s->a), fold(s->b)};
}

#if defined(__SSE2__)
enum { STEPS = 240 }; /* of 8 words: no 32-bit lane overflows */

static uint64_t sum_lanes(__m128i v)
{
    uint32_t lane[4];
    store((unsigned char *)lane, v);
    return (uint64_t)lane[0] + lane[1] + lane[2] + lane[3];
}

/* n steps of 8 words. Within a step word i counts 8 - i times in b, and all words before it once more for each word. */
static void add_steps(struct sums *s, const unsigned char *p, size_t n)
{
    const __m128i low = _mm_set1_epi16(0xff), ones = _mm_set1_epi16(1), many = _mm_set1_epi16(256);
    const __m128i weights = _mm_setr_epi16(8, 7, 6, 5, 4, 3, 2, 1), weights256 = _mm_slli_epi16(weights, 8);
    __m128i all = _mm_setzero_si128(), before = all, weighted = all;
    for (size_t i = 0; i < n; i++, p += 16) {
        __m128i v = load(p), high = _mm_and_si128(v, low), rest = _mm_srli_epi16(v, 8);
        before = _mm_add_epi32(before, all);
        all = _mm_add_epi32(all, _mm_add_epi32(_mm_madd_epi16(high, many), _mm_madd_epi16(rest, ones)));
        weighted = _mm_add_epi32(weighted, _mm_add_epi32(_mm_madd_epi16(high, weights256), _mm_madd_epi16(rest, weights)));
    }
    s->b = fold(s->b + s->a * 8 * n + 8 * sum_lanes(before) + sum_lanes(weighted));
    s->a = fold(s->a + sum_lanes(all));
}
#endif

static uint32_t fletcher32(const unsigned char *p, size_t n)
{
    struct sums s = {0, 0};
    size_t words = n / 2;
#if defined(__SSE2__)
    for (size_t steps; (steps = words / 8 < STEPS ? words / 8 : STEPS) != 0; words -= 8 * steps, p += 16 * steps) add_steps(&s, p, steps);
#endif
    add_words(&s, p, words);
    if (n & 1) {
        const unsigned char last[2] = {p[2 * words], 0};
        add_words(&s, last, 1);
    }
    return (uint32_t)(s.b << 16 | s.a);
}

void ep_fletcher32_add(unsigned char *p, size_t n)
{
    uint32_t sum = fletcher32(p, n);
    for (int k = 0; k < 4; k++) p[n + (size_t)k] = (unsigned char)(sum >> 8 * k);
}

bool ep_fletcher32_ok(const unsigned char *p, size_t n)
{
    if (n < 4) return false;
    const unsigned char *q = p + n - 4;
    uint32_t stored = (uint32_t)q[0] | (uint32_t)q[1] << 8 | (uint32_t)q[2] << 16 | (uint32_t)q[3] << 24;
    uint32_t sum = fletcher32(p, n - 4);
    /* HDF5 before 1.6.3 swapped the bytes of each half; it still accepts that. */
    uint32_t swapped = (sum & 0x00ff00ffu) << 8 | (sum >> 8 & 0x00ff00ffu);
    return stored == sum || stored == swapped;
}

/* ---- LZF ---- */

/* Control byte c < 32: c + 1 literal bytes follow. Else a copy of (c >> 5) + 2 bytes (7: one more byte adds to the
 * length) from 1 + ((c & 31) << 8 | next byte) before. */
bool ep_lzf(const unsigned char *in, size_t n, unsigned char *out, size_t m)
{
    const unsigned char *end = in + n;
    size_t at = 0;
    while (in < end) {
        size_t c = *in++, len;
        if (c < 32) {
            len = c + 1;
            if (len > (size_t)(end - in) || len > m - at) return false;
            memcpy(out + at, in, len);
            in += len;
        } else {
            len = (c >> 5) + 2;
            if (c >> 5 == 7) {
                if (in == end) return false;
                len += *in++;
            }
            if (in == end) return false;
            size_t back = ((c & 31) << 8 | *in++) + 1;
            if (back > at || len > m - at) return false;
            for (size_t i = 0; i < len; i++) out[at + i] = out[at + i - back]; /* may overlap on purpose */
        }
        at += len;
    }
    return at == m;
}
