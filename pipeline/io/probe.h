/* Looking at files in a child process with limits, before this process opens them: what makes the HDF5 library crash,
 * loop or eat memory ends the child, and is an error of the input here. */
#ifndef EP_IO_PROBE_H
#define EP_IO_PROBE_H
#include <stddef.h>
#include "pipeline/base/err.h"

/* Both are called while the process has one thread.
 *
 * Opens and walks the file; also reads what is small and read as a whole (maps, profiles, tables). */
ep_status ep_file_probe(const char *path, struct ep_err *e);

/* The same for many files, opened and walked only: one child runs ahead of the caller. The paths stay the caller's. */
struct ep_prober;
struct ep_prober *ep_prober_start(const char *const *path, size_t n);
/* What became of file i; asked in order. */
ep_status ep_prober_wait(struct ep_prober *p, size_t i, struct ep_err *e);
void ep_prober_end(struct ep_prober *p);
#endif
