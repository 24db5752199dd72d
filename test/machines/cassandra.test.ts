import type { TerraformStack } from "cdktf";
import type { CassandraRing, CassandraRingProps } from "cdktf-ha-clusters";
import type { Lab } from "../../machines/lab";
import { Deployment, type Outcome } from "../support/deployment";
import { cql, CqlLoad, figure, ringRack, smallRing, startRingSite, statesOf, VARIABLES } from "./support/ring-site";

/** The life of a ring under a client that writes and reads back all along: deployed, changed, grown, shrunk. */
const ADDRESSES = {
  "cassandra-1": "10.77.0.61",
  "cassandra-2": "10.77.0.62",
  "cassandra-3": "10.77.0.63",
  "cassandra-4": "10.77.0.64",
};
const FIRST_THREE = ["cassandra-1", "cassandra-2", "cassandra-3"];
let lab: Lab;
let deployment: Deployment;

const ring =
  (props: Partial<CassandraRingProps> = {}, also: (ring: CassandraRing) => void = () => undefined) =>
  (stack: TerraformStack): void => {
    const rack = ringRack(
      stack,
      lab,
      Object.fromEntries(
        Object.entries(ADDRESSES).map(([name, address], index) => [
          name,
          { address: `${address}/24`, zone: `rack-${(index % 3) + 1}` },
        ]),
      ),
    );
    also(smallRing(stack, { platform: rack, nodes: FIRST_THREE, ...props } as never));
  };

beforeAll(async () => {
  lab = await startRingSite(ADDRESSES);
  deployment = new Deployment(`${lab.directory}/deployment`, ring(), VARIABLES);
}, 120_000);
afterAll(async () => {
  await lab.stop();
});

async function underLoad(action: () => Promise<Outcome>): Promise<Outcome> {
  const load = await CqlLoad.start(lab.machine("client"), { contactPoints: Object.values(ADDRESSES).slice(0, 3) });
  let outcome: Outcome;
  try {
    outcome = await action();
  } finally {
    await load.stop();
  }
  const { operations, failed, wrong, lost, slowestMs } = await load.stop();
  figure(`  ${operations} operations, ${failed.length} failed, ${lost} lost, slowest ${slowestMs} ms`);
  expect(failed).toEqual([]);
  expect({ wrong, lost }).toEqual({ wrong: 0, lost: 0 });
  expect(operations).toBeGreaterThan(50);
  return outcome;
}

test("three nodes deployed: all up and normal", async () => {
  const outcome = await deployment.deploy();
  figure(`deploy of three nodes: ${outcome.seconds.toFixed(0)} s`);
  process.stderr.write(outcome.steps.join("\n") + "\n");
  for (const name of FIRST_THREE) {
    expect(await statesOf(lab.machine(name), ADDRESSES)).toEqual({
      "cassandra-1": "UN",
      "cassandra-2": "UN",
      "cassandra-3": "UN",
    });
  }
}, 400_000);
