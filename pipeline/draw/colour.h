/* Colours of values. */
#ifndef EP_DRAW_COLOUR_H
#define EP_DRAW_COLOUR_H
#include "pipeline/draw/page.h"

enum ep_colour_map { EP_VIRIDIS, EP_MAGMA, EP_CIVIDIS, EP_COOLWARM, EP_GREY };
extern const char *const ep_colour_maps[];      /* names, NULL-terminated */
/* The colour of a value at `part` of its scale, 0 to 1; beyond it the colour of the end. part is not NaN. */
void ep_colour_of(int map, double part, unsigned char rgb[3]);
struct ep_colour ep_colour_at(int map, double part);
/* Lines that stand for things without an order. */
struct ep_colour ep_colour_series(size_t i);
#endif
