"""The one shape of every error: what, got, expected, remedy."""

from __future__ import annotations

import pytest

from mr2ct import errors

CHILDREN = [
    errors.InputError,
    errors.GeometryError,
    errors.DataSetError,
    errors.RecipeError,
    errors.BundleError,
    errors.DiskSpaceError,
    errors.MissingDependencyError,
]


def test_a_message_says_what_got_expected_remedy_in_this_order():
    error = errors.InputError("no such plane", got="'oblique'", expected="axial", remedy="choose one")
    assert str(error) == "no such plane; got 'oblique'; expected axial; choose one"
    assert (error.what, error.got, error.expected, error.remedy) == (
        "no such plane",
        "'oblique'",
        "axial",
        "choose one",
    )


def test_parts_that_are_not_given_are_left_out():
    assert str(errors.Mr2ctError("it broke")) == "it broke"
    assert str(errors.Mr2ctError("it broke", remedy="mend it")) == "it broke; mend it"


def test_a_got_of_zero_is_said():
    assert str(errors.Mr2ctError("too few slices", got=0, expected=1)) == "too few slices; got 0; expected 1"


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child.__name__)
def test_every_error_is_caught_as_one_family(child: type[errors.Mr2ctError]):
    with pytest.raises(errors.Mr2ctError):
        raise child("it broke")
    assert child.__mro__[1] is errors.Mr2ctError
