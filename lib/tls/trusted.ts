import type { IConstruct } from "constructs";
import { refuse } from "../problem";

/**
 * Certificates of authorities, which stand in the stack's JSON and, for everybody to read, on the machines.
 * @param name of the setting, for messages
 */
export function checkTrusted(scope: IConstruct | string, name: string, trusted: readonly string[]): void {
  if (trusted.some((pem) => /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))) {
    refuse(scope, {
      code: "key-in-the-open",
      what: `'${name}' holds a private key`,
      allowed: "certificates alone: they stand in the stack's JSON, and on machines for everybody to read",
      fix: "give the certificate without its key; where the key is needed, it is a Secret of its own",
    });
  }
  if (trusted.length && trusted.every((pem) => pem.includes("-----BEGIN CERTIFICATE-----"))) return;
  refuse(scope, {
    code: "tls-without-certificate",
    what: `'${name}' holds no certificate`,
    allowed: "certificates of authorities, PEM: without one nobody could be told from a stranger",
    fix: `${name}: [readFileSync('authority.pem', 'utf8')]`,
  });
}

/** Them as one file, in a stable order. */
export function trustText(trusted: readonly string[]): string {
  return trusted.map((pem) => `${pem.trim()}\n`).join("");
}
