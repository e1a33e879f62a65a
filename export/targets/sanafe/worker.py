"""The process that runs SANA-FE: `worker.py ARCHITECTURE NETWORK STEPS OUT PARENT`, answered in OUT.

It imports nothing of ours, so that a crash of SANA-FE, which ends its process, ends this one alone.

{"version", "energy": {category: joules}, "time_s", "sent": packets, "per_step": {"fired",
"synapses", "time_s": [steps]}, "packets": {"tile.core>tile.core": [packets, hops]}}
"""

import csv
import ctypes
import json
import os
import signal
import sys
from importlib.metadata import version


def main(architecture: str, network: str, steps: str, out: str, parent: str) -> None:
    """Simulate the network and write what SANA-FE counted; this process does not outlive its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != int(parent):
            return
    import sanafe

    arch = sanafe.load_arch(architecture)
    chip = sanafe.SpikingChip(arch)
    chip.load(sanafe.load_net(network, arch))
    trace = f"{out}.messages.csv"
    found = chip.sim(int(steps), processing_threads=1, perf_trace=True, message_trace=trace)
    perf = found["perf_trace"]
    with open(out, "w", encoding="utf-8") as file:
        json.dump(
            {
                "version": version("sanafe"),
                "energy": found["energy"],
                "time_s": found["sim_time"],
                "sent": found["packets_sent"],
                "per_step": {
                    "fired": perf["fired"],
                    "synapses": perf["spikes"],
                    "time_s": perf["sim_time"],
                },
                "packets": _packets(trace),
            },
            file,
        )


def _packets(trace: str) -> dict[str, list[int]]:
    """Packets and hops by sending and receiving core; placeholders are not packets."""
    found: dict[str, list[int]] = {}
    with open(trace, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if int(row["mid"]) >= 0:
                pair = found.setdefault(f"{row['src_hw']}>{row['dest_hw']}", [0, 0])
                pair[0] += 1
                pair[1] += int(row["hops"])
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
