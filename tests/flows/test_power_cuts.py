# SPDX-License-Identifier: Apache-2.0
"""The power fails under a real server. Many more cuts, without one: tests/faults/power_cut.c."""

import random
import shutil

import pytest

import cuts
import faults


@pytest.fixture
def base(tmp_path):
    path = faults.fast_dir(tmp_path)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_a_server_starts_after_a_power_cut(base):
    assert cuts.run_cuts(base, random.Random(1), n_changes=6, n_cuts=5) >= 6


def test_a_lost_sync_is_noticed(base):
    """Without the syncs of the write-ahead log cuts lose what was acknowledged."""
    with pytest.raises(AssertionError, match="not one of"):
        cuts.run_cuts(base, random.Random(1), n_changes=6, n_cuts=30, ignored_syncs=faults.WAL)
