/* Tables as text: RFC 4180, one header line "name (unit)", a column "name sigma (unit)" behind each column with sigma. */
#ifndef EP_IO_CSV_H
#define EP_IO_CSV_H
#include "pipeline/base/mem.h"
#include "pipeline/data/signal.h"
/* Numbers in the shortest form that reads back to the same double; NaN as an empty field. */
void ep_table_csv(const struct ep_signal *table, struct ep_str *out);
#endif
