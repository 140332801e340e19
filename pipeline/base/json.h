/* JSON text, written in one canonical way: no blanks, keys in the caller's order, numbers in the shortest form
 * that reads back to the same double (integers without a point), NaN as null. */
#ifndef EP_BASE_JSON_H
#define EP_BASE_JSON_H
#include <stddef.h>
#include "pipeline/base/mem.h"
void ep_json_str(struct ep_str *out, const char *s);    /* quoted and escaped; invalid UTF-8 bytes become \ufffd */
void ep_json_num(struct ep_str *out, double x);
void ep_json_key(struct ep_str *out, const char *key);  /* a comma first unless out ends with { or [ ; then "key": */
void ep_json_sep(struct ep_str *out);                   /* a comma unless out ends with { [ or : */
#endif
