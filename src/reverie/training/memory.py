"""Running out of memory, told apart from other errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import ReverieError

SIGNS = (
    "can't allocate memory", "not enough memory", "out of memory", "could not create a memory object",
    "could not create a primitive", "std::bad_alloc", "Cannot allocate memory",
)  # fmt: skip


class OutOfMemory(ReverieError):
    """What was asked for does not fit; nothing was changed by the attempt."""


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a CPU or an accelerator."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


@contextmanager
def shortage(what: str) -> Iterator[None]:
    """Turns a shortage of memory inside into OutOfMemory, and leaves other errors as they are."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        short = OutOfMemory(f"memory ran out {what}")
    else:
        return
    raise short  # outside the handler, whose traceback would keep what fills the memory
