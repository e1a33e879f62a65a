"""What exchanging layers costs in words: the cores' own counts, split by connection."""

from deploy.count.exchange import exchange_cost
from deploy.hardware.chip import load_chip
from deploy.map.core.costs import core_report
from deploy.map.partition import partition
from deploy.report.words import sentences as words


def test_the_words_of_all_connections_are_those_of_the_cores(random_program):
    chip = load_chip("loihi2")
    for seed in range(6):
        program = random_program(seed)
        mapping = partition(program, chip)
        names = [c.name for c in program.connections]
        found = [exchange_cost(program, chip, mapping, [name]) for name in names]
        cores = core_report(program, chip, mapping)["list"]
        held = sum(core["used"]["synapse_words"] for core in cores)
        assert sum(x["synapse_words"] for x in found) == held == found[0]["of"]
        assert all(x["synapse_words"] > 0 for x in found)


def test_the_report_says_it_where_there_are_labels():
    report = {"new_labels": {"layers": ["text"], "synapse_words": 1200, "of": 34000}}
    held, of = words.count(1200), words.count(34000)
    assert words.new_labels(report) == f"exchange 'text': {held} of {of} synapse words"
    assert words.new_labels({"new_labels": None}) is None and words.new_labels({}) is None
