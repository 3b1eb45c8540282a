// SPDX-License-Identifier: Apache-2.0
// The soundness check of a forest.
#include "engine/trees/forest.h"
