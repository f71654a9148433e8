"""Pictures and maps that one visitor looked at stay at hand for the next, up to a number of bytes."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd

LIMIT = 512 * 2**20  # bytes: three volumes of 512 x 512 x 128, or 2,500 pictures of 224 x 224


class Kept:
    """Answers of functions by their arguments; the one not asked for longest goes first.

    What is larger than a third of the limit is given, and not kept. Threads may ask at once; two that ask the
    same at the same moment may both compute it.
    """

    def __init__(self, limit: int = LIMIT):
        self.limit, self.held = limit, 0
        self._answers: OrderedDict[tuple, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, function: Callable) -> Callable:
        """The function, which answers the same question (hashable arguments) from here."""

        @wraps(function)
        def asked(*key):
            with self._lock:
                if (function, key) in self._answers:
                    self._answers.move_to_end((function, key))
                    return self._answers[function, key][0]
            answer = function(*key)
            self._keep((function, key), answer, size_of(answer))
            return answer

        return asked

    def _keep(self, key: tuple, answer: Any, size: int) -> None:
        with self._lock:
            if size > self.limit / 3 or key in self._answers:
                return
            self._answers[key] = (answer, size)
            self.held += size
            while self.held > self.limit:
                self.held -= self._answers.popitem(last=False)[1][1]


def size_of(thing: Any) -> int:
    """How many bytes the arrays and tables in a thing take, and what holds them."""
    if isinstance(thing, np.ndarray):
        whole = thing if thing.base is None else thing.base  # a view keeps all of what it looks at
        return max(thing.nbytes, getattr(whole, "nbytes", 0))
    if isinstance(thing, pd.DataFrame):
        return int(thing.memory_usage(deep=True).sum())
    if isinstance(thing, Mapping):
        return sum(map(size_of, thing.values())) + sys.getsizeof(thing)
    if isinstance(thing, (tuple, list)):
        return sum(map(size_of, thing)) + sys.getsizeof(thing)
    if is_dataclass(thing):
        return sum(size_of(getattr(thing, field.name)) for field in fields(thing))
    return sys.getsizeof(thing)


kept = Kept()  # one limit for all pictures and maps of this server
