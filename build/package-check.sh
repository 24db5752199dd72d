#!/usr/bin/env bash
# The package (built before) as its users get it: packed, installed into an empty project, type-checked without the library's sources, synthesized.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$(mktemp --directory)
trap 'rm -rf "$project"' EXIT

npm pack --silent --ignore-scripts --pack-destination "$project" >/dev/null
package=("$project"/cdktf-ha-clusters-*.tgz)
# What synth and an editor's "go to definition" need is in it; tests and tools are not.
contents=$(tar --list --file "${package[0]}")
for wanted in dist/index.js dist/index.d.ts dist/index.d.ts.map lib/index.ts dist/push/on-machine/90-main.sh dist/testing/index.js README.md LICENSE; do
  grep -qx "package/$wanted" <<<"$contents" || { echo "the package lacks $wanted" >&2; exit 1; }
done
if grep -E '^package/(test|machines|bench|demo|examples|\.ci)/' <<<"$contents"; then
  echo "this is not for users" >&2
  exit 1
fi

version() { node -p "require('./node_modules/$1/package.json').version"; }
cp examples/load-balancer/main.ts "$project/"
cat >"$project/package.json" <<END
{
  "name": "a-user", "private": true,
  "dependencies": {
    "cdktf-ha-clusters": "file:${package[0]}",
    "cdktf": "$(version cdktf)", "constructs": "$(version constructs)",
    "@cdktf/provider-aws": "$(version @cdktf/provider-aws)", "@cdktf/provider-null": "$(version @cdktf/provider-null)",
    "typescript": "$(version typescript)", "@types/node": "$(version @types/node)"
  }
}
END
cd "$project"
npm install --no-audit --no-fund --loglevel=error
npx tsc --strict --module nodenext --moduleResolution nodenext --target es2022 --outDir out main.ts
# as in the project that `cdktf init` makes
echo 'import { Template } from "cdktf-ha-clusters/testing"; export const synth = Template.synth;' >tests.ts
npx tsc --strict --module commonjs --moduleResolution node10 --target es2018 --skipLibCheck --outDir out-commonjs main.ts tests.ts
node --eval 'if (typeof require("./out-commonjs/tests.js").synth !== "function") process.exit(1)'
node out/main.js
test -s cdktf.out/stacks/*/cdk.tf.json
echo "packed, installed, type-checked, synthesized: $(wc -l <<<"$contents") files, $(stat --format=%s "${package[0]}") bytes"
