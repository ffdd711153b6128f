"""The report in a browser: silent, without a network, with a timeline that can be zoomed."""

import re

import pytest

from mla_hw.cli.generate import generate
from mla_hw.cli.report import report
from tests.browser.screenshots import opened, screenshots
from tests.html.folders import write_packed, write_placed, write_simulation
from tests.reference_cases import case_dir

pytestmark = pytest.mark.browser

HARDWARE = {"rows": 2, "columns": 4}
SECTIONS = (
    *("summary", "graph", "timeline", "roofline", "utilisation", "resources", "memory"),
    *("accuracy", "warnings"),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "core"
    generate(case_dir("tiny-v3"), out=folder, hardware=HARDWARE, context=64)
    write_simulation(folder)
    write_packed(folder)
    write_placed(folder, seed1=91.25)
    return report(folder).path


@pytest.fixture(scope="module")
def long_path(tmp_path_factory):
    """A page with thousands of executed instructions."""
    folder = tmp_path_factory.mktemp("browser") / "core"
    hardware = {**HARDWARE, "activation_bytes": 65536}
    generate(case_dir("tiny-v3"), out=folder, hardware=hardware, context=8192, scheme="naive")
    return report(folder).path


@pytest.fixture
def page(path):
    with opened(path) as page:
        yield page


def cycles_of(page):
    """Cycles that the timeline shows, after what is under way has been drawn."""
    page.wait_for_timeout(300)
    return page.evaluate("document.querySelector('#timeline-plot').layout.xaxis.range")


def area_of(page):
    """The timeline's plotting area, in the middle of the window."""
    page.evaluate(
        "document.querySelector('#timeline-plot')"
        ".scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    return page.locator("#timeline-plot .nsewdrag").first.bounding_box()


def drag(page, area, start, end):
    """Drag along the timeline; places are shares of its width."""
    height = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + start * area["width"], height)
    page.mouse.down()
    page.mouse.move(area["x"] + end * area["width"], height, steps=8)
    page.mouse.up()


def bars(page):
    return page.locator("#timeline-plot .bars .point path").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_silent_and_without_a_network(path, scheme):
    with opened(path, color_scheme=scheme) as page:
        for section in page.locator("section").all():
            section.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        assert page.seen == [f"request: {path.resolve().as_uri()}"[: len(page.seen[0])]]


def test_sections_are_all_there(page):
    sections = page.locator("section").all()
    assert [section.get_attribute("id") for section in sections] == list(SECTIONS)
    for section in sections:
        assert section.locator("h2").is_visible()
        assert section.bounding_box()["height"] > 60
    for link, name in zip(page.locator("nav a").all(), SECTIONS, strict=True):
        link.click()
        assert page.url.endswith(f"#{name}")


@pytest.mark.slow
def test_nothing_is_wider_than_the_window(path):
    for width in (1280, 800, 420):
        with opened(path, viewport={"width": width, "height": 900}) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_zoom_by_dragging_and_back(page):
    whole = cycles_of(page)
    assert whole[0] == 0
    area = area_of(page)
    drag(page, area, 0.25, 0.5)
    zoomed = cycles_of(page)
    assert zoomed == pytest.approx([0.25 * whole[1], 0.5 * whole[1]], rel=0.02)
    page.keyboard.down("Shift")
    drag(page, area, 0.6, 0.4)
    page.keyboard.up("Shift")
    moved = cycles_of(page)
    width = zoomed[1] - zoomed[0]
    assert moved == pytest.approx([edge + 0.2 * width for edge in zoomed], rel=0.02)
    page.mouse.dblclick(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    assert cycles_of(page) == whole


def test_buttons_of_the_timeline(page):
    whole = cycles_of(page)
    area = area_of(page)
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    titles = page.locator("#timeline-plot .modebar-btn").evaluate_all(
        "buttons => buttons.map((button) => button.dataset.title)"
    )
    # Nothing that sends the plot anywhere.
    assert titles == [
        "Download plot as a PNG",
        *("Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"),
    ]
    page.locator("#timeline-plot .modebar-btn[data-title='Zoom in']").click()
    nearer = cycles_of(page)
    assert nearer[1] - nearer[0] < 0.9 * (whole[1] - whole[0])
    page.locator("#timeline-plot .modebar-btn[data-title='Reset axes']").click()
    assert cycles_of(page) == whole


def test_pointing_at_an_instruction_says_what_it_is(page):
    area_of(page)
    box = max(
        (bar.bounding_box() for bar in page.locator("#timeline-plot .bars .point path").all()),
        key=lambda box: box["width"] if 10 < box["height"] < 19 else 0,
    )
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator("#timeline-plot .hoverlayer .hovertext").first
    label.wait_for(timeout=3000)
    assert re.search(r"[A-Z]+ .*cycles [\d\s]+ to [\d\s]+", label.text_content())


def test_waits_show_their_cause(page):
    texts = page.locator("#timeline-plot .textpoint").all_text_contents()
    assert "dispatcher" in texts


@pytest.mark.slow
def test_thousands_of_instructions_are_drawn_when_they_are_seen(long_path):
    with opened(long_path) as page:
        slices = page.evaluate(
            "JSON.parse(document.getElementById('timeline-plot-data').textContent)"
            ".tracks.reduce((sum, track) => sum + track.slices.length, 0)"
        )
        assert slices > 5000
        area = area_of(page)
        drawn = bars(page)
        assert drawn < slices / 2
        for _ in range(3):
            drag(page, area, 0.45, 0.55)
            page.wait_for_timeout(300)
        assert 0 < bars(page) < drawn
        assert page.seen[1:] == []


def test_colours_follow_the_system(path):
    with opened(path, color_scheme="light") as page:
        ink = "getComputedStyle(document.querySelector('#timeline-plot .ytick text')).fill"
        light = page.evaluate(ink)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(300)
        dark = page.evaluate(ink)
        page.emulate_media(color_scheme="dark", media="print")
        page.wait_for_timeout(300)
        printed = page.evaluate(ink)
    brightness = [
        sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (light, dark, printed)
    ]
    assert brightness[0] < 200 < 500 < brightness[1]
    assert brightness[2] < 200


@pytest.mark.slow
def test_screenshots(path, tmp_path):
    written = screenshots(path, tmp_path / "pictures")
    assert len(written) == 2 * (1 + len(SECTIONS))
    assert all(picture.stat().st_size > 1000 for picture in written)
