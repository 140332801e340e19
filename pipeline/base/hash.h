/* Fingerprints: XXH3-128 in its canonical (big-endian) form, as 32 hexadecimal digits. */
#ifndef EP_BASE_HASH_H
#define EP_BASE_HASH_H
#include <stddef.h>
struct ep_hash { char hex[33]; };            /* "" = unknown */
struct ep_hash ep_hash_bytes(const void *p, size_t n);
struct ep_hash ep_hash_text(const char *s);
#endif
