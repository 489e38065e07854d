"""What a test needs is said by its folder: all below a folder `integration` carry that mark."""

import signal

import pytest


def pytest_configure() -> None:
    # Who is started in the background of a shell ignores Ctrl-C, and so do the processes that the
    # tests start, some of which are to be ended by it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "integration" in item.path.relative_to(config.rootpath).parts:
            item.add_marker(pytest.mark.integration)
