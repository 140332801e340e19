/* Signals in the formats of others: maps as TIFF for ImageJ and Fiji, spectra as EMSA/MAS (ISO 22029), all as text. Written beside,
 * synced, renamed. No dates: the same signal gives the same bytes.
 */
#ifndef EP_IO_EXPORT_H
#define EP_IO_EXPORT_H
#include "pipeline/base/err.h"
#include "pipeline/data/signal.h"

enum ep_format { EP_TIFF, EP_MSA, EP_CSV };
extern const char *const ep_formats[];      /* "tiff", "msa", "csv", NULL */
/* The format that a signal is at home in. */
enum ep_format ep_format_of(enum ep_kind k);
bool ep_format_takes(enum ep_format f, enum ep_kind k);
/* sigmas: the standard deviations, instead of the values (TIFF, MSA; CSV has both). fingerprint: of what made it, or "". */
ep_status ep_export(const struct ep_signal *s, enum ep_format f, bool sigmas, const char *fingerprint, const char *path, struct ep_err *e);
#endif
