/* From stored bytes to floats: byte shuffle, LZF, checksums, type conversion. No HDF5 in here; any thread. */
#ifndef EP_IO_DECODE_H
#define EP_IO_DECODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "pipeline/data/signal.h"

/* A stored array of n elements in memory, perhaps byte-shuffled (all first bytes, then all second bytes, ...). */
struct ep_stored { const unsigned char *bytes; size_t n; enum ep_dtype type; bool shuffled; };

/* Elements first, first + step, ... as floats. */
void ep_stored_get(const struct ep_stored *s, size_t first, size_t step, size_t count, float *out);
/* Unpacks an LZF stream that must give exactly m bytes; false if it is no such stream. */
bool ep_lzf(const unsigned char *in, size_t n, unsigned char *out, size_t m);
/* The last four of n bytes are HDF5's fletcher32 of those before. */
bool ep_fletcher32_ok(const unsigned char *p, size_t n);
/* Writes that checksum of n bytes into the four behind them. */
void ep_fletcher32_add(unsigned char *p, size_t n);
#endif
