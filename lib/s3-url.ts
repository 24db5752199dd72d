import type { Machine } from "./platform/machine";
import { refuse } from "./problem";

/** A bucket and what names of its objects begin with: empty, or ending with a slash. */
export interface S3Place {
  readonly bucket: string;
  readonly prefix: string;
}

/** `s3://bucket` or `s3://bucket/prefix`, with or without a slash at its end. */
export function parseS3Url(scope: string, url: string): S3Place {
  // a bucket of the same stack has a name that cdktf stands in for
  const parsed = /^s3:\/\/([a-z0-9.-]{3,63}|\$\{TfToken\[[^\]]+\]\})(?:\/([A-Za-z0-9._/-]*))?$/.exec(url);
  if (parsed) {
    const prefix = (parsed[2] ?? "").replace(/\/+$/, "");
    return { bucket: parsed[1]!, prefix: prefix === "" ? "" : `${prefix}/` };
  }
  return refuse(scope, {
    code: "bad-address",
    what: `'${url}'`,
    allowed: "s3://bucket or s3://bucket/prefix; a bucket's name has small letters, digits, dots and dashes",
    fix: "check the spelling",
  });
}

/** The machine's instance profile may list, read, put and drop what begins like this, or read it only; nothing else of the bucket is read. */
export function grantS3(
  { aws }: Machine,
  { bucket, prefix }: S3Place,
  use: "read" | "write" = "write",
): void {
  const more = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
  aws?.grant({ actions: ["s3:ListBucket"], resources: [aws.arn("s3", bucket)] });
  aws?.grant({
    actions: ["s3:GetObject", ...(use === "write" ? more : [])],
    resources: [aws.arn("s3", `${bucket}/${prefix}*`)],
  });
}
