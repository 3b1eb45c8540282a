# SPDX-License-Identifier: Apache-2.0
"""What the prediction log promises, at full length: dev/slow log [--quick] [--kills N] [--ids N] [--rate N] [--seconds S]
[--rounds N] [--seed S] [SCENARIO…].

  kills    100 times a gateway, the monitor or the whole server is killed under load, at random moments: every answer that
           said that it is on disk is in the log, whatever came twice is the same, accepted = committed + dropped
  rate     100,000 records a second until there are 10^7 prediction ids: none comes twice, all are in the log or counted as
           dropped, memory stays, and DuckDB, pandas and polars count the rows of the sealed files as the manifest does
  stall    the disk takes nothing for a minute: nobody waits, memory stays, what was dropped is counted and told
  full     the disk is full for ten seconds: the same, and it is written again afterwards
  torn     the end of the newest file is cut off: all before it is there, and the loss is told
  damaged  bytes in the middle are changed: all but the records they hit is there, and how many those are is told

Clients send batches over connections of their own and keep the id of every answer. The exit code is 1 when a promise does
not hold; a rate that the machine does not reach is said and fails nothing.
"""

import argparse
import errno
import json
import multiprocessing
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import duckdb
import numpy as np
import pandas
import polars
import xgboost

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402
import faults  # noqa: E402
from predlog import settled, status  # noqa: E402

CHUNK = 8 << 20
GROWTH_BYTES = 64 << 20
WARM = 700_000  # records after which the monitor's tables are as large as they get
DEATHS_OF_A_LIFE = 4  # of children: after five in 30 s the supervisor gives up
HEX = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])


# ---- ids, as one number each: the id's 122 free bits mixed into 64

def digest(text):
    """text: (n, 36) bytes of UUIDs."""
    nibbles = (text[:, HEX] & 15) + 9 * (text[:, HEX] >> 6)
    words = np.ascontiguousarray(nibbles[:, 0::2] << 4 | nibbles[:, 1::2]).view(">u8").astype(np.uint64)
    mixed = words[:, 0] * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(32) ^ words[:, 1]) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ mixed >> np.uint64(32)


class Log:
    """All that the log of a data directory holds, in its order."""

    def __init__(self, data_dir):
        ids, self.gaps, rest = [], [], b""
        command = [conftest.BINARY, "log", "query", "--gaps", "--json", "--data-dir", str(data_dir)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as query:
            while piece := query.stdout.read(CHUNK):
                whole, end, rest = (rest + piece).rpartition(b"\n")
                found = b"".join(re.findall(rb'"id":"([0-9a-f-]{36})"', whole))
                ids.append(digest(np.frombuffer(found, np.uint8).reshape(-1, 36)))
                self.gaps += [json.loads(line) for line in re.findall(rb'^\{"seq":\d+,"kind":"gap".*$', whole, re.M)]
        assert query.returncode == 0 and not rest
        self.ids = np.concatenate([np.empty(0, np.uint64), *ids])

    def lost(self, *reasons):
        return sum(gap["records"] or 0 for gap in self.gaps if gap["reason"] in reasons)


# ---- load

class Answer:
    """Where things stand in an answer: all answers to one request are of one length."""

    def __init__(self, sock, request):
        sock.sendall(request)
        got = b""
        while (end := got.find(b"\r\n\r\n") + 4) < 4 or len(got) < end + int(re.search(rb"Content-Length: +(\d+)", got)[1]):
            piece = sock.recv(65536)
            if not piece:
                raise OSError("closed")
            got += piece
        if not got.startswith(b"HTTP/1.1 200 "):
            raise OSError("refused")
        self.first, self.bytes = got, len(got)
        self.id = re.search(rb"Slipway-Prediction-Id: ", got).end()
        committed = re.search(rb"Slipway-Log-Committed: ", got)
        self.committed = committed.end() if committed else None

    def read(self, got):
        """Digests of the ids of whole answers, and whether they are on disk."""
        rows = np.frombuffer(got, np.uint8).reshape(-1, self.bytes)
        assert (rows[:, :13] == np.frombuffer(b"HTTP/1.1 200 ", np.uint8)).all(), bytes(got[:500])
        flags = rows[:, self.committed] == ord("1") if self.committed else np.zeros(len(rows), bool)
        return digest(rows[:, self.id:self.id + 36]), flags


def receive(sock, room):
    """As many bytes as fit, or as came before the connection ended."""
    n = 0
    try:
        while n < len(room) and (got := sock.recv_into(room[n:])):
            n += got
    except OSError:
        pass
    return n


def ask(port, rate, depth, stop, counts, k, path):
    """Batches of requests at an even rate. counts: answered, asked, the slowest batch in us."""
    body = json.dumps({"instances": [[0.25, -1.5]]}).encode()
    request = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    batch, sock, answer, room, found, due = request * depth, None, None, None, [], time.monotonic()
    while not stop.is_set():
        due = max(due + depth / rate, time.monotonic() - 0.2)
        time.sleep(max(0, due - time.monotonic()))
        try:
            if sock is None:
                sock = socket.create_connection(("127.0.0.1", port), timeout=30)
                counts[3 * k + 1] += 1
                answer = Answer(sock, request)
                counts[3 * k] += 1
                found.append(answer.read(answer.first))
                room = memoryview(bytearray(answer.bytes * depth))
            counts[3 * k + 1] += depth
            began = time.monotonic()
            sock.sendall(batch)
        except OSError:
            if sock:
                sock.close()
            sock = None
            time.sleep(0.005)
            continue
        n = receive(sock, room) // answer.bytes
        found.append(answer.read(bytes(room[:n * answer.bytes])))
        counts[3 * k] += n
        counts[3 * k + 2] = max(counts[3 * k + 2], int((time.monotonic() - began) * 1e6))
        if n < depth:
            sock.close()
            sock = None
    with open(path, "wb") as file:
        np.save(file, np.concatenate([np.empty(0, np.uint64), *(ids for ids, _ in found)]))
        np.save(file, np.concatenate([np.empty(0, bool), *(flags for _, flags in found)]))


class Load:
    def __init__(self, server, folder, rate, depth=200, clients=2):
        fork = multiprocessing.get_context("fork")
        self.stop, self.counts = fork.Event(), fork.Array("q", 3 * clients, lock=False)
        self.paths = [folder / f"client{k}" for k in range(clients)]
        self.began = time.monotonic()
        self.clients = [fork.Process(target=ask, args=(server.port, rate / clients, depth, self.stop, self.counts, k, path))
                        for k, path in enumerate(self.paths)]
        for client in self.clients:
            client.start()

    def answered(self):
        return sum(self.counts[0::3])

    def more(self, n, seconds=600):
        conftest.until(self.answered, (self.answered() + n).__le__, seconds)

    def end(self):
        """Digests of all ids that were answered; of those that were said to be on disk."""
        self.seconds = time.monotonic() - self.began
        self.stop.set()
        ids, promised = [], []
        for client, path in zip(self.clients, self.paths):
            client.join(120)
            assert client.exitcode == 0, client.exitcode
            with open(path, "rb") as file:
                one, flags = np.load(file), np.load(file)
            ids.append(one)
            promised.append(one[flags])
        self.asked, self.slowest_s = sum(self.counts[1::3]), max(self.counts[2::3]) / 1e6
        return np.concatenate(ids), np.concatenate(promised)


def memory(server):
    """Bytes of all processes of a server, shared ones once."""
    total = 0
    for pid in server.pids():
        try:
            total += int(re.search(r"^Pss: +(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) << 10
        except (OSError, TypeError):
            pass
    return total


class Growth:
    """The most that a server's memory was above what it is now."""

    def __init__(self, server):
        self.server, self.first, self.most = server, memory(server), 0

    def watch(self, until, seconds=0.5):
        while not until():
            self.most = max(self.most, memory(self.server) - self.first)
            time.sleep(seconds)

    def check(self):
        assert self.most < GROWTH_BYTES, f"memory grew by {self.most >> 20} MiB"
        return f"memory +{self.most >> 20} MiB"


# ---- scenarios

class Scenarios:
    def __init__(self, folder, args):
        self.folder, self.args, self.dice = folder, args, random.Random(args.seed)
        self.slowest_s = {}  # from the death of a child to its successor's readiness
        rows = np.random.default_rng(1).normal(size=(200, 2))
        self.model = folder / "model.json"
        xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(rows, rows.sum(axis=1)), 3).save_model(self.model)

    def serve(self, name, *flags):
        server = conftest.Server(self.folder / name, "--gateways", 2, *flags)
        server.push("m", self.model)
        return server

    def verify(self, data_dir, sound=True):
        done = subprocess.run([conftest.BINARY, "log", "verify", "--json", "--data-dir", str(data_dir)], capture_output=True,
                              text=True, check=False)
        report = json.loads(done.stdout)
        assert report["sound"] or not sound, report["faults"][:5]
        return report

    def kill_children(self, server):
        """A few deaths of gateways and the monitor; returns how many."""
        deaths = {"gateway": 0, "monitor": 0}
        for _ in range(self.dice.randrange(DEATHS_OF_A_LIFE + 1)):
            child, index = self.dice.choice([("monitor", 0), ("gateway", 0), ("gateway", 1)])
            time.sleep(self.dice.uniform(0.05, 1))
            ready = len(server.find("child_ready", child=child, child_index=index))
            began = time.monotonic()
            server.kill_child(child, index)
            deaths[child] += 1
            server.wait_child("child_ready", child, index, ready + 1)
            self.slowest_s[child] = max(self.slowest_s.get(child, 0), time.monotonic() - began)
            now = status(server)
            assert 0 <= now["accepted"] - now["committed"] - now["dropped"] == now["waiting"], now
        return deaths

    def life(self, n, deaths):
        """One server from its start to its end; returns the ids answered and those promised."""
        server = conftest.Server(self.folder / "kills", "--gateways", 2, "--log-durability", "commit", "--log-commit-wait", "30s")
        if n == 0:
            server.push("m", self.model)
        load = Load(server, self.folder, self.args.rate, depth=500, clients=4)
        load.more(1)
        for child, k in self.kill_children(server).items():
            deaths[child] += k
        time.sleep(self.dice.uniform(0.05, 1))
        if self.dice.randrange(4) == 0:  # without a kill, to look at the counters
            ids, promised = load.end()
            counts = settled(server)
            assert len(promised) <= counts["accepted"] <= load.asked, (len(promised), counts, load.asked)
            assert server.stop() == 0
        else:
            server.kill()
            deaths["server"] += 1
            ids, promised = load.end()
        server.end()
        return ids, promised

    def kills(self):
        ids, promised, deaths, n = [], [], {"gateway": 0, "monitor": 0, "server": 0}, 0
        began = time.monotonic()
        while sum(deaths.values()) < self.args.kills or sum(map(len, ids)) < self.args.ids:
            for to, one in zip((ids, promised), self.life(n, deaths)):
                to.append(one)
            n += 1
            print(f"     {sum(deaths.values())} kills in {n} lives, {sum(map(len, ids))} answers", flush=True)
        seconds = time.monotonic() - began
        ids, promised = np.concatenate(ids), np.concatenate(promised)
        report, log = self.verify(self.folder / "kills", sound=False), Log(self.folder / "kills")
        # A file that a killed server did not end has a torn end, which the log tells: nothing else is wrong.
        assert all("torn" in json.dumps(fault) for fault in report["faults"]), report["faults"][:5]
        missing = len(np.setdiff1d(promised, log.ids))
        unique, counts = np.unique(log.ids, return_counts=True)
        twice = int((counts - 1).sum())
        assert missing == 0, f"{missing} of {len(promised)} promised ids are not in the log"
        assert len(np.unique(ids)) == len(ids), "a prediction id was given twice"
        assert twice == 0 or deaths["monitor"], f"{twice} records came twice"
        self.same_twice(unique[counts > 1])
        slowest = ", ".join(f"{child} {s:.2f} s" for child, s in self.slowest_s.items())
        return (f"{sum(deaths.values())} kills {deaths} in {n} lives and {seconds:.0f} s; slowest to be ready again: {slowest}; "
                f"{len(ids)} answers, all ids different; "
                f"{len(promised)} promised, 0 missing; {len(log.ids)} lines, {twice} of them a second time, {len(log.gaps)} gaps")

    def same_twice(self, wanted):
        """A record that came twice is the same but for its number."""
        wanted, checked, rows = set(wanted[:1000].tolist()), 0, {}
        if not wanted:
            return
        command = [conftest.BINARY, "log", "query", "--json", "--data-dir", str(self.folder / "kills")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as query:
            while piece := query.stdout.readlines(CHUNK):
                found = np.frombuffer(b"".join(re.search(rb'"id":"([0-9a-f-]{36})"', line)[1] for line in piece), np.uint8)
                for k, one in enumerate(digest(found.reshape(-1, 36)).tolist()):
                    if one in wanted:
                        line = json.loads(piece[k])
                        del line["seq"]
                        assert rows.setdefault(one, line) == line
                        checked += 1
        assert checked >= 2 * len(wanted), (checked, len(wanted))

    def rate(self):
        server = self.serve("rate")
        load = Load(server, self.folder, self.args.rate)
        load.more(min(WARM, self.args.ids // 2))
        growth = Growth(server)
        growth.watch(lambda: load.answered() >= self.args.ids)
        ids, _ = load.end()
        counts = settled(server)
        print(f"     {len(ids)} answers, {len(np.unique(ids))} ids; {counts['committed']} committed, {counts['dropped']} dropped", flush=True)
        assert server.stop(timeout=120) == 0
        server.end()
        again = conftest.Server(server.data_dir, "--gateways", 2)  # seals all of it
        again.wait_event("log_sealed", timeout=3600)
        assert again.stop(timeout=120) == 0
        again.end()
        assert counts["accepted"] == len(ids) == len(np.unique(ids)), (counts, len(ids))
        log = Log(server.data_dir)
        assert len(log.ids) == counts["committed"] == len(np.unique(log.ids)), (len(log.ids), counts)
        assert len(np.setdiff1d(log.ids, ids)) == 0 and log.lost("overflow", "disk") == counts["dropped"], counts
        assert self.verify(server.data_dir)["rows"] == len(log.ids) + len(log.gaps)
        return (f"{len(ids) / load.seconds:.0f} records/s (wanted {self.args.rate}) for {load.seconds:.0f} s; {len(ids)} ids, all "
                f"different; {counts['committed']} committed + {counts['dropped']} dropped; {growth.check()}; "
                f"slowest batch {load.slowest_s:.2f} s; {self.read_by_others(server.data_dir)}")

    def read_by_others(self, data_dir):
        entries = [json.loads(line) for line in (data_dir / "log" / "MANIFEST.jsonl").read_text().splitlines()]
        for entry in entries:
            path = data_dir / "log" / entry["file"]
            assert duckdb.sql(f"SELECT count(*) FROM read_json('{path}')").fetchall()[0][0] == entry["rows"], path
        few = self.dice.sample(entries, min(3, len(entries)))
        for entry in few:
            path = data_dir / "log" / entry["file"]
            assert len(pandas.read_json(path, lines=True)) == entry["rows"], path
            assert polars.scan_ndjson(path, infer_schema_length=None).collect().height == entry["rows"], path
        return f"{len(entries)} sealed files counted by DuckDB, {len(few)} of them by pandas and polars"

    def broken_disk(self, name, seconds, **fault):
        """The disk fails as planned for so long, and then no more."""
        plan = faults.plan_for(self.folder / name, "-log")
        server = faults.start(self.folder / name)
        server.push("m", self.model)
        load = Load(server, self.folder, self.args.rate)
        load.more(min(WARM, self.args.ids // 2))
        growth = Growth(server)
        before = status(server)
        plan.arm(files=faults.OTHER, sticky=True, **fault)
        end = time.monotonic() + seconds
        growth.watch(lambda: time.monotonic() > end)
        plan.disarm()
        load.more(1000)
        conftest.until(lambda: status(server), lambda s: s["writable"] and s["committed"] > before["committed"])
        end = time.monotonic() + min(5, seconds)
        growth.watch(lambda: time.monotonic() > end)
        ids, _ = load.end()
        counts = settled(server, len(ids))
        assert counts["accepted"] == len(ids) == len(np.unique(ids)), (counts, len(ids))
        assert server.stop(timeout=120) == 0
        server.end()
        log = Log(server.data_dir)
        assert len(log.ids) == counts["committed"] and len(np.setdiff1d(log.ids, ids)) == 0, (len(log.ids), counts)
        assert log.lost("overflow", "disk") == counts["dropped"] > 0, (log.lost("overflow", "disk"), counts, log.gaps[:3])
        return (f"{seconds} s at {len(ids) / load.seconds:.0f} records/s; {counts['accepted']} accepted = {counts['committed']} committed + "
                f"{counts['dropped']} dropped, as the gaps tell; {growth.check()}; slowest batch {load.slowest_s:.2f} s")

    def stall(self):
        return self.broken_disk("stall", self.args.seconds, action=faults.STALL, kinds=faults.SYNC)

    def full(self):
        return self.broken_disk("full", min(10, self.args.seconds), action=faults.FAIL, kinds=faults.WRITE, error=errno.ENOSPC)

    def broken_file(self, k, hurt):
        """What was in the log before and after its newest file was hurt, and what the next server found."""
        name = f"{hurt.__name__}{k}"
        server = self.serve(name, "--log-durability", "commit")
        load = Load(server, self.folder, 30_000)
        load.more(self.dice.randrange(1000, 20_000))
        server.kill()
        load.end()
        server.end()
        before = Log(server.data_dir)
        files = sorted((server.data_dir / "state" / "wal").glob("*.wal"))
        newest = max(p for p in files if p.stat().st_size > 1000)
        at_most = hurt(newest)
        again = conftest.Server(server.data_dir, "--gateways", 2)
        found = again.wait_event("log_recovered") if newest == files[-1] else None  # it tells of the newest, may that be empty
        again.predict("m", {"instances": [[1, 2]]}).raise_for_status()
        settled(again, 1)
        assert again.stop() == 0
        again.end()
        after = Log(server.data_dir)
        lost = len(before.ids) + 1 - len(after.ids)
        assert 1 <= lost <= at_most, (lost, at_most)
        return before, after, found, lost

    def torn(self):
        total = 0

        def cut(path):
            n = self.dice.randrange(1, min(path.stat().st_size // 2, 50_000)) | 1  # not between two records
            os.truncate(path, path.stat().st_size - n)
            return n // 136 + 1

        for k in range(self.args.rounds):
            before, after, found, lost = self.broken_file(k, cut)
            kept = len(before.ids) - lost
            assert (after.ids[:kept] == before.ids[:kept]).all() and len(np.setdiff1d(after.ids[kept:], before.ids)) == 1
            assert found is None or found["torn"] >= 1 and found["damaged"] == 0, found
            assert any(gap["reason"] == "torn" for gap in after.gaps), after.gaps
            total += lost
        return f"{self.args.rounds} ends cut off, {total} records with them; all before them there and in order"

    def damaged(self):
        total = 0

        def change(path):
            data, n = bytearray(path.read_bytes()), self.dice.randrange(1, 4096)
            at = self.dice.randrange(len(data) // 4, len(data) // 2)
            data[at:at + n] = bytes(b ^ 0x55 for b in data[at:at + n])
            path.write_bytes(data)
            return n // 136 + 2

        for k in range(self.args.rounds):
            before, after, found, lost = self.broken_file(k, change)
            gone = np.flatnonzero(~np.isin(before.ids, after.ids))
            assert len(gone) == lost == gone[-1] - gone[0] + 1, gone
            assert after.lost("damaged") == lost and (found is None or found["damaged"] == 1), (after.gaps, lost, found)
            total += lost
        return f"{self.args.rounds} places damaged, {total} records with them, each of which is told; all others there"


SCENARIOS = ("kills", "rate", "stall", "full", "torn", "damaged")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 kills, 300,000 ids, 5 seconds, 2 rounds: to see that it works")
    parser.add_argument("--kills", type=int, help="at least so many; default 100")
    parser.add_argument("--ids", type=int, help="prediction ids in kills and rate, at least; default 10,000,000")
    parser.add_argument("--rate", type=int, default=100_000, help="requests a second that the clients ask for")
    parser.add_argument("--seconds", type=int, help="that the disk stalls; default 60")
    parser.add_argument("--rounds", type=int, help="of torn and damaged; default 20")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help="default: all")
    args = parser.parse_args()
    for name, full, quick in (("kills", 100, 6), ("ids", 10_000_000, 300_000), ("seconds", 60, 5), ("rounds", 20, 2)):
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else full)
    failed = False
    for name in args.scenario or SCENARIOS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"slipway-log-{name}-", ignore_cleanup_errors=True) as folder:
            try:
                word, what = "ok  ", getattr(Scenarios(pathlib.Path(folder), args), name)()
            except AssertionError:
                word, what, failed = "FAIL", traceback.format_exc(), True
        print(f"{word} {name}: {what} ({time.monotonic() - began:.0f} s)", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
