# SPDX-License-Identifier: Apache-2.0
"""50 upgrades of a running server at 1,000 new connections a second: dev/slow upgrades [--quick].

Every answer's value is checked. Prints what was reached; the exit code is 1 when a request failed or an upgrade did.
"""

import argparse
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

from conftest import Server, Trained  # noqa: E402
from upgrades import Connections, upgrade  # noqa: E402


def trained(folder):
    import numpy as np
    import xgboost

    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1},
                            xgboost.DMatrix(x, label=x[:, 0] > 0), 20)
    path = folder / "churn.json"
    booster.save_model(path)
    return Trained(path, [f"f{i}" for i in range(6)], x, booster.predict(xgboost.DMatrix(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="5 upgrades in place of 50")
    n, done, reasons = 5 if parser.parse_args().quick else 50, 0, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        churn, server = trained(folder), Server(folder / "data", "--gateways", "2")
        try:
            server.push("churn", churn.path)
            with Connections(server, churn, rate=1000, n_threads=8) as stream:
                stream.more(500)
                began, before = time.monotonic(), stream.answered
                while done < n and len(reasons) < 5:
                    stream.more(200)
                    result = upgrade(server)
                    if result.returncode == 0:
                        done += 1
                    elif "try again" not in result.stderr and "controller is not running" not in result.stderr:
                        reasons.append(result.stderr)
                took, answered = time.monotonic() - began, stream.answered - before
        finally:
            server.end()
    print(f"{done} upgrades in {took:.0f} s, {answered} new connections ({answered / took:.0f}/s), "
          f"{len(stream.failed)} failed")
    for text in [*stream.failed[:5], *reasons]:
        print(text)
    return 1 if stream.failed or reasons else 0


if __name__ == "__main__":
    sys.exit(main())
