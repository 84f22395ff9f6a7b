import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "short: the part that also runs under the sanitizers")


@pytest.fixture(autouse=True)
def readable(request, capsys):
    """Seeds are printed even when a test passes."""
    yield
    with capsys.disabled():
        for line in getattr(request.module, "SAID", [])[:]:
            print("\n" + line, end="")
            request.module.SAID.remove(line)
