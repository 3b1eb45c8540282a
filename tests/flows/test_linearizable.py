# SPDX-License-Identifier: Apache-2.0
"""Eight clients change the same few models at once: each saw what it could have seen had they come one by one."""

import math

import pytest

import histories
from histories import State
from linearizable import Operation, explain


def test_eight_clients_at_once(start_server):
    recorded = histories.record(start_server("--gateways", 1), n_clients=8, n_operations=25, seed=1)
    assert sum(len(operations) for operations in recorded.values()) >= 150
    histories.check(recorded)
    with pytest.raises(AssertionError, match="no order"):
        histories.check({"churn": with_stale_read(recorded["churn"])})


def with_stale_read(operations):
    """The last read that saw another state than the first one now sees that of the first."""
    reads = sorted((o for o in operations if o.kind == "read"), key=lambda o: o.begin)
    stale = next(o for o in reversed(reads) if o.result != reads[0].result)
    return [Operation(o.begin, o.end, o.kind, o.args, reads[0].result) if o is stale else o for o in operations]


def is_linearizable(*operations):
    return explain([Operation(*o) for o in operations], State(), histories.apply) is None


V1, V12 = frozenset({1}), frozenset({1, 2})


def test_the_search_finds_an_order():
    assert is_linearizable((0, 1, "push", (True,), 1), (2, 3, "read", (), (V1, frozenset({("champion", 1)}))))
    # Both at once: either may be the first.
    assert is_linearizable((0, 5, "push", (False,), 2), (0, 5, "push", (False,), 1), (1, 4, "read", (), (V1, frozenset())))
    # No answer: it may have happened, also later, and need not have.
    assert is_linearizable((0, math.inf, "push", (False,), None), (1, 2, "read", (), (frozenset(), frozenset())),
                           (3, 4, "read", (), (V1, frozenset())))
    assert is_linearizable((0, math.inf, "push", (False,), None), (3, 4, "read", (), (frozenset(), frozenset())))


def test_the_search_finds_what_has_none():
    # A read after the answer sees what was before.
    assert not is_linearizable((0, 1, "push", (False,), 1), (2, 3, "read", (), (frozenset(), frozenset())))
    # The same number twice.
    assert not is_linearizable((0, 5, "push", (False,), 1), (0, 5, "push", (False,), 1))
    # One reader sees it, a later one does not.
    assert not is_linearizable((0, 9, "push", (False,), 1), (1, 2, "read", (), (V1, frozenset())),
                               (3, 4, "read", (), (frozenset(), frozenset())))
    # Two readers see two writes in different orders.
    assert not is_linearizable(
        (0, 1, "push", (False,), 1), (2, 3, "push", (False,), 2),
        (4, 20, "set", ("champion", 1), "done"), (4, 20, "set", ("champion", 2), "done"),
        (5, 6, "read", (), (V12, frozenset({("champion", 1)}))), (7, 8, "read", (), (V12, frozenset({("champion", 2)}))),
        (9, 10, "read", (), (V12, frozenset({("champion", 1)}))))
    # A version goes while an alias names it.
    assert not is_linearizable((0, 1, "push", (True,), 1), (2, 3, "delete", (1, False), "done"))
