"""Running out of memory, told apart from other errors."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from ..errors import ReverieError

SIGNS = (
    "can't allocate memory", "not enough memory", "out of memory", "could not create a memory object",
    "could not create a primitive", "std::bad_alloc", "Cannot allocate memory",
)  # fmt: skip

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Of glibc's malloc.h."""

mallopt: Callable[[int, int], int] | None = None
with suppress(OSError, AttributeError):  # another library, which manages otherwise
    mallopt = ctypes.CDLL("libc.so.6").mallopt


def keep_freed() -> None:
    """What is freed stays with this process, for the next tensor: pages fresh from the system can cost more, above all in
    virtual machines, than what is computed in them. With glibc alone, and only where no MALLOC_ variable says otherwise.
    """
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return
    for what, size in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
        mallopt(what, size)


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
    forget()
    try:
        raise short  # outside the handler, whose traceback would keep what fills the memory
    finally:
        del short  # which this frame, and so its own traceback, would keep


def forget() -> None:
    """Frees what a backward pass that failed on the CPU still holds: its thread keeps the steps that were left, and with them
    the whole graph, until another pass goes by them.
    """
    with suppress(MemoryError, RuntimeError), torch.inference_mode(False), torch.enable_grad():
        torch.ones((), requires_grad=True).mul(1).backward()
