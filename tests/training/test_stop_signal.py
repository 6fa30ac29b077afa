import os
import signal
import threading

import pytest

from mr2ct.training.stop_signal import SIGNALS, stop_on_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_second_interrupts(number):
    before = signal.getsignal(number)
    with stop_on_signals() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_another_thread_goes_without():
    seen = []

    def run() -> None:
        with stop_on_signals() as asked:
            seen.append(asked())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
