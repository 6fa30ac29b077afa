"""The loop: limits, checkpoints, and an interrupted run that ends as the uninterrupted one does, bit for bit."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from mr2ct.errors import DataSetError, RecipeError
from mr2ct.io.atomic import TEMPORARY_PREFIX
from mr2ct.training import loop
from mr2ct.training.assembly import _loaded, batch_source, build_generator, build_method, open_cases
from mr2ct.training.checkpoint import read_checkpoint
from mr2ct.training.loop import FINISHED, NOT_IMPROVING, OUT_OF_TIME, STOPPED, Limits, fit
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.witness import SilentWitness

SHIPPED = Path(__file__).parents[2] / "recipes" / "cyclegan.yaml"
TAUGHT = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["method"]["back_translation"]
METHODS: dict[str, dict[str, Any]] = {
    "supervised": {},
    "pix2pix": {"adversarial_from": 2},
    "cyclegan": {"pool_size": 3, "pairs_alone_steps": 1},
    # after the pairs alone a round of all four networks, two steps of one, and so on again
    "back-translation": {"name": "cyclegan", "pool_size": 3, "pairs_alone_steps": 1, "back_translation": TAUGHT},
}


class Heard(SilentWitness):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.steps: list[int] = []
        self.validations: list[tuple[int, dict[str, float], bool]] = []

    def on_start(self, step):
        self.started.append(step)

    def on_step(self, step, terms, learning_rate):
        assert terms
        assert all(isinstance(value, float) for value in terms.values())
        self.steps.append(step)

    def on_validation(self, step, scores, *, best):
        self.validations.append((step, scores, best))


class CountingMethod:
    """A method whose only state is a number; its network is that number."""

    learning_rate = 0.5

    def __init__(self) -> None:
        self.averaged = nn.Linear(1, 1)
        self.count = 0

    def train_step(self, batch):
        self.count += int(batch["mr"])
        return {"l1": torch.tensor(1.0)}

    def gradient_norms(self):
        return [torch.tensor(1.0)]

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]

    def own_state_dict(self):
        return {}

    def load_own_state_dict(self, state):
        pass


def count(fabric, folder: Path, *, scores=None, method=None, clock=None, **limits):
    """Fit a counting method; `scores` are the validations' answers in turn."""
    given = iter(scores or [])
    method = method or CountingMethod()
    witness = Heard()
    outcome = fit(
        fabric,
        method,
        batches=lambda first: ({"mr": torch.tensor(step)} for step in range(first, 10_000)),
        validate=lambda network: {"mae_hu": float(next(given))} if scores is not None else {"mae_hu": 1.0},
        folder=folder,
        limits=Limits(**{"max_steps": 10, "validate_every": 2, **limits}),
        witness=witness,
    )
    return outcome, method, witness


# --- limits


def test_a_run_ends_after_its_steps_validated_and_saved(fabric, tmp_path):
    outcome, method, heard = count(fabric, tmp_path, max_steps=5)
    assert (outcome.steps, outcome.reason, outcome.best_mae_hu) == (5, FINISHED, 1.0)
    assert method.count == sum(range(5))
    assert heard.started == [0]
    assert heard.steps == [1, 2, 3, 4, 5]
    assert [step for step, *_ in heard.validations] == [2, 4, 5]
    assert read_checkpoint(tmp_path / "last.pt")["position"]["step"] == 5


def test_the_best_weights_are_those_of_the_lowest_error(fabric, tmp_path):
    outcome, _, heard = count(fabric, tmp_path, scores=[9, 4, 6, 5, 8], max_steps=10)
    assert [best for *_, best in heard.validations] == [True, True, False, False, False]
    best = read_checkpoint(tmp_path / "best.pt")
    assert (best["step"], best["mae_hu"]) == (4, 4.0)
    assert best["network"].keys() == nn.Linear(1, 1).state_dict().keys()
    assert outcome.best_mae_hu == 4.0


def test_a_score_that_is_no_number_is_never_the_best(fabric, tmp_path):
    nan = math.nan
    outcome, _, heard = count(fabric, tmp_path, scores=[nan, 5, nan, 4, nan], max_steps=10)
    assert [best for *_, best in heard.validations] == [False, True, False, True, False]
    assert read_checkpoint(tmp_path / "best.pt")["mae_hu"] == outcome.best_mae_hu == 4.0
    assert read_checkpoint(tmp_path / "last.pt")["position"]["best_mae_hu"] == 4.0


class ReportOfAGpu(loop._Report):
    """Looks at several steps together, wherever they were taken."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self._told_together = 20


def test_weights_that_followed_no_number_are_not_saved_on_a_gpu(fabric, tmp_path, monkeypatch):
    """There a gradient is looked at after the step, and the loss of that step was a number."""
    monkeypatch.setattr(loop, "_Report", ReportOfAGpu)
    method, taken = CountingMethod(), []
    method.gradient_norms = lambda: [torch.tensor(1.0), torch.tensor(math.nan if len(taken) > 2 else 1.0)]
    step = method.train_step
    method.train_step = lambda batch: taken.append(batch) or step(batch)
    with pytest.raises(RecipeError, match="the gradient is no longer a finite number; got nan"):
        count(fabric, tmp_path, method=method, checkpoint_minutes=1e-9, validate_every=100)
    assert read_checkpoint(tmp_path / "last.pt")["position"]["step"] == 2


def test_the_last_weights_are_kept_where_the_error_is_not_all(fabric, tmp_path):
    outcome, _, heard = count(fabric, tmp_path, scores=[9, 4, 6, 5, 8], max_steps=10, keep_last=True)
    assert [best for *_, best in heard.validations] == [True, True, False, False, False]
    kept = read_checkpoint(tmp_path / "best.pt")
    assert (kept["step"], kept["mae_hu"]) == (10, 8.0)
    assert outcome.best_mae_hu == 4.0


def test_patience_ends_a_run_that_no_longer_improves(fabric, tmp_path):
    outcome, _, heard = count(fabric, tmp_path, scores=[5, 6, 4, 7, 4, 9, 9], max_steps=1000, patience=2)
    assert (outcome.steps, outcome.reason) == (10, NOT_IMPROVING)
    assert len(heard.validations) == 5
    again, _, heard = count(fabric, tmp_path, scores=[1], max_steps=1000, patience=2)
    assert (again.steps, again.reason, heard.steps) == (10, NOT_IMPROVING, [])


class Clock:
    """A clock that moves on by a minute at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 60.0
        return self.now


def test_minutes_end_a_run_which_can_be_resumed(fabric, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "time", Clock())
    outcome, _, heard = count(fabric, tmp_path, max_minutes=3, max_steps=50, validate_every=40)
    assert outcome.reason == OUT_OF_TIME
    assert 0 < outcome.steps < 10
    # a run that ends before its first validation still leaves weights
    assert [step for step, *_ in heard.validations] == [outcome.steps]
    assert (tmp_path / "best.pt").exists()
    monkeypatch.undo()
    resumed, method, heard = count(fabric, tmp_path, max_steps=50, validate_every=40)
    assert (resumed.steps, resumed.reason) == (50, FINISHED)
    assert heard.started == [outcome.steps]
    assert method.count == sum(range(50))


@pytest.mark.parametrize("limits", [{"max_steps": 3}, {"max_steps": 50, "stop_asked": lambda: True}])
def test_a_run_killed_before_its_first_validation_still_ends_with_weights(fabric, tmp_path, limits):
    count(fabric, tmp_path, max_steps=3, validate_every=40)
    (tmp_path / "best.pt").unlink()  # as if it had been killed after a checkpoint
    outcome, _, heard = count(fabric, tmp_path, validate_every=2, **limits)
    assert [step for step, *_ in heard.validations] == [outcome.steps]
    assert read_checkpoint(tmp_path / "best.pt")["step"] == outcome.steps


def test_a_stop_that_is_asked_for_comes_after_the_step_with_a_checkpoint(fabric, tmp_path):
    asked = iter([False, True])
    outcome, _, _ = count(fabric, tmp_path, max_steps=9, stop_asked=lambda: next(asked))
    assert (outcome.steps, outcome.reason) == (2, STOPPED)
    assert read_checkpoint(tmp_path / "last.pt")["position"]["step"] == 2
    assert (tmp_path / "best.pt").exists(), "validated, so that the run leaves a model"


class ManyProcesses:
    """A fabric that says it is one process of two, and counts what it tells the other one."""

    def __init__(self, fabric) -> None:
        self._fabric, self.world_size, self.told = fabric, 2, []

    def __getattr__(self, name):
        return getattr(self._fabric, name)

    def broadcast(self, content):
        self.told.append(content)
        return content


def test_processes_agree_on_the_clock_every_few_steps(fabric, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_from_others", lambda *_: [])
    several = ManyProcesses(fabric)
    outcome, _, _ = count(several, tmp_path / "steps", max_steps=40, validate_every=100)
    looks = [content for content in several.told if content == (False, False, False)]
    assert (outcome.steps, len(looks)) == (40, 2)
    outcome, _, _ = count(several, tmp_path / "stopped", max_steps=40, stop_asked=lambda: True)
    assert (outcome.steps, outcome.reason) == (16, STOPPED)
    assert read_checkpoint(tmp_path / "stopped" / "last.pt")["position"]["step"] == 16


def test_what_processes_hand_over_lies_on_the_cpu(fabric, monkeypatch):
    class OnAGpu:
        def to(self, device, **_):
            return f"on {device}"

    def gather(own, everyone):
        everyone[:] = [None, own]

    monkeypatch.setattr(torch.distributed, "gather_object", gather)
    own = {"own": {"pools": [OnAGpu(), 3], "statistics": {"norm": OnAGpu()}}, "random": torch.ones(2)}
    (handed,) = loop._from_others(ManyProcesses(fabric), own)
    assert handed["own"] == {"pools": ["on cpu", 3], "statistics": {"norm": "on cpu"}}
    assert torch.equal(handed["random"], torch.ones(2))


def test_checkpoints_are_written_by_the_clock(fabric, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(loop, "time", Clock())
    monkeypatch.setattr(loop, "write_checkpoint", lambda path, state: saved.append(path.name))
    count(fabric, tmp_path, max_steps=8, validate_every=100, checkpoint_minutes=4)
    assert saved.count("last.pt") > 2
    saved.clear()
    count(fabric, tmp_path, max_steps=8, validate_every=100, checkpoint_minutes=1e6)
    assert saved == ["best.pt", "last.pt"]


def test_without_a_score_the_newest_weights_are_kept(fabric, tmp_path):
    method, heard = CountingMethod(), Heard()
    limits = Limits(max_steps=4, validate_every=2, patience=1)
    outcome = fit(
        fabric,
        method,
        batches=lambda first: ({"mr": torch.tensor(1)} for _ in range(first, 99)),
        validate=lambda network: {},
        folder=tmp_path,
        limits=limits,
        witness=heard,
    )
    assert outcome.reason == FINISHED
    assert read_checkpoint(tmp_path / "best.pt")["step"] == 4
    assert [best for *_, best in heard.validations] == [True, True]


def test_a_finished_run_is_not_trained_again(fabric, tmp_path):
    count(fabric, tmp_path, max_steps=4)
    outcome, method, heard = count(fabric, tmp_path, max_steps=4)
    assert (outcome.steps, outcome.reason, heard.steps) == (4, FINISHED, [])
    assert method.count == sum(range(4))


# --- resuming


class InterruptedHereError(Exception):
    """Stands for a kill between two steps."""


class Interrupter(SilentWitness):
    """Ends the process, as it were, during the step after `after`."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_step(self, step, terms, learning_rate):
        if step > self.after:
            raise InterruptedHereError


def train(
    content: dict[str, Any], fabric, folder: Path, *, max_steps: int = 6, after: int = 10**9, initial_seed: int = 1
) -> dict[str, Any]:
    """Fit a recipe, resuming where there is a checkpoint, saved after every step; return the last checkpoint."""
    recipe = parse_recipe(content)
    folder.mkdir(exist_ok=True)
    cases = open_cases(recipe.data, seed=recipe.seed, folder=folder)
    torch.manual_seed(initial_seed)
    method = build_method(recipe, build_generator(recipe), fabric)
    with contextlib.suppress(InterruptedHereError):
        fit(
            fabric,
            method,
            batches=batch_source(recipe, cases, fabric, folder=folder),
            validate=lambda network: {"mae_hu": float(np.abs(next(network.parameters()).numpy()).sum())},
            folder=folder,
            limits=Limits(max_steps=max_steps, validate_every=recipe.run.validate_every, checkpoint_minutes=1e-9),
            witness=Interrupter(after),
        )
    return read_checkpoint(folder / "last.pt")


def recipe_of(small_recipe, stores, method: str, **data: Any) -> dict[str, Any]:
    name = METHODS[method].get("name", method)
    extra = {"paired_stores": [{"path": str(stores["phantom"])}]} if name == "cyclegan" else {}
    content = small_recipe(name, data={**extra, **data})
    content["method"] = {**content["method"], **METHODS[method]}
    if method == "back-translation":
        # of fewer channels the CT-to-MR generator makes black of everything, and its state says nothing
        content["network"]["arguments"] |= {"widths": [4, 8]}
    return content


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_ends_as_the_uninterrupted_one(method, small_recipe, stores, fabric, tmp_path, differences):
    content = recipe_of(small_recipe, stores, method)
    whole = train(content, fabric, tmp_path / "whole")
    train(content, fabric, tmp_path / "parts", after=2)
    train(content, fabric, tmp_path / "parts", after=4, initial_seed=50)
    parts = train(content, fabric, tmp_path / "parts", initial_seed=51)
    assert parts["position"]["step"] == 6
    assert differences(parts, whole) == []
    best = [read_checkpoint(tmp_path / name / "best.pt") for name in ("parts", "whole")]
    assert differences(*best) == []


def test_workers_change_nothing(small_recipe, stores, fabric, tmp_path, differences):
    alone = train(recipe_of(small_recipe, stores, "supervised"), fabric, tmp_path / "alone", max_steps=4)
    content = recipe_of(small_recipe, stores, "supervised", workers=2)
    train(content, fabric, tmp_path / "helped", after=2)
    helped = train(content, fabric, tmp_path / "helped", max_steps=4, initial_seed=9)
    assert differences(helped["method"], alone["method"]) == []
    assert torch.equal(helped["random"], alone["random"])


def test_there_are_no_more_workers_than_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(_loaded(range(5), range(1, 4), workers=3)) == [1, 2, 3]


def test_an_error_in_a_worker_is_the_error_itself():
    class Damaged(torch.utils.data.Dataset):
        def __getitem__(self, step):
            raise DataSetError("case p1 is damaged", got="no array", remedy="prepare it again")

    for workers in (0, 1):
        with pytest.raises(DataSetError) as raised:
            next(_loaded(Damaged(), range(3), workers=workers))
        assert str(raised.value) == "case p1 is damaged; got no array; prepare it again"


def test_statistics_of_batch_norms_are_each_process_s_own(small_recipe, stores, fabric):
    content = recipe_of(small_recipe, stores, "cyclegan")
    content["network"]["arguments"] |= {"norm": "batch"}
    recipe = parse_recipe(content)
    one, other = (build_method(recipe, build_generator(recipe), fabric) for _ in range(2))
    for network in (one.to_ct.network, one.to_mr.network, one.average):
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(1.5)
    own = copy.deepcopy(one.own_state_dict())
    other.load_own_state_dict(own)
    changed = [b for n, b in other.to_mr.network.named_buffers() if n.endswith("running_mean")]
    assert changed
    assert all((buffer == 1.5).all() for buffer in changed)
    assert all((b == 1.5).all() for n, b in other.average.named_buffers() if n.endswith("running_mean"))


def test_a_run_in_bfloat16_goes_on_in_float16(small_recipe, stores, fabric, tmp_path, monkeypatch):
    content = recipe_of(small_recipe, stores, "supervised")
    train(content, fabric, tmp_path / "run", max_steps=2)
    # what float16 does with its state, of which bfloat16 has none
    scaler = torch.amp.GradScaler("cpu")
    monkeypatch.setattr(fabric.strategy.precision, "load_state_dict", scaler.load_state_dict)
    assert train(content, fabric, tmp_path / "run", max_steps=3)["position"]["step"] == 3


def test_a_checkpoint_of_another_network_is_refused(small_recipe, stores, fabric, tmp_path):
    train(recipe_of(small_recipe, stores, "supervised"), fabric, tmp_path, max_steps=1)
    other = recipe_of(small_recipe, stores, "supervised")
    other["network"] = {"name": "attention_unet", "arguments": {"widths": [3, 4]}}
    with pytest.raises(RecipeError, match="is of another recipe; got .*; resume with the method and the network"):
        train(other, fabric, tmp_path, max_steps=2)
    with pytest.raises(RecipeError, match="is of another recipe"):
        train(recipe_of(small_recipe, stores, "pix2pix"), fabric, tmp_path, max_steps=2)


def test_checkpoints_of_the_first_format_are_still_read(small_recipe, stores, fabric, tmp_path, differences):
    content = recipe_of(small_recipe, stores, "supervised")
    whole = train(content, fabric, tmp_path / "whole", max_steps=4)
    state = train(content, fabric, tmp_path / "old", max_steps=4, after=2)
    old = {key: state[key] for key in ("method", "position", "random", "random_cuda")}
    loop.write_checkpoint(tmp_path / "old" / "last.pt", old)
    assert differences(train(content, fabric, tmp_path / "old", max_steps=4), whole) == []


KILLED = """
import json, sys
from pathlib import Path
import torch
from lightning_fabric import Fabric
from mr2ct.training.assembly import batch_source, build_generator, build_method, open_cases
from mr2ct.training.loop import Limits, fit
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.witness import SilentWitness

recipe, folder = parse_recipe(json.loads(sys.argv[1])), Path(sys.argv[2])
fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
cases = open_cases(recipe.data, seed=recipe.seed, folder=folder)
torch.manual_seed(1)
method = build_method(recipe, build_generator(recipe), fabric)
batches = batch_source(recipe, cases, fabric, folder=folder)
limits = Limits(max_steps=100_000, validate_every=10**9, checkpoint_minutes=1e-9)
fit(fabric, method, batches=batches, validate=lambda network: {}, folder=folder, limits=limits, witness=SilentWitness())
"""


def test_a_run_killed_while_it_saves_goes_on_exactly(small_recipe, stores, fabric, tmp_path, differences):
    content = recipe_of(small_recipe, stores, "supervised", size=[16, 16])
    # saves after every step, so that a kill at any moment is likely to meet a write
    content["run"] = {**content["run"], "max_steps": 100_000}
    (tmp_path / "killed").mkdir()
    words = [sys.executable, "-c", KILLED, json.dumps(content), str(tmp_path / "killed")]
    child = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())})
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / "killed" / "last.pt").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while not list((tmp_path / "killed").glob(f"{TEMPORARY_PREFIX}*-last.pt")) and time.monotonic() < deadline:
            time.sleep(0.0005)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = read_checkpoint(tmp_path / "killed" / "last.pt")["position"]["step"]
    killed = train(content, fabric, tmp_path / "killed", max_steps=done + 2, initial_seed=77)
    whole = train(content, fabric, tmp_path / "whole", max_steps=done + 2)
    assert differences(killed["method"], whole["method"]) == []
    assert torch.equal(killed["random"], whole["random"])
