/* Everything a recipe made, as one HTML page: no network, no scripts or fonts of others, a policy that forbids both.
 *
 * The page depends on the recipe, the graph's states and the results alone (no dates, hosts, or paths outside the recipe's folder): the same
 * input gives the same bytes. Texts from recipes and files are escaped wherever they stand. Results that are stale are shown as such; what
 * is missing is listed.
 */
#ifndef EP_REPORT_REPORT_H
#define EP_REPORT_REPORT_H
#include "pipeline/engine/graph.h"

struct ep_report_opts {
    const char *version;                    /* of the program */
    size_t nset; const char *const *set;    /* what the command line changed in the recipe */
    size_t limit;                           /* bytes of the page; what does not fit stays in the files, and it says so. 0: 4.8 MB */
};
/* How many results are shown, and how many are not as the recipe wants them. */
struct ep_report_tally { size_t shown, stale, absent, unreadable, left_out; };
/* The graph has been compared with the disk. */
void ep_report_html(const struct ep_graph *g, const struct ep_report_opts *o, struct ep_str *out, struct ep_report_tally *t);
/* Whether a page may be put there: where nothing is, or a page of ours. EP_E_OUTPUT. */
ep_status ep_report_may_replace(const char *path, struct ep_err *e);
#endif
