# SPDX-License-Identifier: Apache-2.0
"""Errors of the disk: no acknowledged change is lost, and predictions go on.

Here at some of the calls of some changes; `dev/slow kill_anywhere` takes each of them.
"""

import shutil

import pytest

import faults
import kills

@pytest.fixture
def run(tmp_path):
    base = faults.fast_dir(tmp_path)
    run = kills.Run(base / "data")
    yield run
    run.end()
    shutil.rmtree(base, ignore_errors=True)


@pytest.mark.parametrize("fault", [kills.ERROR, kills.ERRORS, kills.FULL], ids=["once", "from_then_on", "full"])
@pytest.mark.parametrize("change", ["upload", "push", "promote"])
def test_an_error_of_the_disk_loses_nothing(run, change, fault):
    run.begin()
    for at in (2, 5, 9, 14):
        if not kills.attempt(run, change, at, fault):
            break
    assert at > 2
