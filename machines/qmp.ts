import { connect } from "node:net";

/** One command to QEMU by its machine protocol, on a connection of its own. Rejects where QEMU refuses it or does not answer in 10 s. */
export function qmp(socketFile: string, execute: string, args: object = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketFile);
    const fail = (reason: string) => reject(new Error(`QEMU's ${execute}: ${reason}`));
    let text = "";
    let answers = 0;
    socket.setTimeout(10_000, () => socket.destroy(new Error("no answer within 10 s")));
    socket.once("error", (error) => fail(error.message));
    socket.once("close", () => fail("the connection was closed"));
    socket.on("data", (data) => {
      text += data.toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as Record<string, unknown> & { error?: { desc: string } };
        if (message.QMP) socket.write('{ "execute": "qmp_capabilities" }\n');
        else if (message.error) fail(message.error.desc);
        else if (message.return === undefined)
          continue; // an event
        else if (++answers === 1) socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
        else resolve(message.return);
        if (message.error || answers === 2) socket.destroy();
      }
    });
  });
}
