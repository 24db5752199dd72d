import * as fc from "fast-check";
import { quorumOf, toleranceOf, toleranceText } from "../../lib/cassandra-ring/tolerance";
import { memoryGiBOf } from "../../lib/platform/aws/instance-memory";

/** One datacenter, its nodes by rack. */
const one = (copies: number, ...racks: number[]): ReturnType<typeof toleranceOf> =>
  toleranceOf({
    keyspace: "esmond",
    copies: { here: copies },
    racks: { here: Object.fromEntries(racks.map((nodes, index) => [`rack-${index + 1}`, nodes])) },
  });

test.each([
  // copies, quorum, may be down with a copy left, may be down at quorum
  [1, 1, 0, 0],
  [2, 2, 1, 0],
  [3, 2, 2, 1],
  [4, 3, 3, 1],
  [5, 3, 4, 2],
])("%i copies: quorum %i, %i down with a copy left, %i down at quorum", (copies, quorum, left, down) => {
  expect(quorumOf(copies)).toBe(quorum);
  const tolerance = one(copies, copies, copies, copies);
  expect(tolerance.withACopyLeft).toBe(left);
  expect(tolerance.quorum).toBe(down);
  expect(tolerance.localQuorum).toEqual({ here: down });
});

test.each([
  [3, [1, 1, 1], 1],
  [3, [4, 4, 4], 1],
  [3, [2, 2], 0], // one of two racks holds two copies of some rows
  [3, [3], 0],
  [5, [2, 2, 2], 1],
  [2, [1, 1], 0],
  [3, [5, 1, 1], 1],
])("%i copies over racks of %p nodes: %i racks may be down at LOCAL_QUORUM", (copies, racks, down) => {
  expect(one(copies, ...racks).racksAtLocalQuorum).toEqual({ here: down });
});

test("more nodes spread the data wider, and tolerate no more failures", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 40 }), (copies, more) => {
      const [few, many] = [one(copies, copies), one(copies, copies + more)];
      expect(many.localQuorum).toEqual(few.localQuorum);
      expect(many.withACopyLeft).toBe(copies - 1);
      expect(many.share.here).toBeCloseTo(copies / (copies + more));
    }),
  );
});

test.each([
  [3, [2, 1, 1], 1], // a rack has its copy of every row: its only node holds all of them
  [3, [2, 2, 2], 0.5],
  [3, [2, 2], 1],
  [3, [2, 2, 2, 2], 0.375],
])("%i copies over racks of %p nodes: a node holds up to %d of the data", (copies, racks, share) => {
  expect(one(copies, ...racks).share.here).toBeCloseTo(share);
});

test("two datacenters: QUORUM counts all copies, LOCAL_QUORUM those of one", () => {
  const tolerance = toleranceOf({
    keyspace: "esmond",
    copies: { here: 3, there: 2, nowhere: 0 },
    racks: { here: { a: 1, b: 1, c: 1 }, there: { a: 1, b: 1 } },
  });
  expect(tolerance).toMatchObject({ withACopyLeft: 4, quorum: 2, localQuorum: { here: 1, there: 0 } });
  expect(toleranceText(tolerance)).toBe(
    "keyspace 'esmond': 4 nodes may be down with a copy of everything left, however many nodes there are; QUORUM survives 2 nodes; " +
      "LOCAL_QUORUM in here survives 1 node and 1 zone; a node in here holds up to 100 % of the data; " +
      "LOCAL_QUORUM in there survives 0 nodes and 0 zones; a node in there holds up to 100 % of the data",
  );
});

test.each([
  ["t3.small", 2],
  ["t3.medium", 4],
  ["t3.xlarge", 16],
  ["m5.large", 8],
  ["m6g.4xlarge", 64],
  ["c7g.medium", 2],
  ["c5.xlarge", 8],
  ["r6i.2xlarge", 64],
  ["i3.large", 16],
  ["i4i.metal", undefined],
  ["hpc7g.4xlarge", undefined],
  ["nonsense", undefined],
])("an instance of type %s has %p GiB", (type, gib) => {
  expect(memoryGiBOf(type)).toBe(gib);
});
