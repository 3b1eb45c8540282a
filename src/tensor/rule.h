// SPDX-License-Identifier: Apache-2.0
// What a request is held to: the rules of a signature document (schema.h), bound to the model that computes.
// A column without a rule is not looked at. The table of what each mode does is in docs/signatures.md.
#pragma once

#include "tensor/interface.h"
#include "tensor/schema.h"
#include "tensor/signature.h"

struct rule {
    enum schema_mode mode; // never unsaid
    enum schema_type type;
    enum dtype dtype;    // what the model computes in; bounds and codes are held by it too
    bool may_be_missing; // by the rule
    bool has_missing;    // the model has a rule for a missing value
    bool looks;          // numbers are to be looked at
    bool whole;          // they have no fraction
    double min, max;
    const double *allowed; // (n_allowed) sorted; NULL: any
    uint32_t n_allowed;
    const struct categories *texts; // NULL: none
};

// What became of a value that is not as its column's rule says.
enum rule_kind { RULE_TYPE, RULE_MISSING, RULE_CATEGORY, RULE_RANGE, RULE_KINDS };
enum rule_action { RULE_REFUSED, RULE_COERCED, RULE_WARNED, RULE_ACTIONS };
struct rule_seen {
    bool any;
    enum rule_kind kind;
    enum rule_action action;
};
struct rule_counts {
    uint32_t n[RULE_KINDS][RULE_ACTIONS];
};
const char *rule_kind_name(enum rule_kind k);     // "range"
const char *rule_action_name(enum rule_action a); // "warned"

// Each takes one value of the column `name`. 0: it is taken, *v is what the model gets (NaN: missing), and
// *seen says whether something was amiss; a negative code: it is refused. ERR_OUT_OF_RANGE, ERR_WRONG_TYPE,
// ERR_UNKNOWN_CATEGORY, ERR_MISSING_FEATURE; messages have the value and what was expected.
//
// A number, never NaN.
int rule_number(const struct rule *r, struct str name, double *v, struct rule_seen *seen,
                struct err *e) ERR_CHECKED;
int rule_bool(const struct rule *r, struct str name, bool said, double *v, struct rule_seen *seen,
              struct err *e) ERR_CHECKED;
int rule_missing(const struct rule *r, struct str name, double *v, struct rule_seen *seen,
                 struct err *e) ERR_CHECKED;
// A text; r may be NULL, then it is one of the categories or refused. categories may be NULL. A number out of
// a text is not looked at further: rule_number does.
int rule_text(const struct rule *r, const struct categories *categories, struct str name, struct str text,
              double *v, struct rule_seen *seen, struct err *e) ERR_CHECKED;
// A text of a model that takes texts: whether it is one of those allowed.
int rule_string(const struct rule *r, struct str name, struct str text, struct rule_seen *seen,
                struct err *e) ERR_CHECKED;

// A document bound to a model. Free with rules_free.
struct rules;
// The model's signature with the names and rules of the document, borrowed from *ret. ERR_INVALID when the
// document is about another model, and those of schema_read.
int rules_bind(const struct signature *model, struct str json, struct rules **ret, struct err *e) ERR_CHECKED;
const struct signature *rules_signature(const struct rules *r);
// Sets the rules of i's inputs; they live as long as *ret, which is NULL when there are none.
int rules_bind_interface(struct interface *i, struct str json, struct rules **ret, struct err *e) ERR_CHECKED;
void rules_free(struct rules *r); // NULL is fine
