#!/bin/bash
# stenokeys: what it makes, whom the files belong to, what it leaves alone, and what it refuses.
# Usage: stenokeys_test.sh STENOKEYS
set -u
stenokeys=$1
root=$(mktemp -d) || exit 1
trap 'rm -rf "$root"' EXIT
failures=0

fail() {
  echo "FAIL (line ${BASH_LINENO[0]}): $*"
  failures=$((failures + 1))
}

# must COMMAND...: it succeeds. must_not COMMAND...: it fails. Their output goes to $root/out.
must() { "$@" > "$root/out" 2>&1 || fail "$* failed: $(cat "$root/out")"; }
must_not() { ! "$@" > "$root/out" 2>&1 || fail "$* succeeded"; }
said() { grep -qF -- "$1" "$root/out" || fail "expected '$1' in: $(cat "$root/out")"; }

# mode_is FILE MODE
mode_is() { [ "$(stat -Lc %a "$1")" = "$2" ] || fail "$1 has mode $(stat -Lc %a "$1"), expected $2"; }
text_of() { openssl x509 -in "$1" -noout -text; }
# has CERTIFICATE TEXT
has() { text_of "$1" | grep -qF -- "$2" || fail "$1 lacks '$2'"; }
sums() { (cd "$1" && sha256sum -- *); }

fresh_set() {
  local dir=$root/fresh name
  must "$stenokeys" --dir "$dir" --host sensor.example --host 192.0.2.7 --client docket
  mode_is "$dir" 755
  for name in ca_cert server_cert client_cert client_docket_cert; do mode_is "$dir/$name.pem" 444; done
  for name in ca_key server_key; do mode_is "$dir/$name.pem" 400; done
  for name in client_key client_docket_key; do mode_is "$dir/$name.pem" 440; done
  [ "$(readlink "$dir/server_key.pem")" = server_127.0.0.1_key.pem ] || fail "server_key.pem is not a link to its name"
  [ "$(readlink "$dir/client_cert.pem")" = client_127.0.0.1_client_cert.pem ] || fail "client_cert.pem is not a link"
  [ -z "$(find "$dir" -name '.*' -mindepth 1)" ] || fail "hidden files are left: $(ls -A "$dir")"

  must openssl verify -x509_strict -purpose sslserver -CAfile "$dir/ca_cert.pem" "$dir/server_cert.pem"
  must openssl verify -x509_strict -purpose sslclient -CAfile "$dir/ca_cert.pem" "$dir/client_cert.pem"
  must openssl verify -x509_strict -purpose sslclient -CAfile "$dir/ca_cert.pem" "$dir/client_docket_cert.pem"
  must_not openssl verify -purpose sslclient -CAfile "$dir/ca_cert.pem" "$dir/server_cert.pem"
  must_not openssl verify -purpose sslserver -CAfile "$dir/ca_cert.pem" "$dir/client_cert.pem"
  for name in localhost sensor.example "$(hostname)"; do
    must openssl verify -verify_hostname "$name" -CAfile "$dir/ca_cert.pem" "$dir/server_cert.pem"
  done
  for name in 127.0.0.1 ::1 192.0.2.7; do
    must openssl verify -verify_ip "$name" -CAfile "$dir/ca_cert.pem" "$dir/server_cert.pem"
  done
  must_not openssl verify -verify_hostname other.example -CAfile "$dir/ca_cert.pem" "$dir/server_cert.pem"
  has "$dir/ca_cert.pem" "CA:TRUE"
  has "$dir/ca_cert.pem" "Certificate Sign"
  has "$dir/client_docket_cert.pem" "CN = docket"
  must openssl x509 -in "$dir/server_cert.pem" -noout -checkend $((9998 * 86400))
}

second_run_keeps_and_adds() {
  local dir=$root/fresh before
  before=$(sums "$dir")
  must "$stenokeys" --dir "$dir"
  said "kept $dir/server_cert.pem"
  [ "$(sums "$dir")" = "$before" ] || fail "a second run changed files"
  must "$stenokeys" --dir "$dir" --client second
  [ "$(sums "$dir" | grep -v second)" = "$before" ] || fail "a further client changed other files"
  must openssl verify -CAfile "$dir/ca_cert.pem" "$dir/client_second_cert.pem"
  rm -f "$dir"/server_*
  must "$stenokeys" --dir "$dir"
  must openssl verify -CAfile "$dir/ca_cert.pem" "$dir/server_cert.pem"
  rm -f "$dir"/client_127*cert.pem
  must "$stenokeys" --dir "$dir"
  said "kept $dir/client_127.0.0.1_client_key.pem"
  must openssl verify -CAfile "$dir/ca_cert.pem" "$dir/client_cert.pem"
}

# is_root: true as the real root, who may give files away; not as the root of a user namespace.
is_root() { [ "$(id -u)" = 0 ] && grep -q '^ *0 *0 *4294967295' /proc/self/uid_map; }

follows_the_configuration() {
  local certs=$root/configured/certs user group
  user=$(id -un) group=$(id -g)
  if is_root; then user=nobody group=65534; fi
  echo "{\"Host\": \"203.0.113.9\", \"CertPath\": \"$certs\", \"Port\": 1}" > "$root/config"
  must env STENOGRAPHER_CONFIG="$root/config" "$stenokeys" "$user" "$group"
  must openssl verify -verify_ip 203.0.113.9 -CAfile "$certs/ca_cert.pem" "$certs/server_cert.pem"
  [ -e "$certs/server_203.0.113.9_cert.pem" ] || fail "the server's file is not named after Host"
  mode_is "$root/configured" 755
  [ "$(stat -Lc %U "$certs/server_key.pem")" = "$user" ] || fail "server_key.pem is of the wrong owner"
  [ "$(stat -Lc %g "$certs/client_key.pem")" = "$group" ] || fail "client_key.pem is of the wrong group"
  [ "$(stat -Lc %U "$certs/ca_key.pem")" = "$(id -un)" ] || fail "ca_key.pem is of the wrong owner"
  [ "$(stat -Lc %U "$certs/client_key.pem")" = "$(id -un)" ] || fail "client_key.pem is of the wrong owner"
}

refuses() {
  local dir=$root/fresh
  must_not "$stenokeys"; said "Usage:"
  must_not "$stenokeys" one; said "Usage:"
  must_not "$stenokeys" --dir; said "a value must follow"
  must_not "$stenokeys" --frob; said "unknown option"
  must_not "$stenokeys" --dir "$root/x" --client ../evil; said "expected letters"
  must_not "$stenokeys" --dir "$root/y" --host 'a b'; said "neither a host name nor an address"
  must_not env STENOGRAPHER_CONFIG="$root/absent" "$stenokeys" a b; said "no directory"
  must "$stenokeys" --help
  # Pieces that do not fit together.
  cp -a "$dir" "$root/mixed" && rm -f "$root/mixed"/ca_*
  must_not "$stenokeys" --dir "$root/mixed"; said "is not signed by"
  cp -a "$dir" "$root/keyless" && rm -f "$root/keyless"/server_127*key.pem
  must_not "$stenokeys" --dir "$root/keyless"; said "is there without its key"
  cp -a "$dir" "$root/swapped" && rm -f "$root/swapped/server_127.0.0.1_key.pem" &&
    cp "$dir/client_key.pem" "$root/swapped/server_127.0.0.1_key.pem"
  must_not "$stenokeys" --dir "$root/swapped"; said "is not the key of"
  cp -a "$dir" "$root/noca" && rm -f "$root/noca/ca_key.pem" "$root/noca"/server_*
  must_not "$stenokeys" --dir "$root/noca"; said "which would sign it"
  cp -a "$dir" "$root/offline" && rm -f "$root/offline/ca_key.pem"
  must "$stenokeys" --dir "$root/offline"  # an authority kept elsewhere is no fault while nothing is to be signed
}

notices_old_certificates() {
  local dir=$root/old
  cp -a "$root/fresh" "$dir" && rm -f "$dir"/server_127*cert.pem
  must openssl req -new -key "$dir/server_key.pem" -subj /CN=127.0.0.1 -out "$root/request"
  must openssl x509 -req -in "$root/request" -CA "$dir/ca_cert.pem" -CAkey "$dir/ca_key.pem" -set_serial 7 -days 9 \
    -out "$dir/server_127.0.0.1_cert.pem"
  must "$stenokeys" --dir "$dir"
  said "no subjectAltName"
}

fresh_set
second_run_keeps_and_adds
follows_the_configuration
refuses
notices_old_certificates
[ $failures = 0 ] && echo "stenokeys does what it should"
exit $((failures > 0))
