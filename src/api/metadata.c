// SPDX-License-Identifier: Apache-2.0
// Bodies of the read-only routes: GET /v1/models, /v1/models/M (KServe V1 and TensorFlow Serving's status in
// one object), /v2 and /v2/models/M (Open Inference Protocol).
#include "api/metadata_columns.h"
#include "api/predict.h"
#include "tensor/interface.h"

void kserve_v1_models_encode(const struct str *names, size_t n, struct buf *out)
{
    buf_puts(out, "{\"models\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ',');
        buf_put_json_str(out, names[i]);
    }
    buf_puts(out, "]}");
}

// READY versions are AVAILABLE in TensorFlow's words, others still LOADING.
void kserve_v1_model_encode(struct str name, const struct api_version *versions, size_t n, struct buf *out)
{
    bool ready = false;
    for (size_t i = 0; i < n; i++)
        ready |= versions[i].ready;
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, name);
    buf_printf(out, ",\"ready\":%s,\"model_version_status\":[", ready ? "true" : "false");
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i ? ",{\"version\":" : "{\"version\":");
        buf_put_json_str(out, versions[i].version);
        buf_printf(out, ",\"state\":\"%s\",\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}",
                   versions[i].ready ? "AVAILABLE" : "LOADING");
    }
    buf_puts(out, "]}");
}

// No extension of the protocol is spoken yet, so none is listed.
void kserve_v2_server_encode(struct str server_version, struct buf *out)
{
    buf_puts(out, "{\"name\":\"slipway\",\"version\":");
    buf_put_json_str(out, server_version);
    buf_puts(out, ",\"extensions\":[]}");
}

// A JSON array of the feature names, itself as a JSON string: properties are strings in this protocol.
static void put_feature_names(const struct signature *sig, struct buf *out)
{
    struct buf list;
    buf_init(&list, out->max);
    for (uint32_t i = 0; i < sig->n_features; i++) {
        buf_putc(&list, i ? ',' : '[');
        buf_put_json_str(&list, sig->features[i].name);
    }
    buf_putc(&list, ']');
    buf_puts(out, ",\"properties\":{\"features\":");
    buf_put_json_str(out, buf_str(&list));
    buf_putc(out, '}');
    out->failed |= list.failed;
    buf_done(&list);
}

static void put_versions(struct str name, const struct api_version *versions, size_t n, struct buf *out)
{
    bool any = false;
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, name);
    buf_puts(out, ",\"versions\":[");
    for (size_t i = 0; i < n; i++) {
        if (!versions[i].ready)
            continue;
        if (any)
            buf_putc(out, ',');
        buf_put_json_str(out, versions[i].version);
        any = true;
    }
    buf_puts(out, "],\"platform\":");
}

void kserve_v2_model_encode(struct str name, const struct api_version *versions, size_t n,
                            const struct signature *sig, struct buf *out)
{
    put_versions(name, versions, n, out);
    buf_put_json_str(out, str_of(sig->platform));
    buf_printf(out, ",\"inputs\":[{\"name\":\"input\",\"datatype\":\"%s\",\"shape\":[-1,%u]",
               dtype_name(sig->input_dtype), sig->n_features);
    metadata_put_feature_rules(sig, out);
    buf_puts(out, "}]");
    buf_puts(out, ",\"outputs\":[{\"name\":");
    buf_put_json_str(out, str_of(sig->output_name));
    buf_printf(out, ",\"datatype\":\"%s\",\"shape\":[-1", dtype_name(sig->output_dtype));
    if (sig->output_is_vector)
        buf_printf(out, ",%u", sig->n_outputs);
    buf_puts(out, "]}]");
    if (sig->named)
        put_feature_names(sig, out);
    buf_putc(out, '}');
}

static void put_specs(const struct tensor_spec *specs, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct tensor_spec *s = &specs[i];
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(out, s->name);
        buf_printf(out, ",\"datatype\":\"%s\",\"shape\":[", dtype_name(s->dtype));
        for (uint32_t k = 0; k < s->n_dims; k++)
            buf_printf(out, "%s%lld", k ? "," : "", (long long)s->shape[k]);
        buf_puts(out, s->any_shape ? "-1]" : "]");
        metadata_put_tensor_rule(s, out);
        buf_putc(out, '}');
    }
}

// {"score":["no","yes"]}: the classes of each output that has them.
static void put_labels(const struct interface *i, struct buf *json)
{
    for (uint32_t k = 0; k < i->n_outputs; k++) {
        const struct tensor_spec *s = &i->outputs[k];
        for (uint32_t c = 0; c < s->n_labels; c++) {
            if (c == 0) {
                buf_putc(json, json->n ? ',' : '{');
                buf_put_json_str(json, s->name);
            }
            buf_puts(json, c ? "," : ":[");
            buf_put_json_str(json, s->labels[c]);
        }
        if (s->n_labels)
            buf_putc(json, ']');
    }
    if (json->n)
        buf_putc(json, '}');
}

// ["mask"]: inputs that may be left out.
static void put_optional(const struct interface *i, struct buf *json)
{
    for (uint32_t k = 0; k < i->n_inputs; k++) {
        if (!i->inputs[k].optional)
            continue;
        buf_putc(json, json->n ? ',' : '[');
        buf_put_json_str(json, i->inputs[k].name);
    }
    if (json->n)
        buf_putc(json, ']');
}

// Properties are strings in this protocol; what is empty is left out.
static void put_property(const char *key, struct buf *value, bool *any, struct buf *out)
{
    if (value->n) {
        buf_printf(out, "%s\"%s\":", *any ? "," : ",\"properties\":{", key);
        buf_put_json_str(out, buf_str(value));
        *any = true;
    }
    out->failed |= value->failed;
    buf_clear(value);
}

void kserve_v2_interface_encode(struct str name, const struct api_version *versions, size_t n,
                                const struct interface *i, struct buf *out)
{
    struct buf value;
    bool any = false;
    put_versions(name, versions, n, out);
    buf_put_json_str(out, str_of(i->platform));
    buf_puts(out, ",\"inputs\":[");
    put_specs(i->inputs, i->n_inputs, out);
    buf_puts(out, "],\"outputs\":[");
    put_specs(i->outputs, i->n_outputs, out);
    buf_putc(out, ']');
    buf_init(&value, out->max);
    put_labels(i, &value);
    put_property("labels", &value, &any, out);
    put_optional(i, &value);
    put_property("optional_inputs", &value, &any, out);
    buf_done(&value);
    buf_puts(out, any ? "}}" : "}");
}
