"""A report as a run writes it, for the tests to change."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def report() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("report_synthetic.json").read_text("utf-8"))
