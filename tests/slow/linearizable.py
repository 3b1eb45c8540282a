# SPDX-License-Identifier: Apache-2.0
"""Eight clients at once push, promote, delete, read and predict on three models, also while the controller is killed.

Each history must have an order in which its operations could have run one after the other (tests/flows/histories.py).
"""

import argparse
import pathlib
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402
import faults  # noqa: E402
import histories  # noqa: E402

DEATHS = 3  # of the controller in every other history; its supervisor gives up at five in 30 s


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=40)
    parser.add_argument("--operations", type=int, default=100, help="of each client")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    begin, n_operations, n_lost = time.monotonic(), 0, 0
    for i in range(args.histories):
        base = faults.fast_dir(pathlib.Path("/tmp"))
        server = conftest.Server(base / "data", "--gateways", 1)
        try:
            recorded = histories.record(server, args.clients, args.operations, args.seed + i, DEATHS * (i % 2))
        finally:
            server.kill()
            server.end()
            shutil.rmtree(base, ignore_errors=True)
        histories.check(recorded)
        n_operations += sum(len(o) for o in recorded.values())
        n_lost += sum(o.result is None for operations in recorded.values() for o in operations)
    print(f"{args.histories} histories of {args.clients} clients, {n_operations} operations ({n_lost} without an answer), "
          f"{DEATHS * (args.histories // 2)} deaths of the controller: all linearizable, {time.monotonic() - begin:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
