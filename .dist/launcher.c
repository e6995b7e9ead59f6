/* dist/tokligenced: this program with the interpreter's libraries inside it, and a zip of all the Python behind it.

   Nothing is unpacked. The libraries are handed to the dynamic linker from anonymous files in memory, modules are
   imported from the zip, and no second process is started: it works in an empty directory, on a read-only or noexec
   file system, and the process that the service manager started is the daemon itself.

   https://docs.python.org/3.11/c-api/init_config.html, memfd_create(2), zipimport */

#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIBRARY(name, path)                                                                                      \
    __asm__(".pushsection .rodata\n.balign 64\n" #name ":\n.incbin \"" path "\"\n" #name "_end:\n.popsection\n"); \
    extern const char name[], name##_end[];
#include "libraries.h"
#undef LIBRARY

/* The running program, also when another has taken its name meanwhile. */
#define SELF "/proc/self/exe"

static void die(const char *what, const char *why)
{
    fprintf(stderr, "tokligenced: %s: %s\n", what, why);
    exit(1);
}

/* The descriptor stays open: the linker takes two libraries of one path for the same one. */
static void *load(const char *name, const char *data, const char *end)
{
    char path[32];
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        die(name, strerror(errno));
    while (data < end) {
        ssize_t written = write(fd, data, end - data);
        if (written < 0)
            die(name, strerror(errno));
        data += written;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    void *library = dlopen(path, RTLD_LAZY | RTLD_GLOBAL);
    if (library == NULL)
        die(name, dlerror());
    return library;
}

#define GET(function) __typeof__(&function) function##_ = (__typeof__(&function))dlsym(python, #function)
#define TRY(expression)                          \
    do {                                         \
        PyStatus status = expression;            \
        if (PyStatus_Exception_(status))         \
            Py_ExitStatusException_(status);     \
    } while (0)

int main(int argc, char **argv)
{
    void *python = NULL;
#define LIBRARY(name, path) python = load(#name, name, name##_end);
#include "libraries.h" /* libpython comes last: it needs others */
    GET(PyConfig_InitIsolatedConfig);
    GET(PyConfig_SetBytesArgv);
    GET(PyConfig_SetBytesString);
    GET(PyPreConfig_InitIsolatedConfig);
    GET(PyStatus_Exception);
    GET(PyWideStringList_Append);
    GET(Py_ExitStatusException);
    GET(Py_InitializeFromConfig);
    GET(Py_PreInitialize);
    GET(Py_RunMain);

    char executable[PATH_MAX];
    ssize_t length = readlink(SELF, executable, sizeof executable - 1);
    if (length < 0)
        die(SELF, strerror(errno));
    executable[length] = '\0';

    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig_(&before);
    before.utf8_mode = 1; /* whatever the locale: services have none */
    TRY(Py_PreInitialize_(&before));

    PyConfig config;
    PyConfig_InitIsolatedConfig_(&config);
    config.install_signal_handlers = 1;
    config.parse_argv = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    config.module_search_paths_set = 1;
    TRY(PyWideStringList_Append_(&config.module_search_paths, L"" SELF));
    TRY(PyConfig_SetBytesString_(&config, &config.executable, executable));
    TRY(PyConfig_SetBytesString_(&config, &config.home, SELF));
    TRY(PyConfig_SetBytesString_(&config, &config.run_filename, SELF));
    TRY(PyConfig_SetBytesArgv_(&config, argc, argv));
    TRY(Py_InitializeFromConfig_(&config));
    return Py_RunMain_();
}
