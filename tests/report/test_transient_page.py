"""The page of a window: drawn in a browser, from files alone, hostile names included."""

import json

import pytest

import kvandal.runs.transient as windows
from kvandal.report.transient import render_transient


@pytest.fixture(scope="module")
def folder(small_run, tmp_path_factory):
    asked = windows.Asked("2027-01-02T13:00:30Z", 400, 20, 30.0, None, {}, {})
    folder = tmp_path_factory.mktemp("transients") / "small"
    windows.write_transient(windows.simulate_window(small_run, asked), folder)
    return folder


def test_equal_windows_give_equal_folders(folder, small_run, tmp_path):
    """No clock, no chance: byte by byte."""
    asked = windows.Asked("2027-01-02T14:00:30+01:00", 400, 20, 30.0, None, {}, {})
    windows.write_transient(windows.simulate_window(small_run, asked), tmp_path / "again")
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_page_holds_its_verdicts_and_escapes_names(folder, tmp_path):
    """Every case has a verdict on every requirement; a title is text."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    document = json.loads((folder / "transient.json").read_text(encoding="utf-8"))
    document["title"] = "<script>alert(1)</script>"
    (tmp_path / "transient.json").write_text(json.dumps(document), encoding="utf-8")
    page = render_transient(tmp_path)

    assert page.count("<b>holds</b>") + page.count("<b>does not hold</b>") == 20
    assert "<script>alert" not in page
    assert page.count("</script>") == 4
    assert "default-src 'none'" in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_every_chart_is_drawn(drawn, folder, width, scheme):
    with drawn(folder / "transient.html", width, scheme) as (_, charts):
        assert [name for name, done, canvases in charts if done == "true" and canvases] == [
            "grid", "battery", "ramps", "amplitudes",
        ]  # fmt: skip
