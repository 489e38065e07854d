"""What a test needs is said by its folder: all below a folder `integration` carry that mark."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "integration" in item.path.relative_to(config.rootpath).parts:
            item.add_marker(pytest.mark.integration)
