/* Onsets of the core-loss edges that show in a spectrum, to tell when one lies where it does harm. */
#ifndef EP_DATA_EDGES_H
#define EP_DATA_EDGES_H
#include <stddef.h>

struct ep_edge { char element[3], shell[3]; double onset; /* eV */ };

/* The edges of the elements (symbols, NULL-terminated; NULL: none) with lo < onset < hi eV, by rising onset. Returns how many
 * there are; the first `max` of them go to out. */
size_t ep_edges_within(const char *const *elements, double lo, double hi, struct ep_edge *out, size_t max);
#endif
