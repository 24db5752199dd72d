import { join } from "node:path";
import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import { checkCertificate } from "../secret/certificate";
import type { Secret } from "../secret/secret";
import { scriptText } from "../script-text";
import { checkTrusted, trustText } from "./trusted";

const ISSUE = scriptText(join(__dirname, "on-machine/issue.sh"));

/** Certificates of a cluster's nodes: given, or issued on each node by a small authority of the user's own. */
export abstract class NodeCertificates {
  /** @param name as the code calls the class */
  protected constructor(
    private readonly name: string,
    readonly trusted: readonly string[],
    /** By node: its certificate, the chain above it and its key, in one PEM. */
    readonly certificates: Readonly<Record<string, Secret>> | undefined,
    /** The authority's certificate and key in one PEM, for nodes that issue their own. */
    readonly authority: Secret | undefined,
  ) {
    for (const secret of Object.values(certificates ?? {})) checkCertificate(name, secret);
    checkTrusted(name, "trusted", trusted);
  }

  /** The trusted certificates as one file, in a stable order. */
  get trust(): string {
    return trustText(this.trusted);
  }

  /** What a node is given: its own certificate, or the authority that it issues one by. */
  secretOf(node: string): Secret {
    return this.authority ?? this.certificates![node]!;
  }

  /** Whom a node trusts. */
  trustFile(directory: string): ServiceFile {
    return { path: `${directory}/trusted.pem`, text: this.trust };
  }

  /** @param given name of the file with a node's own certificate */
  secretFile(directory: string, node: string, given = "node.pem"): ServiceFile {
    return {
      path: `${directory}/${this.authority ? "authority.pem" : given}`,
      text: this.secretOf(node).placeholder,
      mode: "0600",
    };
  }

  /** A node's own certificate in `member.pem`, which its daemon reads itself; or what it issues one by, to be called there. */
  memberFiles(directory: string, node: string, group: string, programs: string): ServiceFile[] {
    const secret = this.secretFile(directory, node, "member.pem");
    if (!this.authority) return [{ ...secret, mode: "0640", group }];
    return [secret, { path: `${programs}/issue.sh`, text: ISSUE, onChange: "none" }];
  }

  /** Refuses nodes without a certificate. Asked when they are known. */
  checkNodes(scope: Construct, nodes: readonly string[]): void {
    if (!this.certificates) return;
    for (const name of nodes) {
      if (this.certificates[name]) continue;
      refuse(scope, {
        code: "tls-without-certificate",
        what: `node '${name}' has no certificate`,
        allowed: "a certificate with its key for every node",
        fix: `${this.name}.given({ "${name}": Secret... })`,
      });
    }
  }
}
