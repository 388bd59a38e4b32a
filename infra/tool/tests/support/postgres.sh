#!/usr/bin/env bash
# A Postgres server with TLS for one test, in the current folder, until standard input ends. It prints its port when it
# answers; `ca.pem` vouches for it as `localhost`. With nothing installed it ends with status 77.
set -euo pipefail
PATH=$PATH:$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV | paste -sd:)
command -v initdb >/dev/null && command -v openssl >/dev/null || exit 77
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "$@" 2>/dev/null; }
make -keyout ca.key -out ca.pem -subj /CN=ours
make -keyout server.key -out server.crt -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key
chmod 600 server.key
# Postgres refuses to run as root, so root hands the folder to somebody else.
as=()
if [[ $(id -u) == 0 ]]; then
  user=$(id -un postgres 2>/dev/null || echo nobody)
  chown -R "$user" .
  as=(runuser -u "$user" --)
fi
"${as[@]}" "$(command -v initdb)" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1
printf 'local all postgres trust\nhostssl all all all scram-sha-256\n' >data/pg_hba.conf
"${as[@]}" "$(command -v postgres)" -D data -p "$PORT" -c listen_addresses=localhost -c unix_socket_directories="$PWD" \
  -c ssl=on -c ssl_cert_file="$PWD/server.crt" -c ssl_key_file="$PWD/server.key" -c fsync=off >server.log 2>&1 </dev/null &
for _ in $(seq 600); do
  if psql -h "$PWD" -p "$PORT" -U postgres -qc 'SELECT 1' >/dev/null 2>&1; then
    psql -h "$PWD" -p "$PORT" -U postgres -q --set=ON_ERROR_STOP=1 --file="$SETUP" >setup.log 2>&1 || { cat setup.log >&2; break; }
    echo ready
    break
  fi
  sleep 0.1
done
cat >/dev/null
kill -INT "$(head -1 data/postmaster.pid)"
wait
