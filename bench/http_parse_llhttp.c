// SPDX-License-Identifier: Apache-2.0
// llhttp's side of http_parse_bench: a file of its own, as llhttp.h and wire/http1.h both name the methods.
#include "http_parse_llhttp.h"

#include "base/clock.h"
#include "base/str.h"

#include <llhttp.h>

// What a gateway on llhttp would have to gather: it reports names and values by pieces.
struct gather {
    struct str target, name, type, authorization, trace, request_id, accept;
    bool head_complete;
};

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    ((struct gather *)p->data)->target = (struct str){at, n};
    return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    ((struct gather *)p->data)->name = (struct str){at, n};
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct gather *g = p->data;
    struct str value = {at, n};
    if (str_eq_nocase(g->name, STR("content-type")))
        g->type = value;
    else if (str_eq_nocase(g->name, STR("authorization")))
        g->authorization = value;
    else if (str_eq_nocase(g->name, STR("traceparent")))
        g->trace = value;
    else if (str_eq_nocase(g->name, STR("x-request-id")))
        g->request_id = value;
    else if (str_eq_nocase(g->name, STR("accept")))
        g->accept = value;
    return 0;
}

static int on_head(llhttp_t *p)
{
    ((struct gather *)p->data)->head_complete = true;
    return HPE_PAUSED; // the body is framed outside
}

uint64_t llhttp_ns(const char *head, size_t n, unsigned rounds, bool gather)
{
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_head;
    if (gather) {
        settings.on_url = on_url;
        settings.on_header_field = on_name;
        settings.on_header_value = on_value;
    }
    uint64_t start = clock_mono_ns();
    for (unsigned i = 0; i < rounds; i++) {
        struct gather g = {0};
        llhttp_t p;
        llhttp_init(&p, HTTP_REQUEST, &settings);
        p.data = &g;
        llhttp_execute(&p, head, n);
        if (!g.head_complete)
            return 0;
        __asm__ volatile("" : : "r"(&g) : "memory");
    }
    return clock_mono_ns() - start;
}
