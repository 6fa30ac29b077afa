"""The documents say what is true: links lead somewhere, verbs and options exist, recipes and imports are there."""

from __future__ import annotations

import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from mr2ct.cli.main import VERBS, load_verb

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [str(document.relative_to(ROOT)) for document in DOCUMENTS]

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)


def code_blocks(document: Path, *languages: str) -> list[str]:
    """The fenced blocks of `document` in one of `languages`, continued lines joined."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"\\\n\s*", " ", text) for language, text in blocks if language in languages]


def commands(document: Path) -> list[list[str]]:
    """Every `mr2ct ...` call in the shell blocks of `document`, in words, without `mr2ct` itself."""
    lines = [line.strip() for block in code_blocks(document, "bash", "sh", "console") for line in block.splitlines()]
    split = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words[1:] for words in split if words and Path(words[0]).name == "mr2ct" and len(words) > 1]


@cache
def options_of(verb: str) -> frozenset[str]:
    """The options that `mr2ct VERB` and `mr2ct` itself take."""
    known = {"-h", "--help", "--debug", "--version"}
    for parameter in load_verb(verb).params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    return frozenset(known)


def prose(document: Path) -> str:
    """What is not in fenced blocks."""
    return re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)


@cache
def anchors(document: Path) -> frozenset[str]:
    """The anchors that GitHub gives the headings of `document`."""
    headings = re.findall(r"^#+ +(.*?) *$", prose(document), flags=re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@documents
def test_links_lead_somewhere(document: Path):
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(document))
    local = [link.partition("#") for pair in links for link in pair if link and "://" not in link]
    assert [name for name, _, _ in local if name and not (document.parent / name).exists()] == []
    pages = [((document.parent / name) if name else document, anchor) for name, _, anchor in local if anchor]
    assert [f"{page.name}#{anchor}" for page, anchor in pages if anchor not in anchors(page.resolve())] == []


@documents
def test_commands_name_verbs_and_options_that_exist(document: Path):
    wrong = []
    for words in commands(document):
        verb = next((word for word in words if not word.startswith("-")), None)
        if verb is not None and verb not in VERBS:
            wrong.append(f"mr2ct {verb}")
        elif verb is not None:
            used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            wrong += [f"mr2ct {verb} {option}" for option in sorted(used - options_of(verb))]
    assert wrong == []


@documents
def test_recipes_that_are_named_exist(document: Path):
    named = set(re.findall(r"\brecipes/[\w.-]+\.yaml", document.read_text(encoding="utf-8")))
    assert [recipe for recipe in sorted(named) if not (ROOT / recipe).exists()] == []


@documents
def test_python_examples_compile_and_their_imports_exist(document: Path):
    for block in code_blocks(document, "python"):
        compile(block, str(document), "exec")
        for module, names in re.findall(r"^from (mr2ct[\w.]*) import ([\w, ]+)$", block, flags=re.MULTILINE):
            for name in names.split(","):
                assert hasattr(importlib.import_module(module), name.strip()), f"{module} has no {name.strip()}"
        for name in re.findall(r"\bmr2ct\.(\w+)\(", block):
            assert hasattr(importlib.import_module("mr2ct"), name), f"mr2ct has no {name}"


def test_the_readme_lists_every_verb():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"`mr2ct {verb}" not in readme] == []


def test_the_recipe_reference_names_every_key():
    from mr2ct.training import recipe

    settings = [value for value in vars(recipe).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    keys = {key for model in settings for key in model.model_fields}
    text = (ROOT / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    assert [key for key in sorted(keys) if f"`{key}`" not in text and not re.search(rf"\b{key}\b[,}}]", text)] == []


@pytest.mark.parametrize("verb", list(VERBS))
def test_the_command_reference_names_every_option(verb: str):
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    section = text.split(f"## `mr2ct {verb}", 1)[1].split("\n## ", 1)[0]
    own = options_of(verb) - {"-h", "--help", "--debug", "--version"}
    assert [option for option in sorted(own) if option.startswith("--") and f"`{option}" not in section] == []


def test_decisions_are_numbered_once():
    numbers = [path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert sorted(set(numbers)) == sorted(numbers)


def test_no_document_names_a_machine_s_folders():
    private = re.compile(r"(?<![\w.])/(?:work|root|home|opt)/")
    assert [str(document) for document in DOCUMENTS if private.search(document.read_text(encoding="utf-8"))] == []
