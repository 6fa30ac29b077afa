"""What the names of the public SynthRAD releases say: task, region, centre and number.

A case is called `<task><region><centre><number>`, such as 1BA001 (SynthRAD2023, Thummerer 2023, arXiv:2303.16320) or
1HNA001 (SynthRAD2025, Thummerer 2025, arXiv:2502.17609). Task 1 is MR to CT, task 2 cone-beam CT to CT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mr2ct.errors import DataSetError

CASE_NAME = re.compile(r"([12])([A-Z]{1,2})([A-Z])(\d{3})")
"""Task, letters of the region, letter of the centre, number."""


@dataclass(frozen=True)
class Release:
    """A release: its name, its letters for regions with their words, and its letters for centres."""

    name: str
    regions: Mapping[str, str]
    centres: str


RELEASES = {
    "synthrad2023": Release("synthrad2023", {"B": "brain", "P": "pelvis"}, "ABC"),
    "synthrad2025": Release("synthrad2025", {"HN": "head-and-neck", "TH": "thorax", "AB": "abdomen"}, "ABCDE"),
}
"""Every release by its name on the command line."""


def region_in_words(asked: str, release: Release) -> str:
    """The region's word for its letters or itself, in any case; DataSetError for one that the release does not have.

    Example
    -------
    >>> region_in_words("hn", RELEASES["synthrad2025"])
    'head-and-neck'
    """
    words = {**release.regions, **{word: word for word in release.regions.values()}}
    known = {key.lower(): word for key, word in words.items()}
    if asked.lower() not in known:
        raise DataSetError(
            f"{release.name} has no region {asked!r}",
            expected=", ".join(f"{word} ({letters})" for letters, word in release.regions.items()),
        )
    return known[asked.lower()]


def known_centre(asked: str, release: Release) -> str:
    """The centre's letter, in any case; DataSetError for one that the release does not have.

    Example
    -------
    >>> known_centre("a", RELEASES["synthrad2023"])
    'A'
    """
    if len(asked) != 1 or asked.upper() not in release.centres:
        raise DataSetError(f"{release.name} has no centre {asked!r}", expected=", ".join(release.centres))
    return asked.upper()


def region_and_centre(name: str, release: Release) -> tuple[str, str]:
    """The region in words (in letters where unknown) and the centre's letter; both empty for another kind of name.

    Example
    -------
    >>> region_and_centre("1THB013", RELEASES["synthrad2025"])
    ('thorax', 'B')
    """
    match = CASE_NAME.fullmatch(name)
    return (release.regions.get(match[2], match[2]), match[3]) if match else ("", "")


def unreadable_name(name: str, release: Release) -> str | None:
    """Why a name is none of the release; None where it is.

    Example
    -------
    >>> unreadable_name("1HNA001", RELEASES["synthrad2023"])
    'region HN is of synthrad2025'
    """
    match = CASE_NAME.fullmatch(name)
    if not match:
        return "the name is not <task><region><centre><number>, such as 1BA001 or 1HNA001"
    if match[2] not in release.regions:
        others = [other.name for other in RELEASES.values() if match[2] in other.regions]
        return f"region {match[2]} is " + (f"of {others[0]}" if others else f"none of {', '.join(release.regions)}")
    if match[3] not in release.centres:
        return f"centre {match[3]} is none of {', '.join(release.centres)}"
    return None
