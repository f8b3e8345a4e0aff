"""Faults: a real daemon in a process, and everything around it breaks."""

import pytest

pytest.register_assert_rewrite("tests.faults.arena", "tests.faults.processes")
