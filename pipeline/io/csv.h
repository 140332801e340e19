/* Tables as text: RFC 4180, one header line "name (unit)", a column "name sigma (unit)" behind each column with sigma. */
#ifndef EP_IO_CSV_H
#define EP_IO_CSV_H
#include "pipeline/base/err.h"
#include "pipeline/base/mem.h"
#include "pipeline/data/signal.h"
/* Numbers in the shortest form that reads back to the same double; NaN as an empty field. */
void ep_table_csv(const struct ep_signal *table, struct ep_str *out);
/* One field: a text, quoted where it must be; a number likewise. */
void ep_csv_text(struct ep_str *out, const char *text);
void ep_csv_number(struct ep_str *out, double x);

/* A text file has no place for a mark of ours, and people name tables of their own data.csv: which texts we have written stands,
 * as hashes, in .eelpipe/tables/<name> beside them. EP_E_OUTPUT: what is there is not ours, or was changed since. Before there was
 * such a list, a text was written just before its result (NULL: none). */
ep_status ep_csv_may_replace(const char *path, const char *result, struct ep_err *e);
/* Writes it unless ep_csv_may_replace says no. */
ep_status ep_csv_write(const char *path, const char *result, const struct ep_str *text, struct ep_err *e);
#endif
