# SPDX-License-Identifier: Apache-2.0
"""Errors of the disk, and a disk that is full: no acknowledged change is lost, and predictions go on.

Here at some of the calls of some changes; `dev/slow kill_anywhere` takes each of them.
"""

import shutil

import pytest

import faults
import kills
from kills import MODEL, STEADY

ROOM_FOR_EVERYTHING = 1 << 40


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


def files(run):
    """Of all blobs, and what is half written."""
    blobs = run.data_dir / "blobs"
    return {p.name for p in blobs.glob("sha256/*/*")}, [p.name for p in blobs.glob("tmp/*")]


def fill(run):
    """Pushes until there is no room; returns the state, which the refused push has not changed."""
    for _ in range(200):
        before, stored = run.client.state(), files(run)
        try:
            run.push(promote=True)
        except faults.Refused as e:
            assert (e.status, e.code) == (507, "no_space")
            assert run.client.state() == before
            left, half_written = files(run)
            assert half_written == [] and len(left - stored[0]) <= 1  # the blob may have been the last that fit
            return before
    raise AssertionError("the disk was never full")


def test_a_full_disk_refuses_pushes_and_goes_on_promoting(run):
    run.begin()
    for _ in range(3):
        run.push(promote=True)
    run.plan.room_bytes, run.plan.has_room, run.plan.is_armed = 100_000, 1, 1
    fill(run)
    for _ in range(20):  # each needs room in the database's log
        for change in ("promote", "set_alias"):
            do, effect = kills.CHANGES[change](run)
            expected = run.client.state()
            effect(expected, do())
            assert run.client.state() == expected
        back = run.client.call("POST", f"/models/{MODEL}/rollback", json={}).json()["version"]
        assert run.client.predict(MODEL) == back == run.client.state()[MODEL][1]["champion"]
    before = fill(run)
    run.end()  # a full disk does not keep a server from starting
    run.begin()
    assert run.client.state() == before and run.client.predict(STEADY) == 1
    fill(run)
    run.plan.room_bytes = ROOM_FOR_EVERYTHING
    run.push(promote=True)
    run.client.check_blobs()


def test_a_registry_on_a_broken_disk_is_read_only_until_it_was_checked(run):
    run.begin()
    for _ in range(2):
        run.push(promote=True)
    do, effect = kills.CHANGES["promote"](run)
    expected = run.client.state()
    run.plan.arm(**{**kills.ERRORS, "files": faults.DB | faults.WAL})
    with pytest.raises((faults.Lost, faults.Refused)):
        do()
    with pytest.raises(faults.Lost, match="registry_read_only"):
        do()
    assert run.client.predict(MODEL) == expected[MODEL][1]["champion"]
    run.plan.disarm()
    effect(expected, run.client.insist(do))
    assert run.client.state() == expected
