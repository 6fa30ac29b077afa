"""The command itself: what the help says, which verb is found, and how failures end."""

from __future__ import annotations

import errno
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import mr2ct
from mr2ct.cli import main as cli
from mr2ct.errors import InputError

runner = CliRunner()


@pytest.fixture
def verb_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Make `mr2ct convert` a verb that does what the test wants."""

    def install(action: Callable[[], None]) -> None:
        module = ModuleType("mr2ct_made_up_verb")
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)

        def convert(times: Annotated[int, typer.Argument()] = 1) -> None:
            for _ in range(times):
                action()

        module.convert = convert
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.VERBS, "convert", cli.Verb(module.__name__, "made up"))

    return install


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_the_help_names_every_verb_and_its_purpose():
    result = runner.invoke(cli.app, ["--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for name, verb in cli.VERBS.items():
        assert name in result.output
        assert verb.help[:40] in result.output


def test_no_arguments_shows_the_help():
    assert "Usage" in runner.invoke(cli.app, []).output


def test_the_version_is_the_package_s():
    result = runner.invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, f"mr2ct {mr2ct.__version__}")


def test_a_misspelt_verb_is_refused_with_the_nearest_one():
    result = runner.invoke(cli.app, ["convrt"])
    assert result.exit_code == cli.EXIT_REFUSED
    assert "convert" in result.output


@pytest.mark.parametrize("name", list(cli.VERBS))
def test_every_verb_is_there_and_has_a_help(name: str):
    result = runner.invoke(cli.app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert name in result.output


def test_a_verb_gets_its_arguments(verb_that: Callable[[Callable[[], None]], None]):
    verb_that(lambda: print("ran"))
    result = runner.invoke(cli.app, ["convert", "3"])
    assert (result.exit_code, result.output.count("ran")) == (0, 3)


def test_a_verb_s_usage_error_is_typer_s_to_tell(verb_that: Callable[[Callable[[], None]], None]):
    verb_that(lambda: None)
    result = runner.invoke(cli.app, ["convert", "three"])
    assert result.exit_code == cli.EXIT_REFUSED
    assert "Usage" in result.output
    assert "this is a bug" not in result.output


def test_a_verb_s_own_exit_code_is_kept(verb_that: Callable[[Callable[[], None]], None]):
    verb_that(raising(typer.Exit(cli.EXIT_FAILED)))
    assert runner.invoke(cli.app, ["convert"]).exit_code == cli.EXIT_FAILED


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no such file", got="x.nii"), cli.EXIT_REFUSED, "error: no such file; got x.nii"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), cli.EXIT_REFUSED, "error: [Errno 13]"),
        (MemoryError(), cli.EXIT_REFUSED, "error: out of memory"),
        (KeyboardInterrupt(), cli.EXIT_INTERRUPTED, "stopped by the user"),
        (ZeroDivisionError("oops"), cli.EXIT_BUG, "unexpected error: ZeroDivisionError: oops; this is a bug"),
    ],
)
def test_a_failure_is_one_line_and_a_code(
    verb_that: Callable[[Callable[[], None]], None], error: BaseException, code: int, line: str
):
    verb_that(raising(error))
    result = runner.invoke(cli.app, ["convert"])
    assert result.exit_code == code
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "env"), [(["--debug"], {}), ([], {"MR2CT_DEBUG": "1"})])
def test_the_traceback_is_shown_on_request(
    verb_that: Callable[[Callable[[], None]], None], arguments: list[str], env: dict[str, str]
):
    verb_that(raising(ZeroDivisionError("oops")))
    result = runner.invoke(cli.app, [*arguments, "convert"], env=env)
    assert result.exit_code == cli.EXIT_BUG
    assert "Traceback" in result.stderr


def test_a_closed_pipe_is_not_an_error_of_the_verb(verb_that: Callable[[Callable[[], None]], None]):
    verb_that(raising(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    result = runner.invoke(cli.app, ["convert"])
    assert result.exit_code == 1
    assert "error" not in result.stderr


def test_a_verb_without_a_module_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(cli.VERBS, "convert", cli.Verb("mr2ct_no_such_verb", ""))
    assert importlib.util.find_spec("mr2ct_no_such_verb") is None
    result = runner.invoke(cli.app, ["convert"])
    assert result.exit_code == cli.EXIT_REFUSED
    assert result.stderr.startswith("error: the verb 'convert' is not in this installation")


def test_main_leaves_with_the_exit_code(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.startswith("mr2ct ")
