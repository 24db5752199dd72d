#!/usr/bin/env bash
# Every shell file of the project through shellcheck. Where shellcheck is missing this says so and fails:
# a lint that was skipped in silence is no lint.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v shellcheck >/dev/null || { echo "shellcheck is not installed (Debian, Ubuntu: apt-get install shellcheck)" >&2; exit 1; }
git ls-files --cached --others --exclude-standard '*.sh' .ci/run | xargs -r shellcheck --external-sources --shell=bash
