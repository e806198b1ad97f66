"""Tables, sizes and ages as people read them."""

import pytest

from orbiter.tables import age, columns, fit, parse_size, size


def test_cells_stand_below_each_other_and_lines_have_no_end_of_blanks() -> None:
    assert columns([("image", "state"), ("debian-base", "ok"), ("", "")]) == [
        "image        state",
        "debian-base  ok",
        "",
    ]


def test_a_long_line_goes_on_below_its_last_column() -> None:
    text = "debian\n  debian-base  pip_deploy on debian-core, environment of debian-base-build\n  short  x"
    assert fit(text, 40).split("\n") == [
        "debian",
        "  debian-base  pip_deploy on",
        "               debian-core, environment",
        "               of debian-base-build",
        "  short  x",
    ]
    assert fit(text, 100) == text


def test_a_column_that_begins_too_far_right_is_no_place_to_go_on() -> None:
    assert fit(f"{'x' * 30}  one two", 36).split("\n") == [f"{'x' * 30}  one", "two"]
    assert fit("x" * 50, 20) == "x" * 50


def test_no_rows_are_no_lines() -> None:
    assert columns([]) == []


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (950, "950 B"),
        (999.6, "1.0 kB"),
        (1234, "1.2 kB"),
        (9_960_000, "10 MB"),
        (213_600_000, "214 MB"),
        (999_600_000, "1.0 GB"),
        (1_240_000_000, "1.2 GB"),
        (5e18, "5000 PB"),
    ],
)
def test_sizes_are_decimal(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("182MB", 182_000_000), ("4.096kB", 4096), ("1e+03MB", 10**9), ("0B", 0), ("1.5 GB", 1_500_000_000), ("N/A", 0)],
)
def test_sizes_of_docker_are_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "now"),
        (59, "now"),
        (60, "1 minute"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (86400, "24 hours"),
        (3 * 86400 + 5, "3 days"),
        (20 * 86400, "2 weeks"),
        (100 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_ages_round_down(seconds: float, text: str) -> None:
    assert age(seconds) == text
