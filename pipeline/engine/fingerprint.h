/* Content fingerprints of raw files, remembered under <output>/.eelpipe/inputs/ by path, size and modification time.
 * A memory younger than 2 s at the time of hashing is not trusted (the file may change within the clock's grain). */
#ifndef EP_ENGINE_FINGERPRINT_H
#define EP_ENGINE_FINGERPRINT_H
#include "pipeline/io/file.h"
/* folder: "<root of output>/.eelpipe/inputs", or NULL: hash always. */
ep_status ep_raw_fingerprint(struct ep_file *f, size_t index, const char *folder, unsigned threads, struct ep_hash *out,
                             struct ep_err *e);
#endif
