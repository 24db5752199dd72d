import { isToken, refuse } from "./problem";

/** An apt repository other than the machine's own, and the only keys that are trusted for it. */
export interface AptSource {
  readonly mirror: string;
  /** Where they are fetched, or the keys themselves. */
  readonly keys: string;
  readonly suite?: string;
}

export function checkAptSource(scope: string, { mirror, keys, suite }: AptSource, suiteFix: string): void {
  checkMirror(scope, mirror);
  if (suite !== undefined) checkSuite(scope, suite, suiteFix);
  if (keysText(keys) === undefined) checkKeysUrl(scope, keys);
}

/** Text of a file of keys, where the code has them and not their address. */
export function keysText(keys: string): string | undefined {
  const isText = keys.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----") && !keys.includes("PRIVATE KEY");
  return isText ? `${keys.trimEnd()}\n` : undefined;
}

/** A URL for a message: a login in it may be a real one. */
export function withoutLogin(url: string): string {
  return url.replace(/\/\/.*@/s, "//...@");
}

/** Of apt, which checks what comes by its signature. */
function checkMirror(scope: string, mirror: string): void {
  if (isToken(mirror) || /^https?:\/\/[^\s'"@[\]]+$/.test(mirror)) return;
  refuse(scope, {
    code: "bad-address",
    what: `'mirror' is '${withoutLogin(mirror)}'`,
    allowed: "an http or https URL, without a login: that is for /etc/apt/auth.conf.d on the machines",
    fix: "check the spelling",
  });
}

function checkKeysUrl(scope: string, url: string): void {
  if (isToken(url) || /^https:\/\/[^\s'"@]+$/.test(url)) return;
  refuse(scope, {
    code: "bad-address",
    what: `'keys' is '${withoutLogin(url.split("\n")[0]!)}'`,
    allowed:
      "an https URL without a login, or public keys themselves, in armor: who could change them on their way could sign anything",
    fix: "keys: readFileSync(FILE, 'utf8'), of what gpg --export --armor has written",
  });
}

function checkSuite(scope: string, suite: string, fix: string): void {
  if (isToken(suite) || /^[A-Za-z0-9][A-Za-z0-9._~/-]*[A-Za-z0-9]$/.test(suite)) return;
  refuse(scope, {
    code: "bad-name",
    what: `'suite' is '${suite}'`,
    allowed: "the name of a directory below the mirror's dists/",
    fix,
  });
}
