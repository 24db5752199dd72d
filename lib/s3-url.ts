import type { Machine } from "./platform/machine";
import { refuse } from "./problem";

/** A bucket and what names of its objects begin with: empty, or ending with a slash. */
export interface S3Place {
  readonly bucket: string;
  readonly prefix: string;
}

/** `s3://bucket` or `s3://bucket/prefix`, with or without a slash at its end. */
export function parseS3Url(scope: string, url: string): S3Place {
  const parsed = /^s3:\/\/([a-z0-9.-]{3,63})(?:\/([A-Za-z0-9._/-]*))?$/.exec(url);
  if (parsed) {
    const prefix = (parsed[2] ?? "").replace(/\/+$/, "");
    return { bucket: parsed[1]!, prefix: prefix === "" ? "" : `${prefix}/` };
  }
  return refuse(scope, {
    code: "bad-address",
    what: `'${url}'`,
    allowed: "s3://bucket or s3://bucket/prefix",
    fix: "check the spelling",
  });
}

/** The machine's instance profile may put, list, read and drop what begins like this, and nothing else of the bucket. */
export function grantS3({ aws }: Machine, { bucket, prefix }: S3Place): void {
  aws?.grant({ actions: ["s3:ListBucket"], resources: [aws.arn("s3", bucket)] });
  aws?.grant({
    actions: ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
    resources: [aws.arn("s3", `${bucket}/${prefix}*`)],
  });
}
