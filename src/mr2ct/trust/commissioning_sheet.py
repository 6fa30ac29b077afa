"""The report of an acceptance test as one printable page, with a place for those who sign it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template

from mr2ct.bundles.bundle import DESCRIPTION_FILE
from mr2ct.datasets.case_images import read_paired
from mr2ct.datasets.cases import PairedCase
from mr2ct.evaluation.metric_names import metric_name
from mr2ct.evaluation.report_html import Html, Table, figure, note, paragraph, png, render_table, section, text
from mr2ct.evaluation.summary import software
from mr2ct.io import read_volume
from mr2ct.io.checksum import sha256
from mr2ct.io.preview import preview_figure
from mr2ct.trust.commissioning import Commissioning
from mr2ct.trust.commissioning_case import CommissionedCase
from mr2ct.trust.commissioning_constancy import RULE, StoredCase
from mr2ct.trust.commissioning_files import COMMISSIONING_JSON, CONSTANCY_CSV, Run
from mr2ct.trust.commissioning_lines import Line, LineVerdict
from mr2ct.trust.commissioning_tolerances import DEFAULT_TOLERANCES, ENTRIES, REPEAT, Tolerances
from mr2ct.volume import Quantity

_DPI = 110
_CASE_KEYS = (
    "mae_hu", "mae_air_hu", "mae_soft_tissue_hu", "mae_bone_hu", "bone_dice", "body_hd95_mm", "path_length_mae_mm"
)  # fmt: skip
_STYLE = """
.verdict { font-size: 1.3rem; border: 2px solid var(--rule); padding: .5rem 1rem; display: inline-block; }
.pass, .fail { font-weight: 700; } .fail { color: var(--alert); }
.form { max-width: none; margin: 1.4rem 0; break-inside: avoid; border: 1px solid var(--rule);
  padding: .4rem 1rem 1rem; }
.form div { display: grid; grid-template-columns: 11.5rem 1fr 10.5rem 1fr; gap: .8rem;
  align-items: end; padding-top: 1rem; }
.form div span:nth-child(even) { border-bottom: 1px solid var(--rule); min-height: 1.7rem; }
.form p { margin: .9rem 0 0; max-width: none; }
"""
_FORM = (
    ("Site, department", "Scanner, sequence"),
    ("Done by (name)", "Date"),
    ("Signature", ""),
    ("Checked by (name)", "Date"),
    ("Signature", ""),
    ("Remarks", ""),
)


def render_sheet(found: Commissioning, run: Run, *, pairs: Sequence[PairedCase], stored: Sequence[StoredCase]) -> str:
    """The whole page as text; it names no address outside itself.

    Parameters
    ----------
    pairs : the cases that were asked for, from which the worst and the median are drawn.

    Example
    -------
    >>> render_sheet(found, run, pairs=cases, stored=stored)  # doctest: +SKIP
    """
    description = run.model.bundle.description
    n_patients = len({one.patient for one in found.cases})
    title, made_by = f"Acceptance test: {description.name}", f"mr2ct {software()['mr2ct']}"
    counts = f"{_count(len(found.cases), 'case')} of {_count(n_patients, 'patient')}"
    templates = files("mr2ct.evaluation") / "templates"
    parts = [
        *_head(found),
        _form(),
        section("Results", [_results(found)]),
        section("Cases", [_case_table(found.cases), *_pictures(found, run, pairs)]),
        section("Broken copies", [_broken_table(found)]),
        section("Constancy set", [_constancy(stored)]),
        section("Limits", [_limit_table(found.lines, run.tolerances)]),
        section("Method", _method(run)),
        section("Files", [_checksums(found, run)]),
    ]
    page = Template((templates / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=text(title),
        subtitle=text(f"{counts} · {run.date[:10]} · {made_by}"),
        style=(templates / "report.css").read_text(encoding="utf-8") + _STYLE,
        body="\n".join(part for part in parts if part),
        footer=text("Made by mr2ct. Not a medical device: those who sign decide, for research and quality assurance."),
        generator=text(made_by),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _head(found: Commissioning) -> list[Html]:
    counts = {one: sum(line.verdict is one for line in found.lines) for one in LineVerdict}
    words = f"{counts[LineVerdict.PASS]} lines pass, {counts[LineVerdict.FAIL]} fail"
    if counts[LineVerdict.NOT_JUDGED]:
        words += f", {counts[LineVerdict.NOT_JUDGED]} not judged"
    parts = [Html(f'<p class="verdict">{_verdict(found.verdict)}</p>'), paragraph(words + ".")]
    if found.warnings:
        parts.append(note("Caution", found.warnings, alert=True))
    if found.failed:
        lines = [f"{one.case}: {one.reason}" for one in found.failed]
        parts.append(note("Cases without figures", lines, alert=True))
    failing = [f"{line.name}: {line.value_words}, limit {line.limit_words}" for line in found.lines
               if line.verdict is LineVerdict.FAIL]  # fmt: skip
    if failing:
        parts.append(note("Lines that fail", failing, alert=True))
    return parts


def _verdict(verdict: LineVerdict) -> Html:
    kind = {LineVerdict.PASS: "pass", LineVerdict.FAIL: "fail"}.get(verdict, "")
    return Html(f'<span class="{kind}">{escape(verdict.value.upper() if kind else _whole(verdict.value))}</span>')


def _form() -> Html:
    rows = "".join(
        f"<div><span>{escape(one)}</span><span></span>"
        + (f"<span>{escape(other)}</span><span></span>" if other else "<span></span>")
        + "</div>"
        for one, other in _FORM
    )
    decision = "<p>Decision: ☐ accepted &emsp; ☐ accepted with restrictions &emsp; ☐ not accepted</p>"
    return Html(f'<div class="form">{decision}{rows}</div>')


def _results(found: Commissioning) -> Html:
    rows, before = [], ""
    for line in found.lines:
        first = line.section if line.section != before else ""
        before = line.section
        rows.append(
            [first, line.name, _whole(line.value_words), _whole(line.limit_words), _verdict(line.verdict), line.remark]
        )
    heads = ("", "line", "value", "limit", "verdict", "remark")
    return render_table(Table("Every line, with its limit.", heads, rows, grouped=True))


def _whole(words: str) -> str:
    """The words on one line."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _case_table(cases: Sequence[CommissionedCase]) -> Html:
    keys = [key for key in _CASE_KEYS if any(key in one.figures for one in cases)]
    rows = [
        [
            one.case,
            one.patient,
            one.centre or "–",
            one.verdict.verdict.value,
            *(metric_name(key).show(one.figures.get(key)) for key in keys),
        ]
        for one in cases
    ]
    heads = ("case", "patient", "centre", "input check", *(metric_name(key).heading for key in keys))
    remarks = [f"{one.case}: {finding.sentence}" for one in cases for finding in one.verdict.findings]
    remarks += [f"{one.case}: {words}" for one in cases for words in one.notes]
    table = render_table(Table("Every case.", heads, rows, numeric=len(keys), small=True))
    return Html(table + (note("Of single cases", remarks) if remarks else ""))


def _pictures(found: Commissioning, run: Run, pairs: Sequence[PairedCase]) -> list[Html]:
    """The worst case and the median one: MR, sCT, CT and difference."""
    ranked = sorted(found.cases, key=lambda one: -one.figures["mae_hu"])
    shown = {"Worst case": ranked[0]}
    if len(ranked) > 2:
        shown["Median case"] = ranked[len(ranked) // 2]
    by_name = {pair.case: pair for pair in pairs}
    drawn = []
    for standing, one in shown.items():
        pair = read_paired(by_name[one.case], run.options.reading)
        sct = read_volume(one.sct_file, quantity=Quantity.HU)
        picture, file = preview_figure({"MR": pair.mr, "sCT": sct, "CT": pair.ct}, mask=pair.compared), BytesIO()
        # without the address that matplotlib writes into a PNG
        picture.savefig(file, format="png", dpi=_DPI, facecolor=picture.get_facecolor(), metadata={"Software": None})
        caption = f"{standing} by MAE: {one.case}, {metric_name('mae_hu').show(one.figures['mae_hu'])} HU."
        drawn.append(figure([png(file.getvalue(), f"{one.case}: MR, sCT, CT and difference in HU")], caption))
    return drawn


def _broken_table(found: Commissioning) -> Html:
    if not found.broken:
        return paragraph("No copies were made.")
    rows = [
        [copy.kind, copy.case, copy.verdict.value, "yes" if copy.caught else Html('<span class="fail">no</span>'),
         copy.sentence]
        for copy in found.broken
    ]  # fmt: skip
    heads = ("broken how", "case", "verdict", "caught", "reason")
    return render_table(Table("Copies of sound cases, broken on purpose.", heads, rows, small=True))


def _constancy(stored: Sequence[StoredCase]) -> Html:
    rows = [
        [
            one.case,
            *(metric_name(key).show(one.figures.get(key)) for key in ("mae_hu", "bone_dice")),
            Html(f'<span class="hash">{one.sct_sha256}</span>'),
        ]
        for one in stored
    ]
    heads = ("case", "MAE (HU)", "bone Dice", "SHA-256 of the sCT's voxels")
    words = (
        f"Chosen {RULE}. After each update, the same command with --repeat converts them again, compares them with "
        f"what is stored beside this report, and adds the result to {CONSTANCY_CSV}."
    )
    return Html(paragraph(words) + render_table(Table("Run again after each update.", heads, rows)))


def _limit_table(lines: Sequence[Line], tolerances: Tolerances) -> Html:
    keys = [line.key for line in lines]
    keys += [key for key, entry in ENTRIES.items() if entry.section == REPEAT]
    rows = []
    for key in keys:
        limit, default = tolerances.limit_of(key), DEFAULT_TOLERANCES.limit_of(key)
        own = limit != default
        shown = "none" if limit is None else f"{limit:g}"
        why = f"set by the site (default {default:g})" if own else ENTRIES[key].why
        rows.append([Html(f"<code>{key}</code>"), f"{ENTRIES[key].rule}", shown, why])
    heads = ("key", "rule", "limit", "reason")
    return render_table(Table("Where each limit comes from.", heads, rows, small=True))


def _method(run: Run) -> list[Html]:
    options = run.options
    sentences = [
        "Every MR was checked and converted as `mr2ct convert` does, without its mask; refused ones too. The sCT was "
        "written, read again and compared with the CT inside the mask (without one, inside the CT's body outline).",
        "Values are means over the cases, unless they say otherwise; tissues are those of the true CT (air below −250 "
        "HU, bone above 250 HU). The MAE is not clipped.",
        "Intervals of means are by bootstrap over patients, seed 0.",
    ]
    if not options.beams:
        sentences.append("Dose was not compared (--dose does, with the extra `dose`).")
    versions = ", ".join(f"{package} {number}" for package, number in software().items())
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return [
        Html(f"<ul>{items}</ul>"),
        Html(f"<p>Command: <code>{text(run.command)}</code></p>"),
        paragraph(f"Software: {versions}. All figures are in {COMMISSIONING_JSON}."),
    ]


def _checksums(found: Commissioning, run: Run) -> Html:
    bundle = run.model.bundle
    digests = [
        ("model", "weights", bundle.description.weights_sha256),
        ("", DESCRIPTION_FILE, sha256(bundle.folder / DESCRIPTION_FILE)),
    ]
    digests += [
        (one.case if n == 0 else "", part, digest)
        for one in found.cases
        for n, (part, digest) in enumerate(one.checksums.items())
    ]
    rows = [[name, part, Html(f'<span class="hash">{digest}</span>')] for name, part, digest in digests]
    return render_table(
        Table("SHA-256 of weights and inputs.", ("of", "part", "SHA-256"), rows, small=True, grouped=True)
    )
