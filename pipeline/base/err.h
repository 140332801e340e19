/* Errors as values.
 *
 * A function that can fail returns ep_status and takes a struct ep_err * as its last argument. Where a
 * failure is found, ep_fail() writes the message; on the way up ep_context() puts what was being done in
 * front ("step o_net (background): "). The first error wins: ep_fail() on an error that is already set
 * only counts. Nothing here allocates. Only main prints an ep_err and only main turns it into an exit code.
 */
#ifndef EP_BASE_ERR_H
#define EP_BASE_ERR_H

typedef enum ep_status {
    EP_OK = 0,
    EP_E_RECIPE,    /* the command line or the recipe is wrong       -> exit code 2 */
    EP_E_OUTPUT,    /* an output can't be written                    -> exit code 4 */
    EP_E_COMPUTE,   /* something could not be computed               -> exit code 1 */
    EP_E_INPUT,     /* an input can't be read                        -> exit code 3, or 1 if others could */
    EP_E_STOPPED    /* SIGINT or SIGTERM                             -> exit code 130 or 143 */
} ep_status;

struct ep_err {
    ep_status code;
    unsigned later;   /* errors that came after the first */
    char msg[2048];   /* no trailing newline */
};

/* Sets *e unless it is already set; returns code (never EP_OK). */
ep_status ep_fail(struct ep_err *e, ep_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts text in front of the message of *e; returns e->code, so that one can write
 * `return ep_context(e, "reading %s: ", path);` */
ep_status ep_context(struct ep_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
