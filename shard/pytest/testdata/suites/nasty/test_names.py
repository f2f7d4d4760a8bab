"""Parameters that are hard on whoever takes a node ID apart."""

import pytest

NASTY = [
    "a::b",
    "]",
    "[x]",
    "] [",
    "two  spaces",
    " leading and trailing ",
    "quotes ' and \"",
    "100%",
    "%0A%s",
    "line\nbreak",
    "tab\tand\rreturn",
    "emoji 🌧️",
    "e\u0301 and \u00e9",
    "right to left \u202e abc",
    "::error::not a command",
    "::group::\n::error file=x::",
    "@group",
    "x@y@z",
    "back\\slash",
    "$(touch x) `y` ; & | > <",
    "-n",
    "../../etc/passwd",
    "",
    "nul \\0",
    "0123456789" * 1024,
]


@pytest.mark.parametrize("text", NASTY)
def test_text(text):
    assert text != "]", "the one that fails"


@pytest.mark.parametrize("text", ["::error::x", "a]b"])
class TestText:
    def test_in_class(self, text):
        pass

    @pytest.mark.memory_intensive
    @pytest.mark.xdist_group("heavy one")
    def test_grouped(self, text):
        pass


@pytest.mark.parametrize("same", ["d", "d", "d"], ids=["d", "d", "d"])
def test_same_parameter(same):
    pass


def test_ünïcödé():
    pass
