import type { Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { AwsDeployment } from "./support/deployment";
import { site, startCloud, type Network } from "./support/site";
import { report } from "../machines/support/haproxy";

let lab: Lab;
let cloud: Cloud;
let network: Network;
let deployment: AwsDeployment;

beforeAll(async () => {
  ({ lab, cloud, network } = await startCloud());
  deployment = await AwsDeployment.create(lab, cloud, (stack) => void site(lab, network)(stack));
}, 120_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("one apply makes the cloud's resources and pushes to the machines", async () => {
  const outcome = await deployment.apply();
  report("apply", `${outcome.seconds.toFixed(1)} s, ${outcome.added} added, ${cloud.calls.length} calls`);
  if (!outcome.ok) throw new Error(outcome.steps.join("\n") + outcome.output.slice(-2500) + cloud.complaints);
  const plan = await deployment.terraform("plan", "-input=false", "-detailed-exitcode");
  report("plan", `${plan.seconds.toFixed(1)} s`);
  if (!plan.output.includes("No changes")) throw new Error(plan.output);
});
