// SPDX-License-Identifier: Apache-2.0
// What XGBoost's objectives mean for a prediction: the output transform, and the base score, which is saved
// in the space of the output ("probability") and starts the sum in the space of the margin. Source:
// src/objective/, ObjFunction::PredTransform and ProbToMargin.
#include "engine/trees/xgboost_doc.h"

#include <math.h>

enum to_margin { SAME, LOGIT, LOG };

static const struct objective {
    const char *name;
    enum forest_transform transform;
    enum to_margin to_margin;
} OBJECTIVES[] = {
    {"reg:squarederror", TRANSFORM_IDENTITY, SAME},
    {"reg:linear", TRANSFORM_IDENTITY, SAME}, // the old name of reg:squarederror
    {"reg:squaredlogerror", TRANSFORM_IDENTITY, SAME},
    {"reg:absoluteerror", TRANSFORM_IDENTITY, SAME},
    {"reg:pseudohubererror", TRANSFORM_IDENTITY, SAME},
    {"reg:quantileerror", TRANSFORM_IDENTITY, SAME},
    {"reg:logistic", TRANSFORM_SIGMOID, LOGIT},
    {"reg:gamma", TRANSFORM_EXP, LOG},
    {"reg:tweedie", TRANSFORM_EXP, LOG},
    {"count:poisson", TRANSFORM_EXP, LOG},
    {"binary:logistic", TRANSFORM_SIGMOID, LOGIT},
    {"binary:logitraw", TRANSFORM_IDENTITY, SAME},
    {"binary:hinge", TRANSFORM_HINGE, SAME},
    {"multi:softmax", TRANSFORM_ARGMAX, SAME},
    {"multi:softprob", TRANSFORM_SOFTMAX, SAME},
    {"rank:pairwise", TRANSFORM_IDENTITY, SAME},
    {"rank:ndcg", TRANSFORM_IDENTITY, SAME},
    {"rank:map", TRANSFORM_IDENTITY, SAME},
    {"survival:aft", TRANSFORM_EXP, LOG},
    {"survival:cox", TRANSFORM_EXP, LOG},
};

// It took its base score as a probability until XGBoost 1.3 made it a margin. A file keeps the meaning it was
// trained with, though later versions of the library read it in the new one.
static const struct objective LOGITRAW_BEFORE_1_3 = {"binary:logitraw", TRANSFORM_IDENTITY, LOGIT};

static int margin_of(const struct objective *o, int saved_by, float x, float *ret, struct err *e)
{
    *ret = x;
    switch (o->to_margin) {
    case SAME:
        return 0;
    case LOGIT:
        if (saved_by >= 302 && x >= 0.0f && x <= 1.0f) // since 3.2 the ends are allowed and kept finite
            x = fminf(fmaxf(x, 1e-6f), 1.0f - 1e-6f);
        if (!(x > 0.0f && x < 1.0f))
            return err_set(e, ERR_BAD_MODEL, "base_score %g of %s is not between 0 and 1", (double)x,
                           o->name);
        *ret = -logf(1.0f / x - 1.0f);
        return 0;
    case LOG:
        if (!(x > 0.0f))
            return err_set(e, ERR_BAD_MODEL, "base_score %g of %s is not positive", (double)x, o->name);
        *ret = logf(x);
        return 0;
    }
    return 0;
}

int xgboost_objective_apply(struct str name, const struct xgboost_base *base, struct arena *a,
                            struct forest *f, struct err *e)
{
    const struct objective *o = NULL;
    if (base->saved_by < 103 && str_eq(name, STR("binary:logitraw")))
        o = &LOGITRAW_BEFORE_1_3;
    for (size_t i = 0; !o && i < sizeof OBJECTIVES / sizeof OBJECTIVES[0]; i++)
        if (str_eq(name, str_of(OBJECTIVES[i].name)))
            o = &OBJECTIVES[i];
    if (!o)
        return err_set(e, ERR_UNSUPPORTED_MODEL, "objective '%.*s' is not supported",
                       (int)(name.n < 64 ? name.n : 64), name.p);
    if (base->n != 1 && base->n != f->n_groups)
        return err_set(e, ERR_BAD_MODEL, "base_score has %u values for %u outputs", base->n, f->n_groups);
    f->base = arena_calloc(a, f->n_groups, sizeof *f->base);
    if (!f->base)
        return err_set(e, ERR_NOMEM, "no memory for %u base scores", f->n_groups);
    for (uint32_t g = 0; g < f->n_groups; g++) {
        float margin;
        int rc = margin_of(o, base->saved_by, base->values[base->n == 1 ? 0 : g], &margin, e);
        if (rc)
            return rc;
        f->base[g] = (double)margin;
    }
    f->objective = o->name;
    f->transform = o->transform;
    f->transform_param = 1.0;
    f->sig.n_outputs = o->transform == TRANSFORM_ARGMAX ? 1 : f->n_groups;
    f->sig.output_is_vector = f->sig.n_outputs > 1 || o->transform == TRANSFORM_SOFTMAX;
    return 0;
}

static int base_score_one(struct str s, float *ret, struct err *e)
{
    if (xgboost_float_parse(s, ret))
        return 0;
    return err_set(e, ERR_BAD_MODEL, "base_score '%.*s' is not a number", (int)(s.n < 64 ? s.n : 64), s.p);
}

int xgboost_base_score_parse(struct str s, uint32_t max, struct xgboost_base *ret, struct err *e)
{
    ret->n = 0;
    bool list = str_starts(s, STR("["));
    if (list) {
        if (!str_ends(s, STR("]")) || s.n < 2)
            return err_set(e, ERR_BAD_MODEL, "base_score is an unfinished list");
        s = (struct str){s.p + 1, s.n - 2};
    }
    do {
        if (ret->n >= max)
            return err_set(e, ERR_BAD_MODEL, "base_score has more than %u values", max);
        struct str part = list ? str_split(&s, ',') : s;
        int rc = base_score_one(str_trim(part), &ret->values[ret->n++], e);
        if (rc)
            return rc;
    } while (list && s.n > 0);
    return 0;
}
