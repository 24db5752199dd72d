import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { OPERATOR } from "./site";

/** A web server in the test's own process, which can look into it. It answers with its name; /health is for checks. */
export class OperatorServer {
  /** How long an answer takes. */
  milliseconds = 0;
  /** What /health says. */
  healthy = true;
  /** Dies, as its clients see it, under every request. */
  breaks = false;
  /** Requests that arrived, checks not among them. */
  arrived = 0;
  /** The most requests that were under way at once. */
  most = 0;
  private underWay = 0;
  private readonly server = http.createServer((request, response) => void this.answer(request, response));

  constructor(readonly name: string) {}

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, OPERATOR, resolve));
    return this;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
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
    if (this.breaks) {
      request.socket.destroy();
      return;
    }
    this.most = Math.max(this.most, ++this.underWay);
    await delay(this.milliseconds);
    this.underWay--;
    response.end(`${this.name}\n`);
  }
}
