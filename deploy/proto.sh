#!/usr/bin/env bash
# Generates the Python code of proto/ anew: messages, gRPC stubs and their types. The result is checked in.
# Usage: proto.sh [FOLDER]   (FOLDER: where to write, default the project itself)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
bin=${VENV:-.venv}/bin
"$bin/python" -m grpc_tools.protoc -I . \
    --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" \
    --python_out="$out" --mypy_out="quiet:$out" \
    proto/dockrunner/v1/*.proto
"$bin/python" -m grpc_tools.protoc -I . --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
    --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" proto/dockrunner/v1/control_plane.proto
