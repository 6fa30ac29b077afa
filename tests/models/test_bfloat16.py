"""bfloat16 is used where the hardware has it: elsewhere it is emulated, and slower than float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mr2ct.models.bfloat16 import cpu_flags, has_bfloat16


def test_the_flags_are_those_of_the_first_cpu(tmp_path: Path):
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 amx_bf16\n\nflags\t\t: other\n")
    assert cpu_flags(info) == {"fpu", "avx2", "amx_bf16"}


@pytest.mark.parametrize(
    ("flags", "has"), [(set(), False), ({"avx2", "avx512f"}, False), ({"avx512_bf16"}, True), ({"amx_bf16"}, True)]
)
def test_a_cpu_has_it_where_its_flags_say_so(monkeypatch, flags, has):
    monkeypatch.setattr("mr2ct.models.bfloat16.cpu_flags", lambda: flags)
    assert has_bfloat16("cpu") is has


@pytest.mark.parametrize(("major", "has"), [(7, False), (8, True), (9, True)])
def test_a_gpu_that_emulates_it_has_it_not(monkeypatch, major, has):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("Properties", (), {"major": major}))
    assert has_bfloat16("cuda") is has
