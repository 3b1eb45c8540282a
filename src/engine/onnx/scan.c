// SPDX-License-Identifier: Apache-2.0
// The walk over a ModelProto: the graph, its nodes, their attributes, and the graphs and tensors in those.
#include "engine/onnx/scan.h"

#include "engine/onnx/proto.h"

#include <stdio.h>
#include <string.h>

enum model_field { MODEL_IR_VERSION = 1, MODEL_GRAPH = 7, MODEL_OPSET_IMPORT = 8, MODEL_FUNCTIONS = 25 };
enum graph_field { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum node_field { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { FUNCTION_NODE = 7 };
enum attribute_field {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_G = 6,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9,
    ATTRIBUTE_TENSORS = 10,
    ATTRIBUTE_GRAPHS = 11
};
enum tensor_field { TENSOR_EXTERNAL_DATA = 13, TENSOR_DATA_LOCATION = 14, TENSOR_IS_EXTERNAL = 1 };
enum entry_field { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum value_field { VALUE_NAME = 1, VALUE_TYPE = 2 };
enum type_field { TYPE_TENSOR = 1, TYPE_TENSOR_SHAPE = 2 };

// Graphs within attributes of nodes of graphs; files and ZipMaps are looked for one by one.
enum { DEPTH_MAX = 32, IR_VERSION_MAX = 1000, FILES_MAX = 1000, ZIPMAPS_MAX = 64 };

// A graph has at least its first field right.
static bool looks_like_graph(struct str graph)
{
    struct proto in = proto_of(graph);
    struct proto_field f;
    return proto_next(&in, &f) ? f.wire == PROTO_BYTES && f.number <= 16 : in.cut;
}

const char *scan_detect(const uint8_t *bytes, size_t size)
{
    struct proto in = proto_of((struct str){(const char *)bytes, size});
    struct proto_field f;
    bool version = false, graph = false, opset = false;
    while (proto_next(&in, &f)) {
        if (f.number == MODEL_IR_VERSION) {
            if (f.wire != PROTO_VARINT || f.value == 0 || f.value > IR_VERSION_MAX)
                return NULL;
            version = true;
        }
        if (f.number == MODEL_GRAPH) {
            if (f.wire != PROTO_BYTES || !looks_like_graph(f.bytes))
                return NULL;
            graph = true;
        }
        opset |= proto_is_bytes(&f, MODEL_OPSET_IMPORT);
    }
    // Of a file that was cut short the graph, by far its longest field, is what is cut.
    bool graph_cut = in.cut && f.number == MODEL_GRAPH && f.wire == PROTO_BYTES;
    return version && (graph_cut || (graph && opset && !in.broken)) ? "onnx" : NULL;
}

struct walk {
    struct str model;
    struct arena *arena;
    struct scan *out;
    struct err *e;
};

static int broken(const struct walk *w, const struct proto *in, const char *what)
{
    return err_set(w->e, ERR_BAD_MODEL,
                   in->cut ? "the file ends within %s: was it cut short?" : "%s is broken", what);
}

static void *allocate(const struct walk *w, size_t n, size_t size)
{
    void *p = arena_calloc(w->arena, n, size);
    if (!p)
        err_set(w->e, ERR_NOMEM, "no memory to read the model");
    return p;
}

static int add_file(const struct walk *w, struct str name, bool in_attribute)
{
    unsigned n = 0;
    for (struct scan_file *f = w->out->files; f; f = f->next, n++)
        if (str_eq(f->name, name)) {
            f->in_attribute |= in_attribute;
            return 0;
        }
    if (n == FILES_MAX)
        return err_set(w->e, ERR_UNSUPPORTED_MODEL, "the model's weights lie in more than %d files",
                       FILES_MAX);
    struct scan_file *f = allocate(w, 1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    *f = (struct scan_file){name, in_attribute, w->out->files};
    w->out->files = f;
    return 0;
}

static int walk_tensor(const struct walk *w, struct str tensor, bool in_attribute)
{
    struct proto in = proto_of(tensor);
    struct proto_field f, g;
    struct str location = {0};
    bool external = false;
    while (proto_next(&in, &f)) {
        if (f.number == TENSOR_DATA_LOCATION && f.wire == PROTO_VARINT)
            external = f.value == TENSOR_IS_EXTERNAL;
        if (!proto_is_bytes(&f, TENSOR_EXTERNAL_DATA))
            continue;
        struct proto entry = proto_of(f.bytes);
        struct str key = {0}, value = {0};
        while (proto_next(&entry, &g)) {
            if (proto_is_bytes(&g, ENTRY_KEY))
                key = g.bytes;
            if (proto_is_bytes(&g, ENTRY_VALUE))
                value = g.bytes;
        }
        if (str_eq(key, STR("location")))
            location = value;
    }
    if (in.broken)
        return broken(w, &in, "a tensor");
    return external ? add_file(w, location, in_attribute) : 0;
}

static int walk_graph(const struct walk *w, struct str graph, unsigned depth);

static int walk_attribute(const struct walk *w, struct str attribute, unsigned depth)
{
    struct proto in = proto_of(attribute);
    struct proto_field f;
    int rc = 0;
    while (!rc && proto_next(&in, &f)) {
        if (proto_is_bytes(&f, ATTRIBUTE_T) || proto_is_bytes(&f, ATTRIBUTE_TENSORS))
            rc = walk_tensor(w, f.bytes, true);
        if (proto_is_bytes(&f, ATTRIBUTE_G) || proto_is_bytes(&f, ATTRIBUTE_GRAPHS))
            rc = walk_graph(w, f.bytes, depth + 1);
    }
    return rc || !in.broken ? rc : broken(w, &in, "an attribute");
}

static int walk_node(const struct walk *w, struct str node, unsigned depth)
{
    struct proto in = proto_of(node);
    struct proto_field f;
    int rc = 0;
    while (!rc && proto_next(&in, &f))
        if (proto_is_bytes(&f, NODE_ATTRIBUTE))
            rc = walk_attribute(w, f.bytes, depth);
    return rc || !in.broken ? rc : broken(w, &in, "a node");
}

static int walk_graph(const struct walk *w, struct str graph, unsigned depth)
{
    struct proto in = proto_of(graph);
    struct proto_field f;
    int rc = 0;
    if (depth > DEPTH_MAX)
        return err_set(w->e, ERR_BAD_MODEL, "graphs are nested deeper than %d", DEPTH_MAX);
    while (!rc && proto_next(&in, &f)) {
        if (proto_is_bytes(&f, GRAPH_NODE))
            rc = walk_node(w, f.bytes, depth);
        if (proto_is_bytes(&f, GRAPH_INITIALIZER))
            rc = walk_tensor(w, f.bytes, depth > 0);
    }
    return rc || !in.broken ? rc : broken(w, &in, "the graph");
}

static int walk_function(const struct walk *w, struct str function)
{
    struct proto in = proto_of(function);
    struct proto_field f;
    int rc = 0;
    while (!rc && proto_next(&in, &f))
        if (proto_is_bytes(&f, FUNCTION_NODE))
            rc = walk_node(w, f.bytes, 1);
    return rc || !in.broken ? rc : broken(w, &in, "a function");
}

static struct str field_bytes(struct str message, uint32_t number)
{
    struct proto in = proto_of(message);
    struct proto_field f;
    struct str last = {0};
    while (proto_next(&in, &f))
        if (proto_is_bytes(&f, number))
            last = f.bytes;
    return last;
}

static int add_port(const struct walk *w, struct str value_info, struct scan_port ***tail)
{
    struct scan_port *p = allocate(w, 1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    struct str tensor = field_bytes(field_bytes(value_info, VALUE_TYPE), TYPE_TENSOR);
    *p = (struct scan_port){field_bytes(value_info, VALUE_NAME), field_bytes(tensor, TYPE_TENSOR_SHAPE).p,
                            NULL};
    **tail = p;
    *tail = &p->next;
    return 0;
}

static bool is_zipmap(struct str node)
{
    return str_eq(field_bytes(node, NODE_OP_TYPE), STR("ZipMap")) &&
           str_eq(field_bytes(node, NODE_DOMAIN), STR("ai.onnx.ml"));
}

// Appends the labels of one attribute; n counts only while labels is NULL.
static int put_labels(const struct walk *w, struct str attribute, struct str *labels, uint32_t *n)
{
    struct proto in = proto_of(attribute);
    struct proto_field f;
    struct str name = field_bytes(attribute, ATTRIBUTE_NAME);
    bool ints = str_eq(name, STR("classlabels_int64s")), strings = str_eq(name, STR("classlabels_strings"));
    while ((ints || strings) && proto_next(&in, &f)) {
        if (strings && proto_is_bytes(&f, ATTRIBUTE_STRINGS)) {
            if (labels)
                labels[*n] = f.bytes;
            ++*n;
        }
        // Older writers spell a list of numbers one by one, newer ones packed.
        struct str packed = f.wire == PROTO_BYTES ? f.bytes : (struct str){0};
        while (ints && f.number == ATTRIBUTE_INTS &&
               (f.wire == PROTO_VARINT || proto_packed(&packed, &f.value))) {
            if (labels) {
                char text[24];
                int len = snprintf(text, sizeof text, "%lld", (long long)f.value);
                char *copy = allocate(w, (size_t)len + 1, 1);
                if (!copy)
                    return ERR_NOMEM;
                memcpy(copy, text, (size_t)len);
                labels[*n] = (struct str){copy, (size_t)len};
            }
            ++*n;
            if (f.wire == PROTO_VARINT)
                break;
        }
    }
    return 0;
}

static int zipmap_labels(const struct walk *w, struct str node, struct scan_zipmap *z)
{
    for (int fill = 0; fill < 2; fill++) {
        struct proto in = proto_of(node);
        struct proto_field f;
        int rc = 0;
        z->n_labels = 0;
        while (!rc && proto_next(&in, &f))
            if (proto_is_bytes(&f, NODE_ATTRIBUTE))
                rc = put_labels(w, f.bytes, z->labels, &z->n_labels);
        if (rc || z->n_labels == 0)
            return rc;
        if (!fill && !(z->labels = allocate(w, z->n_labels, sizeof *z->labels)))
            return ERR_NOMEM;
    }
    return 0;
}

// Finds the graph's output that the ZipMap makes, unless another node reads the maps too.
static bool zipmap_is_last(const struct walk *w, struct str graph, struct scan_zipmap *z)
{
    struct proto in = proto_of(graph);
    struct proto_field f, g;
    unsigned n_results = 0;
    while (proto_next(&in, &f)) {
        if (proto_is_bytes(&f, GRAPH_OUTPUT) && str_eq(field_bytes(f.bytes, VALUE_NAME), z->output)) {
            z->result = (size_t)(f.at - (const uint8_t *)w->model.p);
            n_results++;
        }
        struct proto node = proto_of(proto_is_bytes(&f, GRAPH_NODE) ? f.bytes : (struct str){0});
        while (proto_next(&node, &g))
            if (proto_is_bytes(&g, NODE_INPUT) && str_eq(g.bytes, z->output))
                return false;
    }
    return n_results == 1;
}

static int add_zipmap(const struct walk *w, struct str graph, const struct proto_field *node)
{
    struct scan_zipmap found = {.input = field_bytes(node->bytes, NODE_INPUT),
                                .output = field_bytes(node->bytes, NODE_OUTPUT),
                                .node = (size_t)(node->at - (const uint8_t *)w->model.p)};
    if (!zipmap_is_last(w, graph, &found))
        return 0;
    int rc = zipmap_labels(w, node->bytes, &found);
    struct scan_zipmap *z = rc ? NULL : allocate(w, 1, sizeof *z);
    if (!z)
        return ERR_NOMEM;
    *z = found;
    z->next = w->out->zipmaps;
    w->out->zipmaps = z;
    return 0;
}

// What only the main graph has.
static int walk_main(const struct walk *w, struct str graph)
{
    struct proto in = proto_of(graph);
    struct proto_field f;
    struct scan_port **inputs = &w->out->inputs, **outputs = &w->out->outputs;
    unsigned n_zipmaps = 0;
    int rc = 0;
    w->out->inputs = w->out->outputs = NULL;
    while (!rc && proto_next(&in, &f)) {
        if (proto_is_bytes(&f, GRAPH_INPUT))
            rc = add_port(w, f.bytes, &inputs);
        if (proto_is_bytes(&f, GRAPH_OUTPUT))
            rc = add_port(w, f.bytes, &outputs);
        if (proto_is_bytes(&f, GRAPH_NODE) && is_zipmap(f.bytes) && n_zipmaps++ < ZIPMAPS_MAX)
            rc = add_zipmap(w, graph, &f);
    }
    return rc;
}

int scan_model(struct str model, struct arena *a, struct scan *ret, struct err *e)
{
    struct walk w = {model, a, ret, e};
    struct proto in = proto_of(model);
    struct proto_field f;
    int rc = 0;
    *ret = (struct scan){0};
    while (!rc && proto_next(&in, &f)) {
        if (f.number == MODEL_IR_VERSION && f.wire == PROTO_VARINT)
            ret->ir_version = (int64_t)f.value;
        if (proto_is_bytes(&f, MODEL_FUNCTIONS))
            rc = walk_function(&w, f.bytes);
        if (!proto_is_bytes(&f, MODEL_GRAPH))
            continue;
        rc = walk_graph(&w, f.bytes, 0);
        if (!rc)
            rc = walk_main(&w, f.bytes);
    }
    return rc || !in.broken ? rc : broken(&w, &in, "the model");
}
