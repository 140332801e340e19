/* libtiff, loaded when the first TIFF is written (see pipeline/numerics/blas_load.c for why). Private to pipeline/io/. */
#ifndef EP_IO_TIFF_LOAD_H
#define EP_IO_TIFF_LOAD_H
#include <tiffio.h>
#include "pipeline/base/err.h"
/* EP_E_COMPUTE names the package that is missing. Also keeps libtiff from writing messages of its own. */
ep_status ep_tiff_ready(struct ep_err *e);
#endif
