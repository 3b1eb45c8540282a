// SPDX-License-Identifier: Apache-2.0
// Tiny ONNX models, written as protobuf by hand, so that the unit tests need no Python. Texts stand for
// lists: names separated by commas; a shape "n,4" has a variable dimension called n, "?" one without a name,
// "-" is no shape at all.
#pragma once

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

enum { ELEMENT_FLOAT = 1, ELEMENT_INT64 = 7, ELEMENT_STRING = 8, ELEMENT_DOUBLE = 11, ELEMENT_BFLOAT16 = 16 };

static inline void pb_varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_putc(b, (char)(v | 0x80));
    buf_putc(b, (char)v);
}

static inline void pb_int(struct buf *b, unsigned number, uint64_t v)
{
    pb_varint(b, number << 3);
    pb_varint(b, v);
}

static inline void pb_str(struct buf *b, unsigned number, struct str s)
{
    pb_varint(b, number << 3 | 2);
    pb_varint(b, s.n);
    buf_put_str(b, s);
}

// Appends the message as a field of `b` and empties it.
static inline void pb_message(struct buf *b, unsigned number, struct buf *message)
{
    pb_str(b, number, buf_str(message));
    buf_done(message);
    buf_init(message, 1 << 20);
}

static inline struct buf pb_new(void)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    return b;
}

static inline struct str list_next(struct str *rest)
{
    return str_split(rest, ',');
}

// tensor_type { elem_type, shape }
static inline void pb_tensor_type(struct buf *type, int element, const char *shape)
{
    struct buf tensor = pb_new(), dims = pb_new(), dim = pb_new();
    pb_int(&tensor, 1, (uint64_t)element);
    for (struct str rest = str_of(shape); rest.n && *shape != '-';) {
        struct str word = list_next(&rest);
        uint64_t size;
        if (str_to_u64(word, INT64_MAX, &size))
            pb_int(&dim, 1, size);
        else if (!str_eq(word, STR("?")))
            pb_str(&dim, 2, word);
        pb_message(&dims, 1, &dim);
    }
    if (*shape != '-')
        pb_message(&tensor, 2, &dims);
    pb_message(type, 1, &tensor);
    buf_done(&dims);
    buf_done(&dim);
    buf_done(&tensor);
}

enum pb_wrap { WRAP_NONE, WRAP_SEQUENCE = 4, WRAP_OPTIONAL = 9, WRAP_MAPS };

// An input (11) or output (12) of a graph. WRAP_MAPS: a sequence of maps from texts to floats.
static inline void pb_port(struct buf *graph, unsigned number, const char *name, int element,
                           const char *shape, enum pb_wrap wrap)
{
    struct buf info = pb_new(), type = pb_new(), inner = pb_new(), outer = pb_new();
    pb_str(&info, 1, str_of(name));
    pb_tensor_type(&inner, element, shape);
    if (wrap == WRAP_MAPS) {
        struct buf map = pb_new();
        pb_int(&map, 1, ELEMENT_STRING);
        pb_message(&map, 2, &inner);
        pb_message(&inner, 5, &map);
        buf_done(&map);
    }
    if (wrap) {
        pb_message(&outer, 1, &inner);
        pb_message(&type, wrap == WRAP_MAPS ? WRAP_SEQUENCE : (unsigned)wrap, &outer);
    } else {
        buf_put_str(&type, buf_str(&inner));
    }
    pb_message(&info, 2, &type);
    pb_message(graph, number, &info);
    buf_done(&info);
    buf_done(&type);
    buf_done(&inner);
    buf_done(&outer);
}

static inline void pb_input(struct buf *graph, const char *name, int element, const char *shape)
{
    pb_port(graph, 11, name, element, shape, WRAP_NONE);
}

static inline void pb_output(struct buf *graph, const char *name, int element, const char *shape)
{
    pb_port(graph, 12, name, element, shape, WRAP_NONE);
}

// `attributes` may be NULL: encoded AttributeProtos as fields 5 of the node.
static inline void pb_node(struct buf *graph, const char *op, const char *domain, const char *inputs,
                           const char *outputs, const struct buf *attributes)
{
    struct buf node = pb_new();
    for (struct str rest = str_of(inputs); rest.n;)
        pb_str(&node, 1, list_next(&rest));
    for (struct str rest = str_of(outputs); rest.n;)
        pb_str(&node, 2, list_next(&rest));
    pb_str(&node, 4, str_of(op));
    if (attributes)
        buf_put_str(&node, buf_str(attributes));
    pb_str(&node, 7, str_of(domain));
    pb_message(graph, 1, &node);
    buf_done(&node);
}

static inline void pb_attribute_ints(struct buf *attributes, const char *name, const char *values)
{
    struct buf a = pb_new();
    pb_str(&a, 1, str_of(name));
    for (struct str rest = str_of(values); rest.n;)
        pb_int(&a, 8, strtoull(list_next(&rest).p, NULL, 10));
    pb_int(&a, 20, 7);
    pb_message(attributes, 5, &a);
    buf_done(&a);
}

static inline void pb_attribute_int(struct buf *attributes, const char *name, int64_t value)
{
    struct buf a = pb_new();
    pb_str(&a, 1, str_of(name));
    pb_int(&a, 3, (uint64_t)value);
    pb_int(&a, 20, 2);
    pb_message(attributes, 5, &a);
    buf_done(&a);
}

static inline void pb_attribute_strings(struct buf *attributes, const char *name, const char *values)
{
    struct buf a = pb_new();
    pb_str(&a, 1, str_of(name));
    for (struct str rest = str_of(values); rest.n;)
        pb_str(&a, 9, list_next(&rest));
    pb_int(&a, 20, 8);
    pb_message(attributes, 5, &a);
    buf_done(&a);
}

// The model around a graph, which is emptied. The caller frees it with buf_done.
static inline struct buf pb_model(struct buf *graph)
{
    struct buf model = pb_new(), opset = pb_new();
    pb_str(graph, 2, STR("g"));
    pb_int(&model, 1, 8);
    pb_message(&model, 7, graph);
    buf_done(graph);
    pb_str(&opset, 1, STR(""));
    pb_int(&opset, 2, 17);
    pb_message(&model, 8, &opset);
    pb_str(&opset, 1, STR("ai.onnx.ml"));
    pb_int(&opset, 2, 1);
    pb_message(&model, 8, &opset);
    buf_done(&opset);
    return model;
}

// y = x of any number of rows of `columns` floats.
static inline struct buf model_identity(const char *shape)
{
    struct buf g = pb_new();
    pb_node(&g, "Identity", "", "x", "y", NULL);
    pb_input(&g, "x", ELEMENT_FLOAT, shape);
    pb_output(&g, "y", ELEMENT_FLOAT, shape);
    return pb_model(&g);
}

// A classifier's end: scores (n, 3) to maps from a label to a score.
static inline struct buf model_zipmap(const char *labels)
{
    struct buf g = pb_new(), a = pb_new();
    pb_node(&g, "Softmax", "", "x", "scores", NULL);
    pb_attribute_strings(&a, "classlabels_strings", labels);
    pb_node(&g, "ZipMap", "ai.onnx.ml", "scores", "maps", &a);
    pb_input(&g, "x", ELEMENT_FLOAT, "n,3");
    pb_port(&g, 12, "maps", ELEMENT_FLOAT, "", WRAP_MAPS);
    buf_done(&a);
    return pb_model(&g);
}
