import re

import pytest
from xdist.scheduler import LoadFileScheduling


class OneProcessPerCore(LoadFileScheduling):
    """Keeps the tests of a file in one process, and those of a core of ``tests/system``."""

    def _split_scope(self, nodeid):
        if not nodeid.startswith("tests/system/"):
            return super()._split_scope(nodeid)
        core = re.search(r"\[([a-z0-9-]+-\d+x\d+)", nodeid)
        return core[1] if core else "tiny-v3-4x8"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return OneProcessPerCore(config, log) if config.getoption("dist") == "loadfile" else None
