import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabMachine } from "../../../../machines/lab";

interface Sample {
  readonly at: number;
  readonly node: string;
  /** DRBD's roles (`ro:Primary/Secondary`), its I/O (`r` running, `s` suspended), volume, address. */
  readonly state: string;
}

/** A node that has not reported for so long is not taken for what it last was. */
const FRESH_MS = 2000;
const PORT = 9899;

/** What both nodes do, as they say themselves, four times a second, by whichever network is left. */
export class NodeWatch {
  private readonly samples: Sample[] = [];
  private constructor(private readonly socket: Socket) {}

  static async start(nodes: readonly LabMachine[]): Promise<NodeWatch> {
    const socket = createSocket("udp4");
    const watch = new NodeWatch(socket);
    socket.on("message", (data) => {
      const [node = "", ...state] = data.toString().trim().split(" ");
      watch.samples.push({ at: Date.now(), node, state: state.join(" ") });
    });
    await new Promise<void>((resolve) => socket.bind(PORT, resolve));
    socket.unref();
    await Promise.all(nodes.map((node) => watch.of(node)));
    return watch;
  }

  /** One more node, or one in another one's place. */
  async of(node: LabMachine): Promise<void> {
    await node.ssh(
      `set -e
      cat >/usr/local/sbin/lab-watch
      chmod 755 /usr/local/sbin/lab-watch
      cat >/etc/systemd/system/lab-watch.service <<'END'
[Service]
ExecStart=/usr/local/sbin/lab-watch ${node.name}
[Install]
WantedBy=multi-user.target
END
      systemctl enable --quiet --now lab-watch.service
      sync`,
      { input: readFileSync(join(__dirname, "watch.sh"), "utf8") },
    );
  }

  stop(): void {
    this.socket.close();
  }

  /** Seconds since then in which both could write: primary, I/O not suspended, volume mounted. */
  secondsOfTwoWriters(since: number): number {
    const last = new Map<string, Sample>();
    let [both, previous] = [0, since];
    for (const sample of this.samples) {
      if (sample.at < since) continue;
      const writers = [...last.values()].filter(
        ({ at, state }) => sample.at - at < FRESH_MS && /^ro:Primary\S* r mounted/.test(state),
      );
      if (writers.length > 1) both += sample.at - previous;
      previous = sample.at;
      last.set(sample.node, sample);
    }
    return both / 1000;
  }

  /** What changed since then, in seconds after it. */
  changes(since: number): string[] {
    const last = new Map<string, string>();
    return this.samples.flatMap(({ at, node, state }) => {
      if (at < since || last.get(node) === state) return [];
      last.set(node, state);
      return [`${((at - since) / 1000).toFixed(1)} ${node} ${state}`];
    });
  }
}
