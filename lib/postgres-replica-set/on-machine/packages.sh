# The keys and the index of a repository, before anything is installed from it: PACKAGE, PATRONI (its first number), KEYS (an URL, or nothing
# where the code has the keys themselves), KEYRING
# shellcheck shell=bash
: "${PACKAGE:?}" "${PATRONI:?}" "${KEYRING:?}"
if [[ -n ${KEYS:-} ]]; then
  curl --fail --silent --show-error --location --retry 3 --max-time 120 --output "$KEYRING.new" "$KEYS" ||
    { echo "the signing keys could not be fetched from $KEYS" >&2; exit 1; }
  chmod 644 "$KEYRING.new"
  mv "$KEYRING.new" "$KEYRING"
fi
# this repository alone: the machine's other ones are none of our business
source=/etc/apt/sources.list.d/cdktf-ha-postgres.sources
log=$(mktemp)
trap 'rm --force "$log"' EXIT
apt-get --quiet --option DPkg::Lock::Timeout=300 --option Acquire::Retries=3 --option "Dir::Etc::sourcelist=$source" \
  --option Dir::Etc::sourceparts=- --option APT::Get::List-Cleanup=0 --error-on=any update >"$log" 2>&1 ||
  { grep -E '^[EW]: ' "$log" | sort --unique | head -n 5 >&2 || tail -n 5 "$log" >&2; echo "$source could not be read" >&2; exit 1; }
apt-get --quiet --simulate --no-install-recommends install "$PACKAGE" "patroni=$PATRONI.*" >"$log" 2>&1 ||
  { grep -E '^E: ' "$log" >&2; echo "this machine's sources have no $PACKAGE, or no Patroni $PATRONI, or not what they need" >&2; exit 1; }
# The package restarts a Patroni that runs, on all members at once; its restart comes later, in its turn.
have=$(dpkg-query --show --showformat='${db:Status-Abbrev}${Version}' patroni 2>/dev/null || true)
[[ $have != "ii $PATRONI."* ]] || exit 0
guard=/run/cdktf-ha-installs-patroni policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  cat >"$policy" <<TEXT
#!/bin/sh
# cdktf-ha-clusters: Patroni is not restarted by its package
case " \$* " in *" patroni "* | *" patroni.service "*) [ ! -e $guard ] || exit 101 ;; esac
TEXT
  chmod 755 "$policy"
fi
trap 'rm --force "$log" "$guard"; ! grep --quiet "^# cdktf-ha-clusters" "$policy" || rm "$policy"' EXIT
touch "$guard"
status=0
"$policy" patroni restart || status=$?
((status == 101)) || { echo "$policy would let the package restart Patroni: remove it, or let it exit with 101" >&2; exit 1; }
DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --no-install-recommends --allow-downgrades --option DPkg::Lock::Timeout=300 \
  --option Dpkg::Options::=--force-confold install "patroni=$PATRONI.*" >"$log" 2>&1 ||
  { tail -n 15 "$log" >&2; echo "Patroni $PATRONI could not be installed" >&2; exit 1; }
