// SPDX-License-Identifier: Apache-2.0
// Settings of a version to the library's options of a session.
#include "engine/onnx/session.h"

#include <stdio.h>
#include <string.h>

// Returns what the library says to the provider of this name.
typedef OrtStatus *append_fn(const OrtApi *api, OrtSessionOptions *so);

static OrtStatus *append_cuda(const OrtApi *api, OrtSessionOptions *so)
{
    OrtCUDAProviderOptionsV2 *o;
    OrtStatus *status = api->CreateCUDAProviderOptions(&o);
    if (status)
        return status;
    status = api->SessionOptionsAppendExecutionProvider_CUDA_V2(so, o);
    api->ReleaseCUDAProviderOptions(o);
    return status;
}

static OrtStatus *append_tensorrt(const OrtApi *api, OrtSessionOptions *so)
{
    OrtTensorRTProviderOptionsV2 *o;
    OrtStatus *status = api->CreateTensorRTProviderOptions(&o);
    if (status)
        return status;
    status = api->SessionOptionsAppendExecutionProvider_TensorRT_V2(so, o);
    api->ReleaseTensorRTProviderOptions(o);
    return status;
}

static OrtStatus *append_openvino(const OrtApi *api, OrtSessionOptions *so)
{
    return api->SessionOptionsAppendExecutionProvider_OpenVINO_V2(so, NULL, NULL, 0);
}

static const struct {
    const char *word, *library_name;
    append_fn *append; // NULL: always there, and last
} PROVIDERS[] = {
    {"cpu", "CPUExecutionProvider", NULL},
    {"cuda", "CUDAExecutionProvider", append_cuda},
    {"tensorrt", "TensorrtExecutionProvider", append_tensorrt},
    {"openvino", "OpenVINOExecutionProvider", append_openvino},
};
enum { N_PROVIDERS = sizeof PROVIDERS / sizeof PROVIDERS[0] };

static int refuse_provider(char **names, int n, const char *word, struct err *e)
{
    char has[128] = "";
    for (unsigned p = 0; p < N_PROVIDERS; p++)
        for (int i = 0; i < n; i++)
            if (strcmp(names[i], PROVIDERS[p].library_name) == 0) {
                size_t at = strlen(has);
                snprintf(has + at, sizeof has - at, "%s%s", at ? ", " : "", PROVIDERS[p].word);
            }
    err_set(e, ERR_UNSUPPORTED_MODEL, "the provider '%s' is not in this ONNX Runtime, which has: %s", word,
            has);
    err_hint(
        e,
        "Choose one of these, or name a library that was built with it in the setting onnxruntime_library.");
    return ERR_UNSUPPORTED_MODEL;
}

static int set_provider(const struct library *l, OrtSessionOptions *so, const char *word, struct err *e)
{
    unsigned p = 0;
    while (p < N_PROVIDERS && strcmp(word, PROVIDERS[p].word) != 0)
        p++;
    if (p == N_PROVIDERS)
        return err_set(e, ERR_INVALID, "'%s' is no provider; there are cpu, cuda, tensorrt and openvino",
                       word);
    if (!PROVIDERS[p].append)
        return 0;
    char **names;
    int n;
    int rc = library_check(l, LIBRARY_LOAD, l->api->GetAvailableProviders(&names, &n), e);
    if (rc)
        return rc;
    bool has = false;
    for (int i = 0; i < n; i++)
        has |= strcmp(names[i], PROVIDERS[p].library_name) == 0;
    rc = has ? library_check(l, LIBRARY_LOAD, PROVIDERS[p].append(l->api, so), e)
             : refuse_provider(names, n, word, e);
    OrtStatus *ignored = l->api->ReleaseAvailableProviders(names, n);
    (void)ignored; // documented never to fail
    if (rc && has) {
        err_wrap(e, "the provider '%s' does not start", word);
        rc = ERR_UNSUPPORTED_MODEL;
        if (e)
            e->code = rc;
    }
    return rc;
}

static int set_optimization(const struct library *l, OrtSessionOptions *so, const char *word, struct err *e)
{
    static const struct {
        const char *word;
        GraphOptimizationLevel level;
    } LEVELS[] = {{"none", ORT_DISABLE_ALL},
                  {"basic", ORT_ENABLE_BASIC},
                  {"extended", ORT_ENABLE_EXTENDED},
                  {"all", ORT_ENABLE_ALL}};
    for (size_t i = 0; i < sizeof LEVELS / sizeof LEVELS[0]; i++)
        if (strcmp(word, LEVELS[i].word) == 0)
            return library_check(l, LIBRARY_LOAD,
                                 l->api->SetSessionGraphOptimizationLevel(so, LEVELS[i].level), e);
    return err_set(e, ERR_INVALID, "'%s' is no optimization; there are none, basic, extended and all", word);
}

static int set_common(const struct library *l, OrtSessionOptions *so, unsigned threads, struct err *e)
{
    const OrtApi *a = l->api;
    int rc = library_check(l, LIBRARY_LOAD, a->SetIntraOpNumThreads(so, (int)threads), e);
    if (!rc)
        rc = library_check(l, LIBRARY_LOAD, a->SetInterOpNumThreads(so, 1), e);
    if (!rc)
        rc = library_check(l, LIBRARY_LOAD, a->SetSessionExecutionMode(so, ORT_SEQUENTIAL), e);
    // A plan of memory is kept for each shape of inputs ever seen, without end, and saves no time that was
    // measured. The arena stays on: without it large intermediate tensors are mapped anew in each run.
    if (!rc)
        rc = library_check(l, LIBRARY_LOAD, a->DisableMemPattern(so), e);
    // A replica that waits for its next batch must not burn the cores of the others.
    if (!rc)
        rc = library_check(l, LIBRARY_LOAD,
                           a->AddSessionConfigEntry(so, "session.intra_op.allow_spinning", "0"), e);
    return rc;
}

static const char *word_or(const char *word, const char *otherwise)
{
    return word && *word ? word : otherwise;
}

int session_options(const struct library *l, const struct runtime_options *o, OrtSessionOptions **ret,
                    struct err *e)
{
    OrtSessionOptions *so;
    int rc = library_check(l, LIBRARY_LOAD, l->api->CreateSessionOptions(&so), e);
    if (rc)
        return rc;
    rc = set_common(l, so, o->threads ? o->threads : 1, e);
    if (!rc)
        rc = set_optimization(l, so, word_or(o->optimization, "all"), e);
    if (!rc)
        rc = set_provider(l, so, word_or(o->provider, "cpu"), e);
    if (rc)
        l->api->ReleaseSessionOptions(so);
    else
        *ret = so;
    return rc;
}
