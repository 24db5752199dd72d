import type { Construct } from "constructs";
import type { Connections } from "../firewall/connections";
import type { Machine } from "../platform/machine";
import { refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";
import type { ServiceDescription } from "../push/service";
import type { Secret } from "../secret/secret";
import type { RepositoryModel } from "./pgbackrest-conf";

/** The set's own repository, or another set's that it begins from: a member may have both. */
export type StoreUse = "repository" | "recovery";

/** A part of a service. */
export type StoreWay = Required<Pick<ServiceDescription, "packages" | "directories" | "files">>;

/** A kind of place for backups. */
export interface BackupStore {
  /** In words, without secrets. */
  readonly place: string;
  readonly secrets: readonly Secret[];
  repository(machine: Machine, use: StoreUse): RepositoryModel;
  /** What a member needs besides pgBackRest and its configuration. */
  way?(use: StoreUse): StoreWay;
  /** Lets the members get there, where that is the library's to do; and refuses those who could not. */
  grant?(
    set: Construct,
    machines: readonly Machine[],
    access: "read" | "write",
    connections: Connections,
  ): void;
}

export class DirectoryStore implements BackupStore {
  readonly secrets = [];

  constructor(readonly place: string) {}

  repository(): RepositoryModel {
    return { kind: "directory", path: this.place };
  }
}

export function checkPath(name: string, path: string): string {
  if (PLAIN_PATH.test(path)) return path;
  return refuse("Backups", {
    code: "bad-path",
    what: `'${name}' is '${path}'`,
    allowed: "an absolute path on the machines, of letters, digits and @%+=:,._-",
    fix: "choose such a path",
  });
}
