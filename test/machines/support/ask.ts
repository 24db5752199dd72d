import * as http from "node:http";
import * as https from "node:https";
import { TLSSocket, type PeerCertificate } from "node:tls";
import { VIP } from "./site";

/** A request to the pair, as a client of any name, address and cookie makes it. */
export interface Question {
  /** Default: 443 with TLS, 80 without. */
  readonly port?: number;
  /** Default: "/". */
  readonly path?: string;
  readonly method?: string;
  /** Name the client asks for: the Host header and, with TLS, the name in its greeting. Default: the address. */
  readonly name?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Local address to send from. */
  readonly from?: string;
  /** With TLS: whom the client trusts and which certificate it shows. Default: none, plain HTTP. */
  readonly tls?: https.RequestOptions;
  /** Default: the virtual IP. */
  readonly address?: string;
  readonly signal?: AbortSignal;
  /** Default: 10 s. */
  readonly timeoutSeconds?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** The server's certificate. */
  readonly certificate?: PeerCertificate;
}

/** Asks over a connection of its own. */
export function ask(question: Question = {}): Promise<Answer> {
  const { tls, name, timeoutSeconds = 10, address = VIP } = question;
  const { request } = tls ? https : http;
  return new Promise((resolve, reject) => {
    request(
      {
        ...tls,
        ...(tls && name ? { servername: name } : {}),
        agent: false,
        host: address,
        port: question.port,
        path: question.path,
        method: question.method,
        headers: { ...(name ? { Host: name } : {}), ...question.headers },
        localAddress: question.from,
        signal: question.signal ?? AbortSignal.timeout(timeoutSeconds * 1000),
      },
      (response) => {
        const body: Buffer[] = [];
        const { socket } = response;
        const certificate = socket instanceof TLSSocket ? socket.getPeerCertificate() : undefined;
        response.on("data", (chunk: Buffer) => body.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(body).toString(),
            certificate,
          }),
        );
      },
    )
      .on("error", reject)
      .end();
  });
}

/** How often each text came. */
export function counted(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1;
  return counts;
}
