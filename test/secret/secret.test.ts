import { Secret } from "../../lib";
import { newStack } from "../support/stack";

test("triggers hold a version, a keyed hash or a place; never a value", () => {
  const stack = newStack();
  expect(Secret.variable(stack, "a").trigger).toBe("version 1");
  expect(Secret.variable(stack, "b", { version: "7" }).trigger).toBe("version 7");
  const key = Secret.variable(stack, "key");
  expect(Secret.variable(stack, "c", { hashKey: key }).trigger).toContain("TfToken");
  expect(Secret.file("/etc/a", { version: "2" }).trigger).toBe("file /etc/a version 2");
  expect(Secret.generated("a").trigger).toBe("generated a.1 24 version 1");
  expect(Secret.awsParameter("/app/db").trigger).toContain("parameter-store /app/db");
});

test("only what travels has an upload; only what is fetched needs a right and a program", () => {
  const stack = newStack();
  expect(Secret.variable(stack, "a").upload).toBeDefined();
  for (const secret of [Secret.file("/a"), Secret.generated("a")]) {
    expect([secret.upload, secret.right, secret.packages]).toEqual([undefined, undefined, []]);
  }
  expect(Secret.awsSecretsManager("a/b", { jsonKey: "k" })).toMatchObject({
    right: { action: "secretsmanager:GetSecretValue", resource: "secret:a/b-??????" },
    packages: [{ name: "awscli" }, { name: "curl" }, { name: "jq" }],
  });
  expect(
    Secret.awsSecretsManager("x", { arn: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-abcdef" })
      .right!.resource,
  ).toMatch(/^arn:/);
  expect(Secret.awsParameter("/app/db")).toMatchObject({
    right: { action: "ssm:GetParameter", resource: "parameter/app/db" },
    packages: [{ name: "awscli" }, { name: "curl" }],
  });
});

test("an ARN is an id too, and its region is where the machine asks", () => {
  const arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:site/tls-AbCdEf";
  const secret = Secret.awsSecretsManager(arn);
  expect(secret.right).toMatchObject({ resource: arn, region: "us-east-1" });
  expect(secret.source.arguments).toEqual([arn, "us-east-1", ""]);
  expect(secret.packages).toEqual([{ name: "awscli", unlessCommand: "aws" }]); // the region is known
  const parameter = "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/app/db";
  expect(Secret.awsParameter(parameter)).toMatchObject({
    right: { resource: parameter, region: "cn-north-1" },
    source: { arguments: [parameter, "cn-north-1", ""] },
  });
  expect(Secret.awsSecretsManager("site/tls", { region: "eu-west-2" })).toMatchObject({
    right: { resource: "secret:site/tls-??????", region: "eu-west-2" },
    source: { arguments: ["site/tls", "eu-west-2", ""] },
  });
});

test("secrets that other services of AWS keep have an exclamation mark", () => {
  const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!cluster-2f7b1c-AbCdEf";
  expect(Secret.awsSecretsManager(arn).right!.resource).toBe(arn);
});

test("names are files on a machine, and different secrets have different ones", () => {
  const names = ["/etc/ssl/a.pem", "/etc/ssl/a-pem", "etc/ssl/a/pem"].map(
    (id) => Secret.awsSecretsManager(id).name,
  );
  expect(new Set(names).size).toBe(3);
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9-]+$/);
});
