import { spawn, type ChildProcess } from "node:child_process";
import * as http from "node:http";
import * as https from "node:https";
import { installed } from "../../../machines/aws/cloud";
import { waitUntil } from "../../../machines/run";
import type { LabMachine } from "../../../machines/lab";
import { Authority } from "./certificates";
import { OPERATOR } from "./site";

const PORT = 9000;
const HOST = "store.example.net";
const INSIDE = { host: "127.0.0.1", port: 9001 };

/** A store that speaks S3, with a certificate that only those trust who are told to; its buckets live as long as the test. */
export class ObjectStore {
  static readonly endpoint = `${HOST}:${PORT}`;
  static readonly caFile = "/etc/ssl/store.pem";

  static async start(directory: string, bucket: string): Promise<ObjectStore> {
    const authority = await Authority.create(directory, "store");
    const python = await installed("--emulator");
    const moto = spawn(
      // becomes moto itself: a signal reaches it
      "setpriv",
      [
        "--pdeathsig",
        "KILL",
        python,
        "-m",
        "moto.server",
        "--host",
        INSIDE.host,
        "--port",
        String(INSIDE.port),
      ],
      { stdio: "ignore" },
    );
    // moto's own server closes connections in a way that pgBackRest takes for an attack
    const { certificate, key } = await authority.issue(HOST);
    const door = https.createServer({ cert: certificate, key }, (request, response) => {
      const { method, url: path } = request;
      // a host's name would be a bucket's to moto
      const headers = { ...request.headers, host: INSIDE.host };
      const inner = http.request({ ...INSIDE, method, path, headers }, (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      inner.on("error", () => response.destroy());
      request.pipe(inner);
    });
    await new Promise<void>((resolve) => door.listen(PORT, OPERATOR, resolve));
    const store = new ObjectStore(authority.certificate, moto, door);
    await waitUntil(
      () => store.make(bucket),
      60,
      () => "the store does not answer",
    );
    return store;
  }

  private constructor(
    private readonly certificate: string,
    private readonly moto: ChildProcess,
    private readonly door: https.Server,
  ) {}

  private async make(bucket: string): Promise<boolean> {
    // the emulator looks at the region and the service of a signature, and no further
    const authorization =
      "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    const answer = await fetch(`http://${INSIDE.host}:${INSIDE.port}/${bucket}`, {
      method: "PUT",
      headers: { authorization },
    }).catch(() => undefined);
    return answer?.status === 200;
  }

  /** The machine finds the store, and can trust it. */
  async showTo(machine: LabMachine): Promise<void> {
    await machine.ssh(
      `echo '${OPERATOR} ${HOST}' >>/etc/hosts; cat >${ObjectStore.caFile} <<'END'\n${this.certificate}END\n`,
    );
  }

  /** It takes connections, and answers nothing. */
  hang(): void {
    this.moto.kill("SIGSTOP");
  }

  goOn(): void {
    this.moto.kill("SIGCONT");
  }

  stop(): void {
    this.door.closeAllConnections();
    this.door.close();
    this.moto.kill("SIGKILL");
  }
}
