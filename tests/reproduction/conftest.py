import pytest

from mla_hw.cli.paper import paper
from mla_hw.reproduction.counts import METHODS, ORDERS, count_method, count_order


@pytest.fixture(scope="session")
def methods():
    return {name: count_method(name) for name in METHODS}


@pytest.fixture(scope="session")
def orders():
    return {name: count_order(name) for name in ORDERS}


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """What the command says and leaves behind; not to be changed."""
    return paper(tmp_path_factory.mktemp("paper") / "out")
