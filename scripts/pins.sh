#!/bin/sh
# Write each requirements/NAME.txt from its NAME.in: every package it needs on any system, with the hashes of every file
# of the release. What NAME.txt pins already stays as it is, unless an option says otherwise.
# usage: pins.sh UV [OPTION OF uv pip compile ...]
set -eu
uv=$1
shift
for file in airflow-2.11 airflow-3.0 airflow-3.1 airflow-3.2 airflow-3.3 airflow-3.4 audit bench build check cluster uv; do
    oldest=$(sed -n '1s/.* on Python \([0-9.]*\) .*/\1/p' "requirements/$file.in")
    project=""
    case $file in airflow-*) project="pyproject.toml --extra sandbox" ;; esac
    # shellcheck disable=SC2086  # $project is several words, or none
    "$uv" pip compile --quiet --universal --python-version "$oldest" --no-python-downloads --generate-hashes \
        --no-annotate --custom-compile-command "make pins" --output-file "requirements/$file.txt" \
        "$@" "requirements/$file.in" $project
done
