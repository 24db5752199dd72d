import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REGION, type Cloud } from "../../../machines/aws/cloud";
import { STATE_KEY } from "./deployment";
import { BOUNDARY, type Network } from "./site";

interface Statement {
  readonly Sid: string;
  readonly Action: readonly string[];
}

const ACCOUNT = "123456789012"; // the emulator's
export const BUCKET = "site-terraform-state";

/** The page's policy for whoever deploys, for these statements of it alone. */
export class DeployerPolicy {
  static readonly MACHINES = [
    "Look",
    "Make",
    "ChangeWhatIsOurs",
    "RulesGetTags",
    "ChangeWhatHasOurName",
    "LetGo",
    "RolesOfMachines",
    "RightsOfMachines",
    "GiveRolesToMachines",
  ];
  /** What a stack with addresses of other kinds, or with a machine in a second cluster, needs beside. */
  static readonly INTERFACES = [
    "ChangeInterfaces",
    "RouteTableAddress",
    "LookAtRoutes",
    "SecondaryAddress",
    "ReservedAddresses",
  ];
  /** For names in Route 53. */
  static readonly NAMES = ["RecordsOfZone", "HealthChecks", "MakeHealthChecks", "WatchChanges"];
  readonly document: { readonly Version: string; readonly Statement: readonly Statement[] };

  constructor(sids: readonly string[], network?: Network, zoneId = "none") {
    const text = readFileSync(join(__dirname, "../../../docs/deployer-policy.json"), "utf8")
      .replaceAll("REGION", REGION)
      .replaceAll("ACCOUNT", ACCOUNT)
      .replaceAll("STACK", "stack")
      .replaceAll("policy/BOUNDARY", BOUNDARY.split(":").at(-1)!)
      .replaceAll("ROUTE_TABLE", network?.routeTableId ?? "none")
      .replaceAll("SUBNET", network?.subnets.a.id ?? "none")
      .replaceAll("HOSTED_ZONE", zoneId)
      .replaceAll("BUCKET", BUCKET)
      .replaceAll("KEY", STATE_KEY);
    const { Version, Statement } = JSON.parse(text) as { Version: string; Statement: Statement[] };
    const unknown = sids.filter((sid) => !Statement.some(({ Sid }) => Sid === sid));
    if (unknown.length) throw new Error(`no statement ${unknown.join()} in docs/deployer-policy.json`);
    this.document = { Version, Statement: Statement.filter(({ Sid }) => sids.includes(Sid)) };
  }

  /** What it allows, and the deployer has not done. */
  unused({ calls }: Cloud, sids: readonly string[]): string[] {
    const mine = calls.filter(({ who, error }) => who === "deployer" && !isRefusal(error));
    const done = new Set(mine.flatMap(({ action, also }) => [action, ...also]));
    return this.document.Statement.filter(({ Sid }) => sids.includes(Sid))
      .flatMap(({ Action }) => Action)
      .filter((action) => !done.has(action));
  }
}

/** What the deployer was refused for want of a right. */
export function refusals({ calls }: Cloud): string[] {
  const refused = calls.filter(({ who, error }) => who === "deployer" && isRefusal(error));
  return [...new Set(refused.map(({ action, resources }) => `${action} ${resources.join()}`))].sort();
}

const isRefusal = (error = ""): boolean => /Unauthorized|AccessDenied/.test(error);
