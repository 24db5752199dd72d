#!/usr/bin/env bash
# npm run bench:postgres [UPDATES]: see postgres.ts. In the root file system of the tests, which machines/root-file-system.sh makes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $EUID = 0 ]] || { echo "bench:postgres: needs root" >&2; exit 1; }
"$here/../machines/root-file-system.sh" tests
layers=$("$here/../machines/root-file-system.sh" --layers tests | paste -sd :)
exec "$here/../machines/sealed.sh" npx tsx "$here/postgres.ts" "$layers" "$@"
