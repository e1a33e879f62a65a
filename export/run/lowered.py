"""From a deployment to the program that runs: lowered, written to files, and read back from them."""

from pathlib import Path

from deploy.compare.parity import compare_registers
from deploy.emulate.reference import check_inputs
from deploy.errors import BadInput, CheckFailed
from deploy.program.file import load_program, save_program
from deploy.program.program import Program, registers
from export.deployment.deployment import Deployment
from export.lowering.exact import lower
from export.nir_format.read.file import read_nir
from export.nir_format.write.file import write_nir
from export.nir_format.write.program import program_graph


def lowered(deployment: Deployment, dt: float) -> Program:
    """The program of a deployment, which its data fits; errors name the model or the data."""
    try:
        program = deployment.program
        if program is None:
            assert deployment.graph is not None
            program = lower(deployment.graph, dt=dt, input_ranges=deployment.input_ranges)
    except BadInput as error:
        raise BadInput(f"{deployment.model}: {error}") from error
    try:
        check_inputs(program, deployment.inputs)
    except BadInput as error:
        raise BadInput(f"{deployment.data}: {error}") from error
    classes = len(deployment.class_names) or program.population(program.outputs[0].source).size
    labels = () if deployment.labels is None else deployment.labels
    for sample, label in enumerate(labels):
        if not 0 <= label < classes:
            raise BadInput(
                f"{deployment.data}: label {label} of sample {sample} is not one of the {classes} "
                f"classes 0..{classes - 1}"
            )
    return program


def through_files(
    deployment: Deployment, program: Program, dt: float, out: Path
) -> tuple[Program, str]:
    """Write the graph and the program, and read both back: what is written is what is run.

    Returns the program as read, and why there is no model.nir where NIR cannot hold a program that
    did not come as a graph; such a one is not read from NIR, where lists of synapses are dense.
    """
    graph_file, program_file = out / "model.nir", out / "program.npz"
    unwritten = ""
    again = program
    try:
        write_nir(graph_file, deployment.graph or program_graph(program, dt))
        if deployment.graph is not None:
            again = lower(read_nir(graph_file), dt=dt, input_ranges=deployment.input_ranges)
    except BadInput as error:
        if deployment.graph is not None:
            raise
        graph_file.unlink(missing_ok=True)
        reason = str(error).replace(f"{graph_file}: ", "")
        unwritten = f"model.nir is not written: {reason}"
    save_program(program_file, again)
    loaded = load_program(program_file)
    different = compare_registers(registers(program), registers(loaded))
    if different is not None:
        raise CheckFailed(f"{graph_file}: read back, it holds another {different}")
    return loaded, unwritten
