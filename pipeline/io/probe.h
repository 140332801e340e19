/* A first look at a file that nobody vouches for: a child process with limits opens it, walks all its signals and their chunk
 * tables. The HDF5 library can crash or hang on a damaged file; then it is the child that does. */
#ifndef EP_IO_PROBE_H
#define EP_IO_PROBE_H
#include "pipeline/base/err.h"
/* EP_E_INPUT with the child's message, or saying that the library crashed, hung, or wanted too much memory. Call while the
 * process has one thread. */
ep_status ep_file_probe(const char *path, struct ep_err *e);
#endif
