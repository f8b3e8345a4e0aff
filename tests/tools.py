"""Programs that heavier tests need."""

import os
import shutil

import pytest


def needed(name: str, *places: str) -> str:
    """Return the path of a program. Without it the test skips and says why; in CI (CI=true) it fails."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *places]))
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI needs it")
    pytest.skip(f"{name} is not installed")
