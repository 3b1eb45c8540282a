// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime's library in front of the real one, which FAKE_REAL names. FAKE_OLD=1: it is too old for the
// functions that are asked for. Else it claims to have the provider CUDA, which then fails to start, as
// without a driver.
#include <onnxruntime_c_api.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static OrtApi api;
static const OrtApi *real;

static OrtStatus *get_available_providers(char ***ret, int *ret_n)
{
    static char cuda[] = "CUDAExecutionProvider", cpu[] = "CPUExecutionProvider";
    static char *names[] = {cuda, cpu};
    *ret = names;
    *ret_n = 2;
    return NULL;
}

static OrtStatus *release_available_providers(char **names, int n)
{
    (void)names, (void)n;
    return NULL;
}

static OrtStatus *create_cuda(OrtCUDAProviderOptionsV2 **ret)
{
    *ret = NULL;
    return NULL;
}

static void release_cuda(OrtCUDAProviderOptionsV2 *o)
{
    (void)o;
}

static OrtStatus *append_cuda(OrtSessionOptions *so, const OrtCUDAProviderOptionsV2 *o)
{
    (void)so, (void)o;
    return real->CreateStatus(ORT_FAIL, "CUDA driver version is insufficient");
}

static const OrtApi *get_api(uint32_t version)
{
    void *library = dlopen(getenv("FAKE_REAL"), RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "OrtGetApiBase") : NULL;
    const OrtApiBase *(*get_base)(void);
    if (getenv("FAKE_OLD") || !symbol)
        return NULL;
    memcpy(&get_base, &symbol, sizeof symbol);
    real = get_base()->GetApi(version);
    api = *real;
    api.GetAvailableProviders = get_available_providers;
    api.ReleaseAvailableProviders = release_available_providers;
    api.CreateCUDAProviderOptions = create_cuda;
    api.ReleaseCUDAProviderOptions = release_cuda;
    api.SessionOptionsAppendExecutionProvider_CUDA_V2 = append_cuda;
    return &api;
}

static const char *get_version(void)
{
    return "1.2.3";
}

const OrtApiBase *OrtGetApiBase(void)
{
    static const OrtApiBase BASE = {get_api, get_version};
    return &BASE;
}
