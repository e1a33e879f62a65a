"""`--completion bash`: what the printed script offers at the TAB key, asked of bash itself."""

import shutil
import subprocess

import pytest

pytest.importorskip("shtab")

from export.commands.main import main as export
from neuroclip.commands.main import COMMANDS
from neuroclip.commands.main import main as neuroclip

ASK = """
offered() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  found=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
  "$found" "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
  echo "${COMPREPLY[*]}"
}
"""


def offered(script, *words):
    """What bash offers for the last of the words, with this script read."""
    asked = "offered " + " ".join(f"'{word}'" for word in words)
    ran = subprocess.run(
        ["bash", "-c", f"{script}\n{ASK}\n{asked}"], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_their_values(capsys, tmp_path, monkeypatch):
    def script(command):
        with pytest.raises(SystemExit) as end:
            command(["--completion", "bash"])
        assert end.value.code in (None, 0)
        return capsys.readouterr().out

    ours, exports = script(neuroclip), script(export)
    assert offered(ours, "neuroclip", "") == {name for name in COMMANDS if " " not in name}
    assert offered(ours, "neuroclip", "train", "") == {"adapter", "clip", "spikeclip", "network"}
    stages = offered(ours, "neuroclip", "train", "spikeclip", "--stage", "")
    assert stages == {"teacher", "align", "finetune"}
    assert offered(ours, "neuroclip", "evaluate", "--spl") == {"--split"}
    assert offered(exports, "neuroclip-export", "--target", "") >= {"lava", "emulator", "nir"}
    (tmp_path / "graph.nir").touch()
    monkeypatch.chdir(tmp_path)
    assert offered(exports, "neuroclip-export", "gra") == {"graph.nir"}
    assert offered(exports, "neuroclip-export", "--chip", "gra") == {"graph.nir"}


@pytest.mark.parametrize("command", [neuroclip, export])
@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_the_other_shells_get_a_script(command, shell, capsys):
    with pytest.raises(SystemExit):
        command(["--completion", shell])
    assert "neuroclip" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        command(["--completion", "dos"])
    assert end.value.code == 2
