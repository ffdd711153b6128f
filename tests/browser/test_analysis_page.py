"""The page of ``mla-hw analyze`` in a browser."""

import pytest

from mla_hw.cli.analyze import analyze
from tests.browser.screenshots import opened

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_silent_and_without_a_network(tmp_path, scheme):
    path = tmp_path / "page.html"
    analyze("deepseek-v3", contexts=(128, 1024, 4096), batches=(1, 4), html=path)
    with opened(path, color_scheme=scheme) as page:
        page.wait_for_timeout(300)
        assert [line for line in page.seen if not line.startswith("request: file:")] == []
        assert len(page.seen) == 1
        for name in ("cycles-1", "energy-1", "cycles-4", "energy-4", "roofline", "traffic"):
            plot = page.locator(f"#{name}-plot .main-svg").first
            assert plot.bounding_box()["height"] > 200
        # A line per scheme.
        assert page.locator("#cycles-1-plot .scatterlayer .trace").count() == 7
