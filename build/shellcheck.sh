#!/usr/bin/env bash
# Every shell file of the project through shellcheck. Where shellcheck is missing this says so and fails:
# a lint that was skipped in silence is no lint.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v shellcheck >/dev/null || { echo "shellcheck is not installed (Debian, Ubuntu: apt-get install shellcheck)" >&2; exit 1; }
listed() { git ls-files --cached --others --exclude-standard -- "$@"; }

# The parts of the push program are one program on the machines: what one sets, another one reads.
program=$(mktemp --suffix=.sh)
trap 'rm -f "$program"' EXIT
listed 'lib/push/on-machine/*.sh' | sort | xargs cat >"$program"
shellcheck --shell=bash "$program" || { echo "(lines are those of lib/push/on-machine/*.sh joined)" >&2; exit 1; }

listed '*.sh' .ci/run ':!lib/push/on-machine/*.sh' | xargs -r shellcheck --external-sources --shell=bash

# grep -q ends at the first match; with pipefail whoever still writes to it makes that a failure, now and then.
if listed '*.sh' .ci/run | xargs -r grep --line-number --extended-regexp '\| *grep (-[a-zA-Z]*q|[^|]*--quiet)'; then
  echo "grep behind a pipe: >/dev/null instead of -q" >&2
  exit 1
fi
