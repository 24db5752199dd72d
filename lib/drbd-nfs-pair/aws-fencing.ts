import { join } from "node:path";
import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { checkRange, refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import { AWS_PACKAGES, awsProgram } from "../virtual-ip/aws-program";
import type { FenceDevice } from "./cib";
import { FenceMethod } from "./fence-method";
import { PROGRAMS } from "./layout";

export interface AwsFencingProps {
  /**
   * Seconds that the call against the node which serves is held back, so that it wins should each one be about to stop the other.
   * @default 3 - a call takes about one
   */
  readonly delay?: number;
}

/**
 * By ClusterLabs' own agent: StopInstances with force, and "off" is told once DescribeInstances says `stopped`. An instance that
 * is being stopped itself stops nobody.
 */
export class AwsFencing extends FenceMethod {
  override readonly packages = [{ name: "fence-agents" }, ...AWS_PACKAGES];
  override readonly delay: number;
  readonly secrets: readonly Secret[] = [];
  private machines: readonly Machine[] = [];

  constructor({ delay }: AwsFencingProps) {
    super();
    checkRange(
      "Fencing.aws",
      "delay",
      delay,
      0,
      60,
      "seconds; each failover of the node that serves takes so much longer",
    );
    this.delay = delay ?? 3;
  }

  check(scope: Construct, _nodes: readonly string[], machines: readonly Machine[]): void {
    const other = machines.find(({ aws }) => !aws);
    if (!other) return;
    refuse(scope, {
      code: "no-fencing",
      what: `Fencing.aws cannot switch off ${other.name}: no EC2 instance`,
      allowed: "machines of an AwsPlatform",
      fix: "Fencing.ipmi, Fencing.redfish or Fencing.command",
    });
  }

  override prepare(machines: readonly Machine[]): void {
    this.machines = machines;
    for (const { aws } of machines) {
      const others = machines.filter((other) => other.aws !== aws);
      aws!.grant({
        actions: ["ec2:StopInstances", "ec2:StartInstances"],
        resources: others.map((other) => aws!.arn("ec2", `instance/${other.aws!.instanceId}`)),
      });
      // Describe calls know no resources
      aws!.grant({ actions: ["ec2:DescribeInstances"], resources: ["*"] });
    }
  }

  devices(): FenceDevice[] {
    return this.machines.map(({ name, aws }) => ({
      name: `fence-${name}`,
      agent: "fence_aws",
      nodes: [name],
      parameters: {
        region: aws!.region,
        pcmk_host_map: `${name}:${aws!.instanceId}`,
        // an instance that hangs is given minutes by AWS before it is stopped all the same
        power_timeout: "240",
        // which counts only with this: one that AWS has no room to start again was stopped all the same, and the agent would wait for it until it is ended
        disable_timeout: "0",
        pcmk_reboot_timeout: "600s",
        pcmk_off_timeout: "300s",
      },
    }));
  }

  files(machine: Machine): ServiceFile[] {
    const peer = this.machines.find((other) => other !== machine)!;
    return [
      {
        path: `${PROGRAMS}/fence-try`,
        text: awsProgram(join(__dirname, "on-machine", "fence-try.sh"), {
          INSTANCE: peer.aws!.instanceId,
        }),
        mode: "0755",
        onChange: "none",
      },
      {
        // AWS asks the machine to shut down, and a node that is cut off may wait for its peer for ever meanwhile
        path: "/etc/systemd/system/poweroff.target.d/cdktf-ha.conf",
        text: "# Managed by cdktf-ha-clusters.\n[Unit]\nJobTimeoutSec=60s\nJobTimeoutAction=poweroff-immediate\n",
        onChange: "none",
      },
    ];
  }
}
