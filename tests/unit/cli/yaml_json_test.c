// SPDX-License-Identifier: Apache-2.0
// YAML as people write it, and what is refused.
#include "cli/yaml_json.h"

#include "unit.h"

#include <string.h>

static void gives(const char *yaml, const char *json)
{
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 16);
    int rc = yaml_to_json(str_of(yaml), "s.yaml", &out, &e);
    ck_assert_msg(rc == 0, "%s: %s", yaml, e.msg);
    ck_assert_msg(str_eq(buf_str(&out), str_of(json)), "%s: %.*s", yaml, STR_ARG(buf_str(&out)));
    buf_done(&out);
}

static void refuses(const char *yaml, const char *message)
{
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 16);
    ck_assert_int_lt(yaml_to_json(str_of(yaml), "s.yaml", &out, &e), 0);
    ck_assert_msg(strstr(e.msg, message), "%s: %s", yaml, e.msg);
    buf_done(&out);
}

START_TEST(yaml_becomes_json)
{
    gives("{\"a\": [1, 2]}", "{\"a\": [1, 2]}"); // JSON as it stands
    gives("a: 1\nb: [x, 'y', \"z\"]\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}");
    gives("inputs:\n  - name: age # years\n    min: -1.5e3\n  - {name: n, missing: false}\n",
          "{\"inputs\":[{\"name\":\"age\",\"min\":-1.5e3},{\"name\":\"n\",\"missing\":false}]}");
    gives("a:\nb: ~\nc: null\nd: ''\n", "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"\"}");
    gives("a: yes\nb: 007\nc: 1_0\nd: .5\ne: 1e999\nf: '1'\n",
          "{\"a\":\"yes\",\"b\":\"007\",\"c\":\"1_0\",\"d\":\".5\",\"e\":\"1e999\",\"f\":\"1\"}");
    gives("1: 2\ntrue: x\n", "{\"1\":2,\"true\":\"x\"}");
    gives("a: []\nb: {}\n", "{\"a\":[],\"b\":{}}");
    gives("3", "3");
}
END_TEST

START_TEST(what_is_no_plain_document_is_refused_with_its_line)
{
    refuses("", "s.yaml says nothing");
    refuses("# nothing\n", "says nothing");
    refuses("a: [1\n", "not valid YAML");
    refuses("a: 1\nb: *x\n", "s.yaml:2: aliases are not taken");
    refuses("a: &x 1\n", "s.yaml:1: anchors and tags");
    refuses("a: !!int 1\n", "anchors and tags");
    refuses("a: &x [1]\n", "anchors and tags");
    refuses("[a]: 1\n", "a key is a word");
    refuses("a: 1\n---\nb: 2\n", "more than one document");
    refuses("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]],", "nested deeper than 16");
}
END_TEST

UNIT_MAIN("cli/yaml_json", yaml_becomes_json, what_is_no_plain_document_is_refused_with_its_line)
