# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every call that writes, of every change: what was acknowledged is there after the restart, all else
wholly there or wholly not. Here at some of the calls; `dev/slow kill_anywhere` takes each of them."""

import shutil

import pytest

import faults
import kills


@pytest.fixture
def data_dir(tmp_path):
    base = faults.fast_dir(tmp_path)
    yield base / "data"
    shutil.rmtree(base, ignore_errors=True)


@pytest.mark.parametrize("first, change", enumerate(kills.CHANGES))
def test_a_change_is_whole_or_absent(data_dir, first, change):
    n_calls, n_killed = kills.sweep(data_dir, change, kills.DEATH, first=1 + first, stride=11)
    assert n_calls >= 10 and n_killed >= 1


@pytest.mark.parametrize("is_old", [False, True], ids=["empty", "schema_2"])
def test_a_first_start_survives(data_dir, is_old):
    n_calls, n_killed = kills.sweep_start(data_dir, is_old, kills.DEATH, first=4, stride=25)
    assert n_calls >= 20 and n_killed >= 2
