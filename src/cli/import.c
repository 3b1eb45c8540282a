// SPDX-License-Identifier: Apache-2.0
// Which kind of source a push was given: an address by how it begins, a directory by what lies in it.
#include "cli/import.h"

#include "cli/folder.h"
#include "cli/import_export.h"
#include "cli/mlflow.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has(struct folder *f, const char *name)
{
    int fd;
    struct err e;
    if (f->ops->open(f, name, &fd, &e))
        return false;
    close(fd);
    return true;
}

static int unknown_directory(const char *path, struct err *e)
{
    err_set(e, ERR_INVALID, "the directory '%.160s' has neither MLmodel, slipway.json nor oci-layout", path);
    err_hint(e, "A model's own directory of MLflow has the file MLmodel. To push a model with other files: "
                "slipway push NAME MODEL --file FILE.");
    return ERR_INVALID;
}

static int import_directory(const char *path, struct package *p, struct err *e)
{
    struct folder_local f;
    int rc = folder_local_open(&f, path, e);
    if (rc)
        return rc;
    if (has(&f.folder, "slipway.json"))
        rc = import_bundle(&f.folder, p, e);
    else if (has(&f.folder, "oci-layout"))
        rc = import_oci(&f.folder, p, e);
    else if (has(&f.folder, "MLmodel"))
        rc = mlflow_import(&f.folder, path, p, e);
    else
        rc = unknown_directory(path, e);
    folder_local_close(&f);
    return rc;
}

int import_source(const char *source, const struct args *a, struct package *p, struct err *e)
{
    struct stat st;
    if (strcmp(source, "-") == 0)
        return artifacts_add_stdin(&p->files, "model", "model", e);
    if (mlflow_is_uri(source))
        return mlflow_import_uri(source, a, p, e);
    if (stat(source, &st) == 0 && S_ISDIR(st.st_mode))
        return import_directory(source, p, e);
    char name[ARTIFACT_NAME_SIZE];
    artifacts_name_of(source, name);
    return artifacts_add_path(&p->files, "model", name, source, e);
}
