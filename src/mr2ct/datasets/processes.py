"""Work on cases spread over processes, in which one that dies takes no other case with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], *, jobs: int, died: Callable[[Item], Result]
) -> Iterator[Result]:
    """Yield `work(item)` of every item, as they come.

    Items whose process died are tried again, each alone, so that the guilty one is known; for that one `died(item)` is
    the result. What `work` raises is raised here.

    Parameters
    ----------
    work : a function that can be pickled, as its items and results must be.
    jobs : processes; 1 works in this one. More need a main module that can be imported (`if __name__ == "__main__"`).

    Example
    -------
    >>> list(in_processes(abs, [-1, -2], jobs=1, died=lambda item: 0))
    [1, 2]
    """
    if jobs <= 1:
        yield from map(work, items)
        return
    suspects = []
    with _workers(min(jobs, len(items) or 1), sharing=jobs) as pool:
        futures: dict[Future[Result], Item] = {pool.submit(work, item): item for item in items}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                suspects.append(futures[future])
    for item in suspects:
        with _workers(1, sharing=1) as pool:
            try:
                yield pool.submit(work, item).result()
            except BrokenProcessPool:
                yield died(item)


@contextmanager
def _workers(count: int, *, sharing: int) -> Iterator[ProcessPoolExecutor]:
    # spawn: forking a process in which SimpleITK's threads run can deadlock
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(sharing,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(sharing: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threads = max(1, (os.cpu_count() or 1) // sharing)
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", str(threads))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a killed parent cannot tell its workers, and they would wait for work for ever
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
