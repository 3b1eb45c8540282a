// SPDX-License-Identifier: Apache-2.0
// Finding and opening the library, and its errors. The header is only of the version whose functions we use;
// any newer library has them too.
#include "engine/onnx/library.h"

#include "base/assert.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "libonnxruntime.so"

static void ignore_log(void *param, OrtLoggingLevel severity, const char *category, const char *log_id,
                       const char *location, const char *message)
{
    (void)param, (void)severity, (void)category, (void)log_id, (void)location, (void)message;
}

// The folder that setup and packages put it in: beside this program.
static bool beside_program(char *path, size_t size)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *slash = n > 0 ? memrchr(exe, '/', (size_t)n) : NULL;
    if (!slash)
        return false;
    *slash = '\0';
    int len = snprintf(path, size, "%s/onnxruntime/" NAME, exe);
    return len > 0 && (size_t)len < size && access(path, R_OK) == 0;
}

// Debian's packages carry the library's minor version in the name, the upstream ones only the major.
static void *open_system(char *path, size_t size)
{
    static const char *const NAMES[] = {NAME ".1", NAME ".1." BASE_STR(ORT_API_VERSION), NAME};
    void *handle = NULL;
    for (size_t i = 0; !handle && i < sizeof NAMES / sizeof NAMES[0]; i++) {
        snprintf(path, size, "%s", NAMES[i]);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return handle;
}

static int open_handle(const char *path, struct library *l, struct err *e)
{
    bool named = path && *path;
    if (named)
        snprintf(l->path, sizeof l->path, "%s", path);
    if (named || beside_program(l->path, sizeof l->path))
        l->handle = dlopen(l->path, RTLD_NOW | RTLD_LOCAL);
    else if (!(l->handle = open_system(l->path, sizeof l->path))) {
        err_set(e, ERR_UNAVAILABLE, "ONNX models need ONNX Runtime, and its library is not found");
        err_hint(
            e,
            "Install ONNX Runtime (Debian: libonnxruntime1.21; or dev/setup onnxruntime), or name its " NAME
            " in the setting onnxruntime_library.");
        return ERR_UNAVAILABLE;
    }
    if (l->handle)
        return 0;
    const char *why = dlerror();
    err_set(e, ERR_UNAVAILABLE, "ONNX Runtime's library does not open: %s", why ? why : l->path);
    err_hint(e, "Name the file " NAME " of ONNX Runtime 1.%d or newer in the setting onnxruntime_library.",
             ORT_API_VERSION);
    return ERR_UNAVAILABLE;
}

static int get_api(struct library *l, struct err *e)
{
    const OrtApiBase *(*get_base)(void);
    void *symbol = dlsym(l->handle, "OrtGetApiBase");
    const OrtApiBase *base = NULL;
    if (symbol) {
        memcpy(&get_base, &symbol, sizeof symbol); // ISO C has no cast from data to function
        base = get_base();
    }
    if (!base)
        return err_set(e, ERR_UNAVAILABLE, "%s is not ONNX Runtime", l->path);
    l->version = base->GetVersionString();
    l->api = base->GetApi(ORT_API_VERSION);
    if (!l->api) {
        err_set(e, ERR_UNAVAILABLE, "%s is ONNX Runtime %s; version 1.%d or newer is needed", l->path,
                l->version, ORT_API_VERSION);
        err_hint(e, "Name a newer " NAME " in the setting onnxruntime_library.");
        return ERR_UNAVAILABLE;
    }
    return 0;
}

int library_open(const char *path, struct library **ret, struct err *e)
{
    struct library *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory to open ONNX Runtime");
    int rc = open_handle(path, l, e);
    if (!rc)
        rc = get_api(l, e);
    if (!rc)
        rc = library_check(
            l, LIBRARY_OPEN,
            l->api->CreateEnvWithCustomLogger(ignore_log, NULL, ORT_LOGGING_LEVEL_ERROR, "slipway", &l->env),
            e);
    if (!rc)
        rc = library_check(l, LIBRARY_OPEN,
                           l->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &l->memory), e);
    if (!rc)
        rc = library_check(l, LIBRARY_OPEN, l->api->GetAllocatorWithDefaultOptions(&l->allocator), e);
    if (rc) {
        free(l); // what the library made stays, as the library itself
        return rc;
    }
    *ret = l;
    return 0;
}

const char *library_version(const struct library *l)
{
    return l->version;
}

// Skips "onnxruntime::Status onnxruntime::Fn(const T &, int) const [with T = float] " if that is what
// follows.
static const char *skip_signature(const char *p)
{
    const char *open = strchr(p, '('), *at = open;
    unsigned depth = 0;
    if (!open)
        return p;
    do {
        depth += *at == '(';
        depth -= *at == ')';
        at++;
    } while (depth && *at);
    if (strncmp(at, " const", 6) == 0)
        at += 6;
    const char *with = strncmp(at, " [with ", 7) == 0 ? strchr(at, ']') : NULL;
    at = with ? with + 1 : at;
    return *at == ' ' ? at + 1 : p;
}

void library_message(const char *message, char *out, size_t size)
{
    static const char SOURCES[] = "/onnxruntime/core/";
    size_t n = 0;
    while (*message && n + 1 < size) {
        // "/some/folder/onnxruntime/core/framework/x.cc:123 signature text"
        size_t word = strcspn(message, " \n");
        if (*message == '/' && memmem(message, word, SOURCES, sizeof SOURCES - 1) && message[word] == ' ') {
            message = skip_signature(message + word + 1);
            continue;
        }
        unsigned char c = (unsigned char)*message++;
        c = c < ' ' ? ' ' : c;
        if (c != ' ' || (n && out[n - 1] != ' '))
            out[n++] = (char)c;
    }
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static int code_of(enum library_call call, OrtErrorCode code, const char *text)
{
    if (strstr(text, "bad_alloc") || strstr(text, "Failed to allocate") || strstr(text, "bad allocation"))
        return ERR_NOMEM;
    if (call == LIBRARY_OPEN)
        return ERR_UNAVAILABLE;
    if (call == LIBRARY_RUN)
        return code == ORT_ENGINE_ERROR || code == ORT_EP_FAIL ? ERR_INTERNAL : ERR_INVALID;
    bool unknown = code == ORT_NOT_IMPLEMENTED || code == ORT_RUNTIME_EXCEPTION ||
                   strstr(text, "is not a registered") || strstr(text, "Unsupported model IR version") ||
                   strstr(text, "under development");
    return unknown ? ERR_UNSUPPORTED_MODEL : ERR_BAD_MODEL;
}

int library_check(const struct library *l, enum library_call call, OrtStatus *status, struct err *e)
{
    if (!status)
        return 0;
    char text[2 * ERR_MSG_MAX];
    const char *raw = l->api->GetErrorMessage(status);
    library_message(raw, text, sizeof text);
    int code = code_of(call, l->api->GetErrorCode(status), raw);
    l->api->ReleaseStatus(status);
    return err_set(e, code, "ONNX Runtime: %s", text);
}
