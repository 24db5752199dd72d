import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { refuse } from "../problem";
import { grantS3, parseS3Url, type S3Place } from "../s3-url";
import type { Secret } from "../secret/secret";
import { checkPath, type BackupStore, type StoreWay } from "./backup-store";
import type { S3BackupProps } from "./backups";
import type { RepositoryModel } from "./pgbackrest-conf";

/** A bucket, AWS's or another store's. */
export class S3Store implements BackupStore {
  readonly secrets: readonly Secret[];
  private readonly at: S3Place;

  constructor(
    url: string,
    private readonly props: S3BackupProps,
  ) {
    const { endpoint, caFile, credentials } = props;
    if (endpoint !== undefined && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?[a-z]+(:\d{1,5})?$/i.test(endpoint)) {
      refuse("Backups.s3", {
        code: "bad-address",
        what: `'endpoint' is '${endpoint}'`,
        allowed:
          "a host's name, with a port where it is not 443: pgBackRest always speaks https, and only to names",
        fix: "endpoint: store.example.net:9000",
      });
    }
    if (caFile !== undefined) checkPath("caFile", caFile);
    this.at = parseS3Url("Backups.s3", url);
    this.secrets = credentials ? [credentials.id, credentials.secret] : [];
  }

  get place(): string {
    const { endpoint } = this.props;
    return `s3://${this.at.bucket}/${this.at.prefix}${endpoint === undefined ? "" : ` at ${endpoint}`}`;
  }

  /** The rights of each member's instance profile, where there are such; and what has no rights otherwise. */
  grant(set: Construct, machines: readonly Machine[], access: "read" | "write"): void {
    const { region, credentials } = this.props;
    for (const machine of machines) {
      if (credentials === undefined) {
        if (!machine.aws) {
          refuse(set, {
            code: "no-credentials",
            what: `member '${machine.name}' is not at AWS, and 'backups' has no 'credentials'`,
            allowed: "an instance profile, which the library fills, or a key",
            fix: "credentials: { id: Secret.variable(...), secret: Secret.variable(...) }",
          });
        }
        grantS3(machine, this.at, access);
      }
      if (region === undefined && !machine.aws) {
        refuse(set, {
          code: "no-region",
          what: `member '${machine.name}' is in no region of AWS, and 'backups' has no 'region'`,
          allowed: "the bucket's region: requests are signed for it",
          fix: 'region: "eu-west-1", or for a store of your own what it is set to, often "us-east-1"',
        });
      }
    }
  }

  way(): StoreWay {
    const packages = this.props.caFile === undefined ? [{ name: "ca-certificates" }] : [];
    return { packages, directories: [], files: [] };
  }

  repository(machine: Machine): RepositoryModel {
    const { endpoint, caFile, credentials } = this.props;
    const region = this.props.region ?? machine.aws!.region;
    const [host, port] = endpoint === undefined ? [`s3.${region}.amazonaws.com`] : endpoint.split(":");
    return {
      kind: "s3",
      bucket: this.at.bucket,
      path: `/${this.at.prefix.replace(/\/$/, "")}`,
      region,
      host: host!,
      port: port === undefined ? undefined : Number(port),
      byPath: endpoint !== undefined,
      caFile,
      key: credentials && { id: credentials.id.placeholder, secret: credentials.secret.placeholder },
    };
  }
}
