#include "pipeline/data/flags.h"

#define EP_FLAG_ROW(name, bit, word, doc) { UINT32_C(1) << (bit), word, doc },
const struct ep_flag_info ep_flag_infos[EP_NFLAGS] = { EP_FLAG_LIST(EP_FLAG_ROW) };
