# SPDX-License-Identifier: Apache-2.0
"""Simulated power cuts: what was acknowledged stays, what was not is wholly there or wholly not.

The registry and the blobs work on a disk that remembers what was synced (tests/faults/power_cut.c). The same with
the syncs of one file left out must find a violation: else the cuts prove nothing. Then the power fails under real servers
(tests/flows/cuts.py).
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import cuts  # noqa: E402
import faults  # noqa: E402

PROGRAM = ROOT / "build" / "gcc" / "tests" / "faults" / "power_cut"
CUTS_PER_SERVER = 20
FILES = ["root", "db", "wal", "blobs", "sha256", "shard", "blob", "db+wal"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=10_000)
    parser.add_argument("--server-cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    failed = 0
    begin = time.monotonic()
    run = subprocess.run([PROGRAM, "--cuts", str(args.cuts), "--seed", str(args.seed)], check=False)
    failed += run.returncode != 0
    print(f"took {time.monotonic() - begin:.1f} s")
    for name in FILES:
        print(f"without the syncs of {name}: ", end="", flush=True)
        run = subprocess.run([PROGRAM, "--cuts", "2000", "--seed", str(args.seed), "--ignore", name,
                              "--expect-violations"], check=False)
        failed += run.returncode != 0
    begin, dice, n_changes = time.monotonic(), random.Random(args.seed), 0
    for _ in range(0, args.server_cuts, CUTS_PER_SERVER):
        base = faults.fast_dir(pathlib.Path("/tmp"))
        try:
            n_changes += cuts.run_cuts(base, dice, 10, CUTS_PER_SERVER)
        finally:
            shutil.rmtree(base, ignore_errors=True)
    print(f"{args.server_cuts} power cuts of servers that made {n_changes} changes, 0 violations, "
          f"{time.monotonic() - begin:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
