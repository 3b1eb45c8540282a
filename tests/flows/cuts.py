# SPDX-License-Identifier: Apache-2.0
"""Power cuts of a real server: it works while its calls are recorded, then others start on what a cut leaves."""

import shutil
import subprocess

import faults
import kills

CHANGES = ["upload", "push", "push", "promote", "set_alias", "remove_alias", "roll_back", "delete_version",
           "delete_model", "collect"]


class Step:
    """A change, acknowledged at its end: sizes of the records, then the registry and the blobs that were stored."""

    def __init__(self, begin, end, state, blobs):
        self.begin, self.end, self.state, self.blobs = begin, end, state, blobs


class NotingClient(faults.Client):
    """Notes each change as a step."""

    def __init__(self, server, records):
        super().__init__(server)
        self.records = records
        begun = records.stat().st_size  # with the first push, which nobody noted
        self.steps = [Step(0, 0, {}, []), Step(0, begun, self.state(), [])]

    def call(self, method, path, **kwargs):
        begin = self.records.stat().st_size
        answer = super().call(method, path, **kwargs)
        if method != "GET":
            end, blobs = self.records.stat().st_size, self.steps[-1].blobs
            if path.startswith("/blobs/"):
                blobs = [*blobs, answer.json()["digest"]]
            elif path == "/housekeeping/gc":
                blobs = []  # those that versions need are looked for anyway
            self.steps.append(Step(begin, end, self.state(), blobs))
        return answer


def work(data_dir, dice, n_changes, ignored_syncs):
    """(records, inode number of the data directory, steps) of a server that was killed in the end."""
    run = kills.Run(data_dir)
    root = data_dir.stat().st_ino
    records = data_dir.with_name(data_dir.name + ".records")
    records.touch()
    run.plan.record()
    run.plan.ignored_syncs = ignored_syncs
    run.begin()
    run.client = NotingClient(run.server, records)
    try:
        for _ in range(n_changes):
            do, _ = kills.CHANGES[dice.choice(CHANGES)](run)
            do()
        return records, root, run.client.steps
    finally:
        run.end()
        shutil.rmtree(data_dir)


def cut(data_dir, records, root, steps, at, seed):
    """Starts a server on what is left when the power fails after so many bytes of records."""
    subprocess.run([faults.FAULTS / "disk_after", records, str(root), str(at), str(seed), data_dir], check=True)
    done = [s for s in steps if s.end <= at][-1]
    under_way = [s for s in steps if s.begin < at < s.end]
    may_be = [s.state for s in [done, *under_way]]
    blobs = set(done.blobs).intersection(*[s.blobs for s in under_way])
    server = faults.start(data_dir)
    try:
        client = faults.Client(server)
        state = client.state()
        where = f"cut after {at} bytes, seed {seed}"
        assert state in may_be, f"{where}: {state}, not one of {may_be}"
        client.check_blobs(*blobs)
        client.check_audit()
        client.push(kills.MODEL, faults.model_file("after the cut"))
    finally:
        server.kill()
        server.end()
    faults.fsck(data_dir)
    shutil.rmtree(data_dir)


def run_cuts(base, dice, n_changes, n_cuts, ignored_syncs=0):
    """Returns the number of steps."""
    records, root, steps = work(base / "work", dice, n_changes, ignored_syncs)
    size = records.stat().st_size
    for _ in range(n_cuts):
        cut(base / "data", records, root, steps, dice.randrange(size + 1), dice.getrandbits(63))
    return len(steps) - 1
