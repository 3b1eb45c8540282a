// SPDX-License-Identifier: Apache-2.0
// The rows of a record as values of the columns that are watched. Records come from gateways; their sizes
// were checked by record_read; what columns they have follows from the version's rules of privacy.
#pragma once

#include "predlog/record.h"
#include "role/drift_columns.h"

// Gives the observer each row of a prediction that it wants.
void drift_take_rows(struct observer *o, const struct drift_columns *columns, const struct record *r);
