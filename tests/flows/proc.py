# SPDX-License-Identifier: Apache-2.0
"""What /proc says of processes that may end while they are looked at."""
import pathlib


def words(pid):
    """Its command line; empty when it ended, whether or not anybody reaped it."""
    try:
        return [w for w in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if w]
    except (FileNotFoundError, ProcessLookupError):  # before the file was opened, or after
        return []


def is_alive(pid):
    """Not so for a zombie."""
    return bool(words(pid))
