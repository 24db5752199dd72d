import { setTimeout as delay } from "node:timers/promises";
import type { Lab } from "../machines/lab";
import { ADDRESS, boot, deploy, holder } from "./site";
import { timeline } from "./timeline";

/** Runs inside machines/sealed.sh: boots, deploys the example, pulls the power, tells what a client saw. */
const started = performance.now();

async function main(): Promise<void> {
  say("booting two load balancers, two web servers and a client");
  const lab = await boot();
  try {
    say("cdktf deploy examples/load-balancer");
    await deploy(lab, (step) => console.log(`   ${step}`));
    await failover(lab);
  } finally {
    say("cleaning up: machines off, nothing is left of them");
    await lab.stop();
  }
}

async function failover(lab: Lab): Promise<void> {
  const active = await holder(lab);
  say(`${active.name} has ${ADDRESS}; the client sends a request every 20 ms`);
  const requests = lab.machine("client").ssh(CLIENT, { timeoutSeconds: 60 });
  await delay(2000);
  const cut = Date.now() / 1000;
  await active.cutPower();
  say(`pulled the power of ${active.name}`);
  console.log(timeline((await requests).stdout, cut, active.name));
}

/** For six seconds a new connection every 20 ms, each with 300 ms to answer: time, milliseconds, status, server. */
const CLIENT = `
end=$((SECONDS + 6))
while ((SECONDS < end)); do
  { at=$EPOCHREALTIME
    body=$(curl --silent --max-time 0.3 --write-out ' %{http_code}' http://${ADDRESS}/)
    echo "$at $(( (\${EPOCHREALTIME/./} - \${at/./}) / 1000 )) \${body##* } \${body% *}" | tr '\\n' ' '; echo; } &
  sleep 0.02
done
wait`;

function say(text: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${text}`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
