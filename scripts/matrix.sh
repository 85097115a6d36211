#!/bin/sh
# Run the suite on lines of Airflow whose environments are ready.
# usage: matrix.sh LINE ...
set -eu
failed=""
for line in "$@"; do
    python=.matrix/$line/bin/python
    echo "== Airflow $("$python" -c 'from importlib.metadata import version; print(version("apache-airflow"))')"
    "$python" -m pytest -q -m 'not system' -n auto --dist worksteal || failed="$failed $line"
done
if [ -n "$failed" ]; then
    echo "Failed on Airflow$failed"
    exit 1
fi
echo "All of $* passed."
