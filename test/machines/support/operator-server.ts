import { createHash } from "node:crypto";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { OPERATOR } from "./site";

/**
 * A web server in the test's own process, which can look into it. It answers with its name; /health is for checks. Who
 * asks for a websocket gets back what it sends.
 */
export class OperatorServer {
  /** How long an answer takes. */
  milliseconds = 0;
  /** What /health says. */
  healthy = true;
  /** Dies, as its clients see it, under every request: the system says goodbye for it, or does not know it any more. */
  breaks?: "close" | "reset";
  /** Requests that arrived, checks not among them. */
  arrived = 0;
  /** The most requests that were under way at once. */
  most = 0;
  /** The request that arrived last. */
  last?: http.IncomingMessage;
  private listeningAt = 0;
  private underWay = 0;
  private readonly server = http.createServer((request, response) => void this.answer(request, response));

  constructor(readonly name: string) {
    this.server.on("upgrade", upgrade);
  }

  /** At a free port; once it was stopped, at the port where it was. */
  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(this.listeningAt, OPERATOR, resolve));
    this.listeningAt = (this.server.address() as AddressInfo).port;
    return this;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  get port(): number {
    return this.listeningAt;
  }

  /** For `Servers.at`. */
  get address(): string {
    return `${OPERATOR}:${this.port}`;
  }

  private async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (request.url === "/health") {
      response.writeHead(this.healthy ? 200 : 503).end();
      return;
    }
    this.arrived++;
    this.last = request;
    if (this.breaks) {
      if (this.breaks === "close") request.socket.destroy();
      else request.socket.resetAndDestroy();
      return;
    }
    this.most = Math.max(this.most, ++this.underWay);
    await delay(this.milliseconds);
    this.underWay--;
    response.setHeader("X-Powered-By", "node").setHeader("Cache-Control", "max-age=60");
    response.end(`${this.name}\n`);
  }
}

function upgrade(request: http.IncomingMessage, socket: Duplex): void {
  const key = request.headers["sec-websocket-key"];
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const headers = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
  socket.write(["HTTP/1.1 101 Switching Protocols", ...headers, "", ""].join("\r\n"));
  socket.on("error", () => undefined); // the test's own end of it
  socket.pipe(socket);
}
