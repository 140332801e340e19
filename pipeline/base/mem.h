/* Memory. Two rules:
 * - What is sized by the program itself (names, recipe nodes, plans) comes from an arena or the ep_x*
 *   functions, which end the process with exit code 1 and a message when memory is out: there is nothing
 *   left to save at that point and every caller stays readable.
 * - What is sized by data (signals, blocks, accumulators) uses malloc/calloc, is checked, and fails with an
 *   ep_err that says how many bytes were wanted and for what.
 */
#ifndef EP_BASE_MEM_H
#define EP_BASE_MEM_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

void *ep_xmalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *ep_xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *ep_xrealloc(void *p, size_t bytes) __attribute__((returns_nonnull));
char *ep_xstrdup(const char *s) __attribute__((malloc, returns_nonnull));

/* True and *out = a*b unless it overflows. */
bool ep_mul_ok(size_t a, size_t b, size_t *out);
static inline size_t ep_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t ep_max(size_t a, size_t b)
{
    return a > b ? a : b;
}
/* The last component of a path, in it. */
const char *ep_base_name(const char *path);
/* The folder of a path, "." when it names none: from the heap. */
char *ep_folder_name(const char *path) __attribute__((returns_nonnull));

/* A bump allocator: everything is freed at once. Memory is zeroed and aligned for any type. Not thread-safe. */
struct ep_arena { struct ep_arena_block *head; size_t total; };
void *ep_arena_alloc(struct ep_arena *a, size_t bytes) __attribute__((returns_nonnull));
#define EP_ARENA_NEW(a, type) ((type *)ep_arena_alloc((a), sizeof(type)))
#define EP_ARENA_ARRAY(a, type, n) ((__typeof__(type) *)ep_arena_array((a), (n), sizeof(type)))
void *ep_arena_array(struct ep_arena *a, size_t n, size_t size) __attribute__((returns_nonnull));
char *ep_arena_strdup(struct ep_arena *a, const char *s) __attribute__((returns_nonnull));
char *ep_arena_strndup(struct ep_arena *a, const char *s, size_t n) __attribute__((returns_nonnull));
char *ep_arena_printf(struct ep_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3), returns_nonnull));
void ep_arena_free(struct ep_arena *a); /* leaves *a empty and usable */

/* A growing string; s is always terminated once anything was added. Zero-initialise; free with ep_str_free(). */
struct ep_str { char *s; size_t n, cap; };
void ep_str_add(struct ep_str *b, const char *s);
void ep_str_addn(struct ep_str *b, const char *s, size_t n);
void ep_str_addf(struct ep_str *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ep_str_vaddf(struct ep_str *b, const char *fmt, va_list ap);
void ep_str_free(struct ep_str *b);

/* A growing array of any element type: EP_PUSH(arr, n, cap) makes room for one more and returns nothing;
 * the new element is arr[n-1], zeroed. From the heap (ep_xrealloc). */
#define EP_PUSH(arr, n, cap)                                                                          \
    do {                                                                                              \
        if ((n) == (cap)) {                                                                           \
            (cap) = (cap) ? 2 * (cap) : 8;                                                            \
            (arr) = ep_xrealloc((arr), (cap) * sizeof *(arr));                                        \
        }                                                                                             \
        memset(&(arr)[(n)++], 0, sizeof *(arr));                                                      \
    } while (0)
#endif
