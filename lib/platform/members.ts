import { DataResource, TerraformStack, type TerraformResource } from "cdktf";
import { atSynth } from "./at-synth";
import type { Construct } from "constructs";
import { keyFileExpression, type Connection } from "./ssh-access";

/** How a machine is reached when it leaves, from what Terraform's state remembers of it: no secret may be in there. */
export interface Member {
  readonly connection: Connection;
  readonly privateKeyFile?: string;
}

/**
 * Says goodbye to machines that leave. Terraform runs no destroy-time provisioner of a block that has left the code, so one
 * block with `for_each` stands for all machines: a key that goes runs `cdktf-ha leave` on its machine. It is a
 * `terraform_data` whatever the carrier: what it knows about a machine may change without replacing it, which would send the
 * machine away.
 *
 * Every push depends on it, so a machine has left before any other one hears of it: while a node hands over its rows, the
 * others' firewalls must still let it in.
 */
export class Members {
  /** Of every platform of the stack: a cluster may have nodes on several, and one that leaves talks to those of the others. */
  static departures(stack: TerraformStack): readonly TerraformResource[] {
    return DEPARTURES.get(stack) ?? [];
  }

  readonly resource: TerraformResource;

  constructor(scope: Construct, members: () => Readonly<Record<string, Member>>) {
    const entries = (): [string, Record<string, unknown>][] =>
      Object.entries(members())
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { connection, privateKeyFile }]) => {
          const { private_key: _key, script_path: _path, type: _type, ...rest } = connection;
          return [name, { ...rest, ...(privateKeyFile ? { private_key_file: privateKeyFile } : {}) }];
        });
    this.resource = new DataResource(scope, "members", {});
    this.resource.addOverride(
      "for_each",
      atSynth(() => Object.fromEntries(entries())),
    );
    this.resource.addOverride("input", "${each.value}");
    this.resource.addOverride("provisioner", [
      goodbye("self.input", "leave", "exec /usr/local/sbin/cdktf-ha leave ${each.key}"),
    ]);
    const stack = TerraformStack.of(scope);
    DEPARTURES.set(stack, [...Members.departures(stack), this.resource]);
    this.tellThatAllGo(scope, entries);
  }

  /**
   * `terraform destroy` takes every machine away: a node that would hand its rows to the others must know that they go as
   * well. This resource is gone before the members are, and only then: a machine that leaves alone changes it in place.
   */
  private tellThatAllGo(scope: Construct, entries: () => [string, Record<string, unknown>][]): void {
    const all = new DataResource(scope, "dissolve", { dependsOn: [this.resource] });
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
  verb: string,
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
        script_path: `./.cdktf-ha-${verb}.sh`, // also where no push was ever made
      },
      inline: [`#!/bin/bash\n[[ -x /usr/local/sbin/cdktf-ha ]] || exit 0\n${command}`],
    },
  };
}
