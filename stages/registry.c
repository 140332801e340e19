#include "stages/registry.h"

#include <string.h>

extern const struct ep_stage ep_stage_crop, ep_stage_rebin, ep_stage_align, ep_stage_background, ep_stage_integrate,
    ep_stage_sum_spectrum, ep_stage_eds_lines, ep_stage_interface, ep_stage_profile, ep_stage_region, ep_stage_smooth, ep_stage_register, ep_stage_collect,
    ep_stage_ratio, ep_stage_edge_ratio, ep_stage_front, ep_stage_onset, ep_stage_white_lines, ep_stage_quantify, ep_stage_gain,
    ep_stage_thickness, ep_stage_splice, ep_stage_deconvolve, ep_stage_mlls, ep_stage_figure;

const struct ep_stage *const ep_stages[] = {
    &ep_stage_crop,
    &ep_stage_gain,
    &ep_stage_rebin,
    &ep_stage_align,
    &ep_stage_background,
    &ep_stage_integrate,
    &ep_stage_sum_spectrum,
    &ep_stage_eds_lines,
    &ep_stage_mlls,
    &ep_stage_ratio,
    &ep_stage_edge_ratio,
    &ep_stage_white_lines,
    &ep_stage_quantify,
    &ep_stage_front,
    &ep_stage_onset,
    &ep_stage_interface,
    &ep_stage_profile,
    &ep_stage_region,
    &ep_stage_smooth,
    &ep_stage_register,
    &ep_stage_collect,
    &ep_stage_thickness,
    &ep_stage_splice,
    &ep_stage_deconvolve,
    &ep_stage_figure,
    NULL
};

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
