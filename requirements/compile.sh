#!/bin/sh
# Compiles the locks from pyproject.toml: one per extra, with hashes, and with
# versions that agree. Arguments go to uv (--upgrade, --upgrade-package NAME).
set -eu
cd "$(dirname "$0")/.."
lock() {
  extra=$1
  shift
  .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
    --extra "$extra" pyproject.toml --output-file "requirements/$extra.txt" "$@"
}
# The largest first: the others take its versions.
lock bench "$@"
for extra in dev local identity tracking labs gateway; do
  lock "$extra" --constraint requirements/bench.txt "$@"
done
