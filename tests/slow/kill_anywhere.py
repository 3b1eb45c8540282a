# SPDX-License-Identifier: Apache-2.0
"""kill -9 at each call that writes or sends, of each change of the registry, in the controller and its helpers.

After the restart what was acknowledged must be there, all else wholly there or wholly not, and every version must have
its blobs. Once more with each write done by half (tests/flows/kills.py).
"""

import argparse
import pathlib
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import faults  # noqa: E402
import kills  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    sweeps = {change: lambda *how, change=change, **more: kills.sweep(*how, change, **more) for change in kills.CHANGES}
    sweeps["first_start"] = lambda *how, **more: kills.sweep_start(*how, False, **more)
    sweeps["migration"] = lambda *how, **more: kills.sweep_start(*how, True, **more)
    parser.add_argument("changes", nargs="*", default=list(sweeps), help=", ".join(sweeps))
    parser.add_argument("--stride", type=int, default=1)
    args = parser.parse_args()
    total = 0
    for change in args.changes:
        for name, action in (("kill", faults.KILL), ("half a write, then kill", faults.TEAR)):
            base = faults.fast_dir(pathlib.Path("/tmp"))
            begin = time.monotonic()
            try:
                n_calls, n_killed = sweeps[change](base / "data", stride=args.stride, action=action)
            finally:
                shutil.rmtree(base, ignore_errors=True)
            total += n_killed
            print(f"{change:15} {name:25} {n_calls:4} calls, {n_killed:4} kills, {time.monotonic() - begin:6.1f} s",
                  flush=True)
    print(f"{total} kills, 0 violations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
