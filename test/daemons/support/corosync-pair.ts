import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderCorosyncConf } from "../../../lib/drbd-nfs-pair/corosync-conf";
import { renderFacts } from "../../../lib/facts";

const PROGRAMS = join(__dirname, "../../../lib/drbd-nfs-pair/on-machine");
const NODES = ["nfs-1", "nfs-2"] as const;
type Name = (typeof NODES)[number];
/** A minute for the programs, which count them. */
const MINUTE = 60;

/** One of two nodes with the real corosync; Pacemaker's attributes and DRBD are stand-ins. */
export class CorosyncNode {
  readonly directory: string;
  private home?: ChildProcess;
  private corosync?: ChildProcess;

  constructor(
    private readonly pair: CorosyncPair,
    readonly name: Name,
  ) {
    this.directory = join(pair.directory, name);
    for (const sub of ["corosync", "cdktf-ha"]) mkdirSync(join(this.directory, sub), { recursive: true });
    const other = NODES.find((each) => each !== name)!;
    writeFileSync(
      join(this.directory, "cdktf-ha/drbd-nfs"),
      renderFacts("a node", {
        PAIR_NODE: name,
        PAIR_PEER: other,
        PAIR_FOUNDER: NODES[0],
        PAIR_RESOURCE: "nfs",
      }),
    );
    writeFileSync(join(this.directory, "corosync/corosync.conf"), pair.conf);
  }

  async settle(): Promise<void> {
    const script = join(__dirname, "corosync-node.sh");
    this.home = spawn(
      "setpriv",
      [
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--mount",
        "--ipc",
        "--propagation",
        "private",
        script,
        this.directory,
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    await until(() => existsSync(join(this.directory, "ready")), "the node's place is not made");
  }

  get pid(): number {
    return this.home!.pid!;
  }

  /** Another machine is in its place, with an empty disk. */
  async isReplaced(): Promise<void> {
    await this.stop();
    rmSync(join(this.pair.directory, "told", this.name), { force: true });
    this.must("rm --force /etc/corosync/authkey*");
  }

  /** What the code says of the secret arrives, as a push does it. */
  take(secret: string): void {
    for (const file of ["drbd-nfs", "drbd-nfs-cluster"])
      writeFileSync(join(this.directory, `cdktf-ha/${file}.key`), secret);
    this.must("pair_take_key");
  }

  /** bash in the node's place, with the pair's functions. */
  shell(text: string, minute = 0): { status: number | null; words: string } {
    const { status, stdout, stderr } = spawnSync(
      "nsenter",
      [
        ...["-t", `${this.pid}`, "--net", "--mount", "--ipc", "bash", "-euo", "pipefail", "-c"],
        `unset EPOCHSECONDS; EPOCHSECONDS=${minute * MINUTE}; . /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh; ${text}`,
      ],
      {
        encoding: "utf8",
        timeout: 60_000,
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          PATH: `${this.pair.directory}/bin:/usr/sbin:/sbin:/usr/bin:/bin`,
          TOLD: join(this.pair.directory, "told"),
          SELF: this.name,
        },
      },
    );
    return { status, words: `${stdout}${stderr}` };
  }

  must(text: string): string {
    const { status, words } = this.shell(text);
    if (status !== 0) throw new Error(`${this.name}: ${text}: ${words}`);
    return words;
  }

  /** What the timer does once a minute. */
  step(minute = 0): string {
    return this.shell("pair_change_key || echo not yet", minute).words;
  }

  async start(): Promise<void> {
    this.corosync = spawn(
      "setpriv",
      ["--pdeathsig", "KILL", "nsenter", "-t", `${this.pid}`, "--net", "--mount", "--ipc", "corosync", "-f"],
      { stdio: "ignore" },
    );
    await until(() => this.quorum.includes("Quorate:"), `${this.name}'s corosync does not answer`);
  }

  async stop(): Promise<void> {
    const { corosync } = this;
    if (corosync?.exitCode !== null || corosync.signalCode !== null) return;
    const ended = new Promise((resolve) => corosync.once("exit", resolve));
    corosync.kill("SIGKILL");
    await ended;
    this.shell("rm --recursive --force /dev/shm/* /run/corosync*");
  }

  end(): void {
    this.corosync?.kill("SIGKILL");
    this.home?.kill("SIGKILL");
  }

  get quorum(): string {
    return this.shell("corosync-quorumtool -s || true").words;
  }

  get hearsTheOther(): boolean {
    return /^Nodes: +2$/m.test(this.quorum);
  }

  /** Changes whenever a node is missed, for however short a time. */
  get ring(): string {
    return /^Ring ID: +(\S+)/m.exec(this.quorum)![1]!;
  }

  get isGoingOver(): boolean {
    return this.shell("pair_key_changes").status === 0;
  }

  /** Which of these secrets its key on disk is made of. */
  keyOf(...secrets: readonly string[]): string | undefined {
    const key = readFileSync(join(this.directory, "corosync/authkey"), "utf8");
    return secrets.find((secret) => key === this.pair.keys.get(secret));
  }
}

/** Two nodes that hear each other by a cable, with real corosyncs and the pair's own programs. */
export class CorosyncPair {
  readonly directory = mkdtempSync(join(tmpdir(), "cdktf-ha-corosync-"));
  readonly keys = new Map<string, string>();
  readonly conf: string;
  readonly one: CorosyncNode;
  readonly two: CorosyncNode;

  /** @param votes of the first node: 2 where it has the third vote as well */
  constructor(votes: 1 | 2) {
    this.conf = conf(votes);
    mkdirSync(join(this.directory, "told"));
    mkdirSync(join(this.directory, "bin"));
    cpSync(PROGRAMS, join(this.directory, "lib"), { recursive: true });
    this.program("logger", "exit 0");
    this.program("drbdadm", "[[ $1 != cstate ]] || echo Connected");
    // a glance that is looked at again after a while
    this.program("sleep", 'exec /bin/sleep "${1/#20/1}"');
    // the third vote, which is part of the first node's here
    this.program(
      "corosync-quorumtool",
      '/usr/sbin/corosync-quorumtool "$@"; status=$?; echo "1 1 A,V,NMW nfs-1"; echo "2 1 A,V,NMW nfs-2"; exit "$status"',
    );
    // as Pacemaker's: known to both as long as they hear each other
    this.program(
      "attrd_updater",
      `heard() { /usr/sbin/corosync-quorumtool -s | grep -E '^Nodes: +2$' >/dev/null; }
case "$*" in
  *--update*) echo "\${!#}" >"$TOLD/$SELF" ;;
  *--delete*) rm -f "$TOLD/$SELF" ;;
  *) if [[ -e $TOLD/$5 ]] && { [[ $5 == "$SELF" ]] || heard; }; then echo "name=\\"ha-key\\" host=\\"$5\\" value=\\"$(cat "$TOLD/$5")\\""; fi ;;
esac`,
    );
    [this.one, this.two] = [new CorosyncNode(this, "nfs-1"), new CorosyncNode(this, "nfs-2")];
  }

  async start(secret: string): Promise<void> {
    await Promise.all([this.one.settle(), this.two.settle()]);
    this.cable();
    for (const node of [this.one, this.two]) {
      node.take(secret);
      this.keys.set(secret, readFileSync(join(node.directory, "corosync/authkey"), "utf8"));
    }
    await Promise.all([this.one.start(), this.two.start()]);
    await this.together();
  }

  /** The key that each secret makes. */
  knows(...secrets: readonly string[]): void {
    for (const secret of secrets)
      this.keys.set(
        secret,
        this.one.must(
          `f=/etc/cdktf-ha/drbd-nfs-cluster.key; cp $f /run/kept; printf %s '${secret}' >$f; pair_cluster_key; cat /run/kept >$f`,
        ),
      );
  }

  /** The power of these nodes is gone, and back when that has been noticed. The cluster forgets what they told. */
  async reboot(...nodes: readonly CorosyncNode[]): Promise<void> {
    await Promise.all(nodes.map((node) => node.stop()));
    for (const node of nodes) rmSync(join(this.directory, "told", node.name), { force: true });
    for (const other of [this.one, this.two].filter((each) => !nodes.includes(each)))
      await until(() => !other.hearsTheOther, `${other.name} misses nobody`);
    await Promise.all(nodes.map((node) => node.start()));
  }

  async together(seconds = 60): Promise<void> {
    const hear = (): boolean => this.one.hearsTheOther && this.two.hearsTheOther;
    await until(hear, "the two do not hear each other", seconds);
  }

  /** Minutes go by, with a step of each node, until both are through; how many. */
  async untilThrough(atMost = 12): Promise<number> {
    for (let minute = 1; minute <= atMost; minute++) {
      this.one.step(minute);
      this.two.step(minute);
      if (!this.one.isGoingOver && !this.two.isGoingOver) return minute;
      // after a change corosync takes this long to find the other one, and a minute has more
      await this.together(15).catch(() => undefined);
    }
    throw new Error(`not through: ${this.one.quorum}${this.two.quorum}`);
  }

  stop(): void {
    this.one.end();
    this.two.end();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private cable(): void {
    const at = (node: CorosyncNode): string => `${node.pid}`;
    const ip = (...words: string[]) => {
      const { status, stderr } = spawnSync("ip", words, { encoding: "utf8" });
      if (status !== 0) throw new Error(`ip ${words.join(" ")}: ${stderr}`);
    };
    ip(
      "link",
      "add",
      "eth0",
      "netns",
      at(this.one),
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      at(this.two),
    );
    for (const [node, address] of [
      [this.one, ADDRESSES[0]],
      [this.two, ADDRESSES[1]],
    ] as const)
      node.must(`ip address add ${address}/24 dev eth0; ip link set eth0 up`);
  }

  private program(name: string, text: string): void {
    const path = join(this.directory, "bin", name);
    writeFileSync(path, `#!/bin/bash\n${text}\n`);
    chmodSync(path, 0o755);
  }
}

const ADDRESSES = ["10.77.0.11", "10.77.0.12"] as const;

export async function until(isSo: () => boolean, otherwise: string, seconds = 60): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The pair's own but for the third vote, which the first node has. */
function conf(votes: number): string {
  const nodes = NODES.map((name, index) => ({ name, addresses: [ADDRESSES[index]!] }));
  const text = renderCorosyncConf({
    ...{ cluster: "files", nodes, port: 5405, token: 1000 },
    ...{ quorumHost: "10.77.0.13", quorumPort: 5403, keeper: "/bin/true" },
  });
  return text
    .replace(/ {2}device \{[\s\S]*?\n {2}\}\n/, "")
    .replace("    nodeid: 1\n", `    nodeid: 1\n    quorum_votes: ${votes}\n`);
}
