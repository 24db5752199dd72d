import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The claim of an address that several route tables lead to, against stand-ins for aws and curl. */
const HOOKS = join(__dirname, "../../lib/virtual-ip/hooks");
const TABLES = ["rtb-1", "rtb-2", "rtb-3"];

function claim(verb: "try" | "take" | "verify", aws: string): { status: number | null; lines: string[] } {
  const directory = mkdtempSync(join(tmpdir(), "route-table-"));
  const program = `
TABLES='${TABLES.join(" ")}' INTERFACE=eni-own ADDRESS=10.99.0.10
curl() { echo eu-west-3; }
# ends when all three calls have begun: one after the other they would never end
together() {
  touch '${directory}'/"$1"
  for _ in {1..200}; do
    if [[ $(echo '${directory}'/*) == *rtb-1*rtb-2*rtb-3 ]]; then return; fi
    sleep 0.1
  done
  return 9
}
aws() {
  local call=$2 table=$4
  ${aws}
}
set -- ${verb}
. '${HOOKS}/aws.sh'
. '${HOOKS}/route-table.sh'`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", program], {
    encoding: "utf8",
    timeout: 60_000,
  });
  rmSync(directory, { recursive: true });
  return { status, lines: (stdout + stderr).split("\n").filter(Boolean).sort() };
}
const here = (table: string): string => `route to 10.99.0.10 in ${table} leads here`;

test("taken in all tables at once", () => {
  expect(claim("take", 'together "$table"')).toEqual({ status: 0, lines: TABLES.map(here) });
});

test("a table that refuses fails the claim, after the others were led here", () => {
  const { status, lines } = claim("take", '[[ $table != rtb-2 ]] || { echo "no right" >&2; return 254; }');
  expect(status).not.toBe(0);
  expect(lines).toEqual(["no right", here("rtb-1"), here("rtb-3")]);
});

test("verified with one call; only what leads elsewhere is led here", () => {
  const found = String.raw`if [[ $call == describe-route-tables ]]; then
    echo "described $*" >&2
    printf '%s\t%s\n' rtb-1 eni-own rtb-2 eni-other rtb-3 None
  fi`;
  const { status, lines } = claim("verify", found);
  expect(status).toBe(0);
  expect(lines).toEqual([
    expect.stringMatching(/^described ec2 describe-route-tables --route-table-ids rtb-1 rtb-2 rtb-3 --query/),
    here("rtb-2"),
    here("rtb-3"),
  ]);
  expect(claim("verify", String.raw`printf '%s\teni-own\n' rtb-1 rtb-2 rtb-3`)).toEqual({
    status: 0,
    lines: [],
  });
});

test("tried without a change: every table's right is asked for, and the right to look", () => {
  const dry = String.raw`[[ "$*" == *--dry-run* ]] || echo "not dry: $*" >&2
  if [[ $call == replace-route ]]; then together "$table" || return; fi
  echo "An error occurred (DryRunOperation)" >&2; return 254`;
  expect(claim("try", dry)).toEqual({ status: 0, lines: [] });
  for (const refused of ["rtb-3", "rtb-1 rtb-2 rtb-3"]) {
    const refusing = `if [[ " $*" == *"-ids ${refused} "* || $table == "${refused}" ]]; then echo UnauthorizedOperation; else echo DryRunOperation; fi; return 254`;
    const { status, lines } = claim("try", refusing);
    expect([status === 0, lines]).toEqual([false, ["UnauthorizedOperation"]]);
  }
});
