import os
import signal
import threading

import pytest
import torch

from mr2ct.training.stop_signal import SIGNALS, ignore_in_worker, stop_on_signals


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


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_leave_signals_to_the_process_that_trains():
    class Deaf(torch.utils.data.Dataset):
        def __getitem__(self, step):
            for number in SIGNALS:
                os.kill(os.getpid(), number)
            return step

    loader = torch.utils.data.DataLoader(
        Deaf(), batch_size=None, sampler=range(3), num_workers=1, worker_init_fn=ignore_in_worker
    )
    assert list(loader) == [0, 1, 2]


def test_another_thread_goes_without():
    seen = []

    def run() -> None:
        with stop_on_signals() as asked:
            seen.append(asked())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
