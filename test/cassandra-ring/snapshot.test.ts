import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a snapshot to S3 does with older ones, where the bucket is a directory. */
const PROGRAM = join(__dirname, "../../lib/cassandra-ring/on-machine/snapshot.sh");
let directory: string;
const at = (name: string): string => join(directory, name);

/** `s3 ls` of the real client ends with 1 where nothing begins so, and with 255 where it could not ask. */
const AWS = `#!/bin/bash
shift
command=$1 last=\${@: -1}
path=\${last#s3://}
case $command in
  ls)
    [[ ! -e unknown || $last != *"$(<unknown)"* ]] || exit 255
    if [[ $path == */ ]]; then ls "$path" | sed 's|.*|                           PRE &/|'; else [[ -e $path ]]; fi
    ;;
  cp) if [[ " $* " == *" --recursive "* ]]; then mkdir -p "$path"; else touch "$path"; fi ;;
  rm) rm -r "\${path%/}" ;;
esac
`;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cdktf-ha-snapshot-"));
  const functions = `ring_fail() { printf '%s\\n' "$*" >&2; exit 1; }
ring_note() { :; }
ring_nodetool() { :; }
RING_LIB=${directory} RING_ETC=${directory} RING_DATA=${directory} RING_NODE=cassandra-1\n`;
  writeFileSync(at("functions.sh"), functions);
  writeFileSync(at("snapshots"), "SNAPSHOT_KIND=s3 SNAPSHOT_TARGET=s3://bucket/ring SNAPSHOT_KEEP=2\n");
  writeFileSync(at("ring.py"), "print('schema')\n");
  writeFileSync(at("aws"), AWS, { mode: 0o755 });
  writeFileSync(
    at("program"),
    readFileSync(PROGRAM, "utf8").replace("/usr/local/lib/cdktf-ha/cassandra", directory),
  );
  mkdirSync(at("data"));
  for (const [tag, whole] of [
    ["20260101T000000Z", true],
    ["20260102T000000Z", true],
    ["20260103T000000Z", false],
  ] as const) {
    mkdirSync(at(`bucket/ring/cassandra-1/${tag}/data`), { recursive: true });
    if (whole) writeFileSync(at(`bucket/ring/cassandra-1/${tag}/schema.cql`), "");
  }
});
afterEach(() => rmSync(directory, { recursive: true }));

const snapshot = () => {
  const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
  const { status, stderr } = spawnSync("bash", ["program"], { cwd: directory, encoding: "utf8", env });
  return { status, stderr };
};
const stored = (): string[] => readdirSync(at("bucket/ring/cassandra-1")).sort();
const isNew = expect.not.stringMatching(/^202601/);

test("as many as are to be kept are, and what is not whole goes", () => {
  expect(snapshot()).toEqual({ status: 0, stderr: "" });
  expect(stored()).toEqual(["20260102T000000Z", isNew]);
  expect(existsSync(at(`bucket/ring/cassandra-1/${stored()[1]}/schema.cql`))).toBe(true);
});

test.each([
  ["whether one is whole", "20260102T000000Z/schema.cql", /not known whether 20260102T000000Z\/ is whole/],
  ["what there is", "cassandra-1/", /what else is there is not known/],
])(
  "where it cannot be told %s, nothing that may be good is removed, and the unit fails",
  (_, unknown, words) => {
    writeFileSync(at("unknown"), unknown);
    const { status, stderr } = snapshot();
    expect([status, stderr]).toEqual([1, expect.stringMatching(words)]);
    expect(stored()).toEqual(expect.arrayContaining(["20260101T000000Z", "20260102T000000Z", isNew]));
  },
);
