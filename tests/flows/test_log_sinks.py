# SPDX-License-Identifier: Apache-2.0
"""Lines of the prediction log on their way to others: CloudEvents to a real HTTP receiver, and Kafka, whose brokers are
librdkafka's own mock cluster in this process. What is not taken costs bounded memory and is counted."""

import hashlib
import hmac
import http.server
import json
import re
import socket
import threading
import time

import pytest

from predlog import Load, lines, settled, status
from prometheus import page, samples

DEADLINE_S = 60
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ROOM = 64 << 10


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with `statuses`, one after the other, then with 202; while `gate` is closed, with nothing."""

    def __init__(self, statuses=(), port=0):
        self.statuses, self.requests, self.bodies, self.gate = list(statuses), [], [], threading.Event()
        self.changed = threading.Condition()
        self.gate.set()
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/events"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def taken(self):
        """All events that were answered with 202, each as often as it came."""
        with self.changed:
            return [event for status, _, events in self.requests if status == 202 for event in events]

    def wait(self, n):
        end = time.monotonic() + DEADLINE_S
        while len(found := {event["id"]: event for event in self.taken()}) < n:
            assert time.monotonic() < end, len(found)
            with self.changed:
                self.changed.wait(0.1)
        return found

    def handle_error(self, *_):
        pass  # who asked did not wait for the answer

    def close(self):
        self.gate.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        self.server.gate.wait(DEADLINE_S)
        with self.server.changed:
            status = self.server.statuses.pop(0) if self.server.statuses else 202
            events = body if isinstance(body, list) else [body]
            self.server.requests.append((status, self.headers["Content-Type"], events))
            self.server.bodies.append(raw)
            self.server.changed.notify_all()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receive():
    """A function that starts receivers."""
    all_of_them = []

    def start(*args, **kwargs):
        all_of_them.append(Receiver(*args, **kwargs))
        return all_of_them[-1]

    yield start
    for one in all_of_them:
        one.close()


@pytest.fixture
def closed_port():
    """A port that nobody listens on and nobody else gets."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


@pytest.fixture
def sink_server(start_server, churn):
    def start(*flags):
        server = start_server("--gateways", 1, *flags)
        server.push("churn", churn.path)
        return server

    return start


def sink(server, name):
    """What the log's status says of a sink, whose numbers add up at every moment."""
    found = next(s for s in status(server)["sinks"] if s["sink"] == name)
    assert found["accepted"] == found["sent"] + found["dropped"] + found["queued"], found
    assert found["dropped"] == sum(found["dropped_by"].values()), found
    return found


def wait_sink(server, name, where):
    end = time.monotonic() + DEADLINE_S
    while not where(found := sink(server, name)):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def all_sent(n):
    return lambda s: s["accepted"] == s["sent"] == n


def by_place(found):
    return {(line["id"], line.get("row", 0)): line for line in found}


def test_every_line_is_an_event_of_cloudevents(sink_server, churn, receive):
    receiver = receive()
    server = sink_server("--log-events-url", receiver.url)
    good = server.predict("churn", {"instances": churn.instances(3)}, headers={"traceparent": TRACE})
    bad = server.predict("churn", {"instances": [[1]]})
    assert (good.status_code, bad.status_code) == (200, 400)
    events = receiver.wait(4)
    pid = good.headers["Slipway-Prediction-Id"]
    assert {pid, f"{pid}/1", f"{pid}/2"} < set(events)
    for i, event in events.items():
        assert set(event) == {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"} | (
            {"traceparent"} if i.startswith(pid) else set())
        assert (event["specversion"], event["subject"], event["datacontenttype"]) == ("1.0", "churn/1", "application/json")
        assert event["source"].startswith("/slipway/")
        assert event["type"] == ("slipway.prediction" if i.startswith(pid) else "slipway.failure")
        assert event["time"] == event["data"]["time"]
        assert event.get("traceparent", TRACE) == TRACE
    assert {kind for _, kind, _ in receiver.requests} == {"application/cloudevents-batch+json"}
    settled(server, 2)
    assert by_place(event["data"] for event in events.values()) == by_place(lines(server))
    shown = wait_sink(server, "cloudevents", all_sent(4))
    assert shown["to"] == receiver.url and shown["queued_bytes"] == 0 and "last_failure" not in shown


def test_one_by_one_with_the_rate_of_what_was_sampled(sink_server, churn, receive):
    receiver = receive()
    server = sink_server("--log-events-url", receiver.url, "--log-events-mode", "structured", "--log-one-in", 2)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(40)
    counts = settled(server)
    assert 0 < counts["accepted"] < load.count()
    events = receiver.wait(counts["accepted"])
    assert {event["sampledrate"] for event in events.values()} == {2}
    assert {event["data"]["sample_weight"] for event in events.values()} == {2}
    assert set(events) < set(load.answers)
    assert {(kind, len(sent)) for _, kind, sent in receiver.requests} == {("application/cloudevents+json", 1)}


def test_a_receiver_that_fails_first_gets_all_of_it(sink_server, churn, receive):
    receiver = receive([503, 429, 500])
    server = sink_server("--log-events-url", receiver.url)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(50)
    assert set(receiver.wait(load.count())) == set(load.answers)
    shown = wait_sink(server, "cloudevents", all_sent(load.count()))
    assert shown["failures"] == 3 and [r[0] for r in receiver.requests[:4]] == [503, 429, 500, 202]
    # The same events again, with the same ids, before others.
    first = [event["id"] for event in receiver.requests[0][2]]
    assert all([e["id"] for e in again[2]][:len(first)] == first for again in receiver.requests[1:4])
    assert "status 503" in server.wait_event("log_sink_failed")["reason"]
    server.wait_event("log_sink_works_again")


def test_what_a_receiver_refuses_is_counted_and_not_sent_again(sink_server, churn, receive):
    receiver = receive([400])
    server = sink_server("--log-events-url", receiver.url)
    server.predict("churn", {"instances": churn.instances(2)}).raise_for_status()
    refused = wait_sink(server, "cloudevents", lambda s: s["dropped"] == 2)
    assert refused["dropped_by"]["refused"] == 2 and "status 400" in refused["last_failure"]
    server.predict("churn", {"instances": churn.instances(1)}).raise_for_status()
    receiver.wait(1)
    assert wait_sink(server, "cloudevents", lambda s: s["sent"] == 1)["accepted"] == 3
    assert len(receiver.requests) == 2


def test_a_receiver_that_is_slow_and_gone_costs_bounded_memory_and_counted_events(sink_server, churn, receive):
    receiver = receive()
    server = sink_server("--log-events-url", receiver.url, "--log-sink-buffer", ROOM)
    receiver.gate.clear()
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(500)
        full = wait_sink(server, "cloudevents", lambda s: s["dropped_by"]["full"] > 0)
        assert 0 < full["queued_bytes"] <= ROOM
    assert load.slowest_s < 15
    counts = settled(server, load.count())
    assert counts["accepted"] == counts["committed"]  # the log has all of it
    receiver.gate.set()
    shown = wait_sink(server, "cloudevents", lambda s: s["accepted"] == load.count() and s["queued"] == 0)
    assert shown["dropped"] == shown["dropped_by"]["full"] and shown["sent"] > 10
    receiver.wait(shown["sent"])
    receiver.close()

    held = socket.socket()  # so that nobody else gets the port
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(receiver.server_address)
    with Load(server, "churn", churn.instances(1)) as more:
        more.more(500)
    n = load.count() + more.count()
    gone = wait_sink(server, "cloudevents", lambda s: s["accepted"] == n and s["failures"] > shown["failures"])
    assert 0 < gone["queued_bytes"] <= ROOM and gone["dropped"] > shown["dropped"]
    server.wait_event("log_sink_failed")
    again = receive(port=receiver.server_port)
    held.close()
    back = wait_sink(server, "cloudevents", lambda s: s["queued"] == 0)
    assert len(again.wait(gone["queued"])) == back["sent"] - shown["sent"] == gone["queued"]
    server.wait_event("log_sink_works_again")
    end = time.monotonic() + DEADLINE_S
    while True:  # the page follows once a second
        text = page(server)
        told = {name: {dict(l).get("reason"): v for (name_of, l), v in samples(text, "slipway_log_sink_").items()
                       if name_of == f"slipway_log_sink_{name}"}
                for name in ("accepted_total", "sent_total", "dropped_total", "failures_total", "queue", "queue_bytes")}
        if told["queue"] == {None: 0} and told["sent_total"] == {None: back["sent"]}:
            break
        assert time.monotonic() < end, told
        time.sleep(0.1)
    assert told["dropped_total"] == back["dropped_by"]
    assert (told["accepted_total"], told["queue_bytes"]) == ({None: n}, {None: 0})


def test_what_waits_when_the_server_ends_is_sent_before(sink_server, churn, receive):
    receiver = receive()
    server = sink_server("--log-events-url", receiver.url, "--drain-timeout", "2m")
    receiver.gate.clear()  # nothing is taken before
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(700)
    settled(server, load.count())
    threading.Timer(1, receiver.gate.set).start()
    assert server.stop(timeout=DEADLINE_S) == 0
    assert set(receiver.wait(load.count())) == set(load.answers)
    assert not server.find("log_sink_cut")


# ---- Kafka


class Cluster:
    """A producer that hosts one broker of librdkafka's mock cluster, and a reader of it."""

    def __init__(self):
        import confluent_kafka  # it takes half a second, and only these tests need it
        self._kafka = confluent_kafka
        self._host = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 2})
        (broker,) = self._host.list_topics(timeout=DEADLINE_S).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def read(self, topic, n):
        reader = self._kafka.Consumer({"bootstrap.servers": self.address, "group.id": "test", "log_level": 2,
                                       "enable.auto.commit": False})
        partitions = reader.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions
        reader.assign([self._kafka.TopicPartition(topic, p, self._kafka.OFFSET_BEGINNING) for p in partitions])
        found, end = [], time.monotonic() + DEADLINE_S
        while len(found) < n:
            assert time.monotonic() < end, len(found)
            message = reader.poll(1)
            if message and not message.error():
                found.append(message)
        reader.close()
        return found


@pytest.fixture
def cluster():
    return Cluster()


def test_kafka_gets_every_line_under_its_prediction_id(sink_server, churn, cluster):
    server = sink_server("--log-kafka-brokers", cluster.address, "--log-kafka-topic", "churn-log",
                         "--log-kafka-options", "linger.ms=20 compression.type=gzip")
    assert server.wait_event("log_sink_started")["to"] == f"{cluster.address}/churn-log"
    with Load(server, "churn", churn.instances(3)) as load:
        load.more(200)
    server.predict("churn", {"instances": [[1]]})
    n = 3 * load.count() + 1
    shown = wait_sink(server, "kafka", all_sent(n))
    assert shown["dropped"] == shown["queued_bytes"] == 0 and "last_failure" not in shown
    messages = cluster.read("churn-log", n)
    found = [json.loads(m.value()) for m in messages]
    assert [m.key().decode() for m in messages] == [line["id"] for line in found]
    settled(server, load.count() + 1)
    assert by_place(found) == by_place(lines(server)) and len(found) == len(by_place(found)) == n
    # All of one prediction is in one partition, in its order.
    assert len({(m.key(), m.partition()) for m in messages}) == load.count() + 1
    assert server.stop() == 0


def test_both_sinks_get_all_and_what_waits_goes_out_at_the_end(sink_server, churn, cluster, receive):
    receiver = receive()
    server = sink_server("--log-events-url", receiver.url, "--log-kafka-brokers", cluster.address,
                         "--log-kafka-options", "linger.ms=200000", "--drain-timeout", "2m")
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(50)
    settled(server, load.count())
    assert wait_sink(server, "kafka", lambda s: s["accepted"] == load.count())["queued"] == load.count()
    assert server.stop(timeout=DEADLINE_S) == 0
    assert not server.find("log_sink_cut")
    assert {m.key().decode() for m in cluster.read("slipway-predictions", load.count())} == set(load.answers)
    assert set(receiver.wait(load.count())) == set(load.answers)


def test_what_may_not_be_kept_leaves_through_no_sink(start_server, churn, cluster, receive):
    receiver = receive()
    server = start_server("--gateways", 1, "--log-events-url", receiver.url, "--log-kafka-brokers", cluster.address,
                          "--log-kafka-options", "linger.ms=20")
    rules = {"age": "hash", "income": "drop", "tenure": "bucket:0.5", "plan": "truncate:1"}
    server.push("churn", churn.path, signature={"inputs": [{"name": name, "log": rule} for name, rule in rules.items()],
                                                "outputs": [{"name": "prediction", "log": "drop"}]})
    answer = server.predict("churn", {"instances": [[31415.5, 27182.75, 90210.3, 86753.09, 2, None]]})
    refused = server.predict("churn", {"instances": [[31415.5, 27182.75]]})
    assert (answer.status_code, refused.status_code) == (200, 400)
    events = receiver.wait(2)
    kept = events[answer.headers["Slipway-Prediction-Id"]]["data"]
    key = (server.data_dir / "state" / "log.key").read_bytes()
    assert kept["inputs"] == {"age": hmac.new(key, b"31415.5", hashlib.sha256).hexdigest()[:16], "tenure": 90210,
                              "plan": 86753, "calls": 2, "spend": None}
    assert not kept["outputs"]
    messages = [m.value() for m in cluster.read("slipway-predictions", 2)]
    assert [json.loads(m) for m in messages if json.loads(m)["kind"] == "prediction"] == [kept]
    everything = b"\n".join([*receiver.bodies, *messages])
    assert b"86753" in everything  # the rounded one: this looks at the right bytes
    for secret in (b"31415", b"27182", b"90210.3", b"86753.0", b'"prediction":0'):
        assert secret not in everything.replace(b"86753.0,", b"").replace(b"86753.0}", b""), secret


def test_brokers_that_are_gone_cost_bounded_memory_and_counted_lines(sink_server, churn, closed_port):
    server = sink_server("--log-kafka-brokers", f"127.0.0.1:{closed_port}", "--log-sink-buffer", ROOM)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(500)
    n = load.count()
    assert load.slowest_s < 15
    shown = wait_sink(server, "kafka", lambda s: s["accepted"] == n and s["failures"] > 0)
    assert 0 < shown["queued_bytes"] <= ROOM and shown["dropped"] == shown["dropped_by"]["full"] > 0
    assert server.wait_event("log_sink_failed")["sink"] == "kafka"
    assert settled(server, n)["committed"] == n == len(lines(server))
    assert server.stop(timeout=DEADLINE_S) == 0
    assert server.wait_event("log_sink_cut")["dropped"] == shown["queued"]


def test_lines_that_no_broker_took_in_time_are_given_up(sink_server, churn, closed_port):
    server = sink_server("--log-kafka-brokers", f"127.0.0.1:{closed_port}",
                         "--log-kafka-options", "message.timeout.ms=1000")
    server.predict("churn", {"instances": churn.instances(3)}).raise_for_status()
    shown = wait_sink(server, "kafka", lambda s: s["dropped"] == 3)
    assert shown["dropped_by"]["expired"] == 3 and shown["queued_bytes"] == 0


def unavailable(server, churn):
    """Everything works but the sink, which says why."""
    event = server.wait_event("log_sink_failed")
    server.predict("churn", {"instances": churn.instances(2)}).raise_for_status()
    settled(server, 1)
    shown = wait_sink(server, "kafka", lambda s: s["accepted"] == 2)
    assert shown["dropped_by"]["unavailable"] == 2 and shown["last_failure"] == event["reason"]
    assert len(lines(server)) == 2
    return event["reason"]


def test_without_the_library_everything_else_works_and_it_is_said_what_to_do(sink_server, churn, tmp_path):
    server = sink_server("--log-kafka-brokers", "127.0.0.1:9092", "--librdkafka-library", tmp_path / "librdkafka.so.1")
    said = unavailable(server, churn)
    assert re.search(r"librdkafka does not open: .*librdkafka\.so\.1", said) and "setting librdkafka_library" in said


def test_passwords_are_taken_from_the_file_only_and_never_repeated(sink_server, churn, tmp_path):
    server = sink_server("--log-kafka-brokers", "127.0.0.1:9092", "--log-kafka-options", "sasl.password=hunter2")
    assert "'sasl.password' is a secret" in unavailable(server, churn)
    options = tmp_path / "kafka.conf"
    options.write_text("# who we are\nsasl.username = slipway\nsasl.password = hunter2\nssl.key.pem = hunter2\n"
                       "security.protocol = hunter2\n")
    other = sink_server("--log-kafka-brokers", "127.0.0.1:9092", "--log-kafka-options-file", options)
    said = unavailable(other, churn)
    assert str(options) in said
    assert not any("hunter2" in str(event) for s in (server, other) for event in s.events)
    assert "hunter2" not in page(other) + json.dumps(status(other))
