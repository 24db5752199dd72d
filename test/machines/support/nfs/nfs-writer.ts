import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabMachine } from "../../../../machines/lab";
import { waitUntil } from "../../../../machines/run";
import { MOUNTED } from "./nfs-site";

/** What the writer was told and what is there. */
export interface Written {
  readonly acknowledged: number;
  /** Seconds between two writes that were acknowledged. */
  readonly longestGap: number;
  /** Numbers that were acknowledged and are not in the file. */
  readonly lost: readonly number[];
  /** The writer's own words, if it came to an error. */
  readonly error: string;
}

const ACKNOWLEDGED = "/run/writer.acknowledged";

/** An application on the client that writes to the mounted export, and remembers what it was promised. */
export class NfsWriter {
  private constructor(
    private readonly client: LabMachine,
    private readonly since: string,
  ) {}

  static async start(client: LabMachine): Promise<NfsWriter> {
    const writer = new NfsWriter(client, (await client.ssh("date +%s")).stdout.trim());
    await client.ssh(
      `set -e
      rm --force /run/writer.stop
      cat >/run/writer.py
      systemctl reset-failed writer.service 2>/dev/null || true
      systemd-run --quiet --unit=writer python3 /run/writer.py ${MOUNTED} ${ACKNOWLEDGED}`,
      { input: readFileSync(join(__dirname, "writer.py"), "utf8") },
    );
    await writer.untilWrites(60);
    return writer;
  }

  async acknowledged(): Promise<number> {
    const { stdout } = await this.client.ssh(`wc --lines <${ACKNOWLEDGED} 2>/dev/null || echo 0`);
    return Number(stdout);
  }

  /** Waits until it writes, now; seconds that took. */
  async untilWrites(seconds: number): Promise<number> {
    const start = performance.now();
    const before = await this.acknowledged();
    await waitUntil(
      async () => (await this.acknowledged()) >= before + 5,
      seconds,
      () => "the client does not write",
      500,
    );
    return (performance.now() - start) / 1000;
  }

  /** Ends it, and reads the file as the server has it now. */
  async stop(): Promise<Written> {
    await this.client.ssh("touch /run/writer.stop");
    await waitUntil(
      async () => (await this.client.ssh("systemctl is-active writer", { allowFailure: true })).code !== 0,
      180, // a hand-over that has just begun
      () => "the writer does not end",
      500,
    );
    await delay(200);
    const { stdout } = await this.client.ssh(
      `cat ${ACKNOWLEDGED}; echo --; cut -c 1-8 ${MOUNTED}/records; echo --; journalctl --unit=writer --output=cat --quiet --since=@${this.since} --grep=Error || true`,
    );
    const [acknowledged = [], records = [], error = []] = stdout
      .split("--\n")
      .map((part) => part.split("\n").filter(Boolean));
    const there = new Set(records.map(Number));
    const acks = acknowledged.map((line) => line.split(" ").map(Number) as [number, number]);
    return {
      acknowledged: acks.length,
      longestGap: Math.max(...acks.slice(1).map(([, at], index) => at - acks[index]![1])),
      lost: acks.map(([number]) => number).filter((number) => !there.has(number)),
      error: error.join("; "),
    };
  }
}
