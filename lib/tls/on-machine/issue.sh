#!/bin/bash
# issue.sh AUTHORITY TARGET ORGANISATION NAME ALTERNATIVE...
# A key that never leaves this machine, and a certificate for its name and the alternatives (IP:10.0.1.41, DNS:pg.example.net):
# where there is none, a month before it ends, and for another authority or other names. Says so then, and nothing otherwise.
set -euo pipefail
authority=$1 target=$2 organisation=$3 name=$4
alternatives=$(IFS=, && printf '%s' "DNS:$name${5+,}${*:5}")
umask 077
made_of=$({ openssl x509 -in "$authority" -outform PEM && printf '%s\n' "$organisation" "$alternatives"; } | sha256sum)
if [[ -s $target && $(cat "$target.made-of" 2>/dev/null) == "$made_of" ]] &&
  openssl x509 -in "$target" -noout -checkend $((30 * 86400)) >/dev/null; then
  exit 0
fi
work=$(mktemp --directory "$target.XXXXXX")
trap 'rm --recursive --force "$work"' EXIT
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n' "$alternatives" >"$work/extensions"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=$organisation/CN=$name" -keyout "$work/key.pem" -out "$work/request.pem" 2>/dev/null
if ! openssl x509 -req -in "$work/request.pem" -extfile "$work/extensions" -days 365 -set_serial "0x$(openssl rand -hex 16)" \
  -CA "$authority" -CAkey "$authority" -out "$work/certificate.pem" 2>/dev/null; then
  echo "the authority could not sign: is its key in the same PEM as its certificate?" >&2
  exit 1
fi
cat "$work/certificate.pem" "$work/key.pem" >"$work/node.pem"
if [[ -e $target ]]; then
  chown --reference="$target" "$work/node.pem"
  chmod --reference="$target" "$work/node.pem"
fi
mv "$work/node.pem" "$target"
printf '%s\n' "$made_of" >"$target.made-of"
printf 'issued itself a certificate, until %s\n' "$(openssl x509 -in "$target" -noout -enddate | cut -d = -f 2)"
