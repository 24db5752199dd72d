#!/bin/bash
# Certificates as Java reads them: PKCS12 stores made from the PEM files. Status RING_UNCHANGED where nothing changed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
[[ $RING_TLS != none ]] || exit "$RING_UNCHANGED"
ETC=/etc/cassandra/tls
OWN=$RING_DATA/tls
install --directory --mode=0750 --owner=root --group=cassandra "$OWN"
password=$(<"$ETC/store-password")
chain=$ETC/node.pem

# A key that never leaves this machine, and a certificate for this node's name and address.
issue() {
  local work subject
  work=$(mktemp --directory "$OWN/issue.XXXXXX")
  # shellcheck disable=SC2064 # now
  trap "rm --recursive --force '$work'" RETURN
  printf 'subjectAltName=DNS:%s,IP:%s\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n' "$RING_NODE" "$RING_ADDRESS" >"$work/extensions"
  subject="/O=$RING_CLUSTER/CN=$RING_NODE"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" -keyout "$work/key.pem" -out "$work/request.pem" 2>/dev/null
  openssl x509 -req -in "$work/request.pem" -extfile "$work/extensions" -days 365 -set_serial "0x$(openssl rand -hex 16)" \
    -CA "$ETC/authority.pem" -CAkey "$ETC/authority.pem" -out "$work/certificate.pem" 2>/dev/null || ring_fail "the authority could not sign: is its key in the same PEM as its certificate?"
  cat "$work/certificate.pem" "$work/key.pem" >"$work/node.pem"
  chmod 600 "$work/node.pem"
  mv "$work/node.pem" "$OWN/node.pem"
  openssl x509 -in "$ETC/authority.pem" -outform PEM >"$OWN/issued-by.pem"
  ring_note "issued itself a certificate, until $(openssl x509 -in "$OWN/node.pem" -noout -enddate | cut -d = -f 2)"
}

if [[ $RING_TLS == authority ]]; then
  chain=$OWN/node.pem
  if [[ ! -s $chain ]] || ! openssl x509 -in "$chain" -noout -checkend $((30 * 86400)) >/dev/null ||
    ! cmp --silent "$OWN/issued-by.pem" <(openssl x509 -in "$ETC/authority.pem" -outform PEM) ||
    ! openssl x509 -in "$chain" -noout -ext subjectAltName | grep -F "IP Address:$RING_ADDRESS" >/dev/null; then
    issue
  fi
fi
made_of=$({ cat "$chain" "$ETC/trusted.pem" "$ETC/store-password"; } | sha256sum)
if [[ $(cat "$OWN/made-of" 2>/dev/null) == "$made_of" ]]; then exit "$RING_UNCHANGED"; fi
work=$(mktemp --directory "$OWN/new.XXXXXX")
trap 'rm --recursive --force "$work"' EXIT
export PASSWORD=$password
openssl pkcs12 -export -in "$chain" -inkey "$chain" -name node -certpbe AES-256-CBC -keypbe AES-256-CBC -passout env:PASSWORD -out "$work/keystore.p12"
csplit --quiet --elide-empty-files --prefix="$work/trusted-" --suffix-format=%03d.pem "$ETC/trusted.pem" '/-----BEGIN CERTIFICATE-----/' '{*}'
ring_find_java
for certificate in "$work"/trusted-*.pem; do
  grep -q 'BEGIN CERTIFICATE' "$certificate" || continue
  "$(dirname "$RING_JAVA")/keytool" -importcert -noprompt -trustcacerts -storetype PKCS12 -keystore "$work/truststore.p12" \
    -storepass:env PASSWORD -alias "$(basename "$certificate" .pem)" -file "$certificate" >"$work/words" 2>&1 || ring_fail "$(<"$work/words")"
done
for store in keystore truststore; do
  chown root:cassandra "$work/$store.p12"
  chmod 640 "$work/$store.p12"
  mv "$work/$store.p12" "$OWN/$store.p12"
done
printf '%s\n' "$made_of" >"$OWN/made-of"
