/* What fuzz targets share: taking numbers and words out of the bytes that a fuzzer gives. */
#ifndef EP_TESTS_FUZZ_H
#define EP_TESTS_FUZZ_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_bytes { const uint8_t *p; size_t n; };

/* 0 when there are no more. */
static inline unsigned fuzz_byte(struct fuzz_bytes *b)
{
    if (!b->n) return 0;
    b->n--;
    return *b->p++;
}
/* Up to `most` bytes, as a text; what it returns is how many they were. */
static inline size_t fuzz_text(struct fuzz_bytes *b, char *out, size_t most)
{
    size_t n = fuzz_byte(b);
    if (n > b->n) n = b->n;
    if (n >= most) n = most - 1;
    memcpy(out, b->p, n);
    out[n] = '\0';
    b->p += n;
    b->n -= n;
    return n;
}
/* A number that makes trouble, or any. */
static inline double fuzz_number(struct fuzz_bytes *b)
{
    static const double pool[] = { 0, 1, -1, 2, 0.5, 3, 40, 1e-300, 1e300, -1e300, 4294967296.0, 9007199254740993.0, 1.8e19, 1e-12 };
    unsigned k = fuzz_byte(b) % 20;
    double x = 0;
    if (k < sizeof pool / sizeof *pool) return pool[k];
    if (k == 14) return (double)NAN;
    if (k == 15) return (double)INFINITY;
    uint8_t raw[8] = { 0 };
    for (size_t i = 0; i < 8; i++) raw[i] = (uint8_t)fuzz_byte(b);
    memcpy(&x, raw, 8);
    return x;
}
#endif
