#include "pipeline/base/hash.h"

#include <string.h>
#include <xxhash.h>

struct ep_hash ep_hash_bytes(const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits(p, n));
    struct ep_hash h = {{0}};
    for (size_t i = 0; i < sizeof c.digest; i++) {
        h.hex[2 * i] = digits[c.digest[i] >> 4];
        h.hex[2 * i + 1] = digits[c.digest[i] & 15];
    }
    return h;
}

struct ep_hash ep_hash_text(const char *s)
{
    return ep_hash_bytes(s, strlen(s));
}
