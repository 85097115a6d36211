#!/bin/sh
# Install the programs that a cluster needs beside Airflow, as root on Debian and its relatives; elsewhere say what is missing.
set -eu
missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="postgresql"
command -v redis-server >/dev/null || missing="$missing redis-server"
ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || missing="$missing libfaketime"
test -n "$missing" || exit 0
if test "$(id -u)" = 0 && command -v apt-get >/dev/null; then
    echo "Installing $missing by apt-get ..."
    # In this run level no service is started by its installation.
    export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null
    # shellcheck disable=SC2086  # $missing is several words
    apt-get -qq install --yes --no-install-recommends $missing >/dev/null
else
    echo "Please install, by what your system installs with: $missing" >&2
    exit 1
fi
