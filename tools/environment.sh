#!/bin/sh
# Make a virtual environment and install this repository into it; the Makefile calls it.
#
#   tools/environment.sh lava DIR            Python 3.10 with every extra, or, where no Python 3.10
#                                            can be had, the Python there is, without Lava
#   tools/environment.sh core DIR PYTHON     PYTHON (a version or a path) with the newest torch,
#                                            without Lava
#
# Needs nothing but some Python >= 3.10: `python3`, or the one that the variable PYTHON names. uv is
# used where it is on PATH, and else installed into .tools/.
set -eu

lava_version=${LAVA_PYTHON_VERSION:-3.10}

say() { printf '%s\n' "neuroclip: $*" >&2; }

# The real path of an interpreter >= 3.10, else failure. Names are looked up from outside the
# repository, where pyenv does not insist on the version in .python-version.
real_python() {
    case $1 in
        '') return 1 ;;
        */*) "$1" -c "$2" 2>/dev/null ;;
        [0-9]*) (cd / && PYENV_VERSION=$1 "python$1" -c "$2") 2>/dev/null ;;
        *) (cd / && "$1" -c "$2") 2>/dev/null ;;
    esac
}

find_python() {
    for candidate in "${PYTHON:-}" python3 python; do
        real_python "$candidate" \
            'import sys; sys.version_info < (3, 10) and sys.exit(1); print(sys.executable)' && return
    done
    say "no Python >= 3.10 found; install one, or name it: make PYTHON=/path/to/python3 ..."
    return 1
}

find_uv() {
    if command -v uv; then return; fi
    if [ ! -x .tools/bin/uv ]; then
        python=$(find_python)
        say "installing uv into .tools/"
        "$python" -m venv --clear .tools >&2 || {
            say "$python cannot make virtual environments; install its venv module" \
                "(Debian, Ubuntu: apt install python3-venv), or uv"
            return 1
        }
        .tools/bin/python -m pip install --quiet --disable-pip-version-check uv >&2
    fi
    echo .tools/bin/uv
}

# uv trusts its own list of certificates; behind a proxy that signs anew, only the system's will do.
run_uv() {
    "$uv" "$@" || { say "once more, with the system's certificates" && UV_SYSTEM_CERTS=true "$uv" "$@"; }
}

# A pyenv shim answers only for the versions that are switched on.
make_venv() { (export PYENV_VERSION="$2" && run_uv venv --quiet --clear --python "$2" "$1"); }

install() {
    say "installing into $1 (constraints: $2)"
    run_uv pip install --quiet --python "$1/bin/python" --constraint "$2" --editable ".[$3]" &&
        touch "$1/.installed"
}

kind=$1 venv=$2
uv=$(find_uv)
if [ "$kind" = core ]; then
    make_venv "$venv" "$3"
    install "$venv" constraints-core.txt learn,recordings,fast,partition,cluster,completion,test
elif make_venv "$venv" "$lava_version" 2>/dev/null; then
    install "$venv" constraints.txt learn,recordings,fast,partition,cluster,completion,lava,test,dev,docs
    # Some of them are compiled here; the tests that need one say so where it is missing.
    install "$venv" constraints.txt oracles ||
        say "other people's simulators could not be installed; the tests against them are skipped"
else
    python=$(find_python)
    say "no Python $lava_version could be had; using $python, without Lava"
    make_venv "$venv" "$python"
    install "$venv" constraints-core.txt learn,recordings,fast,partition,cluster,completion,test,dev,docs
fi
# Once, and not at every start where Python may write no bytecode; files of other Pythons do not compile.
say "compiling"
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" deploy export neuroclip >/dev/null 2>&1 || true
