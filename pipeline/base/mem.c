#include "pipeline/base/mem.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* _exit and write: this may be any thread, at any point, and there is no memory for more. */
static _Noreturn void out_of_memory(size_t bytes)
{
    char msg[96];
    int n = snprintf(msg, sizeof msg, "eelpipe: error: out of memory (%zu bytes wanted)\n", bytes);
    if (n > 0 && write(STDERR_FILENO, msg, (size_t)n) < 0) _exit(1);
    _exit(1);
}

void *ep_xmalloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) out_of_memory(bytes);
    return p;
}

void *ep_xcalloc(size_t n, size_t size)
{
    void *p = n && size ? calloc(n, size) : calloc(1, 1);
    size_t bytes;
    if (!p) out_of_memory(ep_mul_ok(n, size, &bytes) ? bytes : SIZE_MAX);
    return p;
}

void *ep_xrealloc(void *p, size_t bytes)
{
    void *q = realloc(p, bytes ? bytes : 1);
    if (!q) out_of_memory(bytes);
    return q;
}

char *ep_xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(ep_xmalloc(n), s, n);
}

bool ep_mul_ok(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* ---- arena ---- */

enum { ARENA_FIRST = 4096, ARENA_MOST = 1 << 20 };

struct ep_arena_block {
    struct ep_arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

static struct ep_arena_block *new_block(struct ep_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) out_of_memory(size);
    struct ep_arena_block *b = ep_xcalloc(1, sizeof *b + size);
    b->size = size;
    a->total += sizeof *b + size;
    return b;
}

void *ep_arena_alloc(struct ep_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) out_of_memory(bytes);
    size_t align = alignof(max_align_t);
    size_t want = bytes ? (bytes + align - 1) / align * align : align;
    struct ep_arena_block *b = a->head;
    if (!b || b->size - b->used < want) {
        size_t size = b ? 2 * b->size : ARENA_FIRST;
        if (size > ARENA_MOST) size = ARENA_MOST;
        if (b && want > size / 4) {
            /* A large piece gets a block of its own behind the head, whose rest stays in use. */
            struct ep_arena_block *own = new_block(a, want);
            own->used = want;
            own->next = b->next;
            b->next = own;
            return own->data;
        }
        b = new_block(a, want > size ? want : size);
        b->next = a->head;
        a->head = b;
    }
    void *p = b->data + b->used;
    b->used += want;
    return p;
}

void *ep_arena_array(struct ep_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!ep_mul_ok(n, size, &bytes)) out_of_memory(SIZE_MAX);
    return ep_arena_alloc(a, bytes);
}

char *ep_arena_strndup(struct ep_arena *a, const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = ep_arena_alloc(a, len + 1);
    memcpy(p, s, len);
    return p;
}

char *ep_arena_strdup(struct ep_arena *a, const char *s)
{
    return ep_arena_strndup(a, s, strlen(s));
}

char *ep_arena_printf(struct ep_arena *a, const char *fmt, ...)
{
    struct ep_str b = {0};
    va_list ap;
    va_start(ap, fmt);
    ep_str_vaddf(&b, fmt, ap);
    va_end(ap);
    char *p = ep_arena_strndup(a, b.s, b.n);
    ep_str_free(&b);
    return p;
}

void ep_arena_free(struct ep_arena *a)
{
    for (struct ep_arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct ep_arena){0};
}

/* ---- strings ---- */

static void reserve(struct ep_str *b, size_t more)
{
    if (more > SIZE_MAX / 4 || b->n > SIZE_MAX / 4) out_of_memory(more);
    size_t want = b->n + more + 1;
    if (want <= b->cap) return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < want) cap *= 2;
    b->s = ep_xrealloc(b->s, cap);
    b->cap = cap;
}

void ep_str_addn(struct ep_str *b, const char *s, size_t n)
{
    reserve(b, n);
    if (n) memcpy(b->s + b->n, s, n);
    b->n += n;
    b->s[b->n] = '\0';
}

void ep_str_add(struct ep_str *b, const char *s)
{
    ep_str_addn(b, s, strlen(s));
}

void ep_str_vaddf(struct ep_str *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    reserve(b, 64);
    size_t room = b->cap - b->n;
    int n = vsnprintf(b->s + b->n, room, fmt, ap);
    if (n >= 0 && (size_t)n >= room) {
        reserve(b, (size_t)n);
        n = vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0) b->n += (size_t)n;
    b->s[b->n] = '\0';
}

void ep_str_addf(struct ep_str *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ep_str_vaddf(b, fmt, ap);
    va_end(ap);
}

void ep_str_free(struct ep_str *b)
{
    free(b->s);
    *b = (struct ep_str){0};
}

const char *ep_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *ep_folder_name(const char *path)
{
    size_t n = (size_t)(ep_base_name(path) - path);
    if (!n) return ep_xstrdup(".");
    struct ep_str folder = {0};
    ep_str_addn(&folder, path, n > 1 ? n - 1 : 1);
    return folder.s;
}
