#!/bin/sh
# Resolve the newest versions that go together into constraints.txt and constraints-core.txt.
set -eu

uv=$(command -v uv || echo .tools/bin/uv)

compile() { "$uv" pip compile --quiet --no-header --no-annotate --upgrade "$@" pyproject.toml; }

header() {
    echo "# $1"
    echo "# Written by \`make constraints\`."
}

{
    header "Versions for Python 3.10 with Lava; those that another platform does not need do no harm."
    compile --python-version 3.10 --python-platform x86_64-unknown-linux-gnu \
        --extra learn --extra recordings --extra teachers --extra fast --extra partition --extra completion --extra cluster --extra lava \
        --extra oracles --extra test --extra dev --extra docs
} >constraints.new
{
    header "Versions for Python 3.11 and later, without Lava, on any platform."
    compile --universal --python-version 3.11 --extra learn --extra recordings --extra teachers --extra fast \
        --extra partition --extra completion --extra cluster --extra test --extra dev --extra docs
} >constraints-core.new
mv constraints.new constraints.txt
mv constraints-core.new constraints-core.txt
