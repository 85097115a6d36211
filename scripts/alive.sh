#!/bin/sh
# Run a command, and print a line every ten seconds while it runs. Its exit code is the command's.
# usage: alive.sh ACTIVITY COMMAND [ARGUMENT ...]
set -eu
activity=$1
shift
(
    seconds=0
    while sleep 10 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        seconds=$((seconds + 10))
        echo "  $activity: $seconds s ..."
    done
) &
ticker=$!
trap 'kill "$ticker" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@"
