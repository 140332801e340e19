#include "stages/registry.h"

#include <string.h>

/* Every stage, one line each, in the order in which help shows them. */
#define EP_STAGES(X) \
    X(crop) \
    X(rebin) \
    X(align) \
    X(splice) \
    X(thickness) \
    X(deconvolve) \
    X(gain) \
    X(background) \
    X(integrate) \
    X(sum_spectrum) \
    X(eds_lines) \
    X(mlls) \
    X(ratio) \
    X(edge_ratio) \
    X(white_lines) \
    X(quantify) \
    X(interface) \
    X(region) \
    X(profile) \
    X(front) \
    X(onset) \
    X(smooth) \
    X(register) \
    X(collect) \
    X(figure)

#define DECLARE(name) extern const struct ep_stage ep_stage_##name;
#define LIST(name) &ep_stage_##name,
EP_STAGES(DECLARE)

const struct ep_stage *const ep_stages[] = { EP_STAGES(LIST) NULL };

const struct ep_stage *ep_stage_find(const char *name)
{
    for (size_t i = 0; ep_stages[i]; i++)
        if (strcmp(ep_stages[i]->name, name) == 0) return ep_stages[i];
    return NULL;
}

const char *ep_stage_suggest(const char *name)
{
    const char *names[sizeof ep_stages / sizeof *ep_stages] = { NULL };
    for (size_t i = 0; ep_stages[i]; i++) names[i] = ep_stages[i]->name;
    return ep_suggest(name, names);
}
