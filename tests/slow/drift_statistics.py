# SPDX-License-Identifier: Apache-2.0
"""Simulated weeks over the real observer of drift, in full; the figures stand in docs/drift.md.

    dev/slow drift_statistics [WEEKS [RUNS]]      5 weeks of each kind, 1,000 runs of each shift
"""

import os
import pathlib
import sys

program = pathlib.Path(__file__).resolve().parents[2] / "build/gcc/tests/slow/drift_statistics"
os.nice(19)
os.execv(program, [str(program), *sys.argv[1:]])
