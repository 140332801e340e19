/* cairo and pango, loaded when the first figure is drawn, as pipeline/numerics/blas_load.c does with OpenBLAS: linked they and the
 * thirty libraries behind them would cost every start of the program some milliseconds. The headers' own declarations
 * check each of these definitions; a function used elsewhere and missing here is an error of the linker.
 */
#include "pipeline/draw/cairo_load.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum library { CAIRO, PANGO, PANGOCAIRO, GOBJECT, NLIBRARIES };
static const struct { const char *file, *package; } wanted[NLIBRARIES] = {
    {"libcairo.so.2", "libcairo2"},
    {"libpango-1.0.so.0", "libpango-1.0-0"},
    {"libpangocairo-1.0.so.0", "libpangocairo-1.0-0"},
    {"libgobject-2.0.so.0", "libglib2.0-0"},
};
static void *the_libraries[NLIBRARIES];
static int missing = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load_all(void)
{
    for (int i = 0; i < NLIBRARIES && missing < 0; i++) {
        the_libraries[i] = dlopen(wanted[i].file, RTLD_NOW | RTLD_LOCAL);
        if (!the_libraries[i]) missing = i;
    }
}

ep_status ep_draw_ready(struct ep_err *e)
{
    pthread_once(&once, load_all);
    if (missing < 0) return EP_OK;
    return ep_fail(e, EP_E_COMPUTE, "drawing needs %s: install the package %s", wanted[missing].file, wanted[missing].package);
}

static void *find(enum library lib, const char *name)
{
    pthread_once(&once, load_all);
    void *f = missing < 0 ? dlsym(the_libraries[lib], name) : NULL;
    if (f) return f;
    fprintf(stderr, "eelpipe: %s has no function %s: another version is needed\n", wanted[lib].file, name);
    _exit(1);
}

/* CALL(LIB, NAME)(...): the function NAME of the library. cppcheck, which does not know
 * __typeof__, takes what it returns for a number. */
#define CALL(lib, name) ((__typeof__(&name))find(lib, #name))
#define GIVE0(lib, type, name) type name(void) { return CALL(lib, name)(); }
#define GIVE1(lib, type, name, A) type name(A a) { return CALL(lib, name)(a); }
#define GIVE2(lib, type, name, A, B) type name(A a, B b) { return CALL(lib, name)(a, b); }
#define GIVE3(lib, type, name, A, B, C) type name(A a, B b, C c) { return CALL(lib, name)(a, b, c); }
#define GIVE4(lib, type, name, A, B, C, D) type name(A a, B b, C c, D d) { return CALL(lib, name)(a, b, c, d); }
#define GIVE5(lib, type, name, A, B, C, D, E) type name(A a, B b, C c, D d, E e) { return CALL(lib, name)(a, b, c, d, e); }

/* cppcheck-suppress CastIntegerToAddressAtReturn */
GIVE1(CAIRO, cairo_t *, cairo_create, cairo_surface_t *)
GIVE1(CAIRO, void, cairo_destroy, cairo_t *)
GIVE1(CAIRO, cairo_status_t, cairo_status, cairo_t *)
GIVE1(CAIRO, const char *, cairo_status_to_string, cairo_status_t)
GIVE1(CAIRO, void, cairo_save, cairo_t *)
GIVE1(CAIRO, void, cairo_restore, cairo_t *)
GIVE3(CAIRO, void, cairo_scale, cairo_t *, double, double)
GIVE3(CAIRO, void, cairo_translate, cairo_t *, double, double)
GIVE2(CAIRO, void, cairo_rotate, cairo_t *, double)
GIVE3(CAIRO, void, cairo_move_to, cairo_t *, double, double)
GIVE3(CAIRO, void, cairo_line_to, cairo_t *, double, double)
GIVE1(CAIRO, void, cairo_close_path, cairo_t *)
GIVE5(CAIRO, void, cairo_rectangle, cairo_t *, double, double, double, double)
GIVE1(CAIRO, void, cairo_clip, cairo_t *)
GIVE1(CAIRO, void, cairo_fill, cairo_t *)
GIVE1(CAIRO, void, cairo_stroke, cairo_t *)
GIVE1(CAIRO, void, cairo_paint, cairo_t *)
GIVE2(CAIRO, void, cairo_set_line_width, cairo_t *, double)
GIVE2(CAIRO, void, cairo_set_line_cap, cairo_t *, cairo_line_cap_t)
GIVE2(CAIRO, void, cairo_set_line_join, cairo_t *, cairo_line_join_t)
GIVE4(CAIRO, void, cairo_set_dash, cairo_t *, const double *, int, double)
GIVE5(CAIRO, void, cairo_set_source_rgba, cairo_t *, double, double, double, double)
GIVE4(CAIRO, void, cairo_set_source_surface, cairo_t *, cairo_surface_t *, double, double)
/* cppcheck-suppress CastIntegerToAddressAtReturn */
GIVE1(CAIRO, cairo_pattern_t *, cairo_get_source, cairo_t *)
GIVE2(CAIRO, void, cairo_pattern_set_filter, cairo_pattern_t *, cairo_filter_t)
GIVE3(CAIRO, cairo_surface_t *, cairo_image_surface_create, cairo_format_t, int, int)
/* cppcheck-suppress CastIntegerToAddressAtReturn */
GIVE1(CAIRO, unsigned char *, cairo_image_surface_get_data, cairo_surface_t *)
GIVE1(CAIRO, int, cairo_image_surface_get_stride, cairo_surface_t *)
GIVE1(CAIRO, void, cairo_surface_flush, cairo_surface_t *)
GIVE1(CAIRO, void, cairo_surface_mark_dirty, cairo_surface_t *)
GIVE1(CAIRO, void, cairo_surface_finish, cairo_surface_t *)
GIVE1(CAIRO, void, cairo_surface_destroy, cairo_surface_t *)
GIVE1(CAIRO, cairo_status_t, cairo_surface_status, cairo_surface_t *)
GIVE3(CAIRO, cairo_status_t, cairo_surface_write_to_png_stream, cairo_surface_t *, cairo_write_func_t, void *)
GIVE4(CAIRO, cairo_surface_t *, cairo_pdf_surface_create_for_stream, cairo_write_func_t, void *, double, double)
GIVE3(CAIRO, void, cairo_pdf_surface_set_metadata, cairo_surface_t *, cairo_pdf_metadata_t, const char *)
GIVE0(CAIRO, cairo_font_options_t *, cairo_font_options_create)
GIVE1(CAIRO, void, cairo_font_options_destroy, cairo_font_options_t *)
GIVE2(CAIRO, void, cairo_font_options_set_hint_style, cairo_font_options_t *, cairo_hint_style_t)
GIVE2(CAIRO, void, cairo_font_options_set_hint_metrics, cairo_font_options_t *, cairo_hint_metrics_t)
GIVE2(CAIRO, void, cairo_font_options_set_antialias, cairo_font_options_t *, cairo_antialias_t)

GIVE0(PANGOCAIRO, PangoFontMap *, pango_cairo_font_map_new)
GIVE2(PANGOCAIRO, void, pango_cairo_font_map_set_resolution, PangoCairoFontMap *, double)
GIVE2(PANGOCAIRO, void, pango_cairo_context_set_font_options, PangoContext *, const cairo_font_options_t *)
GIVE2(PANGOCAIRO, void, pango_cairo_show_layout_line, cairo_t *, PangoLayoutLine *)
/* cppcheck-suppress CastIntegerToAddressAtReturn */
GIVE1(PANGO, PangoContext *, pango_font_map_create_context, PangoFontMap *)
GIVE2(PANGO, void, pango_context_set_round_glyph_positions, PangoContext *, gboolean)
/* cppcheck-suppress CastIntegerToAddressAtReturn */
GIVE1(PANGO, PangoLayout *, pango_layout_new, PangoContext *)
GIVE2(PANGO, void, pango_layout_set_font_description, PangoLayout *, const PangoFontDescription *)
GIVE3(PANGO, void, pango_layout_set_text, PangoLayout *, const char *, int)
GIVE2(PANGO, void, pango_layout_set_single_paragraph_mode, PangoLayout *, gboolean)
GIVE2(PANGO, PangoLayoutLine *, pango_layout_get_line_readonly, PangoLayout *, int)
GIVE3(PANGO, void, pango_layout_line_get_extents, PangoLayoutLine *, PangoRectangle *, PangoRectangle *)
GIVE0(PANGO, PangoFontDescription *, pango_font_description_new)
GIVE1(PANGO, void, pango_font_description_free, PangoFontDescription *)
GIVE2(PANGO, void, pango_font_description_set_family, PangoFontDescription *, const char *)
GIVE2(PANGO, void, pango_font_description_set_weight, PangoFontDescription *, PangoWeight)
GIVE2(PANGO, void, pango_font_description_set_absolute_size, PangoFontDescription *, double)
GIVE1(GOBJECT, void, g_object_unref, gpointer)

/* Fontconfig keeps what it found of fonts until the process ends: not ours to free. The leak checker asks for this by name. */
#if defined(__SANITIZE_ADDRESS__)
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\nleak:libpango\nleak:libglib\n";
}
#endif
