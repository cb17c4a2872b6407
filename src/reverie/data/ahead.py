"""Work done ahead of when it is needed, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AHEAD = 2
"""Items that lie ready, or are being made, for each worker."""

S = TypeVar("S")
T = TypeVar("T")


def ahead(work: Callable[[S], T], items: Iterable[S], workers: int) -> Iterator[T]:
    """`work` of each item, in order; done by that many threads ahead of what is taken, or by none.

    Threads, for what they do (reading, decoding, arithmetic on tensors) lets go of the interpreter, and nothing has to
    cross a border: no copies, no processes that outlive a killed one, and an error arrives as it was raised.
    """
    if not workers:
        yield from map(work, items)
        return
    left, pool = iter(items), ThreadPoolExecutor(workers, "reverie-data")
    try:
        waiting: deque[Future[T]] = deque(pool.submit(work, item) for item in islice(left, AHEAD * workers))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(left, 1))
            yield done
            del done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
