#!/bin/sh
# Print a random value for each secret that compose.yaml asks for: sh env.sh > .env
set -eu
for name in AIRFLOW_DB_PASSWORD LEDGER_DB_PASSWORD REDIS_PASSWORD API_SECRET_KEY JWT_SECRET; do
    echo "$name=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done
echo "FERNET_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
