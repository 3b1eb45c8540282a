// SPDX-License-Identifier: Apache-2.0
// The header of a LightGBM text model and the objective in it.
#include "engine/trees/lightgbm_header.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

enum header_field {
    HEADER_VERSION,
    HEADER_NUM_CLASS,
    HEADER_TREES_PER_ITERATION,
    HEADER_MAX_FEATURE_IDX,
    HEADER_OBJECTIVE,
    HEADER_AVERAGE_OUTPUT, // a word alone, without '='
    HEADER_FEATURE_NAMES,
    HEADER_FEATURE_INFOS,
    HEADER_FIELDS
};

static const char *const FIELD_NAMES[HEADER_FIELDS] = {
    [HEADER_VERSION] = "version",
    [HEADER_NUM_CLASS] = "num_class",
    [HEADER_TREES_PER_ITERATION] = "num_tree_per_iteration",
    [HEADER_MAX_FEATURE_IDX] = "max_feature_idx",
    [HEADER_OBJECTIVE] = "objective",
    [HEADER_AVERAGE_OUTPUT] = "average_output",
    [HEADER_FEATURE_NAMES] = "feature_names",
    [HEADER_FEATURE_INFOS] = "feature_infos",
};

// Of training, or (tree_sizes) byte counts that an editor or a checkout may have made wrong.
static const char *const SKIPPED_NAMES[] = {"label_index", "monotone_constraints", "tree_sizes"};

static bool is_skipped(struct str name)
{
    for (size_t i = 0; i < sizeof SKIPPED_NAMES / sizeof *SKIPPED_NAMES; i++)
        if (str_eq(name, str_of(SKIPPED_NAMES[i])))
            return true;
    return false;
}

static int field_put(struct field *fields, struct str line, uint32_t line_no, struct err *e)
{
    struct str value = line, name = str_split(&value, '=');
    for (int i = 0; i < HEADER_FIELDS; i++) {
        if (!str_eq(name, str_of(FIELD_NAMES[i])))
            continue;
        if (fields[i].line)
            return err_set(e, ERR_BAD_MODEL, "line %u: %s stands in line %u already", line_no, FIELD_NAMES[i],
                           fields[i].line);
        if ((name.n == line.n) != (i == HEADER_AVERAGE_OUTPUT))
            return err_set(e, ERR_BAD_MODEL, "line %u: %s %s a value", line_no, FIELD_NAMES[i],
                           name.n == line.n ? "lacks" : "cannot have");
        fields[i] = (struct field){value, line_no};
        return 0;
    }
    if (is_skipped(name))
        return 0;
    return err_set(e, ERR_UNSUPPORTED_MODEL,
                   "line %u: the header field '%s' is not one that this version knows", line_no,
                   lines_shown(name).z);
}

static int fields_read(struct lines *in, struct field fields[HEADER_FIELDS], struct err *e)
{
    struct str line;
    if (!lines_next(in, &line) || !str_eq(line, STR("tree")))
        return err_set(e, ERR_BAD_MODEL, "line 1: a LightGBM text model begins with 'tree'");
    struct lines ahead = *in;
    while (lines_next_filled(&ahead, &line)) {
        if (str_starts(line, STR("Tree=")) || str_eq(line, STR("end of trees")))
            break;
        int rc = field_put(fields, line, ahead.n, e);
        if (rc)
            return rc;
        *in = ahead;
    }
    for (int i = 0; i < HEADER_FIELDS; i++)
        if (!fields[i].line && i != HEADER_OBJECTIVE && i != HEADER_AVERAGE_OUTPUT)
            return err_set(e, ERR_BAD_MODEL, "the header has no '%s'", FIELD_NAMES[i]);
    return 0;
}

static int number(const struct field *fields, enum header_field i, int64_t min, int64_t max, int64_t *ret,
                  struct err *e)
{
    struct list l = list_of(fields[i], FIELD_NAMES[i], -1, 1, e);
    int rc = list_int(&l, min, max, ret);
    return rc ? rc : list_end(&l);
}

static int version_check(const struct field *f, struct err *e)
{
    if (str_eq(f->value, STR("v3")) || str_eq(f->value, STR("v4")))
        return 0;
    err_set(e, ERR_UNSUPPORTED_MODEL, "line %u: text format version '%s'; v3 and v4 are supported", f->line,
            lines_shown(f->value).z);
    err_hint(e, "Load the model with LightGBM 3.0 or later and save it again.");
    return ERR_UNSUPPORTED_MODEL;
}

static int sizes_parse(const struct field *fields, struct forest *f, struct err *e)
{
    int64_t classes, per_iteration, max_feature;
    int rc = number(fields, HEADER_NUM_CLASS, 1, LIMIT_MODEL_OUTPUTS, &classes, e);
    if (!rc)
        rc = number(fields, HEADER_TREES_PER_ITERATION, 1, LIMIT_MODEL_OUTPUTS, &per_iteration, e);
    if (!rc)
        rc = number(fields, HEADER_MAX_FEATURE_IDX, 0, LIMIT_MODEL_FEATURES - 1, &max_feature, e);
    if (!rc && classes != per_iteration)
        rc = err_set(e, ERR_BAD_MODEL, "line %u: num_tree_per_iteration is %lld where num_class is %lld",
                     fields[HEADER_TREES_PER_ITERATION].line, (long long)per_iteration, (long long)classes);
    if (rc)
        return rc;
    f->n_groups = (uint32_t)classes;
    f->sig.n_features = (uint32_t)max_feature + 1;
    return 0;
}

static char *text_copy(struct str s, struct arena *a)
{
    char *z = arena_alloc(a, s.n + 1);
    if (z) {
        memcpy(z, s.p, s.n);
        z[s.n] = '\0';
    }
    return z;
}

static int names_parse(const struct field *field, struct arena *a, struct signature *s, struct err *e)
{
    uint64_t has = list_count(field->value);
    if (has != s->n_features)
        return err_set(e, ERR_BAD_MODEL, "line %u: feature_names has %llu names, max_feature_idx says %u",
                       field->line, (unsigned long long)has, s->n_features);
    struct str rest = {text_copy(field->value, a), field->value.n}; // the names outlive the file
    if (!rest.p)
        return err_set(e, ERR_NOMEM, "no memory for the names of %u features", s->n_features);
    struct map seen;
    int rc = map_init(&seen, s->n_features, e);
    if (rc)
        return rc;
    for (uint32_t i = 0; !rc && i < s->n_features;) {
        struct str name = str_split(&rest, ' ');
        if (!name.n)
            continue;
        rc = map_add(&seen, name, i, NULL);
        if (rc)
            err_set(e, ERR_BAD_MODEL, "line %u: two features have the name '%s'", field->line,
                    lines_shown(name).z);
        s->features[i++] = (struct feature){.name = name, .may_be_missing = true};
    }
    map_done(&seen);
    return rc ? ERR_BAD_MODEL : 0;
}

// "[min:max]"
static bool range_parse(struct str info, struct feature *f)
{
    size_t n, m;
    if (info.n < 5 || info.p[0] != '[' || info.p[info.n - 1] != ']' ||
        !num_parse_loose(info.p + 1, info.n - 2, &f->seen_min, &n) || info.p[1 + n] != ':')
        return false;
    return num_parse_loose(info.p + 2 + n, info.n - 3 - n, &f->seen_max, &m) && m == info.n - 3 - n &&
           isfinite(f->seen_min) && isfinite(f->seen_max);
}

// "[min:max]" for a number, "0:3:1" for categories, "none" for a feature that training could not use.
static int infos_parse(const struct field *field, struct signature *s, struct err *e)
{
    uint64_t has = list_count(field->value);
    if (has != s->n_features)
        return err_set(e, ERR_BAD_MODEL, "line %u: feature_infos has %llu values, max_feature_idx says %u",
                       field->line, (unsigned long long)has, s->n_features);
    struct str rest = field->value;
    for (uint32_t i = 0; i < s->n_features;) {
        struct str info = str_split(&rest, ' ');
        if (!info.n)
            continue;
        struct feature *f = &s->features[i++];
        f->categorical = *info.p != '[' && !str_eq(info, STR("none"));
        f->was_seen = range_parse(info, f);
    }
    return 0;
}

// ---- the objective: how margins become outputs

enum objective_kind { OBJECTIVE_SINGLE = 1, OBJECTIVE_CLASSES = 2 };
enum objective_param { PARAM_SQRT = 1, PARAM_SIGMOID = 2, PARAM_NUM_CLASS = 4 };

static const struct objective {
    const char *name;
    enum forest_transform transform;
    uint8_t kinds;  // enum objective_kind
    uint8_t params; // enum objective_param: those that may follow the name
} OBJECTIVES[] = {
    {"regression", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, PARAM_SQRT},
    {"regression_l1", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, PARAM_SQRT},
    {"huber", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, 0},
    {"fair", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, PARAM_SQRT},
    {"quantile", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, PARAM_SQRT},
    {"mape", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, PARAM_SQRT},
    {"poisson", TRANSFORM_EXP, OBJECTIVE_SINGLE, 0},
    {"gamma", TRANSFORM_EXP, OBJECTIVE_SINGLE, 0},
    {"tweedie", TRANSFORM_EXP, OBJECTIVE_SINGLE, 0},
    {"binary", TRANSFORM_SIGMOID, OBJECTIVE_SINGLE, PARAM_SIGMOID},
    {"cross_entropy", TRANSFORM_SIGMOID, OBJECTIVE_SINGLE, 0},
    {"cross_entropy_lambda", TRANSFORM_LOG1P_EXP, OBJECTIVE_SINGLE, 0},
    {"lambdarank", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, 0},
    {"rank_xendcg", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE, 0},
    {"multiclass", TRANSFORM_SOFTMAX, OBJECTIVE_CLASSES, PARAM_NUM_CLASS},
    {"multiclassova", TRANSFORM_SIGMOID_EACH, OBJECTIVE_CLASSES, PARAM_NUM_CLASS | PARAM_SIGMOID},
    {"custom", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE | OBJECTIVE_CLASSES, 0},
    {"none", TRANSFORM_IDENTITY, OBJECTIVE_SINGLE | OBJECTIVE_CLASSES, 0},
};

// "e-05" and the like, applied to value.
static bool quick_scale(struct str s, double value, double *ret)
{
    if (s.n < 2 || *s.p != 'e')
        return false;
    bool down = s.p[1] == '-';
    size_t skip = s.p[1] == '-' || s.p[1] == '+' ? 2 : 1;
    uint64_t exponent;
    if (!str_to_u64((struct str){s.p + skip, s.n - skip}, 49, &exponent))
        return false;
    double scale = 1.0;
    for (; exponent >= 8; exponent -= 8)
        scale *= 1e8;
    for (; exponent; exponent--)
        scale *= 10.0;
    *ret = down ? value / scale : value * scale;
    return true;
}

// LightGBM reads this one number by its own quick routine, which is not the nearest double for about one in
// 25 (5.56622 is one): to give its bits, the same operations in the same order. 1 to 17 digits.
static bool quick_decimal(struct str s, double *ret)
{
    size_t i = 0, n_fraction = 0, n_digits = 0;
    double value = 0.0, fraction = 0.0, power = 1.0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, n_digits++)
        value = value * 10.0 + (s.p[i] - '0');
    if (i < s.n && s.p[i] == '.')
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, n_fraction++)
            fraction = (s.p[i] - '0') + fraction * 10.0;
    if (n_digits + n_fraction == 0 || n_digits + n_fraction > 17)
        return false;
    for (size_t k = 0; k < n_fraction; k++)
        power *= 10.0; // exact up to 1e22
    if (n_fraction)
        value += fraction / power;
    *ret = value;
    return i == s.n || quick_scale((struct str){s.p + i, s.n - i}, value, ret);
}

static int objective_param_bad(const struct field *field, struct str word, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED_MODEL, "line %u: objective '%s' with '%s' is not supported",
                   field->line, lines_shown(field->value).z, lines_shown(word).z);
}

static int objective_param(const struct field *field, struct str word, const struct objective *o,
                           struct forest *f, struct err *e)
{
    struct str value = word, name = str_split(&value, ':');
    uint64_t n;
    if ((o->params & PARAM_SQRT) && str_eq(word, STR("sqrt"))) {
        f->transform = TRANSFORM_SIGNED_SQUARE;
        return 0;
    }
    if ((o->params & PARAM_SIGMOID) && str_eq(name, STR("sigmoid"))) {
        if (quick_decimal(value, &f->transform_param) && f->transform_param > 0.0)
            return 0;
        return err_set(e, ERR_BAD_MODEL, "line %u: sigmoid is '%s', expected a number above 0", field->line,
                       lines_shown(value).z);
    }
    if ((o->params & PARAM_NUM_CLASS) && str_eq(name, STR("num_class"))) {
        if (str_to_u64(value, UINT32_MAX, &n) && n == f->n_groups)
            return 0;
        return err_set(e, ERR_BAD_MODEL, "line %u: the objective has num_class '%s', the header %u",
                       field->line, lines_shown(value).z, f->n_groups);
    }
    return objective_param_bad(field, word, e);
}

// A model trained with an objective of the user's own has none in its file: its margins are its outputs.
static int objective_parse(const struct field *field, struct arena *a, struct forest *f, struct err *e)
{
    struct str rest = field->line ? field->value : STR("custom"), name = str_split(&rest, ' ');
    const struct objective *o = NULL;
    for (size_t i = 0; i < sizeof OBJECTIVES / sizeof *OBJECTIVES; i++)
        if (str_eq(name, str_of(OBJECTIVES[i].name)))
            o = &OBJECTIVES[i];
    if (!o)
        return err_set(e, ERR_UNSUPPORTED_MODEL, "line %u: the objective '%s' is not supported", field->line,
                       lines_shown(name).z);
    if (!(o->kinds & (f->n_groups > 1 ? OBJECTIVE_CLASSES : OBJECTIVE_SINGLE)))
        return err_set(e, ERR_BAD_MODEL, "line %u: the objective %s with num_class %u", field->line, o->name,
                       f->n_groups);
    f->transform = o->transform;
    f->transform_param = 1.0;
    while (rest.n) {
        struct str word = str_split(&rest, ' ');
        int rc = word.n ? objective_param(field, word, o, f, e) : 0;
        if (rc)
            return rc;
    }
    f->objective = text_copy(field->line ? field->value : STR("custom"), a);
    return f->objective ? 0 : err_set(e, ERR_NOMEM, "no memory for the name of the objective");
}

int header_parse(struct lines *in, struct arena *a, struct forest *ret, struct err *e)
{
    struct field fields[HEADER_FIELDS] = {0};
    int rc = fields_read(in, fields, e);
    if (!rc)
        rc = version_check(&fields[HEADER_VERSION], e);
    if (!rc)
        rc = sizes_parse(fields, ret, e);
    if (rc)
        return rc;
    struct signature *s = &ret->sig;
    s->features = arena_calloc(a, s->n_features, sizeof *s->features);
    ret->base = arena_calloc(a, ret->n_groups, sizeof *ret->base);
    if (!s->features || !ret->base)
        return err_set(e, ERR_NOMEM, "no memory for %u features", s->n_features);
    rc = names_parse(&fields[HEADER_FEATURE_NAMES], a, s, e);
    if (!rc)
        rc = infos_parse(&fields[HEADER_FEATURE_INFOS], s, e);
    if (!rc)
        rc = objective_parse(&fields[HEADER_OBJECTIVE], a, ret, e);
    ret->average = fields[HEADER_AVERAGE_OUTPUT].line;
    s->n_outputs = ret->n_groups;
    s->output_is_vector = ret->n_groups > 1;
    s->input_dtype = s->output_dtype = DTYPE_FP64;
    s->named = true;
    s->platform = "lightgbm_txt";
    s->output_name = "prediction";
    return rc;
}
