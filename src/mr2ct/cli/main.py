"""The command `mr2ct`: it finds the verb, imports it, and turns what goes wrong into one line and an exit code.

`mr2ct --help` has to answer at once, so no verb is imported before it is called: `VERBS` is all the help needs.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import keyword
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup

import mr2ct
from mr2ct.errors import Mr2ctError


class Verb(NamedTuple):
    """Where a verb lives and what the help says about it; the module defines a function of the verb's name."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "convert": Verb("mr2ct.cli.convert", "Turn MR files or DICOM folders into synthetic CTs in Hounsfield units."),
    "check": Verb("mr2ct.cli.check", "Say whether an MR is what a model was trained on: pass, warn or refuse."),
    "evaluate": Verb("mr2ct.cli.evaluate", "Compare sCTs with CTs by a published protocol, and write a report."),
    "import": Verb("mr2ct.cli.import_", "Check a downloaded SynthRAD release and list its cases for preprocess."),
    "preprocess": Verb("mr2ct.cli.preprocess", "Prepare a data set once, into a store that training reads."),
    "audit": Verb("mr2ct.cli.audit", "Find bad pairs and leaks in a paired data set before training on it."),
    "train": Verb("mr2ct.cli.train", "Train a model from a recipe; resume or fine-tune one."),
    "commission": Verb("mr2ct.cli.commission", "A site's acceptance test of a model on its own pairs."),
    "models": Verb("mr2ct.cli.models", "List and verify the models that ship with mr2ct."),
    "demo": Verb("mr2ct.cli.demo", "Show a first result: the head phantom, or your own MR, becomes a CT."),
    "phantom": Verb("mr2ct.cli.phantom", "Write digital head phantoms: an MR and its true CT, as a data set."),
}

EXIT_FAILED, EXIT_REFUSED, EXIT_BUG, EXIT_INTERRUPTED = 1, 2, 70, 130
_CONTEXT = {"help_option_names": ["-h", "--help"]}


def load_verb(name: str) -> Any:
    """Import the verb `name` and return its command, ready to parse arguments.

    Raises
    ------
    Mr2ctError : when this installation has no module for the verb.

    Example
    -------
    >>> load_verb("models").name
    'models'
    """
    verb = VERBS[name]
    if importlib.util.find_spec(verb.module) is None:
        raise Mr2ctError(
            f"the verb '{name}' is not in this installation",
            expected=f"module {verb.module}",
            remedy="install mr2ct again",
        )
    single = typer.Typer(add_completion=False, context_settings=_CONTEXT)
    # Python keeps some words to itself: `mr2ct import` is the function `import_`
    function = f"{name}_" if keyword.iskeyword(name) else name
    single.command(name)(getattr(importlib.import_module(verb.module), function))
    return typer.main.get_command(single)


class LazyGroup(TyperGroup):
    """A group whose help lists stand-ins; the real verb is imported when it is called, and its errors end here."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stand-in that typer finds by the real command."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, load_verb(name) if name in VERBS else stand_in, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; whatever it raises becomes one line on stderr and an exit code."""
        debug = bool(ctx.params.get("debug"))
        try:
            return super().invoke(ctx)
        except Mr2ctError as error:
            _stop(f"error: {error}", EXIT_REFUSED, debug)
        except KeyboardInterrupt:
            _stop("stopped by the user", EXIT_INTERRUPTED, debug)
        except MemoryError as error:
            _stop(f"error: out of memory; {error}".rstrip("; "), EXIT_REFUSED, debug)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _stop(f"error: {error}", EXIT_REFUSED, debug)
        except Exception as error:
            if _is_typers_own(error):
                raise
            if type(error).__name__ == "OutOfMemoryError":  # torch's own, which is not to be imported for this
                _stop(f"error: out of GPU memory; {str(error).splitlines()[0]}", EXIT_REFUSED, debug)
            hint = "this is a bug; run `mr2ct --debug ...` for the traceback and report it"
            _stop(f"unexpected error: {type(error).__name__}: {error}; {hint}", EXIT_BUG, debug)


def _is_typers_own(error: Exception) -> bool:
    """Usage errors and exits travel on: typer prints them and picks their exit code.

    Typer carries its own copy of click, whose path changed between versions, so the module's name decides.
    """
    return type(error).__module__.split(".")[0] in {"typer", "click"}


def _stop(line: str, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    print(line, file=sys.stderr)
    raise typer.Exit(code)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    context_settings=_CONTEXT,
    help="mr2ct: an MRI becomes a CT in Hounsfield units, on the MRI's own grid. Not a medical device.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mr2ct {mr2ct.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    debug: Annotated[bool, typer.Option("--debug", envvar="MR2CT_DEBUG", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def _stand_in() -> None:
    """Stand for a verb in the help, whose module is not imported for it."""


for _name, _verb in VERBS.items():
    app.command(_name, help=_verb.help)(_stand_in)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with `arguments` (default: those of the process) and leave with its exit code.

    Exit codes: 0 done; 1 some cases failed; 2 refused (usage or input); 70 a bug; 130 interrupted.

    Example
    -------
    >>> main(["--version"])
    Traceback (most recent call last):
    SystemExit: 0
    """
    app(args=None if arguments is None else list(arguments), prog_name="mr2ct")
