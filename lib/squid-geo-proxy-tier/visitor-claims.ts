/** What a visitor may not tell an origin: lines of squid.conf. Pure. */

/** What the tier itself says to origins, of the visitor and of the connection. */
const SAID_BY_THE_TIER = ["X-Forwarded-For", "X-Forwarded-Proto", "Front-End-Https"];
/** What application servers believe of whoever is in front of them, and nobody in front of them says. */
const BELIEVED = [
  "Forwarded",
  // who asks
  ...["X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "Client-IP", "True-Client-IP"],
  // for which host and path: an answer to that would be kept for everybody
  ...["X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Original-Host"],
  ...["X-Host", "X-HTTP-Host-Override", "X-Original-URL", "X-Rewrite-URL"],
  // by which protocol
  ...["X-Forwarded-Protocol", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Url-Scheme", "X-Scheme"],
  // programs behind CGI take it for the proxy that they should use (httpoxy)
  "Proxy",
];
/** Of requests whose answers are kept: they would be those to another method. */
const OTHER_METHOD = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"];

/**
 * @param from ACL of those who are not believed
 * @param forwardedFor false where Squid itself drops what a visitor says of addresses
 */
export function claimLines(from: string, forwardedFor: boolean): string[] {
  const said = SAID_BY_THE_TIER.flatMap(spellings).filter(
    (name) => forwardedFor || name !== "X-Forwarded-For",
  );
  return [
    ...[...said, ...BELIEVED].map((header) => `request_header_access ${header} deny ${from}`),
    ...OTHER_METHOD.map((header) => `request_header_access ${header} deny kept_methods`),
  ];
}

/** CGI and its like give a program `X_Forwarded-For` by the same name as `X-Forwarded-For`. */
function spellings(header: string): string[] {
  const [first, ...rest] = header.split("-");
  return rest.reduce((all, part) => all.flatMap((head) => [`${head}-${part}`, `${head}_${part}`]), [first!]);
}
