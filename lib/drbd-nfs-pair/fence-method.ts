import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { isToken, refuse } from "../problem";
import type { ServiceFile, ServicePackage } from "../push/service";
import { shellQuoted } from "../script-text";
import type { Secret } from "../secret/secret";
import type { FenceDevice } from "./cib";
import { PROGRAMS } from "./layout";

/** What a way to stop a node is to its pair. */
export abstract class FenceMethod {
  /** False: nobody is switched off. */
  readonly isCertain: boolean = true;
  readonly packages: readonly ServicePackage[] = [];
  /** Seconds that the node which serves is ahead, should each node be about to switch the other one off. */
  readonly delay: number = 0;

  /** Is a node stopped by nothing but its own kernel? */
  readonly isSoftware: boolean = false;

  /** Seconds after which a node that is not heard has switched itself off; nothing where others do that. */
  offAfter(_token: number): number | undefined {
    return undefined;
  }

  /** Refuses nodes that nobody could switch off; `token` in seconds. */
  abstract check(
    scope: Construct,
    nodes: readonly string[],
    machines: readonly Machine[],
    token: number,
  ): void;

  /** Gives the machines what they need for it. */
  prepare(_machines: readonly Machine[]): void {
    // nothing but files
  }

  abstract devices(nodes: readonly string[]): FenceDevice[];

  /** Programs and passwords, on a node; `token` in seconds. */
  abstract files(machine: Machine, token: number): ServiceFile[];

  abstract readonly secrets: readonly Secret[];
}

/** Refuses the name of an agent that Pacemaker would not find. */
export function agentName(scope: string, name: string): string {
  if (isToken(name) || /^fence_[a-z0-9_]{1,40}$/.test(name)) return name;
  return refuse(scope, {
    code: "bad-name",
    what: `'${name}'`,
    allowed: "fence_ and small letters, digits or underscores: Pacemaker finds agents by this beginning",
    fix: "name it like fence_our_switch",
  });
}

/** What opens the way to stop a node: on the machine in a file that only root can read. */
export function fenceSecret(owner: string, text: string): ServiceFile {
  return { path: `/etc/cdktf-ha/drbd-nfs-fence-${owner}`, text, mode: "0600", onChange: "none" };
}

/** The cluster's configuration can be read by more than root: it names who knows the password. */
export function passwordScript(owner: string): string {
  return `${PROGRAMS}/fence-password-${owner}`;
}

export function passwordFiles(owner: string, password: Secret): ServiceFile[] {
  const secret = fenceSecret(owner, password.placeholder);
  return [
    secret,
    {
      path: passwordScript(owner),
      text: `#!/bin/sh\nexec cat ${shellQuoted(secret.path)}\n`,
      mode: "0700",
      onChange: "none",
    },
  ];
}
