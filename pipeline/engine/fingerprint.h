/* Content fingerprints of raw files, remembered under <output>/.eelpipe/inputs/ by path, size and modification time.
 * A memory younger than 2 s at the time of hashing is not trusted (the file may change within the clock's grain). */
#ifndef EP_ENGINE_FINGERPRINT_H
#define EP_ENGINE_FINGERPRINT_H
#include <stdbool.h>
#include <time.h>
#include "pipeline/io/file.h"
/* folder: "<root of output>/.eelpipe/inputs", or NULL: nothing is remembered. */
bool ep_raw_recall(const char *path, size_t index, const char *folder, struct ep_hash *out);
/* Remembers what was hashed since `hashing` (a time before the first byte was read). Failing costs a re-hash, nothing else. */
void ep_raw_remember(const struct ep_file *f, size_t index, const char *folder, const struct ep_hash *h, struct timespec hashing);
/* The file's path, size and time of change as a fingerprint; of a file that may still be changing, another one each time. */
struct ep_hash ep_raw_by_time(const char *path);
#endif
