import fc from "fast-check";
import { Peer, Port, ServiceTier, type Machine, type Service } from "../../lib";
import { contains } from "../../lib/net";
import { Template } from "../../lib/testing";
import { newAws, newStack } from "../support/stack";

/** What a machine lets in by its security groups, and by its own firewall: one model, rendered twice. */
const plain: Service = { name: "plain", describe: () => ({ files: [{ path: "/etc/plain", text: "" }] }) };
const TIERS = ["x", "y", "z"] as const;
const CIDRS = ["10.9.0.0/24", "10.9.0.7/32", "0.0.0.0/0", "10.1.0.11/32"] as const;
const STRANGERS = ["10.9.0.7", "10.9.0.8", "198.51.100.1", "10.0.0.9"];

const admission = fc.record({
  to: fc.constantFrom(...TIERS),
  from: fc.oneof(fc.constantFrom(...TIERS), fc.constantFrom(...CIDRS)),
  first: fc.integer({ min: 20, max: 26 }),
  length: fc.integer({ min: 0, max: 3 }),
  udp: fc.boolean(),
});

interface AwsRule {
  readonly security_group_id: string;
  readonly ip_protocol: string;
  readonly from_port: number;
  readonly to_port: number;
  readonly cidr_ipv4?: string;
  readonly referenced_security_group_id?: string;
}

test("security groups and the machines' own firewalls admit the same packets", () => {
  fc.assert(
    fc.property(fc.array(admission, { maxLength: 8 }), (admissions) => {
      const stack = newStack();
      const platform = newAws(stack);
      const tiers = Object.fromEntries(
        TIERS.map((name, index) => {
          const nodes = {
            [`${name}-1`]: { zone: "a", privateAddress: `10.1.0.${11 + index}` },
            [`${name}-2`]: { zone: "b", privateAddress: `10.1.1.${11 + index}` },
          };
          return [name, new ServiceTier(stack, name, { platform, nodes, port: 20, services: [plain] })];
        }),
      );
      for (const { to, from, first, length, udp } of admissions) {
        const port = udp ? Port.udp(first) : Port.tcpRange(first, first + length);
        tiers[to]!.connections.allowFrom(tiers[from]?.connections ?? Peer.cidr(from), port);
      }
      const template = Template.synth(stack).hasNoErrors();
      const rules = Object.values(
        template.resources("aws_vpc_security_group_ingress_rule"),
      ) as unknown as AwsRule[];
      const machines = Object.values(tiers).flatMap((tier) => tier.machines);
      const groupsOf = (machine: Machine): string[] => {
        const [, made] = Object.entries(template.resources("aws_network_interface")).find(
          ([, { tags }]) => (tags as { Name: string }).Name === machine.name,
        )!;
        return made.security_groups as string[];
      };
      const differ: string[] = [];
      const sources = [...STRANGERS, ...machines.map(({ privateAddress }) => privateAddress)];
      for (const machine of machines) {
        const mine = groupsOf(machine);
        const { inbound } = machine.hostRules();
        for (const source of sources) {
          const sender = machines.find(({ privateAddress }) => privateAddress === source);
          if (sender === machine) continue; // never leaves it
          const senders = sender ? groupsOf(sender) : [];
          for (const protocol of ["tcp", "udp"]) {
            for (let port = 19; port <= 30; port++) {
              const byGroups = rules.some(
                (rule) =>
                  mine.includes(rule.security_group_id) &&
                  rule.ip_protocol === protocol &&
                  rule.from_port <= port &&
                  port <= rule.to_port &&
                  (rule.cidr_ipv4 !== undefined
                    ? contains(rule.cidr_ipv4, source)
                    : senders.includes(rule.referenced_security_group_id!)),
              );
              const byHost = inbound.some(
                (rule) =>
                  rule.protocol === protocol &&
                  rule.first <= port &&
                  port <= rule.last &&
                  contains(rule.network, source),
              );
              if (byHost !== byGroups)
                differ.push(`${source} to ${machine.name} ${protocol}/${port}: groups ${byGroups}`);
            }
          }
        }
      }
      expect(differ).toEqual([]);
      const open = rules.filter(({ cidr_ipv4 }) => cidr_ipv4 === "0.0.0.0/0");
      expect(open.length > 0).toBe(admissions.some(({ from }) => from === "0.0.0.0/0"));
    }),
    { numRuns: 15 },
  );
}, 120_000);
