import os
import re
import shutil

import pytest
from xdist.scheduler import LoadFileScheduling

_MISSING = "Icarus Verilog (iverilog) is not installed"


def _has_icarus():
    return shutil.which("iverilog") is not None


class OneProcessPerCore(LoadFileScheduling):
    """Keeps the tests of a file in one process, and those of a core of ``tests/system``."""

    def _split_scope(self, nodeid):
        if not nodeid.startswith("tests/system/"):
            return super()._split_scope(nodeid)
        core = re.search(r"\[([a-z0-9-]+-\d+x\d+)", nodeid)
        return core[1] if core else "tiny-v3-4x8"


def pytest_xdist_make_scheduler(config, log):
    return OneProcessPerCore(config, log)


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
