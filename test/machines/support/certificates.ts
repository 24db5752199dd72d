import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../machines/run";

/** A certificate and its key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  /** Both in one text, as HAProxy reads them. */
  readonly bundle: string;
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A certificate authority of a test's own. */
export class Authority {
  private issued = 0;

  static async create(directory: string, name: string): Promise<Authority> {
    const files = join(directory, name);
    await mkdir(files, { recursive: true });
    const paths = ["-keyout", join(files, "key.pem"), "-out", join(files, "authority.pem")];
    await run("openssl", ["req", "-x509", ...EC, "-days", "2", "-subj", `/CN=${name}`, ...paths]);
    return new Authority(files, await readFile(join(files, "authority.pem"), "utf8"));
  }

  private constructor(
    private readonly directory: string,
    /** Its own certificate, PEM: what those who trust it are given. */
    readonly certificate: string,
  ) {}

  /** Its certificate and its key in one text, for those who issue by it. */
  async bundle(): Promise<string> {
    return this.certificate + (await readFile(join(this.directory, "key.pem"), "utf8"));
  }

  /** A certificate for names and addresses; the first one is its subject. */
  async issue(...names: readonly string[]): Promise<KeyPair> {
    const path = (file: string): string => join(this.directory, `${this.issued}-${file}`);
    this.issued++;
    const alternatives = names.map((name) => `${/^[\d.]+$/.test(name) ? "IP" : "DNS"}:${name}`).join();
    const subject = ["-subj", `/CN=${names[0]}`];
    await run("openssl", ["req", "-new", ...EC, ...subject, "-keyout", path("key"), "-out", path("request")]);
    await writeFile(path("extensions"), `subjectAltName=${alternatives}\n`);
    const authority = [
      "-CA",
      join(this.directory, "authority.pem"),
      "-CAkey",
      join(this.directory, "key.pem"),
    ];
    const files = ["-in", path("request"), "-extfile", path("extensions"), "-out", path("certificate")];
    await run("openssl", ["x509", "-req", ...files, ...authority, "-CAcreateserial", "-days", "2"]);
    const [certificate, key] = [
      await readFile(path("certificate"), "utf8"),
      await readFile(path("key"), "utf8"),
    ];
    return { certificate, key, bundle: certificate + key };
  }
}
