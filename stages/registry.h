/* The list of stages. */
#ifndef EP_STAGES_REGISTRY_H
#define EP_STAGES_REGISTRY_H
#include "pipeline/stage.h"
/* NULL-terminated, in the order in which help shows them. */
extern const struct ep_stage *const ep_stages[];
const struct ep_stage *ep_stage_find(const char *name);           /* NULL if there is none */
const char *ep_stage_suggest(const char *name);                   /* nearest name, or NULL */
#endif
