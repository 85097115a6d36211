#!/bin/sh
# Run the suite on each line of Airflow, each in an environment of its own.
# usage: matrix.sh PYTHON UV LINE ...
set -eu
python=$1 uv=$2
shift 2
failed=""
for line in "$@"; do
    env=.matrix/$line
    if ! cmp -s "requirements/airflow-$line.txt" "$env/installed.txt"; then
        "$python" -m venv --clear "$env"
        "$env/bin/python" -m pip install --quiet --disable-pip-version-check "$uv"
        "$env/bin/uv" pip install --quiet --python "$env/bin/python" -r "requirements/airflow-$line.txt" -e '.[sandbox]'
        cp "requirements/airflow-$line.txt" "$env/installed.txt"
    fi
    echo "== Airflow $("$env/bin/python" -c 'from importlib.metadata import version; print(version("apache-airflow"))')"
    "$env/bin/python" -m pytest -q -m 'not system' || failed="$failed $line"
done
if [ -n "$failed" ]; then
    echo "Failed on Airflow$failed"
    exit 1
fi
echo "All of $* passed."
