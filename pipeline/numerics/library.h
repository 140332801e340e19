/* Libraries that few runs need, loaded on first use: process start-up time counts. */
#ifndef EP_NUMERICS_LIBRARY_H
#define EP_NUMERICS_LIBRARY_H
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

/* Ends the program where the library is not installed. */
static inline void *ep_library_load(const char *name, const char *package)
{
    void *lib = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    if (lib) return lib;
    fprintf(stderr, "eelpipe: %s: install the package %s\n", dlerror(), package);
    _exit(1);
}

static inline void *ep_library_find(void *lib, const char *what, const char *name)
{
    void *f = dlsym(lib, name);
    if (f) return f;
    fprintf(stderr, "eelpipe: %s has no function %s: another version is needed\n", what, name);
    _exit(1);
}
#endif
