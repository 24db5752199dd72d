import { createServer, type Server, type Socket } from "node:net";
import type { Lab } from "./lab";

/**
 * - `works`: answers.
 * - `refuses`: its port is closed.
 * - `unreachable`: nothing comes back, not even a refusal, as of a switch without power.
 * - `hangs`: takes connections and requests, and neither answers nor does anything.
 */
export type PowerSwitchState = "works" | "refuses" | "unreachable" | "hangs";

export interface PowerSwitchOptions {
  /** Where it listens: the first address of one of the lab's subnets, for instance 10.78.0.1. */
  readonly address: string;
  /** Default: 9000. */
  readonly port?: number;
  /** Without it nothing is done, and nothing told. */
  readonly password: string;
  /** The machines it switches. Default: all of the lab, also later ones. */
  readonly machines?: readonly string[];
  /**
   * How long a machine that was switched on takes before it boots, as a real one's firmware does. Meanwhile it is on for whoever asks.
   * Default: 0.
   */
  readonly firmwareSeconds?: number;
}

export interface PowerSwitchRequest {
  /** Milliseconds, as of Date.now(), of its arrival. */
  readonly at: number;
  readonly client: string;
  /** Without the password, for instance `off nfs-1`. */
  readonly request: string;
  /** What it was answered; undefined where it was not. */
  answer?: string;
}

/** A client that says nothing is not waited for. */
const IDLE_MS = 30_000;

/**
 * A power switch for the lab's machines, as an IPMI board or a switched power strip is for real ones: what a fence agent talks
 * to. README.md has the protocol. It is part of this process, which must not block, and of its lab: stop it before.
 *
 * @example
 *   const power = await PowerSwitch.start(lab, { address: "10.78.0.1", password: "secret" });
 *   await power.set("unreachable");
 *   await power.stop();
 */
export class PowerSwitch {
  /** What it was asked, in order. */
  readonly requests: PowerSwitchRequest[] = [];
  private current: PowerSwitchState = "works";
  private server?: Server;
  private readonly sockets = new Set<Socket>();
  /** What is under way at a machine, so that one thing is done after the other. */
  private readonly busy = new Map<string, Promise<unknown>>();
  /** Machines that are on, but do not boot yet. */
  private readonly inFirmware = new Map<string, NodeJS.Timeout>();
  private readonly port: number;

  private constructor(
    private readonly lab: Lab,
    private readonly options: PowerSwitchOptions,
  ) {
    this.port = options.port ?? 9000;
  }

  static async start(lab: Lab, options: PowerSwitchOptions): Promise<PowerSwitch> {
    const powerSwitch = new PowerSwitch(lab, options);
    await powerSwitch.listen();
    return powerSwitch;
  }

  get state(): PowerSwitchState {
    return this.current;
  }

  /** A request that hung gets no answer later, either. */
  async set(state: PowerSwitchState): Promise<void> {
    if (state === "refuses") await this.close();
    else await this.listen();
    await this.filter(state === "unreachable");
    this.current = state;
  }

  /** Its machines stay as they are. */
  async stop(): Promise<void> {
    for (const timer of this.inFirmware.values()) clearTimeout(timer);
    this.inFirmware.clear();
    await this.close();
    await this.filter(false);
    await Promise.allSettled(this.busy.values());
  }

  private async listen(): Promise<void> {
    if (this.server) return;
    // A client may say that it sends no more before it has its answer.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.serve(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, this.options.address, resolve);
    });
    server.unref(); // a forgotten one does not keep this process from ending
    this.server = server;
  }

  private async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  /** Packets are dropped both ways: nothing tells a client that there is somebody. */
  private async filter(drop: boolean): Promise<void> {
    const { address } = this.options;
    const name = `power-switch-${this.port}`;
    const table = `table inet ${name} {
      chain arriving { type filter hook input priority 0; ip daddr ${address} tcp dport ${this.port} drop; }
      chain leaving { type filter hook output priority 0; ip saddr ${address} tcp sport ${this.port} drop; }
    }`;
    // The first line makes the deletion succeed also where there is no table yet.
    const removal = `table inet ${name}\ndelete table inet ${name}\n`;
    await this.lab.run("nft", ["-f", "-"], { input: removal + (drop ? table : "") });
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    let text = "";
    let isAsked = false;
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy()); // a client that is gone, such as one just switched off
    socket.once("end", () => isAsked || socket.end());
    socket.once("close", () => this.sockets.delete(socket));
    socket.on("data", (data) => {
      text += data.toString();
      const [password, request, rest] = text.split("\n");
      if (isAsked || request === undefined || rest === undefined) {
        if (text.length > 1000) socket.destroy();
        return;
      }
      isAsked = true;
      socket.setTimeout(0);
      void this.handle(socket, password?.trim() ?? "", request.trim());
    });
  }

  private async handle(socket: Socket, password: string, request: string): Promise<void> {
    const client = socket.remoteAddress ?? "";
    const entry: PowerSwitchRequest = { at: Date.now(), client, request };
    this.requests.push(entry);
    if (this.current === "hangs") return;
    const answer =
      password === this.options.password
        ? await this.answer(request).catch((error: unknown) => `error ${String(error).split("\n")[0]}`)
        : "error wrong password";
    entry.answer = answer;
    socket.end(`${answer}\n`);
  }

  private async answer(request: string): Promise<string> {
    const [verb = "", name = "", ...more] = request.split(/\s+/);
    const names = this.options.machines ?? this.lab.names;
    if (verb === "list" && !name) return names.join(" ");
    if (!["on", "off", "status"].includes(verb) || !name || more.length)
      return "error not a request: off NAME, on NAME, status NAME or list";
    if (!names.includes(name)) return `error no machine ${name}`;
    if (verb === "status") return this.isOn(name) ? "on" : "off";
    const before = this.busy.get(name) ?? Promise.resolve();
    const work = before.catch(() => undefined).then(() => (verb === "on" ? this.on(name) : this.off(name)));
    this.busy.set(name, work);
    await work;
    return "ok";
  }

  private isOn(name: string): boolean {
    return this.inFirmware.has(name) || this.lab.machine(name).isOn;
  }

  private async on(name: string): Promise<void> {
    if (this.isOn(name)) return;
    const { firmwareSeconds = 0 } = this.options;
    if (!firmwareSeconds) return this.lab.machine(name).switchOn();
    const boot = () => {
      this.inFirmware.delete(name);
      this.lab
        .machine(name)
        .switchOn()
        .catch(() => undefined); // it stays off, and its status says so
    };
    this.inFirmware.set(name, setTimeout(boot, firmwareSeconds * 1000).unref());
  }

  /** Returns once the machine is known to be off. */
  private async off(name: string): Promise<void> {
    clearTimeout(this.inFirmware.get(name));
    this.inFirmware.delete(name);
    await this.lab.machine(name).cutPower();
  }
}
