/* Finding the step of a map: what the stage `interface` does before it goes line by line. */
#ifndef EP_STAGES_INTERFACE_FIND_H
#define EP_STAGES_INTERFACE_FIND_H
#include "pipeline/numerics/curve.h"
#include "stages/space.h"

/* What the recipe says about the step. */
struct ep_jump_wanted {
    const char *name;                  /* of the map */
    bool near;
    double near_y, near_x;             /* nm */
    double direction;                  /* degrees; NAN: along the mean gradient */
    double width[2];                   /* nm; NAN: any */
};
struct ep_jump_work {
    const struct ep_jump_wanted *wanted;
    size_t n;
    double *y, *x, *z, *var;           /* pixels that count, from the middle of the field; var NULL: not known */
    double *u, *v;                     /* the same places turned: across, along */
    double *cu, *cv, *cz, *cvar;       /* room for those in a window */
    double *room;
    double cy, cx, px, density;        /* middle of the field, nm; size of a pixel; pixels per nm^2 */
    double uy, ux;                     /* across; along is (ux, -uy) */
    double lo, hi, reach;              /* window of the step around its line, nm */
    double least, most;                /* values beyond are spikes and do not count */
    struct ep_jump st;
};
/* Fails when the map has no step, or one without its two levels in the field. w->room is the caller's to free, always. */
ep_status ep_jump_find(struct ep_jump_work *w, const struct ep_signal *map, const struct ep_signal *within, struct ep_err *e);
/* Of the pixels first .. end, those within the window of the line p + q v, in the room of w. */
struct ep_jump_data ep_jump_window(struct ep_jump_work *w, double p, double q, size_t first, size_t end);
/* Sorts the pixels by strips of v of this width from v0, in their order otherwise; strip k starts at start[k], k = 0 to n. */
ep_status ep_jump_sort(struct ep_jump_work *w, double v0, double width, size_t n, size_t *start, struct ep_err *e);
/* Least squares for the levels of both sides of a step at s->p; the cost, INFINITY if they are not both in view. */
double ep_jump_levels(const struct ep_jump_data *d, struct ep_jump *s);
void ep_jump_limits(const struct ep_jump_work *w, double limit[2]);
#endif
