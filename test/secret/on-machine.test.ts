import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** How a machine reads a secret of AWS's (lib/push/on-machine/30-values.sh), against stand-ins for aws, curl and the clock. */
const VALUES = join(__dirname, "../../lib/push/on-machine/30-values.sh");

function read(standIns: string, call: string): { readonly status: number | null; readonly words: string } {
  const program = `
set -Eeuo pipefail
ha_die() { echo "FAILED: $*" >&2; exit 1; }
ha_quote() { sed 's/^/| /'; }
. '${VALUES}'
timeout() { shift; "$@"; }
sleep() { SECONDS=$((SECONDS + $1)); }
curl() { return 28; } # no instance of EC2
${standIns}
value=$(${call})
echo "value: $value"`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", program], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status, words: stdout + stderr };
}
const REFUSAL =
  "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: secretsmanager:GetSecretValue";
const call = `ha_secret_aws tls '' '' secretsmanager get-secret-value --secret-id a --query "SecretString || ''"`;
/** Refuses so many times, then answers; counted in a file, since each call is in a process of its own. */
const refusesAtFirst = (times: number): string => `
counter=$(mktemp); trap 'rm -f "$counter"' EXIT
aws() {
  echo >>"$counter"
  if (($(wc -l <"$counter") > ${times})); then echo swordfish; else echo "AccessDeniedException: ${REFUSAL}" >&2; return 254; fi
}`;

test("a right that was just given is waited for", () => {
  expect(read(refusesAtFirst(6), call)).toEqual({ status: 0, words: "value: swordfish\n" });
});

test("a right that does not come is told, in AWS's words", () => {
  const { status, words } = read(refusesAtFirst(1000), call);
  expect(status).toBe(1);
  expect(words).toContain(`| AccessDeniedException: ${REFUSAL}`);
  expect(words).toContain("FAILED: secret tls could not be read: aws secretsmanager get-secret-value");
});

test("a secret that is not there is not waited for", () => {
  const missing =
    'aws() { echo "ResourceNotFoundException: no such secret" >&2; return 254; }\nsleep() { echo waited >&2; exit 9; }';
  const { status, words } = read(missing, call);
  expect(status).toBe(1);
  expect(words).not.toContain("waited");
});

test("the machine's own region is asked for by name: version 1 of the CLI does not find it by itself", () => {
  const instance = `
curl() { case \${@: -1} in */api/token) echo token ;; */placement/region) echo eu-west-3 ;; *) return 22 ;; esac; }
aws() { echo "$*"; }`;
  expect(read(instance, call).words).toContain("--region eu-west-3 secretsmanager get-secret-value");
  const elsewhere = call.replace("tls ''", "tls us-east-1");
  expect(read(instance, elsewhere).words).toContain("--region us-east-1 secretsmanager");
  expect(read('aws() { echo "$*"; }', call).words).not.toContain("--region");
});

test("a binary secret is no value", () => {
  const { status, words } = read("aws() { echo; }", call); // what the query makes of a SecretString that is not there
  expect(status).toBe(1);
  expect(words).toContain("FAILED: secret tls holds no text at AWS");
});
