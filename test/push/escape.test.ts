import { Lazy } from "cdktf";
import { escapeTemplate, hasToken } from "../../lib/push/escape";

test("the log formats of HAProxy and Squid are doubled", () => {
  expect(escapeTemplate('log-format "%{+Q}o %t ${HOME}"')).toBe('log-format "%%{+Q}o %t $${HOME}"');
});

test("a value of Terraform's stays a value", () => {
  const value = Lazy.stringValue({ produce: () => "${aws_eip.lb.public_ip}" });
  expect(hasToken(value)).toBe(true);
  // beside a value every `${` is closed: cdktf would take the value for a part of it
  expect(escapeTemplate(`bind ${value}:80 \${x}`)).toBe(`bind ${value}:80 \${"$"}{x}`);
});

test("a dollar right before a value does not swallow it", () => {
  const value = Lazy.stringValue({ produce: () => "${aws_eip.lb.public_ip}" });
  expect(escapeTemplate(`cost $${value}`)).toBe(`cost \${"$"}${value}`);
});

test("runs of markers go into an expression of their own", () => {
  expect(escapeTemplate("$${a} %%%{b}")).toBe('${"$$"}{a} ${"%%%"}{b}');
});
