import type { IConstruct } from "constructs";
import { refuse } from "../problem";
import type { Secret } from "./secret";

/** Refuses as a certificate what a machine has thrown dice for. */
export function checkCertificate(scope: IConstruct | string, { name, source }: Secret): void {
  if (source.kind !== "generated") return;
  refuse(scope, {
    code: "tls-without-certificate",
    what: `the certificate is the generated secret '${name}': random characters`,
    allowed: "certificate, chain and key as PEM, in one secret",
    fix: "Secret.variable(...), Secret.file(...) or a secret of AWS's",
  });
}
