// SPDX-License-Identifier: Apache-2.0
// Dashboards and alert rules, built into the program by deploy/monitoring/make.py.
#pragma once

struct dashboard_file {
    const char *name; // with its folder
    const char *text;
};

extern const struct dashboard_file DASHBOARD_FILES[];
extern const unsigned N_DASHBOARD_FILES;
