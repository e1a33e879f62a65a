"""A section of one's own: registered, or offered by an installed distribution, and refused by name."""

import sys
from importlib import import_module
from importlib.metadata import EntryPoint

import pytest

from deploy.errors import BadInput
from deploy.program.program import Program, make_input, make_population
from deploy.report import render
from deploy.report import sections as table
from deploy.report.sections import Section, register, sections

NOTHING = Program((make_input("in", (1,)),), (make_population("n", (1,)),), (), ())


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(table, "_SECTIONS", list(table._SECTIONS))
    table._installed.cache_clear()
    yield
    table._installed.cache_clear()


FILE = """
from deploy.report.sections import Section

def facts(run):
    joules = run.report.get("battery_j")
    return None if joules is None else {"joules": joules, "owner": "<b>me</b>"}

SECTION, OTHER = Section("battery", "What the battery holds", facts, "Battery"), "text"
"""
TEMPLATE = """{% from "parts.html" import num, table, th %}
{% call(row) table("lr", ["of", "holds"], [owner], "Battery") %}
{{ th(row) }}{{ num(joules|joules) }}
{% endcall %}
"""


@pytest.fixture
def battery(tmp_path, monkeypatch) -> Section:
    """The one of `my_battery.py`, with a template of that name beside it."""
    (tmp_path / "my_battery.py").write_text(FILE)
    (tmp_path / "my_battery.html").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_battery", raising=False)
    return import_module("my_battery").SECTION


def order(page: str) -> list[str]:
    return [part.split('"')[0] for part in page.split('<section id="')[1:]]


def test_it_stands_where_it_was_put_and_escapes_what_it_shows(battery):
    register(battery, before="energy")
    register(battery)  # again: no harm
    page = render({"battery_j": 3.5}, {}, NOTHING)
    assert order(page)[order(page).index("battery") + 1] == "energy"
    assert '<a href="#battery">Battery</a>' in page and "What the battery holds" in page
    assert "3.50\u00a0J" in page and "<b>me" not in page and "&lt;b&gt;me" in page
    assert "battery" not in render({}, {}, NOTHING)


def test_an_installed_distribution_offers_one(battery, tmp_path, monkeypatch):
    (tmp_path / "broken_battery.py").write_text("1 / 0")
    offered = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered)

    def offer(value: str) -> None:
        table._installed.cache_clear()
        offered[:] = [EntryPoint("own", value, table.GROUP)]

    offer("my_battery:OTHER")
    with pytest.raises(BadInput, match=r"'own' of neuroclip.sections .+: is no Section but a str"):
        sections()
    offer("broken_battery:SECTION")
    with pytest.raises(BadInput, match="cannot be loaded: division by zero"):
        sections()
    offer("my_battery:SECTION")
    assert sections()[-1] is battery
    assert order(render({"battery_j": 1}, {}, NOTHING))[-1] == "battery"


@pytest.mark.parametrize(
    ("identity", "before", "message"),
    [
        ("energy", None, "section 'energy': taken"),
        ('a" onclick="', None, "taken, or not of a-z"),
        ("mine", "nowhere", "section 'mine': there is no 'nowhere' to go before"),
    ],
)
def test_what_cannot_be_placed_is_refused(identity, before, message):
    section = Section(identity, "Mine", lambda run: {})
    with pytest.raises(BadInput, match=message):
        register(section, before)


def test_a_name_that_the_facts_lack_is_an_error_not_a_gap(battery):
    from jinja2 import UndefinedError

    battery.template.write_text("{{ volts }}")
    register(battery)
    with pytest.raises(UndefinedError, match="volts"):
        render({"battery_j": 1}, {}, NOTHING)
