"""The viewer and the report in a real headless browser: wide and narrow, light and dark, and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from inscape.experiments import report_for_runs
from inscape.experiments.serving.server import Viewer
from tests.browser import DESKTOP, PHONE, Browser, find_browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no browser: install chromium, or name one in INSCAPE_BROWSER"),
]

LOOKS = [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)]
DATA = "document.querySelector('#view').dataset"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as made:
        yield made


def check_looks(browser: Browser, alert: bool = True) -> None:
    """Nothing sticks out, the background follows the scheme, and nothing went wrong."""
    for width, dark in LOOKS:
        browser.look(width, dark)
        assert browser.overflow() <= 0, (width, dark)
        shade = browser.ask("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", shade)[0]) < 128) == dark
    assert browser.problems == []
    if alert:
        assert browser.ask("document.querySelector('#view [role=alert]').hidden")
    browser.look(DESKTOP)


def page(viewer: Viewer, path: str) -> str:
    return f"{viewer.url.split('/?')[0]}{path}{'&' if '?' in path else '?'}token={viewer.token}"


def test_the_list(viewer: Viewer, browser: Browser) -> None:
    browser.look(DESKTOP)
    browser.open(viewer.url)
    browser.wait(f"{DATA}.ready")
    assert browser.ask("performance.getEntriesByName('first-contentful-paint')[0].startTime") <= 1000
    assert browser.ask("document.querySelectorAll('.runs tbody tr').length") == 2
    check_looks(browser)
    browser.ask(
        "(e => { e.value = 'second'; e.dispatchEvent(new Event('input')) })(document.querySelector('[type=search]'))"
    )
    assert browser.ask("document.querySelectorAll('.runs tbody tr').length") == 1


def test_a_run_and_the_dragged_prior(viewer: Viewer, browser: Browser) -> None:
    browser.open(page(viewer, "/run?run=first"))
    browser.wait(f"{DATA}.ready && {DATA}.episodes", 120)
    assert browser.ask("document.querySelectorAll('.chart svg path.line').length") >= 2
    share = "document.querySelector('.panel .row span:last-child').textContent"
    before = browser.ask(share)
    browser.ask("(e => { e.value = 1; e.dispatchEvent(new Event('input')) })(document.querySelector('.prior input'))")
    browser.wait(f"{DATA}.prior")
    assert browser.ask(share) != before
    check_looks(browser)


def test_an_agent_is_led_and_what_if(viewer: Viewer, browser: Browser) -> None:
    browser.open(page(viewer, "/act?run=first"))
    browser.wait(f"{DATA}.ready", 120)
    browser.click("button.own")
    browser.wait(f"{DATA}.steps === '1'")
    browser.click(".whatif")
    browser.wait(f"{DATA}.whatif", 120)
    assert browser.ask("document.querySelectorAll('.results .lane').length") == 4
    check_looks(browser)


def test_play(viewer: Viewer, browser: Browser) -> None:
    browser.open(page(viewer, "/play?world=FourGoals"))
    browser.wait(f"{DATA}.ready", 120)
    browser.key("ArrowRight")
    browser.wait("document.querySelector('.panelled').textContent.includes('step 1')")
    check_looks(browser)
    browser.key("Escape")
    browser.wait("document.querySelector('.panelled').textContent.includes('Recorded in')")


def test_the_report_on_screens_and_on_paper(runs: Path, tmp_path: Path, browser: Browser) -> None:
    path = report_for_runs([runs / "first", runs / "second"], tmp_path / "report.html")
    browser.open(Path(path).as_uri())
    browser.wait("document.querySelectorAll('.chart svg').length > 0")
    check_looks(browser, alert=False)
    paper = browser.pdf()
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 1
