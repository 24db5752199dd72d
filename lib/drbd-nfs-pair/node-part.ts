import { join } from "node:path";
import type { ServiceDescription, ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import { PROGRAMS } from "./layout";

/** What a part of a node's upkeep brings along. */
export interface NodePart extends Pick<ServiceDescription, "packages" | "files" | "units" | "secrets"> {
  /** Programs that run every minute. */
  readonly everyMinute?: readonly string[];
  /** Shell: after the files have changed, before units start. */
  readonly activate?: string;
  /** Shell: as the service goes. */
  readonly leave?: string;
}

/** A program that nothing has to be told of when it changes. */
export function program(name: string, file = name): ServiceFile {
  return { path: `${PROGRAMS}/${name}`, text: script(file), mode: "0755", onChange: "none" };
}

export function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
