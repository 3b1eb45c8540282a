# SPDX-License-Identifier: Apache-2.0
"""Whether there is an order in which operations that ran at once could have run one after the other.

The search of Wing and Gong, remembering (as Lowe does) which sets of operations led to which state: an operation may
come next when none that is still left ended before it began.
"""

import math


class Operation:
    """From `begin` to `end`; end is infinite where no answer came: then it may have happened, or not."""

    def __init__(self, begin, end, kind, args, result):
        self.begin, self.end, self.kind, self.args, self.result = begin, end, kind, args, result

    def __repr__(self):
        return f"{self.kind}{self.args} -> {self.result} [{self.begin:.4f}, {self.end:.4f}]"


def explain(operations, initial, apply):
    """None when the history has such an order; else the operations that could not be placed by the best attempt.

    apply(state, operation) is the state afterwards, or None where that state could not have answered so. States are
    compared and hashed. Of an operation without an answer the result is None.
    """
    operations = sorted(operations, key=lambda o: o.begin)
    answered = sum(1 << i for i, o in enumerate(operations) if o.end < math.inf)
    stack, seen, best = [(0, 0, initial)], {(0, initial)}, 0
    while stack:
        placed, first, state = stack.pop() # all before `first` are placed
        if placed & answered == answered:
            return None
        if placed.bit_count() > best.bit_count():
            best = placed
        while placed >> first & 1:
            first += 1
        limit, candidates = math.inf, []
        for i in range(first, len(operations)):
            operation = operations[i]
            if operation.begin > limit:
                break
            if not placed >> i & 1:
                limit = min(limit, operation.end)
                candidates.append(i)
        # The one that ended first is tried first.
        for i in sorted(candidates, key=lambda i: -operations[i].end):
            if operations[i].begin > limit or (after := apply(state, operations[i])) is None:
                continue
            key = (placed | 1 << i, after)
            if key not in seen:
                seen.add(key)
                stack.append((key[0], first, after))
    return [o for i, o in enumerate(operations) if not best >> i & 1]
