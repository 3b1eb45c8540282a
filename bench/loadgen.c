// SPDX-License-Identifier: Apache-2.0
// The load generator as a program for dev/bench: any HTTP server, bodies from a file. The engine is
// src/cli/load.c; `slipway bench` is the one for users.
#include "base/limits.h"
#include "cli/load.h"
#include "cli/load_report.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: loadgen [flags] http://HOST:PORT/PATH\n"
    "  --data FILE          request bodies, one a line, sent in turn (without: GET)\n"
    "  --expect FILE        one JSON value a line: the numbers each answer must predict\n"
    "  --tolerance X        |got - want| <= X * max(1, |want|); default 0\n"
    "  --contains TEXT      bytes that every answer must contain\n"
    "  --content-type TYPE  default application/json\n"
    "  --header 'NAME: V'   one more header field; repeats\n"
    "  --connections N      default 1\n"
    "  --depth N            requests under way on a connection; default 1\n"
    "  --rate R             requests a second at set times (open loop); without: as fast as answers come\n"
    "  --even               equal gaps instead of random ones\n"
    "  --duration S         seconds that count; default 5\n"
    "  --warmup S           seconds before; default 0.5\n"
    "  --requests N         stop after so many\n"
    "  --timeout S          of one answer; default 5\n"
    "  --seed N             of the random gaps\n"
    "  --sleep              sleep between events instead of spinning: saves a core, times are less exact\n"
    "  --json               one JSON object instead of text\n"
    "Exit code: 0 every request answered rightly, 1 not so, 2 usage.\n";

struct job {
    struct load_options load;
    struct load_set set;
    struct load_target target;
    const char *data, *expect;
    char host[256], port[8], authority[272];
    struct buf headers;
    bool json;
};

static bool url_read(struct job *j, const char *url)
{
    int path = 0;
    if (sscanf(url, "http://%255[^:/]:%7[0-9]%n", j->host, j->port, &path) != 2 || !path)
        return false;
    snprintf(j->authority, sizeof j->authority, "%s:%s", j->host, j->port);
    j->target.host = j->authority;
    j->target.path = url[path] ? url + path : "/";
    j->load.host = j->host;
    j->load.port = j->port;
    return true;
}

static bool number(const char *z, double min, double max, double *ret)
{
    char *end;
    *ret = strtod(z, &end);
    return end != z && !*end && *ret >= min && *ret <= max;
}

static bool count(const char *z, int max, int *ret)
{
    double v;
    bool ok = number(z, 1, max, &v) && v == (int)v;
    *ret = ok ? (int)v : 0;
    return ok;
}

static bool seconds(const char *z, uint64_t *ret_ns)
{
    double v;
    bool ok = number(z, 0, 86400, &v);
    *ret_ns = ok ? (uint64_t)(v * 1e9) : 0;
    return ok;
}

enum load_flag {
    DATA = 1,
    EXPECT,
    TOLERANCE,
    CONTAINS,
    CONTENT_TYPE,
    HEADER,
    CONNECTIONS,
    DEPTH,
    RATE,
    EVEN,
    DURATION,
    WARMUP,
    REQUESTS,
    TIMEOUT,
    SEED,
    SLEEP,
    JSON
};

static const struct option options[] = {
    {"data", 1, NULL, DATA},
    {"expect", 1, NULL, EXPECT},
    {"tolerance", 1, NULL, TOLERANCE},
    {"contains", 1, NULL, CONTAINS},
    {"content-type", 1, NULL, CONTENT_TYPE},
    {"header", 1, NULL, HEADER},
    {"connections", 1, NULL, CONNECTIONS},
    {"depth", 1, NULL, DEPTH},
    {"rate", 1, NULL, RATE},
    {"even", 0, NULL, EVEN},
    {"duration", 1, NULL, DURATION},
    {"warmup", 1, NULL, WARMUP},
    {"requests", 1, NULL, REQUESTS},
    {"timeout", 1, NULL, TIMEOUT},
    {"seed", 1, NULL, SEED},
    {"sleep", 0, NULL, SLEEP},
    {"json", 0, NULL, JSON},
    {NULL, 0, NULL, 0},
};

static bool option_take(struct job *j, int flag, const char *value)
{
    switch ((enum load_flag)flag) {
    case DATA:
        j->data = value;
        return true;
    case EXPECT:
        j->expect = value;
        return true;
    case TOLERANCE:
        return number(value, 0, 1e9, &j->set.tolerance);
    case CONTAINS:
        j->set.wanted = str_of(value);
        return true;
    case CONTENT_TYPE:
        j->target.content_type = value;
        return true;
    case HEADER:
        buf_printf(&j->headers, "%s\r\n", value);
        return !j->headers.failed;
    case CONNECTIONS:
        return count(value, LIMIT_LOAD_CONNECTIONS, &j->load.n_connections);
    case DEPTH:
        return count(value, LIMIT_LOAD_DEPTH, &j->load.depth);
    case RATE:
        return number(value, 0.001, 1e8, &j->load.rate);
    case EVEN:
        return j->load.even = true;
    case DURATION:
        return seconds(value, &j->load.duration_ns);
    case WARMUP:
        return seconds(value, &j->load.warmup_ns);
    case REQUESTS:
        return str_to_u64(str_of(value), UINT64_MAX, &j->load.max_requests);
    case TIMEOUT:
        return seconds(value, &j->load.timeout_ns);
    case SEED:
        return str_to_u64(str_of(value), UINT64_MAX, &j->load.seed);
    case SLEEP:
        j->load.spin = false;
        return true;
    case JSON:
        return j->json = true;
    }
    return false;
}

static bool arguments_read(struct job *j, int argc, char **argv)
{
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (o == '?' || !option_take(j, o, optarg)) {
            if (o != '?')
                fprintf(stderr, "loadgen: bad value '%s'\n", optarg ? optarg : "");
            return false;
        }
    return optind == argc - 1 && url_read(j, argv[optind]);
}

static int run(struct job *j, struct err *e)
{
    struct load_result *r = malloc(sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory");
    j->load.set = &j->set;
    buf_putc(&j->headers, '\0');
    j->target.headers = j->headers.p;
    j->target.method = j->data ? "POST" : "GET";
    if (!j->data)
        j->target.content_type = NULL;
    int rc = j->data ? load_set_read(&j->set, &j->target, j->data, j->expect, e)
                     : load_set_add(&j->set, &j->target, STR(""), NULL, 0, e);
    if (!rc)
        rc = load_run(&j->load, r, e);
    struct buf out;
    buf_init(&out, 1 << 16);
    if (!rc && j->json) {
        load_report_json(r, &out);
        buf_putc(&out, '\n');
    } else if (!rc) {
        load_report_text(r, &out);
    }
    fwrite(out.p, 1, out.n, stdout);
    buf_done(&out);
    bool clean = !rc && load_result_clean(r);
    free(r);
    return rc ? rc : !clean;
}

int main(int argc, char **argv)
{
    struct err e;
    struct job j = {
        .load = {.n_connections = 1,
                 .depth = 1,
                 .spin = true,
                 .warmup_ns = 500000000,
                 .duration_ns = 5000000000,
                 .timeout_ns = 5000000000,
                 .seed = 1},
        .target = {.content_type = "application/json"},
    };
    buf_init(&j.headers, 1 << 14);
    int rc = 2;
    if (!arguments_read(&j, argc, argv)) {
        fputs(usage, stderr);
    } else {
        rc = run(&j, &e);
        if (rc < 0)
            fprintf(stderr, "loadgen: %s\n", e.msg);
    }
    load_set_done(&j.set);
    buf_done(&j.headers);
    return rc < 0 ? 1 : rc;
}
