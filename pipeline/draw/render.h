/* What the writers of files share. Private to pipeline/draw/. */
#ifndef EP_DRAW_RENDER_H
#define EP_DRAW_RENDER_H
#include "pipeline/draw/page.h"
/* The pixels of a picture as a PNG of their own. */
ep_status ep_picture_png(const struct ep_shape *picture, struct ep_str *out, struct ep_err *e);
/* NULL is allowed. */
void ep_texts_free(struct ep_texts_drawn *t);
#endif
