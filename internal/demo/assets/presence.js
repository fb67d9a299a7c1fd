// This page's part in presence: it says that it is here, and keeps the list of who else is.
import { People } from "./people.js";

const heartbeat = 30_000;

// When many join at once, one answer within this time serves them all. Without it a hundred pages would
// answer each join a hundred times, and run into the server's limit on relays.
const answerWithin = 1_500;

// Presence uses send(message) to speak and show(people) to show the list.
export class Presence {
  #people = new People();
  #page = crypto.getRandomValues(new Uint32Array(2)).join("-");
  #send;
  #show;
  #name;
  #answerTimer = 0;
  #heartbeatTimer = 0;

  // name() is asked each time that the page speaks.
  constructor(send, show, name) {
    this.#send = send;
    this.#show = show;
    this.#name = name;
  }

  // join is for a connection that has just opened.
  join() {
    this.#stop();
    this.#people.clear();
    this.#say("join");
    this.#heartbeatTimer = setInterval(() => this.#beat(), heartbeat);
  }

  // leave is for a connection that is about to be closed on purpose.
  leave() {
    this.#say("leave");
    this.lost();
  }

  // lost is for a connection that has closed: nobody is known to be here.
  lost() {
    this.#stop();
    this.#people.clear();
    this.#show([]);
  }

  // take takes a relayed presence message.
  take(message) {
    const arrived = this.#people.take(message, Date.now());
    this.#show(this.#people.list());
    if (!arrived || message.page === this.#page || this.#answerTimer !== 0) return;
    this.#answerTimer = setTimeout(() => {
      this.#answerTimer = 0;
      this.#say("here");
    }, Math.random() * answerWithin);
  }

  #beat() {
    this.#say("here");
    this.#people.expire(Date.now());
    this.#show(this.#people.list());
  }

  #say(event) {
    this.#send({ type: "presence", event, name: this.#name(), page: this.#page });
  }

  #stop() {
    clearTimeout(this.#answerTimer);
    clearInterval(this.#heartbeatTimer);
    this.#answerTimer = 0;
  }
}
