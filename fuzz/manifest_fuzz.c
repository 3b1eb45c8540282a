// SPDX-License-Identifier: Apache-2.0
// Bodies of admin requests: whatever the bytes, what is accepted obeys the registry's rules.
#include "fuzz.h"

#include "base/limits.h"
#include "role/controller/manifest.h"

#include <string.h>
#include <yyjson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m;
    struct err e;
    struct str json = {(const char *)data, size};
    if (!manifest_parse(json, &m, &e)) {
        yyjson_doc *tags = yyjson_read(m.tags_json.p, m.tags_json.n, 0);
        EXPECT(yyjson_is_obj(yyjson_doc_get_root(tags))); // what is stored is JSON again
        EXPECT(yyjson_obj_size(yyjson_doc_get_root(tags)) <= LIMIT_TAGS);
        yyjson_doc_free(tags);
        struct version_settings again; // what is stored means the same when it is read back
        EXPECT(!version_settings_decode(buf_str(&m.settings_json), &again, &e));
        EXPECT(memcmp(&again, &m.settings, sizeof again) == 0);
        EXPECT(m.model && m.model->role == REGISTRY_ROLE_MODEL && m.n_artifacts <= LIMIT_ARTIFACTS);
        for (size_t i = 0; i < m.n_artifacts; i++)
            EXPECT(!registry_artifact_name_check(m.artifacts[i].name, &e));
        yyjson_doc *metrics = yyjson_read(m.metrics_json.p, m.metrics_json.n, 0);
        EXPECT(yyjson_is_obj(yyjson_doc_get_root(metrics)));
        yyjson_doc_free(metrics);
        EXPECT(m.description.n <= LIMIT_DESCRIPTION_BYTES);
    } else {
        EXPECT(e.code < 0 && e.msg[0]);
    }
    manifest_done(&m);
    struct alias_body alias;
    if (!alias_body_parse(json, &alias, &e))
        EXPECT(alias.version > 0 && strlen(alias.reason) <= LIMIT_REASON_BYTES);
    struct rollback_body back;
    if (!rollback_body_parse(json, &back, &e))
        EXPECT(!registry_alias_check(str_of(back.alias), &e));
    return 0;
}
