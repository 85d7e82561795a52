#!/usr/bin/env bash
# Runs tests under another Python: scripts/other_python.sh PYTHON PYTEST-ARGUMENTS…  It has an environment of its own under var/tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
venv="var/tests/python-$version"
stamp="$venv/.stamp"
if [ ! -e "$stamp" ] || [ requirements-dev.txt -nt "$stamp" ]; then
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip --disable-pip-version-check install -qq --require-hashes -r requirements.txt
    "$venv/bin/python" -m pip --disable-pip-version-check install -qq --require-hashes -r requirements-dev.txt
    "$venv/bin/python" -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation -e .
    touch "$stamp"
fi
echo "Python $version"
exec "$venv/bin/python" -m pytest "$@"
