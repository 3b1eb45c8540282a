// SPDX-License-Identifier: Apache-2.0
// A file of its own, as llhttp.h and wire/http1.h both name the methods.
#include "http1_llhttp.h"

#include <llhttp.h>
#include <string.h>

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    ((struct oracle *)p->data)->target = (struct str){at, n};
    return 0;
}

static int on_head(llhttp_t *p)
{
    struct oracle *o = p->data;
    o->head_complete = true;
    o->status = p->status_code;
    o->minor_version = p->http_minor;
    o->chunked = p->flags & F_CHUNKED;
    o->length_given = p->flags & F_CONTENT_LENGTH;
    o->content_length = p->content_length;
    o->keep_alive = llhttp_should_keep_alive(p);
    if (p->type == HTTP_REQUEST)
        o->method = llhttp_method_name((llhttp_method_t)p->method);
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct oracle *o = p->data;
    memcpy(o->body + o->body_bytes, at, n);
    o->body_bytes += n;
    return 0;
}

static int on_message(llhttp_t *p)
{
    ((struct oracle *)p->data)->message_complete = true;
    return HPE_PAUSED;
}

void oracle_read(const char *p, size_t n, bool request, struct oracle *o)
{
    llhttp_settings_t settings;
    llhttp_t parser;
    llhttp_settings_init(&settings);
    settings.on_url = on_url;
    settings.on_headers_complete = on_head;
    settings.on_body = on_body;
    settings.on_message_complete = on_message;
    llhttp_init(&parser, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    parser.data = o;
    llhttp_execute(&parser, p, n);
    if (o->head_complete) {
        const char *at = llhttp_get_error_pos(&parser);
        o->head_bytes = (size_t)(at - p);
        llhttp_resume(&parser);
        llhttp_execute(&parser, at, n - o->head_bytes);
        if (o->message_complete)
            o->message_bytes = (size_t)(llhttp_get_error_pos(&parser) - p);
    }
    o->reason = llhttp_get_error_reason(&parser);
}
