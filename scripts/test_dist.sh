#!/bin/sh
# Install the built wheel into an environment of its own, and run the tests of the source distribution against it.
# usage: test_dist.sh UV [OPTION OF pytest ...]
set -eu
uv=$1
shift
case $uv in */*) uv=$(cd "$(dirname "$uv")" && pwd)/$(basename "$uv") ;; esac
pins=$PWD/requirements/airflow-3.3.txt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tar -xzf dist/*.tar.gz -C "$folder" --strip-components 1
"$uv" venv --quiet --python "$(dirname "$uv")/python" "$folder/.venv"
python=$folder/.venv/bin/python
"$uv" pip install --quiet --python "$python" --build-constraints requirements/build.txt --require-hashes -r "$pins"
"$uv" pip install --quiet --python "$python" --no-deps dist/*.whl
# Tests that read the sources read those of the wheel, too.
rm -r "$folder/airflow_provider_tcbilling"
cd "$folder"
ln -s "$("$python" -c 'from importlib.util import find_spec; print(find_spec("airflow_provider_tcbilling").submodule_search_locations[0])')" \
    airflow_provider_tcbilling
"$python" -m pytest -q -m 'not system' --ignore tests/docs "$@"
