// SPDX-License-Identifier: Apache-2.0
// An MLflow tracking server: its REST API, and the artifacts that it hands out, as a folder.
#pragma once

#include "cli/args.h"
#include "cli/fetch.h"
#include "cli/folder.h"

#include <yyjson.h>

enum { TRACKING_URL_SIZE = 1024 };

struct tracking {
    struct fetch *fetch;
    struct fetch_options options;
    char base[TRACKING_URL_SIZE]; // "https://mlflow.example.org", without a slash at its end
};

// The server that --tracking-uri or MLFLOW_TRACKING_URI names, with the credentials of MLFLOW_TRACKING_TOKEN,
// or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. Does not connect. ERR_INVALID, ERR_UNAVAILABLE.
int tracking_open(struct tracking *t, const struct args *a, struct err *e) ERR_CHECKED;
void tracking_close(struct tracking *t);

// Asks the API: GET base + path, for a JSON object, which the caller frees. ERR_NOT_FOUND, ERR_REFUSED (with
// the variables that hold credentials), ERR_INVALID, ERR_UNAVAILABLE, with what the server says.
int tracking_get(struct tracking *t, const char *path, yyjson_doc **ret, struct err *e) ERR_CHECKED;

// What the server's artifact storage has below `uri`: "mlflow-artifacts:/0/models/m-…/artifacts".
struct folder_remote {
    struct folder folder;
    struct tracking *t;
    char root[TRACKING_URL_SIZE]; // encoded path without a slash at its end
    // Of the folder listed last, since every file is looked up before it is taken.
    char listed[TRACKING_URL_SIZE];
    yyjson_doc *list; // NULL: none yet
};
// ERR_REFUSED for artifacts that do not lie at this server, with what to do.
int folder_remote_open(struct folder_remote *f, struct tracking *t, struct str uri, const char *shown,
                       struct err *e) ERR_CHECKED;
void folder_remote_close(struct folder_remote *f);
