/* The headers of what cairo_load.c binds. Private to pipeline/draw/. */
#ifndef EP_DRAW_CAIRO_LOAD_H
#define EP_DRAW_CAIRO_LOAD_H
#include <cairo-pdf.h>
#include <cairo.h>
#include <pango/pangocairo.h>
#include "pipeline/draw/page.h"
/* pangocairo.h makes macros that check types through GLib; what is passed here is of the right type. */
#endif
