import { TerraformStack, type TerraformResource } from "cdktf";
import type { Construct } from "constructs";
import { terraformData } from "../push/carrier";
import { atSynth } from "./at-synth";
import { keyFileExpression, type Connection } from "./ssh-access";

/** How a machine is reached when it leaves, from what Terraform's state remembers of it: no secret may be in there. */
export interface Member {
  readonly connection: Connection;
  readonly privateKeyFile?: string;
  /** Services that have something to hand over before they leave. */
  readonly handovers: readonly string[];
}

type Entry = [string, Record<string, unknown>];

/**
 * Says goodbye to machines that leave. Terraform runs no destroy-time provisioner of a block that has left the code, so one
 * block with `for_each` stands for all machines: a key that goes runs `cdktf-ha leave` on its machine. It is a
 * `terraform_data` whatever the carrier: what it knows about a machine may change without replacing it, which would send the
 * machine away. A second block stands for what hands over on each machine, and leaves alone where the machine stays.
 *
 * Every push depends on them, so who leaves has left before any other one hears of it: while a node hands over its rows, the
 * others' firewalls must still let it in.
 */
export class Members {
  /** Of every platform of the stack: a cluster may have nodes on several, and one that leaves talks to those of the others. */
  static departures(stack: TerraformStack): readonly TerraformResource[] {
    return DEPARTURES.get(stack) ?? [];
  }

  /** The last one to go: it depends on whatever a goodbye needs. */
  readonly last: TerraformResource;

  constructor(scope: Construct, members: () => Readonly<Record<string, Member>>) {
    const entries = (): Entry[] =>
      Object.entries(members())
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { connection, privateKeyFile }]) => {
          const { private_key: _key, script_path: _path, type: _type, ...rest } = connection;
          return [name, { ...rest, ...(privateKeyFile ? { private_key_file: privateKeyFile } : {}) }];
        });
    const handovers = (): Entry[] => {
      const all = members();
      return entries().flatMap(([name, input]) =>
        all[name]!.handovers.map((service): Entry => [`${name}/${service}`, input]),
      );
    };
    this.last = farewells(
      scope,
      "handovers",
      handovers,
      'leave-service ${replace(each.key, "/", " ")}',
      // two services of one machine may say goodbye at once, each by a script of its own
      'leave-${replace(each.key, "/", "-")}',
    );
    // a machine that leaves is gone before its services are asked one by one: they go in its own order
    const machines = farewells(scope, "members", entries, "leave ${each.key}", "leave", [this.last]);
    const stack = TerraformStack.of(scope);
    DEPARTURES.set(stack, [...Members.departures(stack), this.last, machines]);
    this.tellThatAllGo(scope, machines, entries);
  }

  /**
   * `terraform destroy` takes every machine away: a node that would hand its rows to the others must know that they go as
   * well. This resource is gone before the members are, and only then: a machine that leaves alone changes it in place.
   */
  private tellThatAllGo(scope: Construct, machines: TerraformResource, entries: () => Entry[]): void {
    const all = terraformData(scope, "dissolve", [machines]);
    all.addOverride(
      "input",
      atSynth(() => Object.fromEntries(entries())),
    );
    all.addOverride(
      "provisioner",
      atSynth(
        // without machines there is nothing to say: Terraform takes no empty list of provisioners
        () => {
          const said = entries().map(([name]) =>
            goodbye(
              `self.input[${JSON.stringify(name)}]`,
              "dissolve",
              "exec /usr/local/sbin/cdktf-ha dissolve",
              {
                on_failure: "continue",
              },
            ),
          );
          return said.length ? said : undefined;
        },
      ),
    );
  }
}

/** Instances that run a command on their machine when their key goes. */
function farewells(
  scope: Construct,
  id: string,
  entries: () => Entry[],
  command: string,
  script: string,
  dependsOn: readonly TerraformResource[] = [],
): TerraformResource {
  const resource = terraformData(scope, id, dependsOn);
  resource.addOverride(
    "for_each",
    atSynth(() => Object.fromEntries(entries())),
  );
  resource.addOverride("input", "${each.value}");
  resource.addOverride("provisioner", [
    goodbye("self.input", script, `exec /usr/local/sbin/cdktf-ha ${command}`),
  ]);
  return resource;
}

const DEPARTURES = new WeakMap<TerraformStack, readonly TerraformResource[]>();

const CONNECTION = [
  "host",
  "user",
  "port",
  "agent",
  "host_key",
  "bastion_host",
  "bastion_port",
  "bastion_user",
  "bastion_host_key",
];

function goodbye(
  input: string,
  script: string,
  command: string,
  more: Readonly<Record<string, string>> = {},
): object {
  return {
    "remote-exec": {
      when: "destroy",
      ...more,
      connection: {
        type: "ssh",
        ...Object.fromEntries(CONNECTION.map((name) => [name, `\${try(${input}.${name}, null)}`])),
        private_key: `\${can(${input}.private_key_file) ? ${keyFileExpression(`${input}.private_key_file`).slice(2, -1)} : null}`,
        timeout: "30s",
        script_path: `./.cdktf-ha-${script}.sh`, // also where no push was ever made
      },
      inline: [`#!/bin/bash\n[[ -x /usr/local/sbin/cdktf-ha ]] || exit 0\n${command}`],
    },
  };
}
