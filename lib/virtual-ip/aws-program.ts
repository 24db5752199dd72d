import { join } from "node:path";
import type { ServicePackage } from "../push/service";
import { scriptText, shellQuoted } from "../script-text";

/** What such programs need. */
export const AWS_PACKAGES: readonly ServicePackage[] = [
  { name: "awscli", unlessCommand: "aws" },
  { name: "curl", unlessCommand: "curl" },
];

/** A program that calls AWS by the machine's own role: the shell file, after what it finds in variables. */
export function awsProgram(file: string, values: Readonly<Record<string, string>>): string {
  const lines = Object.entries(values).map(([name, value]) => `${name}=${shellQuoted(value)}`);
  return ["#!/bin/bash", ...lines, scriptText(join(__dirname, "hooks", "aws.sh")), scriptText(file)].join(
    "\n",
  );
}
