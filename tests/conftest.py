import os
import shutil

import pytest

_MISSING = "Icarus Verilog (iverilog) is not installed"


def _has_icarus():
    return shutil.which("iverilog") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Leave tests out that need a missing Icarus; MLA_HW_REQUIRE_ICARUS=1 makes it an error."""
    if item.get_closest_marker("icarus") and not _has_icarus():
        if os.environ.get("MLA_HW_REQUIRE_ICARUS") == "1":
            pytest.fail(f"{_MISSING}, but MLA_HW_REQUIRE_ICARUS=1", pytrace=False)
        pytest.skip(_MISSING)


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.getreports("skipped")
    count = sum(_MISSING in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"{_MISSING}: {count} tests were left out.", yellow=True)
