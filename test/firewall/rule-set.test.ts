import fc from "fast-check";
import { renderNftables } from "../../lib/firewall/nftables";
import { canonicalRules, groupRules, type Rule } from "../../lib/firewall/rule-set";
import { contains } from "../../lib/net";

const octet = fc.integer({ min: 0, max: 3 });
const network = fc.oneof(
  fc.tuple(octet, octet).map(([a, b]) => `10.0.${a}.${b}/32`),
  octet.map((a) => `10.0.${a}.0/24`),
  fc.constant("10.0.0.0/16"),
  fc.constant("0.0.0.0/0"),
  fc.constant("::/0"),
  octet.map((a) => `2001:db8::${a}/128`),
);
const rule: fc.Arbitrary<Rule> = fc
  .record({
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    first: fc.integer({ min: 1, max: 12 }),
    length: fc.integer({ min: 0, max: 4 }),
    network,
    purpose: fc.constantFrom("one", "two"),
  })
  .map(({ length, ...rest }) => ({ ...rest, last: rest.first + length }));

interface Packet {
  protocol: "tcp" | "udp";
  port: number;
  source: string;
}
const packet: fc.Arbitrary<Packet> = fc.record({
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
  port: fc.integer({ min: 1, max: 16 }),
  source: fc.oneof(
    fc.tuple(octet, octet).map(([a, b]) => `10.0.${a}.${b}`),
    fc.constant("192.0.2.1"),
    octet.map((a) => `2001:db8::${a}`),
  ),
});

function admits(rules: readonly Rule[], { protocol, port, source }: Packet): boolean {
  return rules.some(
    (one) =>
      one.protocol === protocol && one.first <= port && port <= one.last && contains(one.network, source),
  );
}

test("canonical rules admit exactly what the rules admit", () => {
  fc.assert(
    fc.property(fc.array(rule), fc.array(packet, { minLength: 20 }), (rules, packets) => {
      const canonical = canonicalRules(rules);
      for (const one of packets) expect(admits(canonical, one)).toBe(admits(rules, one));
    }),
  );
});

test("the order in which rules are declared does not show", () => {
  fc.assert(
    fc.property(
      fc
        .array(rule)
        .chain((rules) =>
          fc.tuple(fc.constant(rules), fc.shuffledSubarray(rules, { minLength: rules.length })),
        ),
      ([rules, shuffled]) => {
        expect(renderNftables({ inbound: shuffled, localhostOnly: [] })).toBe(
          renderNftables({ inbound: rules, localhostOnly: [] }),
        );
      },
    ),
  );
});

test("no rule is left that another one covers", () => {
  fc.assert(
    fc.property(fc.array(rule), (rules) => {
      const canonical = canonicalRules(rules);
      expect(canonicalRules(canonical)).toEqual(canonical);
      for (const one of canonical) {
        const others = canonical.filter((other) => other !== one);
        const covered = others.some(
          (other) =>
            other.protocol === one.protocol &&
            other.first <= one.first &&
            other.last >= one.last &&
            contains(other.network, one.network),
        );
        expect(covered).toBe(false);
      }
    }),
  );
});

test("an address that only Terraform knows is never judged, and stands apart from networks it might lie in", () => {
  const known = { protocol: "tcp" as const, first: 80, last: 80, network: "10.0.0.0/16", purpose: "a" };
  const token = { ...known, network: "${TfToken[TOKEN.1]}" };
  expect(groupRules([token, known])).toEqual([
    {
      protocol: "tcp",
      first: 80,
      last: 80,
      ipv4: ["10.0.0.0/16"],
      ipv6: [],
      unresolved: ["${TfToken[TOKEN.1]}"],
      purposes: ["a"],
    },
  ]);
});

test("a thousand single sources are grouped in well under a second", () => {
  const rules = [...Array(1000).keys()].map((n): Rule => ({
    protocol: "tcp",
    first: 7000,
    last: 7000,
    network: `10.1.${Math.floor(n / 250)}.${n % 250}/32`,
    purpose: "peer",
  }));
  expect(groupRules(rules)[0]!.ipv4).toHaveLength(1000);
});

test("ports for localhost only are dropped before any other rule could admit them", () => {
  const text = renderNftables({
    inbound: [{ protocol: "tcp", first: 1, last: 65535, network: "0.0.0.0/0", purpose: "everything" }],
    localhostOnly: [{ protocol: "tcp", first: 7199, last: 7199, purpose: "JMX" }],
  });
  const lines = text.split("\n").map((line) => line.trim());
  const drop = lines.indexOf('iifname != "lo" tcp dport 7199 drop comment "localhost only: JMX"');
  const accept = lines.findIndex((line) => line.includes("dport 1-65535 accept"));
  expect(drop).toBeGreaterThan(0);
  expect(accept).toBeGreaterThan(drop);
});

test("comments fit nft's limit and cannot end their quotes", () => {
  const purposes = [`quote " and \\`, "ä".repeat(200)];
  for (const purpose of purposes) {
    const text = renderNftables({
      inbound: [{ protocol: "tcp", first: 1, last: 1, network: "10.0.0.1/32", purpose }],
      localhostOnly: [],
    });
    const comment = /comment "([^"\n]*)"$/m.exec(text)?.[1];
    expect(Buffer.byteLength(comment!)).toBeLessThanOrEqual(128);
  }
});

test("outgoing traffic has a chain of its own where it is restricted", () => {
  const rules = { inbound: [], localhostOnly: [] };
  expect(renderNftables(rules)).not.toContain("chain output");
  const outbound: Rule[] = [
    { protocol: "udp", first: 53, last: 53, network: "10.0.0.2/32", purpose: "names" },
  ];
  expect(renderNftables({ ...rules, outbound })).toContain(
    'ip daddr 10.0.0.2/32 udp dport 53 accept comment "names"',
  );
});
