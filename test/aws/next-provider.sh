#!/usr/bin/env bash
# The library and its examples against the bindings of the AWS provider's next major version: they type-check, they
# synthesize, and what they synthesize uses nothing that version deprecates. Needs npm's registry, once: the bindings are
# kept in $HA_MACHINES_CACHE.
set -euo pipefail
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
version=21.22.1
bindings=$cache/cdktf-provider-aws-$version

mkdir -p "$cache"
if [[ ! -d $bindings ]]; then
  part=$(mktemp -d "$cache/bindings-XXXXXX")
  (cd "$part" && npm pack --silent "@cdktf/provider-aws@$version" >/dev/null)
  tar --extract --gzip --file "$part"/*.tgz --directory "$part"
  mv "$part/package" "$bindings" 2>/dev/null || true # somebody else was faster
  rm -rf "$part"
fi

# The project as it is, but for this one package. Hard links: Node would follow a symbolic one to its own neighbours.
project=$(mktemp -d "$cache/next-provider-XXXXXX")
trap 'rm -rf "$project"' EXIT
cp -r "$root"/{lib,examples,tsconfig.json,package.json} "$project"
mkdir -p "$project/node_modules/@cdktf"
for package in "$root"/node_modules/* "$root"/node_modules/.bin; do
  [[ $package == */@cdktf ]] || ln -s "$package" "$project/node_modules/"
done
for package in "$root"/node_modules/@cdktf/*; do
  [[ $package == */provider-aws ]] || ln -s "$package" "$project/node_modules/@cdktf/"
done
cp --recursive --link "$bindings" "$project/node_modules/@cdktf/provider-aws"

cd "$project"
echo '{ "extends": "./tsconfig.json", "include": ["lib", "examples"] }' >next.json
npx tsc --noEmit --project next.json
echo "type-checked against @cdktf/provider-aws $version ($(node -p 'require("@cdktf/provider-aws/package.json").cdktf.provider.version'))"

# From the provider's upgrade guide, as far as these resources are concerned: TYPE ATTRIBUTE, or an expression's end.
deprecated='aws_instance network_interface
aws_instance cpu_core_count
aws_instance cpu_threads_per_core
aws_eip vpc
aws_iam_role inline_policy
aws_iam_role managed_policy_arns
data.aws_region .name}'
mkdir out
for example in examples/*/main.ts; do
  name=$(basename "$(dirname "$example")")
  mkdir "out/$name"
  (cd "$(dirname "$example")" && CDKTF_OUTDIR=$project/out/$name npx tsx main.ts)
  for stack in "out/$name"/stacks/*/cdk.tf.json; do
    DEPRECATED=$deprecated node - "$stack" <<'JS'
const text = require("node:fs").readFileSync(process.argv[2], "utf8");
const { resource = {}, terraform } = JSON.parse(text);
const found = process.env.DEPRECATED.split("\n").filter((line) => {
  const [type, attribute] = line.split(" ");
  if (type.startsWith("data.")) return new RegExp(`${type}\\.[\\w-]+${attribute.replace(".", "\\.")}`).test(text);
  return Object.values(resource[type] ?? {}).some((each) => attribute in each);
});
const version = terraform?.required_providers?.aws?.version;
console.log(`${process.argv[2].split("/")[1]}: ${version ? `aws ${version}` : "no AWS provider"}, ${Object.values(resource).flatMap(Object.keys).length} resources`);
if (found.length) {
  console.error(`deprecated: ${found.join(", ")}`);
  process.exit(1);
}
JS
  done
done
