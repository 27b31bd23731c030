#!/usr/bin/env bash
# Writes the locked versions anew, for every platform and Python that the project supports, with their hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { "${VENV:-.venv}/bin/uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-annotate "$@" pyproject.toml; }
lock --extra dev -o deploy/requirements-dev.txt
lock --constraint deploy/requirements-dev.txt -o deploy/requirements.txt
