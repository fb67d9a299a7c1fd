// A busbar process, which BUSBAR names, as the tests start and end it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// An address of this host that hardly anybody else uses: its ports stay free while a server restarts.
const byte = () => 1 + Math.floor(Math.random() * 250);
const host = `127.${byte()}.${byte()}.${byte()}`;

export class Daemon {
  #dir = mkdtempSync(join(tmpdir(), "busbar-js-"));
  #process;

  // start uses the addresses and the data of an earlier start.
  async start(...args) {
    const { ws = `${host}:0`, api = `${host}:0` } = this;
    this.#process = spawn(process.env.BUSBAR, ["-data", this.#dir, "-listen", ws, "-api", api, ...args]);
    let out = "";
    this.log = "";
    this.#process.stderr.on("data", (text) => { this.log += text; });
    for await (const text of this.#process.stdout) {
      out += text;
      const found = /WebSocket +ws:\/\/(\S+)[^]*HTTP API +http:\/\/(\S+)[^]*\n\n/.exec(out);
      if (!found) continue;
      [, this.ws, this.api] = found;
      this.url = `ws://${this.ws}`;
      this.admin = readFileSync(join(this.#dir, "admin-token"), "utf8").trim();
      return this;
    }
    throw new Error(`busbar ended at its start: ${this.log}`);
  }

  async end(signal) {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }

  signal(name) {
    this.#process.kill(name);
  }

  async remove() {
    await this.end("SIGKILL");
    rmSync(this.#dir, { recursive: true });
  }

  async call(method, path, body) {
    const headers = { Authorization: `Bearer ${this.admin}`, "Content-Type": "application/json" };
    const answer = await fetch(`http://${this.api}${path}`, { method, headers, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  async session(user) {
    return (await this.call("POST", "/v1/sessions", JSON.stringify({ user_id: user }))).token;
  }

  async publish(n = 1) {
    const seqs = [];
    for (let i = 0; i < n; i++) {
      const change = { entity: "Todo", row_id: `t_${i}`, kind: "update", data: { i } };
      seqs.push((await this.call("POST", "/v1/changes", JSON.stringify(change))).seq);
    }
    return seqs;
  }
}
