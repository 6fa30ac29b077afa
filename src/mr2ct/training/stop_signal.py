"""Ctrl-C and a scheduler's SIGTERM end a run after its current step, with a checkpoint, instead of in the middle."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Remembers that somebody asked the run to stop; call it to know.

    Example
    -------
    >>> StopSignal()()
    False
    """

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one asks, a second one interrupts at once."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


def ignore_in_worker(number: int) -> None:
    """In a process that loads data: leave Ctrl-C and SIGTERM, which whole groups get, to the one that trains.

    `number` of the worker, as `torch.utils.data.DataLoader` gives it.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """Let SIGINT and SIGTERM ask the given `StopSignal`; the handlers from before are put back at the end.

    Outside the main thread, where Python allows no handlers, nothing is caught.
    """
    asked, before = StopSignal(), {}
    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, asked.ask)
    except ValueError:
        before = {}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
