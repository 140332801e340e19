#include "pipeline/io/tiff_load.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* The package's major version is in the library's name: 6 in Debian 12, 5 before. */
static const char *const files[] = {"libtiff.so.6", "libtiff.so.5"};
static void *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files && !library; i++) library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
}

static void *find(const char *name)
{
    void *f = library ? dlsym(library, name) : NULL;
    if (f) return f;
    fprintf(stderr, "eelpipe: libtiff has no function %s: another version is needed\n", name);
    _exit(1);
}

#define CALL(name) ((__typeof__(&name))find(#name))

ep_status ep_tiff_ready(struct ep_err *e)
{
    pthread_once(&once, load);
    if (!library) return ep_fail(e, EP_E_COMPUTE, "writing TIFF needs %s: install the package libtiff6", files[0]);
    TIFFSetErrorHandler(NULL);
    TIFFSetWarningHandler(NULL);
    return EP_OK;
}

TIFFErrorHandler TIFFSetErrorHandler(TIFFErrorHandler h)
{
    return CALL(TIFFSetErrorHandler)(h);
}

TIFFErrorHandler TIFFSetWarningHandler(TIFFErrorHandler h)
{
    return CALL(TIFFSetWarningHandler)(h);
}

TIFF *TIFFFdOpen(int fd, const char *name, const char *mode)
{
    return CALL(TIFFFdOpen)(fd, name, mode);
}

int TIFFSetField(TIFF *t, uint32_t tag, ...)
{
    va_list ap;
    va_start(ap, tag);
    int ok = CALL(TIFFVSetField)(t, tag, ap);
    va_end(ap);
    return ok;
}

int TIFFWriteScanline(TIFF *t, void *row, uint32_t i, uint16_t sample)
{
    return CALL(TIFFWriteScanline)(t, row, i, sample);
}

int TIFFWriteDirectory(TIFF *t)
{
    return CALL(TIFFWriteDirectory)(t);
}

void TIFFClose(TIFF *t)
{
    CALL(TIFFClose)(t);
}
