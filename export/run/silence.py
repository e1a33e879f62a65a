"""What a run says of neurons that never sent anything: nothing it predicts means much then."""

from deploy.emulate.trace import Trace
from deploy.program.program import Program


def silence(program: Program, trace: Trace, note: str) -> list[str]:
    """A warning where no neuron that could fire did, or none of those that predict; else none.

    trace: its counts of messages are over all samples. note: what to do about it.
    """
    # Without a connection into it, a population is a constant.
    firing = [p.name for p in program.populations if not p.is_readout and program.into(p.name)]
    silent = {name for name in firing if not trace.messages[name].any()}
    about = f": {note}" if note else ""
    if firing and len(silent) == len(firing):
        return [f"no neuron fires on the data{about}"]
    predicting = program.outputs[0].source
    if predicting in silent:
        return [f"node '{predicting}', whose spikes predict, never fires on the data{about}"]
    return []
