import { canonicalIp, contains, isHostName, isIp, isNetworkAddress, parseNetwork } from "../lib/net";

test.each([
  ["10.0.1.66/27", { family: 4, cidr: "10.0.1.64/27", prefix: 27 }],
  ["10.0.0.0/8", { family: 4, cidr: "10.0.0.0/8", prefix: 8 }],
  ["2001:db8::5/64", { family: 6, cidr: "2001:db8::/64", prefix: 64 }],
])("%s is a network", (text, network) => expect(parseNetwork(text)).toEqual(network));

test.each([
  "10.0.1.66",
  "10.0.1/24",
  "10.0.1.0/33",
  "10.0.1.0/",
  "::/129",
  "host/24",
  "",
  "010.0.0.1/8",
  "10.0.1.0/24/8",
])("'%s' is none", (text) => expect(parseNetwork(text)).toBeUndefined());

test("host bits are told from networks", () => {
  expect(isNetworkAddress("10.0.1.64/27")).toBe(true);
  expect(isNetworkAddress("10.0.1.66/27")).toBe(false);
  expect(isNetworkAddress("2001:db8::/32")).toBe(true);
});

test("containment", () => {
  expect(contains("10.0.0.0/8", "10.200.1.1")).toBe(true);
  expect(contains("10.0.0.0/8", "10.0.0.0/7")).toBe(false);
  expect(contains("10.0.1.64/27", "10.0.1.96")).toBe(false);
  expect(contains("::/0", "10.0.0.1")).toBe(false);
  expect(contains("0.0.0.0/0", "::1")).toBe(false);
  expect(contains("nonsense", "10.0.0.1")).toBe(false);
});

test("addresses and names", () => {
  expect(["10.0.0.1", "::1", "2001:db8::5"].every(isIp)).toBe(true);
  expect(["10.1", "1", "10.0.0.256", "10.0.0.1/8", "a"].some(isIp)).toBe(false);
  expect(["a", "web-1.example.net", "x1"].every(isHostName)).toBe(true);
  expect(["-a", "a_b", "1.2.3", "a..b", ""].some(isHostName)).toBe(false);
  expect(canonicalIp("2001:DB8:0::5")).toBe("2001:db8::5");
});
