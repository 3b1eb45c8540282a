# SPDX-License-Identifier: Apache-2.0
"""Moves the champion of model w1 between versions 1 and 2 every 250 ms for a while. Arguments: base URL, seconds."""

import json
import sys
import time

import servers


def main():
    base, seconds = sys.argv[1], float(sys.argv[2])
    end, version = time.monotonic() + seconds, 1
    while time.monotonic() < end:
        servers.call(f"{base}/api/v1/models/w1/aliases/champion", json.dumps({"version": version, "allow_breaking": True}).encode(), "PUT")
        version = 3 - version
        time.sleep(0.25)


main()
