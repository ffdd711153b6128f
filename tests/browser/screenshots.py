"""Pictures of a report: ``python -m tests.browser.screenshots REPORT.html OUT``."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

__all__ = ["main", "opened", "screenshots"]

#: Of the window, in pixels.
SIZE = {"width": 1280, "height": 900}


@contextmanager
def opened(path: Path, **context: object) -> Iterator[Page]:
    """Open a file in the distribution's Chromium, without a network.

    Parameters
    ----------
    path : Path
    **context : object
        Of the browser's context, such as ``color_scheme``.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            options = {"viewport": SIZE, "offline": True, **context}
            page = browser.new_context(**options).new_page()
            # What happens while the page loads is heard, too.
            page.seen = []
            page.on("console", lambda message: page.seen.append(f"console: {message.text}"))
            page.on("pageerror", lambda error: page.seen.append(f"error: {error}"))
            page.on("request", lambda request: page.seen.append(f"request: {request.url[:80]}"))
            page.goto(path.resolve().as_uri())
            page.wait_for_function("document.querySelectorAll('.plot .main-svg').length > 1")
            yield page
        finally:
            browser.close()


def screenshots(report: Path, out: Path) -> list[Path]:
    """Take pictures of a report's top and of every section, light and dark.

    Parameters
    ----------
    report : Path
        Page that ``mla-hw report`` wrote.
    out : Path
        Folder for the pictures, made if it is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for scheme in ("light", "dark"):
        with opened(report, color_scheme=scheme) as page:
            written.append(out / f"top-{scheme}.png")
            page.screenshot(path=written[-1])
            # It would lie over the sections, which are higher than the window.
            page.add_style_tag(content="nav { display: none !important }")
            for section in page.locator("section").all():
                written.append(out / f"{section.get_attribute('id')}-{scheme}.png")
                section.screenshot(path=written[-1])
    return written


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 1
    for path in screenshots(*map(Path, arguments)):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
