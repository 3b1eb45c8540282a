// SPDX-License-Identifier: Apache-2.0
// The engine `onnx` for the rest: as an engine it only knows its files, as a runtime it runs them in
// replicas.
#include "engine/engine.h"
#include "engine/onnx/session.h"

const struct engine engine_onnx = {.name = "onnx", .runtime = &runtime_onnx, .detect = scan_detect};

static const struct interface *interface(const struct session *s)
{
    return &s->interface;
}

const struct runtime runtime_onnx = {
    .name = "onnx",
    .open = library_open,
    .version = library_version,
    .load = session_load,
    .interface = interface,
    .run = session_run,
    .close = session_close,
    .probe_batching = session_probe_batching,
};
