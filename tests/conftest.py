"""Fixtures for all tests that run the program.

    def test_x(gateway, upstream):
        up = upstream()                          # played by the test
        gw = gateway([up], timeout={"attempt": "1s"})
"""
import pytest

from kit.caching import Held, Origin
from kit.gateway import BINARY, Gateway, configuration
from kit.upstream import Server, Upstream


def pytest_generate_tests(metafunc):
    if "cut" in metafunc.fixturenames:
        short = metafunc.definition.get_closest_marker("short_io")
        metafunc.parametrize("cut", ["", "7"] if short else [""],
                             ids=["whole", "short"] if short else [""])


@pytest.fixture
def gateway(tmp_path, cut):
    """Starts gateways: gateway(endpoints, **configuration), or gateway(config=…). At the
    end each is told to stop and must do so cleanly."""
    running = []

    def start(endpoints=(), config=None, env=None, files=None, listens=True, binary=BINARY,
              arguments=(), descriptors=(), **keys):
        directory = tmp_path / f"gateway{len(running)}"
        directory.mkdir()
        environment = dict(env or {})
        if cut:
            environment["SWITCHGEAR_TEST_SHORT_IO"] = cut
        gw = Gateway(directory, config or configuration(endpoints, **keys), environment, files,
                     listens, binary, arguments, descriptors)
        running.append(gw)
        return gw

    yield start
    errors = []
    for gw in running:
        try:
            gw.stop()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture
def upstream():
    """Makes upstreams that the test plays itself."""
    made = []

    def make():
        made.append(Upstream())
        return made[-1]

    yield make
    for up in made:
        up.close()


@pytest.fixture
def server():
    """Makes upstreams that answer by a function."""
    made = []

    def make(respond=None, port=0):
        made.append(Server(respond, port))
        return made[-1]

    yield make
    for up in made:
        up.close()


@pytest.fixture
def origin():
    """Makes upstreams that say how long their answers are good."""
    yield from making(Origin)


@pytest.fixture
def held():
    """The same, who answer when the test lets them."""
    yield from making(Held)


def making(kind):
    made = []

    def make(*args, **keys):
        made.append(kind(*args, **keys))
        return made[-1]

    yield make
    for up in made:
        if isinstance(up, Held):
            up.gate.set()
        up.close()
