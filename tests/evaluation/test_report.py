"""The page stands alone, escapes what comes from outside, and shows the figures that the cases have."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mr2ct.errors import DataSetError
from mr2ct.evaluation.metric_names import metric_name
from mr2ct.evaluation.pairing import Exclusion
from mr2ct.evaluation.report import Provenance, abstract, render_report, write_report
from mr2ct.evaluation.report_charts import bins_chart, distribution_chart, ticks
from mr2ct.evaluation.report_html import Html, Table, note, render_table, text
from mr2ct.evaluation.report_pictures import worst_and_best
from mr2ct.evaluation.scoring import Evaluation

PROVENANCE = Provenance("mr2ct evaluate out data", "1 May 2026")
EVIL = "<script>alert('x')</script>&\""


class Page(HTMLParser):
    """Collects tags, attributes and text, and notices tags that are never closed."""

    VOID = frozenset({"meta", "br", "img", "circle", "path", "rect", "polyline", "polygon"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(scored: Evaluation) -> str:
    return render_report([scored], PROVENANCE, pictures=1)


def test_the_page_names_no_address_outside_itself(page: str):
    without_pictures = re.sub(r"base64,[^\"]+", "", page)
    outside = r"https?:|//[a-z]|url\((?!#)|@import|<link|<script|<iframe|<base"
    assert re.findall(outside, without_pictures, re.IGNORECASE) == []
    for tag, name, value in Page(page).attributes:
        if name in {"src", "href", "srcset", "xlink:href", "data", "action"}:
            assert (tag, value[:22]) == ("img", "data:image/png;base64,")


def test_every_tag_is_closed_and_tables_have_headers(page: str):
    read = Page(page)
    assert read.open == []
    assert read.tags.count("caption") == read.tags.count("table") >= 5
    assert ("th", "scope", "col") in read.attributes
    assert ("th", "scope", "row") in read.attributes
    assert all(value for tag, name, value in read.attributes if (tag, name) == ("img", "alt"))


def test_pictures_are_whole_and_say_nothing_of_their_maker(page: str):
    pictures = [Image.open(BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^\"]+)", page)]
    assert len(pictures) == 2
    for picture in pictures:
        assert picture.size[0] > 500
        assert "Software" not in picture.info


def test_the_page_says_what_was_found_and_how(page: str, scored: Evaluation):
    words = re.sub(r"\s+", " ", " ".join(Page(page).words))
    maes = [case.score.image["mae_hu"] for case in scored.cases]
    assert f"MAE {sum(maes) / len(maes):.1f} HU (95 % CI" in words
    for said in (
        "6 cases of 3 patients from 2 centres",
        "No case was left out",
        "R = 4024 HU",
        "7 × 7 × 7",
        "Worst case",
        "Best case",
        "mr2ct evaluate out data",
        "SHA-256",
        scored.cases[0].checksums["sct"],
        "soft tissue",
    ):
        assert said in words


def test_names_from_outside_are_escaped(scored: Evaluation):
    pair = replace(scored.cases[0].pair, case=EVIL, patient=EVIL, centre=EVIL)
    case = replace(scored.cases[0], pair=pair, notes=(EVIL,), extras={EVIL: 1.0})
    evil = Evaluation(EVIL, scored.protocol, (case,), (Exclusion(EVIL, EVIL),))
    page = render_report([evil], Provenance(EVIL, EVIL), pictures=1)
    assert "<script" not in page
    assert Page(page).open == []
    assert "&lt;script&gt;" in page


def test_exclusions_stand_before_the_results(scored: Evaluation):
    left_out = tuple(Exclusion(f"p{n}", "no sCT of that name") for n in range(60))
    page = render_report([replace(scored, excluded=left_out)], PROVENANCE, pictures=0)
    assert page.index("60 cases left out") < page.index("Results")
    assert "and 20 more; summary.json lists all" in page
    assert "No case was left out" not in page


def test_remarks_that_differ_in_numbers_are_one(scored: Evaluation):
    cases = tuple(replace(case, notes=(f"padded from {n} to 97",)) for n, case in enumerate(scored.cases))
    page = render_report([replace(scored, cases=cases)], PROVENANCE, pictures=0)
    assert page.count("padded from") == 1
    assert "alike, with other numbers: every case" in page


def test_two_models_are_set_side_by_side(scored: Evaluation):
    page = render_report([scored, replace(scored, model="second")], PROVENANCE, pictures=0)
    assert "Comparison of models" in page
    assert "first − second" in page
    assert "Holm" in page


def test_a_single_case_makes_a_report(scored: Evaluation):
    page = render_report([replace(scored, cases=scored.cases[:1])], PROVENANCE, pictures=3)
    assert page.count("<img") == 1
    assert "nan" not in " ".join(Page(page).words)
    assert "1 case of 1 patient" in abstract(replace(scored, cases=scored.cases[:1]), seed=0)


def test_a_picture_whose_file_is_gone_is_said_in_words(scored: Evaluation, tmp_path: Path):
    gone = replace(scored.cases[0], pair=replace(scored.cases[0].pair, sct=tmp_path / "gone.mha"))
    assert "No picture: " in render_report([replace(scored, cases=(gone,))], PROVENANCE, pictures=1)


def test_an_mr_on_another_grid_is_left_out_and_said(scored: Evaluation, tmp_path: Path, small_mr):
    from mr2ct.io import write_volume

    mr = write_volume(small_mr, tmp_path / "mr.nii.gz")
    case = replace(scored.cases[0], pair=replace(scored.cases[0].pair, mr=mr))
    assert "The MR is not shown: shape" in render_report([replace(scored, cases=(case,))], PROVENANCE, pictures=1)


def test_a_report_is_its_files(scored: Evaluation, tmp_path: Path):
    written = write_report(tmp_path / "r", [scored, replace(scored, model="a/b c")], PROVENANCE, pictures=0)
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "r").iterdir())
    assert {path.name for path in written} == {"report.html", "cases.csv", "cases_a_b_c.csv", "summary.json"}


@pytest.mark.parametrize("words", ["no case to report on", "two models of one name", "different protocols"])
def test_what_cannot_be_reported_is_refused(scored: Evaluation, tmp_path: Path, words: str):
    wrong = {
        "no case to report on": [replace(scored, cases=())],
        "two models of one name": [scored, scored],
        "different protocols": [scored, replace(scored, model="b", protocol="synthrad2025")],
    }
    with pytest.raises(DataSetError, match=words):
        write_report(tmp_path, wrong[words], PROVENANCE)


def test_worst_and_best_share_no_case(scored: Evaluation):
    for count in range(5):
        worst, best = worst_and_best(scored.cases, count)
        names = [case.pair.case for case in (*worst, *best)]
        assert len(set(names)) == len(names) == min(2 * count, 6)
    maes = [case.score.image["mae_hu"] for case in worst_and_best(scored.cases, 3)[0]]
    assert maes == sorted(maes, reverse=True)


def test_ticks_are_round_and_inside():
    for low, high in ((0, 1), (-37.2, 411), (0.8811, 0.8899), (20.5, 29.8)):
        marks = ticks(low, high)
        assert 2 <= len(marks) <= 7
        assert low <= marks[0] < marks[-1] <= high + 1e-9


def test_charts_of_equal_or_missing_figures_are_drawn_or_left_out():
    name = metric_name("ssim")
    assert "nan" not in str(distribution_chart([("a", [1.0, 1.0, 1.0]), ("b", [float("nan")])], name))
    assert distribution_chart([("a", [float("nan")])], name) is None
    assert "nan" not in bins_chart(["0 to 2", "> 2"], [("m", [[1.0], []])], ("mm", "HU"))


def test_a_table_escapes_its_cells_and_marks_numbers():
    html = render_table(Table("c", ("a", "b"), [["<x>", "1"], ["y", Html("<b>2</b>")]], numeric=1))
    assert "&lt;x&gt;" in html
    assert '<td class="n"><b>2</b></td>' in html
    assert "&lt;" in note("h", ["<"])
    assert text(Html("<i>")) == "<i>"
