# SPDX-License-Identifier: Apache-2.0
"""The power fails under a real server. Many more cuts, without one: tests/faults/power_cut.c."""

import random
import shutil

import pytest

import cuts
import faults
import kills


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


def test_a_version_makes_durable_what_dead_processes_left(base):
    """Those that stored its files died before the names were safe; the version is pushed without storing them again."""
    work = base / "work"
    run = kills.Run(work)
    root, records = work.stat().st_ino, work.with_name("work.records")
    model, baseline = run.file(), b"f0,f1,f2\n1,2,3\n"
    records.touch()
    run.plan.record()
    run.begin()
    try:
        for data in (model, baseline):
            run.plan.arm(faults.KILL, kinds=faults.SYNC, files=faults.SHARD)
            with pytest.raises(faults.Refused, match="signal 9"):
                run.client.put_blob(data)
            run.plan.disarm()
        run.client.add_version(kills.MODEL, model, others=[("baseline", baseline)], promote=True)
        step = cuts.Step(0, records.stat().st_size, run.client.state(), [])
        assert len(step.state[kills.MODEL][0][1]) == 2
    finally:
        run.end()
        shutil.rmtree(work)
    for seed in range(4):
        cuts.cut(base / "data", records, root, [step], step.end, seed)
