# SPDX-License-Identifier: Apache-2.0
"""Simulated rollouts over the real judge, in full; the figures stand in docs/rollouts.md.

    dev/slow rollout_statistics [NUMBER...]      numbers of the tests wanted: 2 to 9
"""

import os
import pathlib
import sys

program = pathlib.Path(__file__).resolve().parents[2] / "build/gcc/tests/slow/rollout_statistics"
os.nice(19)
os.execv(program, [str(program), *sys.argv[1:]])
