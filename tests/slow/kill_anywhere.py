# SPDX-License-Identifier: Apache-2.0
"""kill -9 at each call that writes or sends, of each change of the registry, in the controller and its helpers.

After the restart what was acknowledged must be there, all else wholly there or wholly not, and every version must have
its blobs. Once more with each write done by half, and with errors of the disk instead (tests/flows/kills.py).
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

STARTS = {"first_start": False, "migration": True}
FAULTS = {"kill": kills.DEATH, "half a write, then kill": kills.DEATH_IN_A_WRITE, "EIO once": kills.ERROR,
          "EIO from then on": kills.ERRORS, "ENOSPC from then on": kills.FULL}

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    sweeps = {change: lambda data_dir, fault, change=change, **how: kills.sweep(data_dir, change, fault, **how)
              for change in kills.CHANGES}
    for name, is_old in STARTS.items():
        sweeps[name] = lambda data_dir, fault, is_old=is_old, **how: kills.sweep_start(data_dir, is_old, fault, **how)
    parser.add_argument("changes", nargs="*", default=list(sweeps), help=", ".join(sweeps))
    parser.add_argument("--stride", type=int, default=1)
    args = parser.parse_args()
    total = 0
    for change in args.changes:
        for name, fault in FAULTS.items():
            if change in STARTS and fault["action"] == faults.FAIL:
                continue  # a server that cannot open its registry does not start
            base = faults.fast_dir(pathlib.Path("/tmp"))
            begin = time.monotonic()
            try:
                n_calls, n_faults = sweeps[change](base / "data", fault, stride=args.stride)
            finally:
                shutil.rmtree(base, ignore_errors=True)
            total += n_faults
            print(f"{change:15} {name:23} {n_calls:4} calls, {n_faults:4} faults, {time.monotonic() - begin:6.1f} s",
                  flush=True)
    print(f"{total} faults, 0 violations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
