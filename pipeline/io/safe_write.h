/* A file that appears whole or not at all: written beside its place under a temporary name, synced, renamed. */
#ifndef EP_IO_SAFE_WRITE_H
#define EP_IO_SAFE_WRITE_H
#include "pipeline/base/err.h"

/* ".<base>.eelpipe.<host>.<pid>.<n>.tmp" in the folder of path. fd stays open, with an advisory lock that tells
 * ep_sweep_temporaries() of a living owner even where process numbers mean nothing (containers on one host). */
struct ep_temp { char *path, *tmp; int fd; };

/* Whether a result may be put there: where nothing is, where a result of ours is (whole or damaged), where an empty file is.
 * EP_E_OUTPUT: what is there is not ours to replace. */
ep_status ep_may_replace(const char *path, struct ep_err *e);
/* Makes the folders and the (empty) temporary file. On failure *t is empty: {NULL, NULL, -1}. */
ep_status ep_temp_open(const char *path, struct ep_temp *t, struct ep_err *e);
/* Syncs, renames, syncs the folder. Empties *t whatever happens; on failure the temporary file is gone. */
ep_status ep_temp_commit(struct ep_temp *t, struct ep_err *e);
/* Removes the temporary file (cut to nothing first: a library may still hold it open on a full disk). */
void ep_temp_abort(struct ep_temp *t);
#endif
