import { setTimeout as delay } from "node:timers/promises";
import { ADDRESS, boot, deploy, holder } from "../demo/site";
import { Load } from "../machines/load";

/**
 * `npm run bench:failover [TIMES]`: the active node of examples/load-balancer loses power again and again, with power back
 * in between; how long had a client no answer? Goal: at most 1.0 s.
 */
const TIMES = Number(process.argv[2] ?? 10);

async function main(): Promise<void> {
  const lab = await boot();
  try {
    await deploy(lab);
    const gaps: number[] = [];
    for (let time = 1; time <= TIMES; time++) {
      const active = await holder(lab);
      const load = Load.start({ url: `http://${ADDRESS}/`, perSecond: 100, timeoutMs: 300 });
      await delay(1000);
      await active.cutPower();
      await delay(3000);
      const { longestGapMs, failed, requests } = await load.stop();
      gaps.push(longestGapMs);
      console.log(
        `${String(time).padStart(3)}: ${active.name} lost power; no answer for ${longestGapMs.toFixed(0)} ms, ${failed.length} of ${requests.length} requests failed`,
      );
      await active.powerOn();
      await delay(5000); // its daemons are up, and it is BACKUP
    }
    gaps.sort((a, b) => a - b);
    const median = gaps[Math.floor(gaps.length / 2)]!;
    console.log(`median ${median.toFixed(0)} ms, worst ${gaps.at(-1)!.toFixed(0)} ms of ${gaps.length}`);
  } finally {
    await lab.stop();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
